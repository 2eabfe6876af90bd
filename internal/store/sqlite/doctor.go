package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/store"
)

// The rules for what is more than one run; those of a run are durable's.
const (
	ruleFile     = "file"     // SQLite finds the file sound
	ruleOrphan   = "orphan"   // every row belongs to something that is there
	ruleDelivery = "delivery" // an event to be handed on has its item, and the item its event
	ruleReport   = "report"   // a run that somebody waits for tells its end
	ruleTold     = "told"     // the end of a run was told, once
	ruleLetter   = "letter"   // every run that failed for good has its dead letter, and nothing else has
	ruleFunction = "function" // the function of a run that has not ended is known
	ruleBacklog  = "backlog"  // what waits is counted as it is
	ruleAudit    = "audit"    // what people did is in the audit log
	ruleLimit    = "limit"    // what holds functions back can be read, and ends
	ruleOnce     = "once"     // an event starts one run of a function, or waits to be one of those that start one
	ruleAlert    = "alert"    // what people have to be told of is going to be
)

// Examine looks at the whole of a store that no process has open and tells each
// thing that cannot be. It changes nothing and has one run in memory
// at a time.
func Examine(ctx context.Context, path string, now time.Time, tell func(store.Finding)) (store.Examined, error) {
	return examine(ctx, path, now, tell, false)
}

// Repair is Examine that also repairs what can be repaired without losing
// anything, each thing in a transaction of its own, and tells it when that is
// done. What one repair shows to be wrong is seen by those that follow. A store of an older Pawl is brought up to date first.
func Repair(ctx context.Context, path string, now time.Time, tell func(store.Finding)) (store.Examined, error) {
	return examine(ctx, path, now, tell, true)
}

func examine(ctx context.Context, path string, now time.Time, tell func(store.Finding), repair bool) (n store.Examined, err error) {
	file, err := openAlone(path)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, file.close()) }()
	read, err := file.connect()
	if err != nil {
		return n, err
	}
	d := &doctor{read: read, tell: tell, now: now}
	if repair {
		if d.write, err = file.connect(); err != nil {
			return n, err
		}
		if err := migrate(d.write); err != nil {
			return n, err
		}
	} else if err := upToDate(read); err != nil {
		return n, fmt.Errorf("%s: %w", path, err)
	}
	read.SetInterrupt(ctx.Done())
	err = d.examine()
	switch {
	case ctx.Err() != nil:
		return d.n, ctx.Err()
	case err != nil && broken(err):
		// As far as the file can be read it was looked at.
		d.found(store.Finding{Rule: ruleFile, What: fmt.Sprintf("the file cannot be read any further: %v", err)}, nil)
		return d.n, nil
	}
	return d.n, err
}

// alone is a file that this process has for itself, without a Store.
type alone struct {
	path  string
	lock  *storeLock
	conns []*conn
}

// openAlone takes the lock of a store that exists.
func openAlone(path string) (_ *alone, err error) {
	defer func(given string) {
		if err != nil {
			err = fmt.Errorf("open %s: %w", given, err)
		}
	}(path)
	if path, err = existing(path); err != nil {
		return nil, err
	}
	a := &alone{path: path}
	if a.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, err
	}
	if err := errors.Join(oneName(path), inspect(path)); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// existing is the real path of a file that is there.
func existing(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := directory(filepath.Dir(path)); err != nil {
		return "", err
	}
	if path, err = realPath(path); err != nil {
		return "", err
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("there is no such file")
	case err != nil:
		return "", unwrapPath(err)
	case info.IsDir():
		return "", errors.New("it is a directory")
	}
	return path, nil
}

func (a *alone) connect() (*conn, error) {
	c, err := connect(a.path, Full, cacheBytes)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", a.path, err)
	}
	a.conns = append(a.conns, c)
	return c, nil
}

func (a *alone) close() error {
	var errs []error
	for _, c := range a.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, a.lock.release(false))...)
}

// upToDate says whether the schema is the newest.
func upToDate(c *conn) error {
	files, err := scripts()
	if err != nil {
		return err
	}
	version, err := pragmaInt(c, "user_version")
	if err != nil {
		return fault(err)
	}
	if version < int64(len(files)) {
		return fmt.Errorf("its schema is version %d, this pawl's is %d; start this pawl on it once, or use --fix, to bring it up to date",
			version, len(files))
	}
	return nil
}

// doctor is one examination.
type doctor struct {
	read  *conn
	write *conn // nil: nothing is repaired
	tell  func(store.Finding)
	now   time.Time
	n     store.Examined

	// What ended or was received by then may have left by retention, and what was
	// done by then may have no line in the audit log.
	runsGone, eventsGone, untold time.Time
}

func (d *doctor) examine() error {
	if err := d.file(); err != nil {
		return err
	}
	if whole, err := d.schema(); err != nil || !whole {
		return err
	}
	if err := d.gone(); err != nil {
		return err
	}
	if err := d.runs(); err != nil {
		return err
	}
	for _, c := range relations {
		if err := d.relation(c); err != nil {
			return err
		}
	}
	if err := d.retold(); err != nil {
		return err
	}
	if err := d.backlog(); err != nil { // last, since what was repaired may wait now
		return err
	}
	return d.count()
}

// schema compares the tables and indexes with those of a new store, and reports
// false when some are missing: nothing can be asked then.
func (d *doctor) schema() (whole bool, err error) {
	fresh, err := openConn(":memory:", sqlite.OpenReadWrite, sqlite.OpenCreate, sqlite.OpenMemory)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	if err := migrate(fresh); err != nil {
		return false, err
	}
	have := map[string]string{}
	err = sqlitex.ExecuteTransient(d.read.Conn, `SELECT name, sql FROM sqlite_schema`, &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		have[stmt.ColumnText(0)] = stmt.ColumnText(1)
		return nil
	}})
	if err != nil {
		return false, err
	}
	whole = true
	err = sqlitex.ExecuteTransient(fresh.Conn, `SELECT type, name, sql FROM sqlite_schema`, &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		if sql, ok := have[stmt.ColumnText(1)]; !ok || sql != stmt.ColumnText(2) {
			whole = false
			d.found(store.Finding{Rule: ruleFile, What: "the " + stmt.ColumnText(0) + " " + stmt.ColumnText(1) + " is missing, or is not what it was made as"}, nil)
		}
		return nil
	}})
	return whole, err
}

// found tells a finding, after its cure was applied when that is asked for.
func (d *doctor) found(f store.Finding, cure func(*conn) error) {
	if cure != nil && d.write != nil {
		err := d.transact(cure)
		f.Cured = err == nil
		if err != nil {
			f.Cure = fmt.Sprintf("%s; that failed: %v", f.Cure, err)
		}
	}
	d.tell(f)
}

func (d *doctor) transact(do func(*conn) error) (err error) {
	end, err := sqlitex.ImmediateTransaction(d.write.Conn)
	if err != nil {
		return err
	}
	defer end(&err)
	return do(d.write)
}

// file asks SQLite: pages, indexes, and that both agree.
func (d *doctor) file() error {
	stmt, _, err := d.read.PrepareTransient("PRAGMA integrity_check(20)")
	if err != nil {
		return err
	}
	defer stmt.Finalize() //nolint:errcheck // reading is over
	return rows(stmt, func() {
		if what := stmt.ColumnText(0); what != "ok" {
			d.found(store.Finding{Rule: ruleFile, What: "the file is damaged: " + what}, nil)
		}
	})
}

// gone asks what may have left by retention.
func (d *doctor) gone() error {
	for key, t := range map[string]*time.Time{metaRunsGone: &d.runsGone, metaEventsGone: &d.eventsGone} {
		us, err := metaInt(d.read, key)
		if err != nil {
			return err
		}
		*t = fromMicros(us)
	}
	since, err := metaInt(d.read, metaActsSince)
	if err != nil {
		return err
	}
	gone, err := metaInt(d.read, metaActsGone)
	d.untold = fromMicros(max(since, gone))
	return err
}

// backlog counts the bytes that wait.
func (d *doctor) backlog() error {
	stmt, bytes := d.read.Prep(`SELECT (SELECT ifnull(sum(length(body)), 0) FROM runs JOIN events ON events.id = runs.event WHERE status = 0)
		+ (SELECT ifnull(sum(length(body)), 0) FROM runs JOIN run_events ON run_events.run = runs.id JOIN events ON events.id = run_events.event WHERE status = 0)
		+ (SELECT ifnull(sum(length(body)), 0) FROM parked JOIN events ON events.id = parked.event)
		+ (SELECT ifnull(sum(length(body)), 0) FROM deliveries JOIN events ON events.id = deliveries.event)`), int64(0)
	if err := rows(stmt, func() { bytes = stmt.ColumnInt64(0) }); err != nil {
		return err
	}
	counted, err := metaInt(d.read, metaBacklog)
	if err == nil && counted != bytes {
		d.found(store.Finding{
			Rule: ruleBacklog, What: fmt.Sprintf("events with %d bytes wait, and are counted as %d", bytes, counted), Cure: "they are counted again",
		}, func(c *conn) error { return setMeta(c, metaBacklog, bytes) })
	}
	return err
}

func (d *doctor) count() error {
	for table, n := range map[string]*int{"events": &d.n.Events, "queue": &d.n.Items, "waits": &d.n.Waits} {
		stmt := d.read.Prep(`SELECT count(*) FROM ` + table)
		if err := rows(stmt, func() { *n = stmt.ColumnInt(0) }); err != nil {
			return err
		}
	}
	return nil
}

package sqlite

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Durability says what a crash may cost.
type Durability int

const (
	// Full: fsync before each acknowledgement. Nothing acknowledged is lost.
	Full Durability = iota
	// Relaxed: fsync in the background. A crash of the process loses nothing,
	// a power cut may lose the last moments.
	Relaxed
	// None: no fsync. As Relaxed for a crash of the process; a power cut may
	// cost the whole file.
	None
)

// ParseDurability knows "full", "relaxed" and "none".
func ParseDurability(s string) (Durability, error) {
	switch s {
	case "full":
		return Full, nil
	case "relaxed":
		return Relaxed, nil
	case "none":
		return None, nil
	}
	return 0, fmt.Errorf("durability %q is not known; use full, relaxed or none", s)
}

// Options are the settings of a store.
type Options struct {
	Durability Durability
	Log        *slog.Logger // default: nothing is logged
	CacheBytes int          // for heads of runs in progress; default 64 MiB
	// Lapse says that the app of this store is in the same process: whoever served
	// requests in which runs began is no more, and need not be waited for.
	Lapse bool
}

// Store is a store.Store in one SQLite file.
type Store struct {
	log     *slog.Logger
	path    string
	lock    *storeLock
	opened  bool  // Open succeeded
	write   *conn // of the writer alone
	check   *conn // of the checkpointer alone
	ahead   *conn // of who reads the queue ahead
	gates   *conn // used under the lock of the queue
	readers chan *conn
	lent    int // readers that there are
	secret  []byte

	heads heads
	queue queue

	broken  atomic.Pointer[error]
	writes  chan *write
	kick    chan struct{} // tells the checkpointer that the log has grown
	closing chan struct{}
	backup  chan struct{} // has room for the one backup there may be at a time
	closed  sync.Once
	wait    sync.WaitGroup

	backlog  atomic.Pointer[store.Backlog] // what waits; the writer's to change
	depth    depth
	most     atomic.Pointer[store.Backlog] // that may
	watch    atomic.Pointer[durable.Watch]
	eventSeq int64 // of the newest event; the writer's alone
	// renewed are items that the group in hand has put in the place of others: who
	// held a lease on those has lost it.
	renewed map[slotKey]bool

	commits atomic.Int64 // transactions committed, each one fsync when Full
}

var _ store.Store = (*Store)(nil)

const (
	readers      = 4
	defaultCache = 64 << 20
	// Of pages, for each connection: of the writer, of those that read for others,
	// and of those that have one thing to do.
	cacheBytes  = 32 << 20
	readerCache = 4 << 20
	smallCache  = 2 << 20
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the store at path and makes it if there is none. It starts the
// goroutines that write to it; Close ends them.
func Open(ctx context.Context, path string, o Options) (_ *Store, err error) {
	defer func(given string) {
		if err != nil {
			err = fmt.Errorf("open %s: %w", given, err)
		}
	}(path)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	// SQLite gives a meaning to some relative names, such as ":memory:".
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := directory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if path, err = realPath(path); err != nil {
		return nil, err
	}
	s := &Store{
		renewed: map[slotKey]bool{},
		log:     o.Log, path: path,
		readers: make(chan *conn, readers),
		writes:  make(chan *write, maxWaiting),
		kick:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		backup:  make(chan struct{}, 1),
	}
	s.depth.of = map[string]int64{}
	s.Bound(store.Backlog{})
	s.Watch(durable.Watch{})
	s.heads.init(o.CacheBytes)
	s.queue.init()
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
		}
	}()
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, err
	}
	if err := oneName(path); err != nil {
		return nil, err
	}
	if err := removeLeftovers(path); err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	if err := inspect(path); err != nil {
		return nil, err
	}
	if s.write, err = connect(path, o.Durability, cacheBytes); err != nil {
		return nil, err
	}
	if err := migrate(s.write); err != nil {
		return nil, err
	}
	for c, bytes := range map[**conn]int{&s.check: smallCache, &s.ahead: readerCache, &s.gates: smallCache} {
		if *c, err = connect(path, o.Durability, bytes); err != nil {
			return nil, err
		}
	}
	for range readers {
		c, err := connect(path, o.Durability, readerCache)
		if err != nil {
			return nil, err
		}
		s.readers <- c
		s.lent++
	}
	if err := errors.Join(s.nextEpoch(), s.ownSecret()); err != nil {
		return nil, err
	}
	if o.Lapse {
		if err := lapse(s.write, time.Now()); err != nil {
			return nil, fault(err)
		}
	}
	if s.eventSeq, err = sqlitex.ResultInt64(s.write.Prep(
		`SELECT max(ifnull((SELECT max(seq) FROM events), 0), ifnull((SELECT max(after) FROM waits), 0))`)); err != nil {
		return nil, fault(err)
	}
	if err := s.read(ctx, s.queue.readLanes); err != nil {
		return nil, err
	}
	if err := s.read(ctx, s.readBacklog); err != nil {
		return nil, err
	}
	s.queue.board.Stored = s.storedGate
	s.opened = true
	s.wait.Go(s.writeLoop)
	s.wait.Go(s.readAheadLoop)
	s.wait.Go(s.checkpointLoop)
	return s, nil
}

// lapse makes the leases due by which requests in which runs began are served.
func lapse(c *conn, now time.Time) error {
	stmt := c.Prep(fmt.Sprintf(`UPDATE queue SET due = ? WHERE kind = %d`, durable.Lapse)) // as a literal, so that the index is used
	stmt.BindInt64(1, micros(now))
	return exec(stmt)
}

// directory says what is wrong with a directory, if anything is.
func directory(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %s; make it first", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	}
	return nil
}

// create makes an empty file that only its owner can read, whatever the umask
// is; SQLite's other files take its mode. It is called under the store's lock:
// to close a file drops the locks that this process has on it by other opens.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		f, err = os.OpenFile(path, os.O_RDWR, 0) // says whether we may write
		if err != nil {
			return fmt.Errorf("cannot write the file: %w", unwrapPath(err))
		}
	case err != nil:
		return fmt.Errorf("cannot make the file: %w; choose a directory that Pawl may write to", unwrapPath(err))
	default:
		if err := f.Chmod(0o600); err != nil {
			return errors.Join(unwrapPath(err), f.Close())
		}
	}
	return f.Close()
}

func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func connect(path string, d Durability, cache int) (*conn, error) {
	c, err := openConn(path, sqlite.OpenReadWrite, sqlite.OpenWAL)
	if err != nil {
		return nil, fault(err)
	}
	// The writer's own checkpoint is a backstop; see checkpointLoop.
	sync := map[Durability]string{Full: "FULL", Relaxed: "NORMAL", None: "OFF"}[d]
	for _, pragma := range []string{
		"PRAGMA synchronous = " + sync,
		"PRAGMA wal_autocheckpoint = 16000",
		fmt.Sprintf("PRAGMA cache_size = -%d", cache>>10),
		"PRAGMA temp_store = MEMORY",
		"PRAGMA trusted_schema = OFF",
	} {
		if err := sqlitex.ExecuteTransient(c.Conn, pragma, nil); err != nil {
			_ = c.Close()
			return nil, fault(err)
		}
	}
	return c, nil
}

// applicationID marks the file as Pawl's ("Pawl" in ASCII).
const applicationID = 0x5061776c

// inspect refuses a file that is not ours, or from a newer Pawl, before
// anything is written to it.
func inspect(path string) error { return inspectWith(path, sqlite.OpenReadWrite) }

func inspectWith(path string, flags sqlite.OpenFlags) (err error) {
	c, err := openConn(path, flags)
	if err != nil {
		return fault(err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	id, err := pragmaInt(c, "application_id")
	if err != nil {
		return unreadable(err)
	}
	version, err := pragmaInt(c, "user_version")
	if err != nil {
		return unreadable(err)
	}
	tables, err := queryInt(c, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return unreadable(err)
	}
	files, err := scripts()
	switch {
	case err != nil:
		return err
	case id != applicationID && tables > 0:
		return errors.New("it is a database of another program; choose another file")
	case version > int64(len(files)):
		return fmt.Errorf("its schema is version %d, this pawl knows up to %d; run a newer pawl", version, len(files))
	}
	return nil
}

// unreadable says what it means that the head of a file cannot be read.
func unreadable(err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultNotADB:
		return errors.New("it is not a Pawl database; choose another file")
	case sqlite.ResultCorrupt:
		return fmt.Errorf("the file is damaged: %w; restore a backup with pawl restore", fault(err))
	default:
		return fault(err)
	}
}

// scripts are the names of the migrations, in order.
func scripts() ([]string, error) { return fs.Glob(migrations, "migrations/*.sql") }

// migrate brings the schema to the newest version, each step in a transaction
// of its own.
func migrate(c *conn) error {
	files, err := scripts()
	if err != nil {
		return err
	}
	version, err := pragmaInt(c, "user_version")
	if err != nil {
		return fault(err)
	}
	for n := version; n < int64(len(files)); n++ {
		sql, err := fs.ReadFile(migrations, files[n])
		if err != nil {
			return err
		}
		script := fmt.Sprintf("PRAGMA application_id = %d;\n%s\nPRAGMA user_version = %d;\n", applicationID, sql, n+1)
		if err := sqlitex.ExecuteScript(c.Conn, script, nil); err != nil {
			return fmt.Errorf("migrate to version %d: %w", n+1, fault(err))
		}
	}
	return nil
}

func pragmaInt(c *conn, name string) (int64, error) { return queryInt(c, "PRAGMA "+name) }

// queryInt asks a file that may be damaged, on which Prep would panic.
func queryInt(c *conn, sql string) (int64, error) {
	stmt, _, err := c.PrepareTransient(sql)
	if err != nil {
		return 0, err
	}
	defer stmt.Finalize() //nolint:errcheck // reading is over
	return sqlitex.ResultInt64(stmt)
}

// nextEpoch takes an epoch that no process before had, so that generations
// rise over a restart.
func (s *Store) nextEpoch() error {
	epoch, err := sqlitex.ResultInt64(s.write.Prep(
		`INSERT INTO meta (key, value) VALUES ('epoch', 1)
		 ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value`))
	if err != nil {
		return fault(err)
	}
	s.queue.generation = epoch << epochShift
	return nil
}

// ownSecret reads the store's secret, and makes it with a store that has none.
func (s *Store) ownSecret() error {
	fresh := make([]byte, secretBytes)
	_, _ = rand.Read(fresh) // never fails
	stmt := s.write.Prep(`INSERT INTO meta (key, value) VALUES ('secret', ?) ON CONFLICT (key) DO UPDATE SET value = value RETURNING value`)
	stmt.BindBytes(1, fresh)
	return fault(rows(stmt, func() { s.secret = blob(stmt, 0) }))
}

const secretBytes = 32

// Secret is what this installation knows and no other.
func (s *Store) Secret() []byte { return s.secret }

// epochShift leaves room for 2^31 claims in one epoch and for 2^22 epochs in
// the 53 bits that SDKs carry exactly.
const epochShift = 31

// Commits is how many transactions were committed since the store was opened;
// with full durability that is the number of its fsyncs.
func (s *Store) Commits() int64 { return s.commits.Load() }

// Healthy says why the store cannot write, or nil.
func (s *Store) Healthy() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// Close writes what is waiting and closes the files.
func (s *Store) Close() error {
	var err error
	s.closed.Do(func() {
		close(s.closing)
		s.wait.Wait()
		err = s.closeFiles()
	})
	return err
}

func (s *Store) closeFiles() error {
	var errs []error
	for range s.lent { // waits for those that are in use
		errs = append(errs, (<-s.readers).Close())
	}
	// The last to close folds the log into the file.
	for _, c := range []*conn{s.ahead, s.gates, s.check, s.write} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release(s.opened))
	}
	return errors.Join(errs...)
}

// reader lends a connection for reading.
func (s *Store) reader(ctx context.Context) (*conn, func(), error) {
	select {
	case c := <-s.readers:
		c.SetInterrupt(ctx.Done())
		return c, func() {
			c.SetInterrupt(nil)
			s.readers <- c
		}, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-s.closing:
		return nil, nil, store.ErrClosed
	}
}

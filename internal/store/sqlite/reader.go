package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Reader reads a store that another process may have open, or a backup. It writes
// nothing to the file. While it reads something, and no longer, a server cannot
// fold its log into the file.
type Reader struct{ s *Store }

// OpenReader opens the store at path for reading. It takes no lock.
func OpenReader(path string) (_ *Reader, err error) {
	defer func(given string) {
		if err != nil {
			err = fmt.Errorf("open %s: %w", given, err)
		}
	}(path)
	if path, err = existing(path); err != nil {
		return nil, err
	}
	if err := inspectWith(path, sqlite.OpenReadOnly); err != nil {
		return nil, err
	}
	s := &Store{path: path, readers: make(chan *conn, readers), closing: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
		}
	}()
	for range readers {
		c, err := openConn(path, sqlite.OpenReadOnly)
		if err != nil {
			return nil, fault(err)
		}
		s.readers <- c
		s.lent++
		for _, pragma := range []string{fmt.Sprintf("PRAGMA cache_size = -%d", smallCache>>10), "PRAGMA temp_store = MEMORY", "PRAGMA trusted_schema = OFF"} {
			if err := sqlitex.ExecuteTransient(c.Conn, pragma, nil); err != nil {
				return nil, fault(err)
			}
		}
	}
	return &Reader{s}, s.read(context.Background(), isNewest)
}

// isNewest refuses a schema that the queries of this program do not know.
func isNewest(c *conn) error {
	files, err := scripts()
	if err != nil {
		return err
	}
	version, err := pragmaInt(c, "user_version")
	if err != nil {
		return fault(err)
	}
	if version < int64(len(files)) {
		return fmt.Errorf("its schema is version %d, this pawl's is %d; start this pawl once on it, or on a copy", version, len(files))
	}
	return nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.s.Close() }

// LoadApps is as that of a Store.
func (r *Reader) LoadApps(ctx context.Context) ([]durable.App, []durable.Function, error) {
	return r.s.LoadApps(ctx)
}

// Runs is as that of a Store.
func (r *Reader) Runs(ctx context.Context, f store.RunFilter, p store.Page) ([]*durable.Run, error) {
	return r.s.Runs(ctx, f, p)
}

// History is a run with its events and its journal, as they are at one moment. An
// event that is missing is store.ErrDamaged.
func (r *Reader) History(ctx context.Context, id string) (run *durable.Run, journal []durable.Entry, err error) {
	err = r.s.read(ctx, func(c *conn) error {
		journal = nil
		if run, err = selectRun(c, id); err != nil {
			return err
		}
		switch flaw, err := readEvents(c, run); {
		case err != nil:
			return err
		case flaw != "":
			return fmt.Errorf("run %s: %s: %w", id, flaw, store.ErrDamaged)
		}
		journal, err = selectJournal(c, id, 0)
		return err
	})
	return run, journal, err
}

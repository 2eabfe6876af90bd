package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/store"
)

var _ store.Backups = (*Store)(nil)

// backupSuffix is how the names of copies in the making go on after the
// store's. What a crash leaves of them is removed at the next start.
const backupSuffix = ".backup-"

// Backup copies the store into a file beside it that has no name any more when
// it is returned. Meanwhile the log grows, since what the copy reads stays.
func (s *Store) Backup(ctx context.Context) (_ *store.Snapshot, err error) {
	select {
	case s.backup <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.closing:
		return nil, store.ErrClosed
	}
	defer func() {
		if err != nil {
			<-s.backup
		}
	}()
	c, give, err := s.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer give()
	defer s.interruptible(ctx, c)()
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+backupSuffix+"*")
	if err != nil {
		return nil, fmt.Errorf("make a file for the backup: %w", unwrapPath(err))
	}
	defer func() {
		err = errors.Join(err, os.Remove(f.Name())) // whoever has it open keeps it
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := vacuumInto(c, f.Name()); err != nil {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, store.ErrFull):
			return nil, fmt.Errorf("make a backup: there is no room for a copy beside the store: %w", err)
		}
		return nil, fmt.Errorf("make a backup: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &store.Snapshot{ReadCloser: &snapshotFile{File: f, release: func() { <-s.backup }}, Bytes: info.Size()}, nil
}

// snapshotFile gives the room for the next backup free when it is closed.
type snapshotFile struct {
	*os.File
	once    sync.Once
	release func()
}

func (f *snapshotFile) Close() error {
	err := f.File.Close()
	f.once.Do(f.release)
	return err
}

// interruptible lets the end of ctx or of the store interrupt c until the
// function that it returns is called.
func (s *Store) interruptible(ctx context.Context, c *conn) (end func()) {
	interrupt, ended := make(chan struct{}), make(chan struct{})
	c.SetInterrupt(interrupt)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-ctx.Done():
		case <-s.closing:
		case <-ended:
			return
		}
		close(interrupt)
	})
	return func() {
		close(ended)
		watch.Wait()
	}
}

// vacuumInto writes all that is committed into an empty file. It is compact,
// and in the form that has no log beside it.
func vacuumInto(c *conn, path string) error {
	err := sqlitex.ExecuteTransient(c.Conn, `VACUUM INTO ?`, &sqlitex.ExecOptions{Args: []any{path}})
	if err != nil {
		return fault(err)
	}
	return nil
}

// removeLeftovers removes copies that a crash has left in the making.
func removeLeftovers(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+backupSuffix) && e.Type().IsRegular() {
			errs = append(errs, os.Remove(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return errors.Join(errs...)
}

// BackupOf writes the store at path, which no process has open, into the file
// to, and checks what it wrote. The file is there whole or not at all; one that
// is there already is replaced.
func BackupOf(ctx context.Context, path, to string) (err error) {
	a, err := openAlone(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	c, err := a.connect()
	if err != nil {
		return err
	}
	c.SetInterrupt(ctx.Done())
	return WriteFile(to, func(f *os.File) error { return vacuumInto(c, f.Name()) })
}

// WriteFile makes a backup under another name with write, checks it, and only
// then gives it its name.
func WriteFile(path string, write func(*os.File) error) error {
	return writeChecked(path, write, func() error { return nil })
}

// writeChecked is WriteFile with something to do at the last moment.
func writeChecked(path string, write func(*os.File) error, last func() error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*") // only its owner can read it
	if err != nil {
		return fmt.Errorf("write %s: %w", path, unwrapPath(err))
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(f.Name()), removeLogs(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", path, unwrapPath(err))
	}
	if err := Verify(f.Name()); err != nil {
		return fmt.Errorf("what was written is no good backup: %w", err)
	}
	if err := last(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDirectory(filepath.Dir(path))
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Verify says whether a backup can be restored: it is a store of a Pawl no
// newer than this one, and SQLite finds it sound. It changes nothing.
func Verify(path string) (err error) {
	if err := inspect(path); err != nil {
		return err
	}
	c, err := openConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return fault(err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	id, err := pragmaInt(c, "application_id")
	if err != nil {
		return unreadable(err)
	}
	if id != applicationID {
		return errors.New("it is empty")
	}
	var problem string
	err = sqlitex.ExecuteTransient(c.Conn, "PRAGMA integrity_check(1)", &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		problem = stmt.ColumnText(0)
		return nil
	}})
	switch {
	case err != nil:
		return unreadable(err)
	case problem != "ok":
		return fmt.Errorf("the file is damaged: %s", problem)
	}
	return nil
}

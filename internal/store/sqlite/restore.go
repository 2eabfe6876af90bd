package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// RestoreOptions say what a restore may do.
type RestoreOptions struct {
	Overwrite bool // a store that is there
}

// epochLeap is how far a restore raises the epoch, at least. Since the backup
// was made the store may have been started often, each time with the next
// epoch, and nothing that was claimed then may be in force. A random part of
// the same size is added, so that two restores of one backup differ.
const epochLeap = 1024

// Restore makes the backup in from the store at path. The generations of all
// claims that are made then are higher than any that were made before, so that
// answers to older calls change nothing. Until it is done, what was at path
// stays.
func Restore(ctx context.Context, from, path string, o RestoreOptions) (err error) {
	defer func(given string) {
		if err != nil {
			err = fmt.Errorf("restore %s: %w", given, err)
		}
	}(from)
	if err := readable(from); err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if err := directory(filepath.Dir(path)); err != nil {
		return err
	}
	if path, err = realPath(path); err != nil {
		return err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	done := false
	defer func() { err = errors.Join(err, lock.release(done)) }()
	exists, err := replaceable(from, path, o)
	if err != nil {
		return err
	}
	epoch := int64(0)
	if exists {
		epoch = epochOf(path)
	}
	var bad error // of the backup itself, for which path is not to blame
	err = writeChecked(path, func(f *os.File) error {
		if err := copyFrom(ctx, from, f); err != nil {
			return err
		}
		if bad = Verify(f.Name()); bad != nil {
			return bad
		}
		return leap(f.Name(), epoch)
	}, func() error { return removeLogs(path) })
	if bad != nil {
		return bad
	}
	done = err == nil
	return err
}

// readable refuses what is no finished backup.
func readable(from string) error {
	info, err := os.Stat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file")
	case err != nil:
		return unwrapPath(err)
	case !info.Mode().IsRegular():
		return errors.New("it is not a file")
	}
	if log, err := os.Stat(from + "-wal"); err == nil && log.Size() > 0 {
		return errors.New("there is a log beside it, so it is a store and not a backup; make a backup of it with pawl backup")
	}
	return nil
}

// replaceable reports whether there is a store at path, which may then be
// overwritten.
func replaceable(from, path string, o RestoreOptions) (exists bool, err error) {
	there, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, unwrapPath(err)
	case there.IsDir():
		return false, fmt.Errorf("%s is a directory", path)
	case !o.Overwrite:
		return true, fmt.Errorf("there is a %s already; give --force to overwrite it, or choose another file", path)
	}
	if given, err := os.Stat(from); err == nil && os.SameFile(given, there) {
		return true, errors.New("that is the very file to restore to")
	}
	return true, nil
}

func copyFrom(ctx context.Context, from string, to *os.File) error {
	src, err := os.Open(from)
	if err != nil {
		return unwrapPath(err)
	}
	defer src.Close()
	_, err = io.Copy(to, readerUntil{ctx, src})
	return err
}

// readerUntil reads until ctx ends.
type readerUntil struct {
	ctx context.Context
	io.Reader
}

func (r readerUntil) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// leap raises the epoch of a restored store above its own and another.
func leap(path string, other int64) (err error) {
	c, err := openConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return fault(err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	// What is written now is in the file itself when it is closed.
	if err := sqlitex.ExecuteTransient(c.Conn, `PRAGMA journal_mode = DELETE`, nil); err != nil {
		return fault(err)
	}
	own, err := queryInt(c, `SELECT ifnull((SELECT value FROM meta WHERE key = 'epoch'), 0)`)
	if err != nil {
		return fault(err)
	}
	next := max(own, other) + epochLeap + rand.Int64N(epochLeap) //nolint:gosec // two restores should differ; nothing is secured by it
	err = sqlitex.ExecuteTransient(c.Conn, `INSERT INTO meta (key, value) VALUES ('epoch', ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, &sqlitex.ExecOptions{Args: []any{next}})
	if err != nil {
		return fault(err)
	}
	return nil
}

// epochOf is the epoch of a store that is about to be overwritten, 0 when it
// cannot be read any more. To close it folds its log into the file: until it is
// overwritten it is whole without one.
func epochOf(path string) (epoch int64) {
	if inspect(path) != nil {
		return 0
	}
	c, err := connect(path, Full, cacheBytes)
	if err != nil {
		return 0
	}
	defer c.Close() //nolint:errcheck // what it was does not matter any more
	epoch, _ = queryInt(c, `SELECT ifnull((SELECT value FROM meta WHERE key = 'epoch'), 0)`)
	return epoch
}

// removeLogs removes what SQLite keeps beside a file.
func removeLogs(path string) error {
	var errs []error
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// storeLock keeps every other process away from a store.
type storeLock struct {
	file *os.File
	made bool // by this process; otherwise the file was there before
}

// lockFile takes the lock. The system gives it back when the process ends,
// however it ends.
func lockFile(path string) (*storeLock, error) {
	for range 100 {
		l, err := tryLock(path)
		if l != nil || err != nil {
			return l, err
		}
	}
	return nil, fmt.Errorf("the lock file %s goes away as often as it is made; remove it", path)
}

// tryLock returns nil when the file was removed by whoever held the lock before.
func tryLock(path string) (*storeLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	made := err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil //nolint:nilnil // it was removed in between
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the lock file: %w; choose a directory that Pawl may write to", unwrapPath(err))
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm() != 0o600 { // the umask took more
		if err := f.Chmod(0o600); err != nil {
			return nil, errors.Join(unwrapPath(err), f.Close())
		}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another process has it open; end that one first, or use another file")
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !isAt(f, path) {
		return nil, f.Close()
	}
	return &storeLock{f, made}, nil
}

// isAt reports whether f is what path names now.
func isAt(f *os.File, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(held, named)
}

// release gives the lock back. When the store could not be opened, a lock file
// that was made for it goes away; nobody can have taken it meanwhile, and who
// waits for it sees that it is gone.
func (l *storeLock) release(opened bool) error {
	var err error
	if l.made && !opened {
		err = os.Remove(l.file.Name())
	}
	return errors.Join(err, unlock(l.file))
}

// unlock gives a lock back at once. Closing the file alone would leave it held for
// as long as a process that was forked just now, and has not begun to run another
// program, has the file too.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// Unused reports whether there is a store at path that no process has open. It
// keeps others from opening it until it is released. It makes no file.
func Unused(path string) (release func(), ok bool) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, false
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = f.Close()
		return nil, false
	}
	return func() { _ = unlock(f) }, true
}

// realPath is the one path that a file has, whatever links lead to it. The lock
// stands beside the file under that name, and so do SQLite's log and index. The
// file need not exist.
func realPath(path string) (string, error) {
	for range 40 { // as many links as the system follows
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", unwrapPath(err)
		}
		path = filepath.Join(dir, filepath.Base(path))
		target, err := os.Readlink(path)
		if err != nil { // it is no link, or is not there
			return path, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", errors.New("too many symbolic links lead to it")
}

// oneName refuses a file with hard links: a lock and a log that stand beside
// one name are not found under the other, so that two processes would write to
// one file, or what is only in the log would be lost. It does not open the file,
// because closing it would drop locks that this process may have on it.
func oneName(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil // it is made later, or opening says what is wrong
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && st.Nlink > 1 {
		return fmt.Errorf("the file has %d names (hard links), and what belongs to it is found under one of them only; remove the others, or use a copy", st.Nlink)
	}
	return nil
}

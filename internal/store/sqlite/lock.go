package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile takes the lock that keeps every other process away from a store.
// The system gives it back when the process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
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
	return f, nil
}

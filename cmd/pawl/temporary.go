package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pawlhq/pawl/internal/store/sqlite"
)

const (
	temporaryPrefix = "pawl-dev-"
	temporaryFile   = "pawl.db"
)

// temporaryStore makes a directory for the store of a dev that keeps nothing,
// and removes those of devs that were killed.
func temporaryStore() (path string, cleanUp func(), err error) {
	sweep(os.TempDir(), time.Now())
	dir, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("cannot make a temporary store: %w; set TMPDIR to a directory that Pawl may write to, or keep the runs in a file: --db sqlite:PATH", err)
	}
	return filepath.Join(dir, temporaryFile), func() { _ = os.RemoveAll(dir) }, nil
}

// sweep removes what devs of this user left in tmp when they were killed. One
// that has just begun has not locked its store yet, so what is young is left.
func sweep(tmp string, now time.Time) {
	dirs, _ := filepath.Glob(filepath.Join(tmp, temporaryPrefix+"*")) // a TMPDIR that is no pattern is not swept
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !ours(info) || now.Sub(info.ModTime()) < time.Minute {
			continue
		}
		if release, ok := sqlite.Unused(filepath.Join(dir, temporaryFile)); ok {
			_ = os.RemoveAll(dir) // the next dev tries again
			release()
		}
	}
}

func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}

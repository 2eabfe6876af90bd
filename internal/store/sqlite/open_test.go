package sqlite

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/store"
)

// foreign makes a database with other means than ours.
func foreign(t *testing.T, path, script string) {
	t.Helper()
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	require.NoError(t, err)
	require.NoError(t, sqlitex.ExecuteScript(c, script, nil))
	require.NoError(t, c.Close())
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	known, err := scripts()
	require.NoError(t, err)
	cases := []struct {
		name string
		make func(t *testing.T, dir string) (path string)
		want string
	}{
		{"a directory that is missing", func(_ *testing.T, dir string) string {
			return filepath.Join(dir, "missing", "pawl.db")
		}, "there is no directory DIR/missing; make it first"},
		{"a file in the place of the directory", func(t *testing.T, dir string) string {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
			return filepath.Join(dir, "file", "pawl.db")
		}, "DIR/file is not a directory"},
		{"a directory", func(t *testing.T, dir string) string {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
			return filepath.Join(dir, "sub")
		}, "cannot write the file: is a directory"},
		{"a file that is no database", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "notes.txt")
			require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("dear diary\n", 100)), 0o600))
			return path
		}, "it is not a Pawl database; choose another file"},
		{"a short file that is no database", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "notes.txt")
			require.NoError(t, os.WriteFile(path, []byte("dear diary"), 0o600))
			return path
		}, "it is not a Pawl database; choose another file"},
		{"a database of another program", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "photos.db")
			foreign(t, path, "CREATE TABLE photos (id INTEGER PRIMARY KEY); PRAGMA user_version = 7;")
			return path
		}, "it is a database of another program; choose another file"},
		{"a database from a newer Pawl", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "pawl.db")
			require.NoError(t, open(t, path).Close())
			foreign(t, path, "PRAGMA user_version = 99;")
			return path
		}, fmt.Sprintf("its schema is version 99, this pawl knows up to %d; run a newer pawl", len(known))},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := c.make(t, dir)
			before, _ := os.ReadFile(path)
			_, err := Open(t.Context(), path, Options{})
			require.EqualError(t, err, "open "+path+": "+strings.ReplaceAll(c.want, "DIR", dir))
			after, _ := os.ReadFile(path)
			require.Equal(t, before, after, "the file is untouched")
			require.NoFileExists(t, path+"-wal")
			if !strings.Contains(c.name, "newer") { // which Pawl has had open before
				require.NoFileExists(t, path+".lock", "a lock file that was made for nothing")
			}
		})
	}
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	_, err := Open(t.Context(), path, Options{})
	require.EqualError(t, err, "open "+path+": another process has it open; end that one first, or use another file")
	_, err = s.Accept(t.Context(), noon, []store.Accepted{sent(noon)})
	require.NoError(t, err, "the first one goes on")
	require.NoError(t, s.Close())
	require.NoError(t, open(t, path).Close(), "closing gives the file free")
}

// However many names lead to a file, one process has it.
func TestOpenTwiceByAnotherName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.Mkdir(at("real"), 0o700))
	require.NoError(t, os.Symlink("real", at("dir")))
	require.NoError(t, os.Symlink("real/pawl.db", at("link.db"))) // to what is not there yet
	require.NoError(t, os.Symlink(at("link.db"), at("real/twice.db")))
	names := []string{"real/pawl.db", "dir/pawl.db", "link.db", "real/twice.db"}
	for _, first := range names {
		s := open(t, at(first))
		before := locks(t, at("real/pawl.db"))
		for _, second := range names {
			_, err := Open(t.Context(), at(second), Options{})
			require.ErrorContains(t, err, "another process has it open", "%s while %s is open", second, first)
		}
		require.NoError(t, os.Link(at("real/pawl.db"), at("hard.db")))
		_, err := Open(t.Context(), at("hard.db"), Options{})
		require.ErrorContains(t, err, "the file has 2 names (hard links)")
		require.NoFileExists(t, at("hard.db.lock"))
		require.NoError(t, os.Remove(at("hard.db")))
		require.Equal(t, before, locks(t, at("real/pawl.db")))
		require.NoError(t, s.Close())
	}
	require.NoFileExists(t, at("link.db-wal"))
	require.NoFileExists(t, at("link.db.lock"))
}

func TestOpenRefusesLinksThatLeadNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Symlink("b.db", filepath.Join(dir, "a.db")))
	require.NoError(t, os.Symlink("a.db", filepath.Join(dir, "b.db")))
	_, err := Open(t.Context(), filepath.Join(dir, "a.db"), Options{})
	require.ErrorContains(t, err, "too many symbolic links")

	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "pawl.db.lock")))
	_, err = Open(t.Context(), filepath.Join(dir, "pawl.db"), Options{})
	require.ErrorContains(t, err, "pawl.db.lock goes away")
}

// Who waits at the door for a lock file that its holder removes must not walk
// in with it: somebody else may hold the file that is there now.
func TestLockFileThatIsRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db.lock")
	first, err := lockFile(path)
	require.NoError(t, err)
	waiting, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer waiting.Close()
	require.NoError(t, first.release(false))
	require.NoFileExists(t, path)
	require.NoError(t, syscall.Flock(int(waiting.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	require.False(t, isAt(waiting, path))
	second, err := lockFile(path)
	require.NoError(t, err)
	require.NoError(t, second.release(true))
	require.FileExists(t, path)
}

// A process that was forked has the lock file until it runs another program.
func TestLockIsFreeAtOnceWhoeverHasTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db.lock")
	first, err := lockFile(path)
	require.NoError(t, err)
	forked, err := syscall.Dup(int(first.file.Fd()))
	require.NoError(t, err)
	defer syscall.Close(forked)
	require.NoError(t, first.release(true))
	second, err := lockFile(path)
	require.NoError(t, err)
	require.NoError(t, second.release(true))
}

// A second open must not take away the locks of the first: closing any file
// descriptor of a file drops all POSIX locks that the process has on it.
func TestOpenTwiceKeepsLocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	defer s.Close()
	before := locks(t, path)
	require.NotEmpty(t, before)
	_, err := Open(t.Context(), path, Options{})
	require.Error(t, err)
	require.Equal(t, before, locks(t, path))
}

// locks are those that this process has on the file at path. They are read where the
// system lists them by open file: the table of all, /proc/locks, comes in pieces, and may
// leave one out while others come and go.
func locks(t *testing.T, path string) (lines []string) {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	require.NoError(t, err)
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, file := range files {
		if to, err := os.Readlink("/proc/self/fd/" + file.Name()); err != nil || to != path {
			continue // other tests open and close theirs
		}
		info, err := os.ReadFile("/proc/self/fdinfo/" + file.Name())
		require.NoError(t, err)
		for line := range strings.Lines(string(info)) {
			if _, lock, ok := strings.Cut(line, "lock:"); ok {
				_, what, _ := strings.Cut(lock, ":")
				lines = append(lines, what)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// The names that SQLite gives a meaning of their own are names of files.
func TestOpenTakesPathsLiterally(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{":memory:", "file:pawl.db?mode=memory", "a b%20c.db"} {
		s := open(t, name)
		a := sent(noon)
		_, err := s.Accept(t.Context(), noon, []store.Accepted{a})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Positive(t, info.Size())
		s = open(t, name)
		_, err = s.Event(t.Context(), a.Event.ID)
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
}

// TestModes is not parallel: a umask is the whole process's.
func TestModes(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o377} {
		dir := t.TempDir()
		func() {
			defer syscall.Umask(syscall.Umask(umask))
			path := filepath.Join(dir, "pawl.db")
			for range 2 {
				s := open(t, path)
				_, err := s.Accept(t.Context(), noon, []store.Accepted{sent(noon)})
				require.NoError(t, err)
				files := 0
				require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
					if err != nil || e.IsDir() {
						return err
					}
					info, err := e.Info()
					require.NoError(t, err)
					require.Equal(t, fs.FileMode(0o600), info.Mode(), "umask %o: %s", umask, filepath.Base(path))
					files++
					return nil
				}))
				require.Equal(t, 4, files, "the database, its log, its index and the lock")
				require.NoError(t, s.Close())
			}
		}()
	}
}

// SQLite before 3.51.3 could lose a commit when a checkpoint and a write to a
// log that starts over met.
func TestLinkedSQLite(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{})
	var version string
	require.NoError(t, s.read(t.Context(), func(c *conn) (err error) {
		version, err = sqlitex.ResultText(c.Prep("SELECT sqlite_version()"))
		return err
	}))
	var major, minor, patch int
	_, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch)
	require.NoError(t, err)
	require.GreaterOrEqual(t, major*1_000_000+minor*1000+patch, 3_051_003, version)
}

func TestDurability(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int64{"none": 0, "relaxed": 1, "full": 2} {
		d, err := ParseDurability(name)
		require.NoError(t, err)
		s := temporary(t, Options{Durability: d})
		got, err := pragmaInt(s.write, "synchronous")
		require.NoError(t, err)
		require.Equal(t, want, got, name)
		mode, err := sqlitex.ResultText(s.write.Prep("PRAGMA journal_mode"))
		require.NoError(t, err)
		require.Equal(t, "wal", mode)
	}
	_, err := ParseDurability("most")
	require.EqualError(t, err, `durability "most" is not known; use full, relaxed or none`)
}

package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

const mountsEnv = "PAWL_STORE_MOUNTS"

// withMounts runs fn in a process of its own that may mount what it likes and
// whose mounts nobody else sees. A machine that does not let us do that fails
// in CI and skips elsewhere.
func withMounts(t *testing.T, fn func()) {
	t.Helper()
	if os.Getenv(mountsEnv) != "" {
		fn()
		return
	}
	cmd := osexec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mountsEnv+"=1", "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("this machine gives no mount namespace: %v", err)
		}
		t.Skipf("this machine gives no mount namespace: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	require.Contains(t, out.String(), "--- PASS: "+t.Name(), "it ran")
}

// tmpfs mounts a file system of the given size.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func TestReadOnly(t *testing.T) {
	withMounts(t, func() {
		dir := tmpfs(t, "8m")
		path := filepath.Join(dir, "pawl.db")
		a := sent(noon)
		s := open(t, path)
		_, err := s.Accept(t.Context(), noon, []store.Accepted{a})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		remount := func(flags uintptr) {
			t.Helper()
			require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, "size=8m"))
		}
		remount(syscall.MS_RDONLY)
		for _, name := range []string{"pawl.db", "new.db"} {
			_, err = Open(t.Context(), filepath.Join(dir, name), Options{})
			require.EqualError(t, err, "open "+filepath.Join(dir, name)+
				": cannot make the lock file: read-only file system; choose a directory that Pawl may write to")
		}
		remount(0)

		require.NoError(t, syscall.Mount(path, path, "", syscall.MS_BIND, ""))
		require.NoError(t, syscall.Mount("", path, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		_, err = Open(t.Context(), path, Options{})
		require.EqualError(t, err, "open "+path+": cannot write the file: read-only file system")
		require.NoError(t, syscall.Unmount(path, 0))

		s = open(t, path)
		_, err = s.Event(t.Context(), a.Event.ID)
		require.NoError(t, err)
		require.NoError(t, s.Close())
	})
}

// big is an event of n bytes that starts a run.
func big(n int) store.Accepted {
	a := sent(noon)
	a.Event.Body = durable.JSON(`"` + strings.Repeat("x", n) + `"`)
	a.Starts[0].Run.Events[0] = a.Event
	return a
}

// TestDiskFull fills the disk and makes room again, many times, with several
// runs in work: what was acknowledged is there, what was refused is not, reads
// go on, no run is ahead of the disk, and all goes on by itself.
func TestDiskFull(t *testing.T) {
	withMounts(t, func() {
		dir := tmpfs(t, "6m")
		path := filepath.Join(dir, "pawl.db")
		s, err := Open(t.Context(), path, Options{})
		require.NoError(t, err)
		var runs []string
		for range 8 {
			runs = append(runs, startRun(t, s, noon))
		}
		filler := filepath.Join(dir, "filler")
		acked := map[string]int{} // steps of a run
		var mu sync.Mutex
		for cycle := range 6 {
			fill(t, filler)
			var wait sync.WaitGroup
			for i, run := range runs {
				wait.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(cycle), uint64(i)))
					for n := 0; ; n++ {
						c := step(fmt.Sprint(cycle, n))
						c.Entries[0].Data = durable.JSON(`"` + strings.Repeat("y", rnd.IntN(20_000)) + `"`)
						err := s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
							return store.Decision{Change: c}, nil
						})
						if errors.Is(err, store.ErrFull) {
							return
						}
						if err != nil {
							t.Errorf("cycle %d: %v", cycle, err)
							return
						}
						mu.Lock()
						acked[run]++
						mu.Unlock()
					}
				})
			}
			wait.Wait()
			require.NoError(t, s.Healthy(), "to be full is no damage")
			refused := big(4 << 20)
			_, err := s.Accept(t.Context(), noon, []store.Accepted{refused})
			require.ErrorIs(t, err, store.ErrFull)
			_, err = s.Event(t.Context(), refused.Event.ID)
			require.ErrorIs(t, err, store.ErrNotFound)
			check := func() {
				t.Helper()
				for _, run := range runs {
					entries, err := s.Journal(t.Context(), run, 0)
					require.NoError(t, err)
					require.Len(t, entries, acked[run])
					require.NoError(t, s.View(t.Context(), run, func(r *durable.Run) error {
						require.Equal(t, len(entries), r.Seq, "ahead of the disk")
						return nil
					}))
				}
			}
			check()
			require.NoError(t, os.Remove(filler))
			for _, run := range runs {
				require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
					return store.Decision{Change: step(fmt.Sprint(cycle, "on"))}, nil
				}), "there is room again")
				acked[run]++
			}
			check()
			if cycle%2 == 1 {
				require.NoError(t, s.Close())
				s, err = Open(t.Context(), path, Options{})
				require.NoError(t, err)
				check()
			}
		}
		require.NoError(t, s.Close())
		wantIntact(t, path)
	})
}

// fill leaves about 300 KiB of a file system.
func fill(t *testing.T, path string) {
	t.Helper()
	require.ErrorIs(t, os.WriteFile(path, make([]byte, 8<<20), 0o600), syscall.ENOSPC)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, max(info.Size()-300<<10, 0)))
}

// wantIntact lets SQLite check the file that a closed store left.
func wantIntact(t *testing.T, path string) {
	t.Helper()
	c, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	require.NoError(t, err)
	got, err := sqlitex.ResultText(c.Prep("PRAGMA integrity_check"))
	require.NoError(t, err)
	require.Equal(t, "ok", got)
	require.NoError(t, c.Close())
}

// TestFailedSync makes the system fail the writer's fsync, then the
// checkpointer's: the store acknowledges nothing more, says so, and goes on
// reading; after a restart all that it acknowledged is there.
func TestFailedSync(t *testing.T) {
	if os.Getenv("PAWL_FAULTS") != "1" {
		t.Skip("set PAWL_FAULTS=1 to run; it needs strace")
	}
	strace, err := osexec.LookPath("strace")
	require.NoError(t, err)
	for _, c := range []struct{ name, file, from, pause, want string }{
		{"of the log", "pawl.db-wal", "6", "0s", "unknown"},
		{"of the file", "pawl.db", "1", "120ms", "unavailable"}, // by a checkpoint, when the writer rests
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pawl.db")
			require.NoError(t, open(t, path).Close())
			// strace counts the calls of each thread for itself, so that the
			// first failure comes somewhere after the first calls.
			cmd := osexec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", os.DevNull, "-P", filepath.Join(filepath.Dir(path), c.file),
				"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when="+c.from+"+", os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"="+path, childPauseEnv+"="+c.pause)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s", out)
			log := parseLog(out)
			require.Equal(t, c.want, log.end)
			require.NotEmpty(t, log.events)
			log.check(t, path)
			wantIntact(t, path)
		})
	}
}

// TestKill kills a process in the middle of its writes, again and again:
// everything it acknowledged is there, and nothing is there by half.
func TestKill(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "pawl.db")
	total := 0
	for range number(t, "PAWL_KILLS", 20) {
		cmd := osexec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path, childPauseEnv+"=0s")
		cmd.Stderr = os.Stderr
		out, in, err := os.Pipe()
		require.NoError(t, err)
		cmd.Stdout = in
		require.NoError(t, cmd.Start())
		require.NoError(t, in.Close())
		log := &childLog{}
		var kill *time.Timer
		log.read(out, func() { // it has begun to write
			kill = time.AfterFunc(time.Duration(rnd.IntN(30_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		})
		if kill != nil {
			kill.Stop()
		}
		require.Error(t, cmd.Wait(), "it was killed")
		require.NoError(t, out.Close())
		require.Empty(t, log.end)
		log.check(t, path)
		total += len(log.events)
	}
	t.Logf("%d events were acknowledged", total)
	require.Positive(t, total)
	wantIntact(t, path)
}

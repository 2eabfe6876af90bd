package sqlite

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// backUp writes a backup of a store that is open into a file.
func backUp(t *testing.T, s *Store, to string) {
	t.Helper()
	snap, err := s.Backup(t.Context())
	require.NoError(t, err)
	defer snap.Close()
	b, err := io.ReadAll(snap)
	require.NoError(t, err)
	require.Len(t, b, int(snap.Bytes))
	require.NoError(t, os.WriteFile(to, b, 0o600))
}

func wantSound(t *testing.T, path string) store.Examined {
	t.Helper()
	n, err := Examine(t.Context(), path, noon, func(f store.Finding) { t.Errorf("the doctor finds: %+v", f) })
	require.NoError(t, err)
	return n
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestBackupWhileOthersWrite (I41): a backup is one consistent cut that holds
// all that was acknowledged before it was asked for, and what was restored from
// it goes on.
func TestBackupWhileOthersWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "pawl.db"))
	require.NoError(t, s.SaveApp(t.Context(), durable.App{Name: "shop"}, []durable.Function{shop}, nil, nil, nil))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				run := startRun(t, s, noon.Add(time.Hour))
				err := s.Transition(t.Context(), run, func(r *durable.Run) (store.Decision, error) {
					c, err := durable.Next(r, durable.Cancel{Reason: "test"}, durable.DefaultPolicy, noon)
					d := store.Decision{Change: c}
					for _, e := range c.Emit {
						d.Accepted = append(d.Accepted, store.Accepted{Event: e})
					}
					return d, err
				})
				if err != nil {
					t.Errorf("transition: %v", err)
					return
				}
			}
		})
	}
	for i := range 3 {
		before := startRun(t, s, noon)
		file, restored := filepath.Join(dir, "backup"), filepath.Join(dir, "restored.db")
		backUp(t, s, file)
		require.NoError(t, Restore(t.Context(), file, restored, RestoreOptions{Overwrite: i > 0}))
		n := wantSound(t, restored)
		require.Greater(t, n.Runs, i)
		r := open(t, restored)
		_, err := r.Run(t.Context(), before)
		require.NoError(t, err, "what was acknowledged is in it")
		leases, err := r.Claim(t.Context(), noon, time.Minute, 100)
		require.NoError(t, err)
		require.NotEmpty(t, leases)
		require.NoError(t, r.Close())
	}
	stop()
	writers.Wait()
	require.NoError(t, s.Close())
	require.Equal(t, []string{"backup", "pawl.db", "pawl.db.lock", "restored.db", "restored.db.lock"}, files(t, dir), "nothing is left over")
	for _, name := range files(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

// TestRestoreRaisesTheEpoch (I41): a worker of the time before a restore cannot
// say anything about a run, even when a restored store has claimed it again.
func TestRestoreRaisesTheEpoch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "pawl.db"), filepath.Join(dir, "backup")
	s := open(t, path)
	run := startRun(t, s, noon)
	backUp(t, s, file)
	var old []durable.Claim
	claim := func() {
		t.Helper()
		leases, err := s.Claim(t.Context(), noon, time.Minute, 10)
		require.NoError(t, err)
		require.Len(t, leases, 1)
		now := durable.Claim{Generation: leases[0].Generation}
		dispatch := func(c durable.Claim) error {
			return s.Transition(t.Context(), run, func(r *durable.Run) (store.Decision, error) {
				c, err := durable.Next(r, durable.Dispatch{Claim: c}, durable.DefaultPolicy, noon)
				return store.Decision{Change: c}, err
			})
		}
		for _, c := range old {
			require.Less(t, c.Generation, now.Generation)
			require.ErrorIs(t, dispatch(c), durable.ErrStale)
		}
		require.NoError(t, dispatch(now))
		old = append(old, now)
		require.NoError(t, s.Close())
	}
	claim()
	for range 20 { // it is started more often than when the backup was made
		s = open(t, path)
		claim()
	}
	for range 3 {
		require.NoError(t, Restore(t.Context(), file, path, RestoreOptions{Overwrite: true}))
		s = open(t, path)
		claim()
	}
	other := filepath.Join(dir, "other.db")
	require.NoError(t, Restore(t.Context(), file, other, RestoreOptions{}))
	s = open(t, other)
	leases, err := s.Claim(t.Context(), noon, time.Minute, 10)
	require.NoError(t, err)
	require.Greater(t, leases[0].Generation, old[20].Generation, "also beside a store that has gone on")
	require.NoError(t, s.Close())
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	whole := func(t *testing.T, path string) {
		s := open(t, path)
		for range 50 {
			startRun(t, s, noon)
		}
		require.NoError(t, s.Close())
	}
	damage := func(t *testing.T, path string, at int) {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		copy(b[at:], strings.Repeat("\xa5", 300))
		require.NoError(t, os.WriteFile(path, b, 0o600))
	}
	cases := []struct {
		name  string
		make  func(t *testing.T, from, to string)
		o     RestoreOptions
		want  string
		prior bool // there is a store that stays as it is
	}{
		{name: "no file", make: func(*testing.T, string, string) {}, want: "there is no such file"},
		{name: "a directory", make: func(t *testing.T, from, _ string) { require.NoError(t, os.Mkdir(from, 0o700)) }, want: "it is not a file"},
		{name: "an empty file", make: func(t *testing.T, from, _ string) { require.NoError(t, os.WriteFile(from, nil, 0o600)) }, want: "it is empty"},
		{name: "text", make: func(t *testing.T, from, _ string) {
			require.NoError(t, os.WriteFile(from, []byte(strings.Repeat("dear diary\n", 100)), 0o600))
		}, want: "it is not a Pawl database"},
		{name: "another program's", make: func(t *testing.T, from, _ string) { foreign(t, from, "CREATE TABLE photos (id INTEGER);") }, want: "another program"},
		{name: "a newer Pawl's", make: func(t *testing.T, from, _ string) {
			whole(t, from)
			foreign(t, from, "PRAGMA user_version = 99;")
		}, want: "run a newer pawl"},
		{name: "a damaged one", make: func(t *testing.T, from, _ string) {
			whole(t, from)
			damage(t, from, 3*4096)
		}, want: "damaged", o: RestoreOptions{Overwrite: true}, prior: true},
		{name: "a damaged one, to where nothing is", make: func(t *testing.T, from, _ string) {
			whole(t, from)
			damage(t, from, 3*4096)
		}, want: "damaged"},
		{name: "a damaged schema", make: func(t *testing.T, from, _ string) {
			whole(t, from)
			damage(t, from, 100)
		}, want: "damaged", o: RestoreOptions{Overwrite: true}, prior: true},
		{name: "a store with its log", make: func(t *testing.T, from, _ string) {
			whole(t, from)
			require.NoError(t, os.WriteFile(from+"-wal", []byte("x"), 0o600))
		}, want: "it is a store and not a backup"},
		{name: "over a store", make: func(t *testing.T, from, _ string) { whole(t, from) }, want: "give --force to overwrite it", prior: true},
		{name: "over itself", make: func(t *testing.T, from, to string) {
			whole(t, to)
			require.NoError(t, os.Symlink(to, from))
		}, want: "the very file", o: RestoreOptions{Overwrite: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			from, to := filepath.Join(dir, "backup"), filepath.Join(dir, "pawl.db")
			c.make(t, from, to)
			if c.prior {
				whole(t, to)
			}
			before, _ := os.ReadFile(to)
			err := Restore(t.Context(), from, to, c.o)
			require.ErrorContains(t, err, "restore "+from+": ")
			require.ErrorContains(t, err, c.want)
			if !c.o.Overwrite && !c.prior {
				require.NotContains(t, err.Error(), to, "the backup is to blame")
			}
			after, _ := os.ReadFile(to)
			require.Equal(t, before, after, "what was there stays")
			for _, name := range files(t, dir) {
				require.NotContains(t, name, "partial")
			}
		})
	}
	t.Run("a store that is open", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		from, to := filepath.Join(dir, "backup"), filepath.Join(dir, "pawl.db")
		whole(t, from)
		s := open(t, to)
		defer s.Close()
		require.ErrorContains(t, Restore(t.Context(), from, to, RestoreOptions{Overwrite: true}), "another process has it open")
		startRun(t, s, noon)
	})
}

// TestRestoreOverAStoreThatDied: its log is not taken for one of the backup.
func TestRestoreOverAStoreThatDied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "pawl.db"), filepath.Join(dir, "backup")
	s := open(t, path)
	require.NoError(t, s.SaveApp(t.Context(), durable.App{Name: "shop"}, []durable.Function{shop}, nil, nil, nil))
	kept := startRun(t, s, noon)
	backUp(t, s, file)
	lost := startRun(t, s, noon)
	dead := filepath.Join(dir, "dead.db")
	for _, suffix := range []string{"", "-wal"} { // as a crash would leave it
		b, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(dead+suffix, b, 0o600))
	}
	require.NoError(t, s.Close())
	require.NoError(t, Restore(t.Context(), file, dead, RestoreOptions{Overwrite: true}))
	wantSound(t, dead)
	s = open(t, dead)
	defer s.Close()
	_, err := s.Run(t.Context(), kept)
	require.NoError(t, err)
	_, err = s.Run(t.Context(), lost)
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestBackupOfAStoppedStore(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	file := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, BackupOf(t.Context(), w.path, file))
	require.NoError(t, BackupOf(t.Context(), w.path, file), "it is replaced")
	require.NoError(t, Verify(file))
	require.NoError(t, Restore(t.Context(), file, w.path, RestoreOptions{Overwrite: true}))
	require.Empty(t, w.examine())
	require.Equal(t, []string{"backup"}, files(t, filepath.Dir(file)))
}

func TestOneBackupAtATime(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "pawl.db"))
	first, err := s.Backup(t.Context())
	require.NoError(t, err)
	given, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = s.Backup(given)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, first.Close())
	second, err := s.Backup(t.Context())
	require.NoError(t, err)
	waiting := make(chan error)
	go func() {
		_, err := s.Backup(t.Context())
		waiting <- err
	}()
	require.NoError(t, s.Close(), "an open snapshot does not keep a store from closing")
	require.ErrorIs(t, <-waiting, store.ErrClosed)
	b, err := io.ReadAll(second)
	require.NoError(t, err)
	require.Len(t, b, int(second.Bytes), "and stays whole")
	require.NoError(t, second.Close())
}

func TestLeftoversOfBackupsGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"pawl.db.backup-123", "pawl.db.backup", "other.db.backup-1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	require.NoError(t, open(t, filepath.Join(dir, "pawl.db")).Close())
	require.Equal(t, []string{"other.db.backup-1", "pawl.db", "pawl.db.backup", "pawl.db.lock"}, files(t, dir))
}

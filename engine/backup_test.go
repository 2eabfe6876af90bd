package engine_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/wire"
)

// TestRestoredRunsGoOn (I41): what slept and waited when the backup was made does
// so again, what came later is not known, and a call that was in flight cannot
// report any more.
func TestRestoredRunsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nap, wait := awaits("Sleep", "z", `,"name":"2h"`), awaits("WaitForEvent", "w", `,"name":"paid","opts":{"timeout":"1d"}`)
		hold := make(chan struct{})
		a := &app{serve: func(c callSeen) (int, string, http.Header) {
			switch c.Fn {
			case "shop-nap":
				return nap(c)
			case "shop-wait":
				return wait(c)
			}
			return http.StatusOK, `"done"`, nil
		}}
		p := newPawl(t, a, function("nap", "nap", 4), function("wait", "wait", 4), function("call", "call", 4))
		p.send(`{"name":"nap"}`)
		p.send(`{"name":"wait"}`)
		synctest.Wait()
		a.mu.Lock()
		a.hold = hold
		a.mu.Unlock()
		p.send(`{"name":"call"}`)
		synctest.Wait()
		calls := a.seen()
		inFlight := calls[len(calls)-1]
		require.Equal(t, "shop-call", inFlight.Fn)

		snap, err := p.Backup(t.Context(), "ann")
		require.NoError(t, err)
		b, err := io.ReadAll(snap)
		require.NoError(t, err)
		require.NoError(t, snap.Close())
		later := p.send(`{"name":"paid"}`)[0]
		time.Sleep(time.Hour)
		require.NoError(t, p.Close(t.Context()))
		file := filepath.Join(t.TempDir(), "backup")
		require.NoError(t, os.WriteFile(file, b, 0o600))
		require.NoError(t, sqlite.Restore(t.Context(), file, p.path, sqlite.RestoreOptions{Overwrite: true}))
		p.wantSound()
		p.start()
		synctest.Wait()

		_, err = p.History().Event(t.Context(), later)
		require.ErrorIs(t, err, store.ErrNotFound)
		require.Equal(t, 3, p.count(durable.Running))
		generation, err := strconv.ParseInt(inFlight.Header.Get(wire.HeaderGenerationID), 10, 64)
		require.NoError(t, err)
		step := []wire.Op{{ID: wire.StepHash("a", 0), Op: wire.OpStepRun, Data: []byte("1")}}
		require.ErrorIs(t, p.Checkpoint(t.Context(), inFlight.Ctx.RunID, generation, step), durable.ErrStale)
		close(hold)
		time.Sleep(90 * time.Minute)
		require.Equal(t, 2, p.count(durable.Completed), "the call was made again, the sleep is over")
		p.send(`{"name":"paid"}`)
		synctest.Wait()
		require.Equal(t, 3, p.count(durable.Completed))
	})
}

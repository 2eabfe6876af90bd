package engine_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// onFile changes the file of a pawl that does not run.
func (p *pawl) onFile(sql string, args ...any) {
	p.t.Helper()
	c, err := sqlite.OpenConn(p.path, sqlite.OpenReadWrite)
	require.NoError(p.t, err)
	require.NoError(p.t, sqlitex.ExecuteScript(c, "PRAGMA foreign_keys = OFF;", nil))
	require.NoError(p.t, sqlitex.Execute(c, sql, &sqlitex.ExecOptions{Args: args}))
	require.Positive(p.t, c.Changes())
	require.NoError(p.t, c.Close())
}

// hide takes events out of the file of a pawl that does not run; reveal puts them
// back.
func (p *pawl) hide(ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		p.onFile(`UPDATE events SET id = 'gone-' || id WHERE id = ?`, id)
	}
}

func (p *pawl) reveal(ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		p.onFile(`UPDATE events SET id = ?1 WHERE id = 'gone-' || ?1`, id)
	}
}

// TestRunWithoutItsEventIsKept: what is queued for a run whose event is missing is
// put off and not lost, holds up no other, and goes on once the event is back.
func TestRunWithoutItsEventIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"1h"`)}
		p := newPawl(t, a, with(function("f", "x", 0), `"concurrency":1,"timeouts":{"start":"9h","finish":"9h"}`),
			with(function("g", "y", 0), `"throttle":{"limit":1,"period":"1s"}`))
		events := p.send(`[{"name":"x"},{"name":"y"}]`)
		p.wantStatus(1, durable.Running)
		time.Sleep(time.Minute)
		require.NoError(t, p.Close(t.Context()))
		events = append(events, p.acceptOnly(`[{"name":"x"},{"name":"y"}]`)...)
		p.hide(events...)

		called := len(a.seen())
		var log bytes.Buffer
		p.log = slog.New(slog.NewTextHandler(&log, nil))
		p.start()
		time.Sleep(2 * time.Hour)
		p.send(`[{"name":"x"},{"name":"y"}]`)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for i, want := range []durable.Status{durable.Running, durable.Running, durable.Queued, durable.Queued, durable.Completed, durable.Completed} {
			p.wantStatus(i, want)
		}
		first := p.runs()[0]
		require.Len(t, a.seen(), called+4, "two calls of each new run, and none of another")
		require.NoError(t, p.Close(t.Context()))
		for _, words := range []string{first.ID, "its event " + events[0] + " is not there", "pawl doctor", "again=1m0s"} {
			require.Contains(t, log.String(), words)
		}
		require.Less(t, strings.Count(log.String(), "\n"), 4*4*60+100, "it is told about once a minute")

		p.log = nil
		p.reveal(events...)
		p.wantSound()
		p.start()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, 6, p.count(durable.Completed))
	})
}

// TestDamagedRunHoldsUpNobody: whoever meets a run whose event is missing goes on
// with the others.
func TestDamagedRunHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{}
		asks := awaits("InvokeFunction", "i", `,"opts":{"function_id":"shop-g","payload":{}}`)
		a.serve = func(c callSeen) (int, string, http.Header) {
			switch c.Fn {
			case "shop-f":
				return waitsForPaid(c)
			case "shop-ask":
				return asks(c)
			}
			return awaits("Sleep", "nap", `,"name":"1h"`)(c)
		}
		p := newPawl(t, a, function("f", "order", 0), function("ask", "ask", 0),
			with(uninvoked, `"batchEvents":{"maxSize":2,"timeout":"1m"}`),
			with(function("one", "one", 0), `"singleton":{"mode":"cancel"}`), function("two", "one", 0))
		hidden := p.send(`[{"name":"order","data":{"id":1}},{"name":"ask"},{"name":"one"}]`)
		time.Sleep(time.Second)
		p.send(`[{"name":"order","data":{"id":1}},{"name":"ask"}]`)
		time.Sleep(time.Second)
		byFunction := map[string][]*durable.Run{}
		for _, r := range p.runs() {
			byFunction[r.Function] = append(byFunction[r.Function], r)
		}
		bad := byFunction["shop-one"][0]
		require.NoError(t, p.Close(t.Context()))
		p.hide(hidden...)
		p.start()
		p.send(`{"name":"paid","data":{"id":1}}`)
		p.send(`{"name":"one"}`)
		time.Sleep(3 * time.Hour)
		synctest.Wait()

		status := func(r *durable.Run) string {
			r, err := p.History().Run(t.Context(), r.ID)
			require.NoError(t, err, "it is shown")
			return r.Status.String()
		}
		require.Equal(t, "Running", status(byFunction["shop-f"][0]))
		require.Equal(t, "Completed", status(byFunction["shop-f"][1]), "the event is handed on to the others")
		require.Equal(t, "Completed", status(byFunction["shop-g"][0]))
		require.Equal(t, "Running", status(byFunction["shop-ask"][0]))
		require.Equal(t, "Completed", status(byFunction["shop-ask"][1]), "the end of an invoked run is told to the others")
		after := map[string]string{}
		for _, r := range p.runs()[len(byFunction)+2:] {
			after[r.Function] = r.Status.String()
		}
		require.Equal(t, "Running", status(bad))
		require.Equal(t, "Skipped", after["shop-one"], "a run that cannot be replaced keeps its name")
		require.Equal(t, "Completed", after["shop-two"], "the event starts the other function")

		require.ErrorIs(t, p.Cancel(t.Context(), bad.ID, "ann"), store.ErrDamaged)
		_, err := p.Rerun(t.Context(), bad.ID, engine.Rerun{})
		require.ErrorIs(t, err, store.ErrDamaged)
		require.ErrorContains(t, err, fmt.Sprintf("run %s: its event %s is not there", bad.ID, bad.Events[0].ID))

		require.NoError(t, p.Close(t.Context()))
		p.reveal(hidden...)
		p.wantSound()
		p.start()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, "Completed", status(byFunction["shop-ask"][0]), "the report was kept")
		require.Equal(t, "Completed", status(bad))
	})
}

// TestEventThatIsGoneIsHandedOnOnceItIsBack: meanwhile it is looked for once a
// minute.
func TestEventThatIsGoneIsHandedOnOnceItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: waitsForPaid}, function("f", "order", 0))
		p.send(`{"name":"order","data":{"id":1}}`)
		time.Sleep(time.Second)
		require.NoError(t, p.Close(t.Context()))
		paid := p.acceptOnly(`{"name":"paid","data":{"id":1}}`)
		p.hide(paid...)
		var log bytes.Buffer
		p.log = slog.New(slog.NewTextHandler(&log, nil))
		p.start()
		time.Sleep(time.Hour)
		p.wantStatus(0, durable.Running)
		require.NoError(t, p.Close(t.Context()))
		told := strings.Count(log.String(), "event "+paid[0]+" is not there")
		require.True(t, 58 <= told && told <= 61, "told %d times", told)

		p.log = nil
		p.reveal(paid...)
		p.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		p.wantStatus(0, durable.Completed)
	})
}

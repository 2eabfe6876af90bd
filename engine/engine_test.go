package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/wire"
)

// app is an app in this process: a function of a request and the step to run.
type app struct {
	mu    sync.Mutex
	calls []callSeen
	serve func(c callSeen) (status int, body string, h http.Header)
	away  bool
	dies  bool          // each call breaks its connection
	hold  chan struct{} // if set, each call waits for it or for its request's end
}

// callSeen is a request as the app got it.
type callSeen struct {
	Fn, Step string
	At       time.Time
	Header   http.Header
	Ctx      struct {
		Attempt   int    `json:"attempt"`
		RunID     string `json:"run_id"`
		ItemID    string `json:"qi_id"`
		Immediate bool   `json:"disable_immediate_execution"`
		Stack     struct{ Stack []string }
	}
	Event  eventSeen
	Events []eventSeen
	Steps  map[string]jsontext.Value
}

type eventSeen struct {
	Name string
	Data jsontext.Value
}

func (a *app) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c := callSeen{Fn: r.URL.Query().Get("fnId"), Step: r.URL.Query().Get("stepId"), At: time.Now(), Header: r.Header}
	if err := json.Unmarshal(body, &c, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.calls = append(a.calls, c)
	hold, away, dies, serve := a.hold, a.away, a.dies, a.serve
	a.mu.Unlock()
	if away {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	if dies {
		return nil, errDied
	}
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	status, out, h := serve(c)
	rec := httptest.NewRecorder()
	rec.Header().Set(wire.HeaderSDK, "inngest-js:v4.24.0")
	rec.Header().Set(wire.HeaderVersion, "2")
	for k, v := range h {
		rec.Header()[k] = v
	}
	rec.WriteHeader(status)
	rec.Body = bytes.NewBufferString(out)
	return rec.Result(), nil
}

// become changes how the app serves from the next call on.
func (a *app) become(serve func(c callSeen) (int, string, http.Header)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serve = serve
}

func (a *app) setAway(away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

func (a *app) seen() []callSeen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]callSeen(nil), a.calls...)
}

// pawl is an engine on a real file that can be stopped and started again.
type pawl struct {
	t    *testing.T
	path string
	app  *app
	// most may wait in the engines that start; 0: the usual.
	most      store.Backlog
	alerts    engine.Alerts
	opened    store.Store                   // of the engine that runs
	transport http.RoundTripper             // of the engines that start; nil: app
	log       *slog.Logger                  // of the engines that start; nil: none
	between   func(store.Store) store.Store // is put between the engines that start and their store; nil: nothing
	maxSteps  int                           // of runs in the engines that start; 0: the usual
	*engine.Engine
}

func newPawl(t *testing.T, a *app, functions ...string) *pawl {
	t.Helper()
	p := &pawl{t: t, path: filepath.Join(t.TempDir(), "pawl.db"), app: a}
	p.start()
	t.Cleanup(func() {
		require.NoError(t, p.Close(context.WithoutCancel(t.Context())))
		p.wantSound()
	})
	var list string
	for i, f := range functions {
		if i > 0 {
			list += ","
		}
		list += f
	}
	reg, err := wire.ParseRegistration([]byte(`{"url":"http://app/api/inngest","appName":"shop","sdk":"js:v4.24.0","functions":[` + list + `]}`))
	require.NoError(t, err)
	_, err = p.Register(t.Context(), reg)
	require.NoError(t, err)
	return p
}

// function is the registration of shop-id, triggered by an event.
func function(id, event string, retries int) string {
	return fmt.Sprintf(`{"id":"shop-%s","name":"%s","triggers":[{"event":%q}],"steps":{"step":{"id":"step","name":"step",
		"runtime":{"type":"http","url":"http://app/api/inngest?fnId=shop-%s&stepId=step"},"retries":{"attempts":%d}}}}`, id, id, event, id, retries)
}

func (p *pawl) start() {
	p.t.Helper()
	s, err := sqlite.Open(p.t.Context(), p.path, sqlite.Options{Durability: sqlite.None})
	require.NoError(p.t, err)
	p.opened = s
	if p.between != nil {
		p.opened = p.between(s)
	}
	transport := p.transport
	if transport == nil {
		transport = p.app
	}
	log := p.log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p.Engine, err = engine.Start(p.t.Context(), engine.Config{
		Store: p.opened, Log: log, Dev: true, Transport: transport, Drain: time.Millisecond,
		MaxBacklog: int(p.most.Runs), MaxBacklogBytes: p.most.Bytes, Alerts: p.alerts, MaxSteps: p.maxSteps,
	})
	require.NoError(p.t, err)
}

func (p *pawl) restart() {
	p.t.Helper()
	require.NoError(p.t, p.Close(p.t.Context()))
	p.wantSound()
	p.start()
}

// wantSound fails when the doctor finds anything in the closed store.
func (p *pawl) wantSound() {
	p.t.Helper()
	_, err := sqlite.Examine(context.WithoutCancel(p.t.Context()), p.path, time.Now(), func(f store.Finding) {
		p.t.Errorf("the doctor finds: %+v", f)
	})
	require.NoError(p.t, err)
}

func (p *pawl) send(body string) []string {
	p.t.Helper()
	events, err := wire.ReadEvents([]byte(body), "", "", time.Now(), engine.NewID)
	require.NoError(p.t, err)
	require.NoError(p.t, p.Send(p.t.Context(), events))
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return ids
}

// trySend is send for what may be refused.
func (p *pawl) trySend(body string) error {
	p.t.Helper()
	events, err := wire.ReadEvents([]byte(body), "", "", time.Now(), engine.NewID)
	require.NoError(p.t, err)
	return p.Send(p.t.Context(), events)
}

// acceptOnly is a server that accepts events and dies at once.
func (p *pawl) acceptOnly(body string) (ids []string) {
	p.t.Helper()
	s, err := sqlite.Open(p.t.Context(), p.path, sqlite.Options{Durability: sqlite.None})
	require.NoError(p.t, err)
	dead := noQueue{s}
	e, err := engine.Start(p.t.Context(), engine.Config{
		Store: dead, Log: slog.New(slog.DiscardHandler), Dev: true, Transport: p.app, Drain: time.Millisecond,
	})
	require.NoError(p.t, err)
	events, err := wire.ReadEvents([]byte(body), "", "", time.Now(), engine.NewID)
	require.NoError(p.t, err)
	require.NoError(p.t, e.Send(p.t.Context(), events))
	require.NoError(p.t, e.Close(p.t.Context()))
	for _, ev := range events {
		ids = append(ids, ev.ID)
	}
	return ids
}

// noQueue is a store in which nothing is ever due.
type noQueue struct{ store.Store }

func (noQueue) NextDue(context.Context) (time.Time, bool, error) { return time.Time{}, false, nil }

// count is how many runs have a status.
func (p *pawl) count(s durable.Status) int {
	p.t.Helper()
	list, err := p.History().Runs(p.t.Context(), store.RunFilter{Statuses: []durable.Status{s}}, store.Page{Limit: 10_000})
	require.NoError(p.t, err)
	return len(list)
}

// runs returns all runs, oldest first.
func (p *pawl) runs() []*durable.Run {
	p.t.Helper()
	list, err := p.History().Runs(p.t.Context(), store.RunFilter{}, store.Page{Limit: 100})
	require.NoError(p.t, err)
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

func (p *pawl) wantStatus(i int, want durable.Status) *durable.Run {
	p.t.Helper()
	synctest.Wait()
	runs := p.runs()
	require.Greater(p.t, len(runs), i)
	require.Equal(p.t, want.String(), runs[i].Status.String())
	return runs[i]
}

func ops(list ...string) (int, string, http.Header) {
	var b bytes.Buffer
	for i, op := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(op)
	}
	return http.StatusPartialContent, "[" + b.String() + "]", nil
}

func op(kind, id string, more string) string {
	return fmt.Sprintf(`{"op":%q,"id":%q,"displayName":%q%s}`, kind, wire.StepHash(id, 0), id, more)
}

// serial answers with one step after the other, then with their count.
func serial(ids ...string) func(c callSeen) (int, string, http.Header) {
	return func(c callSeen) (int, string, http.Header) {
		for i, id := range ids {
			if _, ok := c.Steps[wire.StepHash(id, 0)]; !ok {
				return ops(op("StepRun", id, fmt.Sprintf(`,"data":%d`, i)))
			}
		}
		return http.StatusOK, fmt.Sprint(len(ids)), nil
	}
}

func TestStepsRunOnceEachAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a", "b", "c")}
		p := newPawl(t, a, function("f", "order/paid", 4))
		p.send(`{"name":"order/paid","data":{"n":1}}`)
		r := p.wantStatus(0, durable.Completed)
		require.JSONEq(t, "3", string(r.Output))
		require.Len(t, a.seen(), 4, "row 25: one request for each step and one for the end")
		require.Equal(t, []string{wire.StepHash("a", 0), wire.StepHash("b", 0), wire.StepHash("c", 0)}, a.seen()[3].Ctx.Stack.Stack)
	})
}

func TestSleepOutlivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // three days in a few milliseconds, on real SQLite
		a := &app{}
		a.serve = func(c callSeen) (int, string, http.Header) {
			if _, ok := c.Steps[wire.StepHash("nap", 0)]; !ok {
				return ops(op("Sleep", "nap", `,"name":"3d"`))
			}
			return http.StatusOK, `"awake"`, nil
		}
		p := newPawl(t, a, function("f", "x", 4))
		p.send(`{"name":"x"}`)
		time.Sleep(71 * time.Hour)
		p.wantStatus(0, durable.Running)
		p.restart()
		time.Sleep(59 * time.Minute)
		p.wantStatus(0, durable.Running)
		time.Sleep(time.Minute)
		p.wantStatus(0, durable.Completed)
		require.Len(t, a.seen(), 2)
		require.Equal(t, 72*time.Hour, a.seen()[1].At.Sub(a.seen()[0].At), "never early, and on time")
	})
}

func TestRetriesFollowTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: func(callSeen) (int, string, http.Header) {
			return http.StatusInternalServerError, `{"name":"Error","message":"boom"}`, nil
		}}
		p := newPawl(t, a, function("f", "x", 4), `{"id":"shop-f-failure","name":"f (failure)",
			"triggers":[{"event":"inngest/function.failed","expression":"event.data.function_id == 'shop-f'"}],
			"steps":{"step":{"runtime":{"url":"http://app/api/inngest?fnId=shop-f-failure&stepId=step"},"retries":{"attempts":1}}}}`)
		p.send(`{"name":"x","data":{"n":7}}`)
		time.Sleep(10 * time.Minute)
		p.wantStatus(0, durable.Failed)
		var tries, handler []callSeen
		for _, c := range a.seen() {
			if c.Fn == "shop-f" {
				tries = append(tries, c)
			} else {
				handler = append(handler, c)
			}
		}
		require.Len(t, tries, 5, "row 36")
		for i, least := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute} {
			require.Equal(t, i, tries[i].Ctx.Attempt)
			wait := tries[i+1].At.Sub(tries[i].At)
			require.GreaterOrEqual(t, wait, least, "row 38")
			require.Less(t, wait, least+30*time.Second)
		}
		require.Len(t, handler, 2, "rows 45 and 46: the handler runs for the failed run, and its own failure starts nothing")
		require.Contains(t, string(handler[0].Event.Data), `"function_id":"shop-f"`)
		require.Contains(t, string(handler[0].Event.Data), `"message":"boom"`)
		require.Len(t, p.runs(), 2)
	})
}

func TestFutureEventStartsAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, function("f", "x", 4))
		begin := time.Now()
		p.send(fmt.Sprintf(`{"name":"x","ts":%d}`, begin.Add(5*time.Second).UnixMilli()))
		p.wantStatus(0, durable.Queued)
		p.restart()
		time.Sleep(4900 * time.Millisecond)
		p.wantStatus(0, durable.Queued)
		time.Sleep(200 * time.Millisecond)
		p.wantStatus(0, durable.Completed)
		require.False(t, a.seen()[0].At.Before(begin.Add(5*time.Second).Truncate(time.Millisecond)), "row 13")
	})
}

func TestCancelEndsACallInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a"), hold: make(chan struct{})}
		p := newPawl(t, a, function("f", "x", 4))
		p.send(`{"name":"x"}`)
		r := p.wantStatus(0, durable.Running)
		require.NoError(t, p.Cancel(t.Context(), r.ID, "ann"))
		p.wantStatus(0, durable.Cancelled)
		require.ErrorIs(t, p.Cancel(t.Context(), r.ID, "ann"), durable.ErrEnded)
		require.ErrorIs(t, p.Checkpoint(t.Context(), r.ID, 0, nil), durable.ErrEnded)
		time.Sleep(time.Hour)
		require.Len(t, a.seen(), 1, "row 74: no further request")
		names := eventNames(t, p)
		require.Contains(t, names, durable.EventCancelled)
		require.Contains(t, names, durable.EventFinished)
		require.NotContains(t, names, durable.EventFailed)
	})
}

func eventNames(t *testing.T, p *pawl) []string {
	t.Helper()
	list, err := p.History().Events(t.Context(), store.EventFilter{Internal: true}, store.Page{Limit: 100})
	require.NoError(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

func TestCallInFlightIsMadeAgainAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a"), hold: make(chan struct{})}
		p := newPawl(t, a, function("f", "x", 4))
		p.send(`{"name":"x"}`)
		r := p.wantStatus(0, durable.Running)
		p.restart() // the drain ends before the call does
		synctest.Wait()
		first, second := a.seen()[0], a.seen()[1]
		require.Equal(t, 0, second.Ctx.Attempt, "row 112")
		require.NotEqual(t, first.Ctx.ItemID, second.Ctx.ItemID)
		stale := generation(t, first)
		body := []byte("[" + op("StepRun", "a", `,"data":1`) + "]")
		parsed, err := wire.ParseOps(body)
		require.NoError(t, err)
		require.ErrorIs(t, p.Checkpoint(t.Context(), r.ID, stale, parsed), durable.ErrStale)
		require.NoError(t, p.Checkpoint(t.Context(), r.ID, generation(t, second), parsed))
		require.NoError(t, p.Checkpoint(t.Context(), r.ID, generation(t, second), parsed), "sent twice, it changes nothing")
		close(a.hold) // the app reports the step once more, as it was asked before it was saved
		time.Sleep(time.Second)
		p.wantStatus(0, durable.Completed)
		entries, err := p.History().Journal(t.Context(), r.ID, 0)
		require.NoError(t, err)
		require.Equal(t, durable.StepDone, entries[0].Kind)
		require.Len(t, entries, 2, "the step, and an answer that brought nothing new")
	})
}

func generation(t *testing.T, c callSeen) (g int64) {
	t.Helper()
	_, err := fmt.Sscan(c.Header.Get(wire.HeaderGenerationID), &g)
	require.NoError(t, err)
	return g
}

func TestParallelStepsJoinOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{}
		a.serve = func(c callSeen) (int, string, http.Header) {
			has := func(id string) bool { _, ok := c.Steps[wire.StepHash(id, 0)]; return ok }
			switch {
			case c.Step == wire.StepHash("p1", 0):
				return ops(op("StepRun", "p1", `,"data":1`))
			case c.Step == wire.StepHash("p2", 0):
				return ops(op("StepRun", "p2", `,"data":2`))
			case !has("p1") && !has("p2"):
				return ops(op("StepPlanned", "p1", ""), op("StepPlanned", "p2", ""), op("Sleep", "nap", `,"name":"2s"`))
			case !has("after"):
				return ops(op("StepRun", "after", ""))
			default:
				return http.StatusOK, `"ok"`, nil
			}
		}
		p := newPawl(t, a, function("f", "x", 4))
		p.send(`{"name":"x"}`)
		synctest.Wait()
		require.Len(t, a.seen(), 3, "the function is not entered before the last branch has ended")
		time.Sleep(2 * time.Second)
		p.wantStatus(0, durable.Completed)
		require.Len(t, a.seen(), 5)
		require.False(t, a.seen()[3].Ctx.Immediate, "after the join steps run inline again")
	})
}

func TestStepLimitIsASetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial("a", "b", "c")}, function("f", "x", 4))
		p.maxSteps = 2
		p.restart()
		p.send(`{"name":"x"}`)
		r := p.wantStatus(0, durable.Failed)
		require.Contains(t, string(r.Output), "exceeded the step limit of 2 steps")
		p.maxSteps = 3
		p.restart()
		p.send(`{"name":"x"}`)
		p.wantStatus(1, durable.Completed)
		_, err := engine.Start(t.Context(), engine.Config{Store: p.opened, MaxSteps: engine.MostSteps + 1})
		require.ErrorContains(t, err, "must be from 1 to 10000")
	})
}

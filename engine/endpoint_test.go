package engine_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// request is the event of a POST to the endpoint at http://app/book.
const request = `{"name":"inngest/http.request","data":{"content_type":"application/json","domain":"http://app","method":"POST","path":"/book","query_params":"q=1","body":"{\"n\":1}","fn":""}}`

// begins is the first report on a run, as an SDK sends it.
func (p *pawl) begins(run, event, ops string) (engine.Begun, error) {
	p.t.Helper()
	cp, err := wire.ParseCheckpoint(fmt.Appendf(nil, `{"run_id":%q,"event":%s,"steps":%s,"request_version":2,"retries":3}`, run, event, ops))
	require.NoError(p.t, err)
	return p.Begin(p.t.Context(), cp, "inngest-js:v4.24.0")
}

func (p *pawl) reports(run, ops string) error {
	p.t.Helper()
	parsed, err := wire.ParseOps([]byte(ops))
	require.NoError(p.t, err)
	return p.Report(p.t.Context(), run, parsed, 0, engine.Begun{})
}

// stepRan is the op of a step that has ended.
func stepRan(name string) string {
	return fmt.Sprintf(`{"id":%q,"op":"StepRun","displayName":%q,"data":%q}`, wire.StepHash(name, 0), name, name)
}

func stepOp(op, name, more string) string {
	return fmt.Sprintf(`{"id":%q,"op":%q,"displayName":%q%s}`, wire.StepHash(name, 0), op, name, more)
}

func runComplete(body string) string {
	return fmt.Sprintf(`{"id":%q,"op":"RunComplete","data":{"status":200,"headers":{"content-type":"application/json"},"body":%q,"version":2}}`, wire.CompleteID, body)
}

// entered serves an endpoint that is entered again: the ops of each call, one
// after the other, or those of the step that it is for.
func entered(answers ...string) func(callSeen) (int, string, http.Header) {
	var mu sync.Mutex // steps are called side by side
	n := 0
	return func(c callSeen) (int, string, http.Header) {
		mu.Lock()
		defer mu.Unlock()
		if step := c.Header.Get("X-Inngest-Step-ID"); step != "" {
			for _, a := range answers {
				if strings.Contains(a, step) {
					n++
					return 206, a, nil
				}
			}
		}
		if n == len(answers) {
			return 500, `{"name":"Error","message":"called too often"}`, nil
		}
		n++
		return 206, answers[n-1], nil
	}
}

// raw is an app that answers requests as they are.
type raw struct {
	answer func(r *http.Request, body string) (int, http.Header, string)
}

func (a *raw) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, header, out := a.answer(r, string(body))
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(out)), ContentLength: int64(len(out))}, nil
}

func (p *pawl) status(run string) durable.Status {
	p.t.Helper()
	r, err := p.History().Run(p.t.Context(), run)
	require.NoError(p.t, err)
	return r.Status
}

func endpointTest(t *testing.T, test func(t *testing.T, p *pawl, a *app, run string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: entered()}
		test(t, newPawl(t, a), a, engine.NewID())
	})
}

func TestEndpointThatEndsInItsRequest(t *testing.T) {
	endpointTest(t, func(t *testing.T, p *pawl, a *app, run string) {
		b, err := p.begins(run, request, `[`+stepRan("a")+`]`)
		require.NoError(t, err)
		require.NotEmpty(t, b.AppID)
		require.Equal(t, durable.Running, p.status(run))
		require.NoError(t, p.reports(run, `[`+stepRan("b")+`]`))
		require.NoError(t, p.reports(run, `[`+runComplete("null")+`]`))
		require.Equal(t, durable.Completed, p.status(run))
		time.Sleep(time.Hour)
		require.Empty(t, a.seen(), "nobody calls an endpoint that has answered")
		f, ok := p.Function("app-post-book")
		require.True(t, ok)
		require.Equal(t, "POST /book", f.Name)
		require.Equal(t, 3, f.Retries)
	})
}

func TestEndpointThatDiesIsEnteredAgain(t *testing.T) {
	endpointTest(t, func(t *testing.T, p *pawl, a *app, run string) {
		_, err := p.begins(run, request, `[`+stepRan("a")+`]`)
		require.NoError(t, err)
		a.become(entered(`[`+stepRan("b")+`]`, runComplete(`"done"`)))
		time.Sleep(time.Minute)
		require.NoError(t, p.reports(run, `[`+stepRan("a2")+`]`), "a sign of life")
		time.Sleep(4*time.Minute + 59*time.Second)
		require.Empty(t, a.seen(), "it may be at a step that takes almost all of the lease of 5 minutes")
		time.Sleep(90 * time.Second)
		require.Equal(t, durable.Completed, p.status(run))
		seen := a.seen()
		require.Len(t, seen, 2)
		require.Equal(t, run, seen[0].Header.Get("X-Run-ID"))
		require.Equal(t, []string{""}, seen[0].Header["X-Inngest-Signature"], "without it a new run would begin")
		events, memos, err := p.Memo(t.Context(), run)
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Len(t, memos, 3)
	})
}

func TestEndpointOverARestart(t *testing.T) {
	endpointTest(t, func(t *testing.T, p *pawl, a *app, run string) {
		_, err := p.begins(run, request, `[`+stepRan("a")+`]`)
		require.NoError(t, err)
		p.restart()
		require.NoError(t, p.reports(run, `[`+stepRan("b")+`]`), "the app goes on")
		p.restart()
		a.become(entered(runComplete(`"done"`)))
		time.Sleep(7 * time.Minute)
		require.Equal(t, durable.Completed, p.status(run))
		require.Len(t, a.seen(), 1)
	})
}

func TestEndpointThatHasToWait(t *testing.T) {
	for name, tt := range map[string]struct {
		ops     string
		after   time.Duration
		answers []string
	}{
		"a sleep":          {stepOp("Sleep", "nap", `,"name":"1h"`), time.Hour, []string{runComplete("1")}},
		"a failed step":    {stepOp("StepError", "pay", `,"error":{"name":"Error","message":"503"}`), time.Minute, []string{stepRan("pay"), runComplete("1")}},
		"a failed handler": {`{"id":"` + wire.CompleteID + `","op":"StepError","error":{}}`, time.Minute, []string{runComplete("1")}},
		"parallel steps": {
			stepOp("StepPlanned", "x", "") + "," + stepOp("StepPlanned", "y", ""), time.Second,
			[]string{stepRan("x"), stepRan("y"), runComplete("1")},
		},
		"an event that does not come": {stepOp("WaitForEvent", "w", `,"opts":{"event":"go","timeout":"1h"}`), time.Hour, []string{runComplete("1")}},
	} {
		t.Run(name, func(t *testing.T) {
			endpointTest(t, func(t *testing.T, p *pawl, a *app, run string) {
				a.become(entered(tt.answers...))
				_, err := p.begins(run, request, `[`+stepRan("a")+`,`+tt.ops+`]`)
				require.NoError(t, err)
				p.restart()
				time.Sleep(tt.after + time.Second)
				require.Equal(t, durable.Completed, p.status(run))
				require.Len(t, a.seen(), len(tt.answers))
			})
		})
	}
}

func TestEndpointThatFailsForGoodLeavesADeadLetter(t *testing.T) {
	endpointTest(t, func(t *testing.T, p *pawl, a *app, run string) {
		failed := stepOp("StepError", "pay", `,"error":{"name":"Error","message":"503"}`)
		a.become(func(callSeen) (int, string, http.Header) {
			return 500, `{"name":"Error","message":"503"}`, nil
		})
		_, err := p.begins(run, request, `[`+stepRan("a")+`,`+failed+`]`)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Equal(t, durable.Failed, p.status(run))
		require.Len(t, a.seen(), 3, "with the first, 4 tries")
		l, err := p.Letters().DeadLetter(t.Context(), run)
		require.NoError(t, err)
		require.Equal(t, 4, l.Attempts)
		again, err := p.Rerun(t.Context(), run, engine.Rerun{Letter: true})
		require.NoError(t, err)
		a.become(entered(runComplete("1")))
		time.Sleep(time.Minute)
		require.Equal(t, durable.Completed, p.status(again), "a rerun enters it with the same request")
	})
}

func TestFirstReportIsSentAgain(t *testing.T) {
	endpointTest(t, func(t *testing.T, p *pawl, _ *app, run string) {
		first, err := p.begins(run, request, `[`+stepRan("a")+`]`)
		require.NoError(t, err)
		again, err := p.begins(run, request, `[`+stepRan("a")+`]`)
		require.NoError(t, err, "its answer was lost")
		require.Equal(t, first, again)
		other := strings.Replace(request, "q=1", "q=2", 1)
		_, err = p.begins(run, other, `[`+stepRan("a")+`]`)
		require.ErrorIs(t, err, engine.ErrForeign)
		require.NoError(t, p.reports(run, `[`+runComplete("1")+`]`))
		require.NoError(t, p.reports(run, `[`+runComplete("1")+`]`), "its answer was lost")
		_, err = p.begins(run, request, `[`+stepRan("a")+`]`)
		require.NoError(t, err)
		require.ErrorIs(t, p.reports(run, `[`+stepRan("late")+`]`), durable.ErrEnded)
		entries, err := p.History().Journal(t.Context(), run, 0)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	})
}

func TestReportsThatAreRefusedChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a")}
		p := newPawl(t, a, function("f", "x", 0))
		run := engine.NewID()
		_, err := p.begins("not-a-ulid", request, `[]`)
		require.ErrorContains(t, err, "ULID")
		for _, event := range []string{`{}`, `{"name":"inngest/http.request","data":1}`, `{"name":"shop/paid","data":{}}`, `{"name":"inngest/http.request","data":{"method":"GET","domain":"ftp://x","path":"/"}}`} {
			_, err := p.begins(run, event, `[]`)
			var bad *engine.BeginError
			require.ErrorAs(t, err, &bad, event)
		}
		require.ErrorIs(t, p.reports(run, `[`+stepRan("a")+`]`), store.ErrNotFound)
		_, err = p.History().Run(t.Context(), run)
		require.ErrorIs(t, err, store.ErrNotFound)

		hold := make(chan struct{})
		a.mu.Lock()
		a.hold = hold
		a.mu.Unlock()
		p.send(`{"name":"x"}`)
		synctest.Wait()
		queued := p.wantStatus(0, durable.Running)
		require.ErrorIs(t, p.reports(queued.ID, `[`+stepRan("a")+`]`), engine.ErrForeign, "the run of a function takes no reports without a fence")
		_, err = p.begins(queued.ID, request, `[]`)
		require.ErrorIs(t, err, engine.ErrForeign)
		b, err := p.begins(run, request, `[`+stepRan("a")+`]`)
		require.NoError(t, err)
		b.FunctionID = "0f5d8f2e-0000-4000-8000-000000000000"
		require.ErrorIs(t, p.Report(t.Context(), run, nil, 0, b), engine.ErrForeign)
		close(hold)
		require.NoError(t, p.Cancel(t.Context(), run, "ann"))
		require.ErrorIs(t, p.reports(run, `[`+stepRan("b")+`]`), durable.ErrEnded)
	})
}

func TestGoEndpointIsEnteredAsItWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := string([]byte{0xff, 0x00})
		event := `{"name":"http/run.started","data":{"content_type":"image/png","domain":"app","method":"PUT","path":"/img","body":"` +
			base64.StdEncoding.EncodeToString([]byte(body)) + `"}}`
		a := &raw{answer: func(r *http.Request, got string) (int, http.Header, string) {
			require.Equal(t, "PUT http://app/img", r.Method+" "+r.URL.String())
			require.Equal(t, body, got)
			require.Equal(t, "image/png", r.Header.Get("Content-Type"))
			return 503, http.Header{"X-Inngest-Sdk": {"go:0.16.0"}, "X-Foo": {"bar"}}, "sold out"
		}}
		p := newPawl(t, &app{})
		p.transport = a
		p.restart()
		run := engine.NewID()
		_, err := p.begins(run, event, `[`+stepOp("Sleep", "nap", `,"name":"1h"`)+`]`)
		require.NoError(t, err)
		head := make(chan durable.Head, 1)
		go func() {
			h, err := p.End(context.WithoutCancel(t.Context()), run)
			require.NoError(t, err)
			head <- h
		}()
		h := <-head
		require.Equal(t, durable.Failed, h.Status)
		r, ok := wire.FailedResponse(h.Output.Clone())
		require.True(t, ok, "what it answered is kept")
		require.Equal(t, 503, r.Status)
		require.Equal(t, "sold out", string(r.Body))
		require.Equal(t, "bar", r.Header.Get("X-Foo"))
	})
}

func TestPathsWithIDsDoNotGrowForEver(t *testing.T) {
	endpointTest(t, func(t *testing.T, p *pawl, _ *app, _ string) {
		for i := range 1010 {
			event := strings.Replace(request, "/book", fmt.Sprintf("/book/%d", i), 1)
			_, err := p.begins(engine.NewID(), event, `[`+runComplete("1")+`]`)
			require.NoError(t, err)
		}
		require.Len(t, p.Functions("app"), 1001)
		f, ok := p.Function("app-other-endpoints")
		require.True(t, ok)
		runs, err := p.History().Runs(t.Context(), store.RunFilter{Functions: []string{f.Slug}}, store.Page{Limit: 100})
		require.NoError(t, err)
		require.Len(t, runs, 10)
	})
}

func TestEndpointsWhosePathsLookAlikeAreTwo(t *testing.T) {
	endpointTest(t, func(t *testing.T, p *pawl, _ *app, _ string) {
		for _, path := range []string{"/a/b", "/a-b", "/a/b"} {
			_, err := p.begins(engine.NewID(), strings.Replace(request, "/book", path, 1), `[`+runComplete("1")+`]`)
			require.NoError(t, err)
		}
		fns := p.Functions("app")
		require.Len(t, fns, 2)
		require.Equal(t, []string{"POST /a/b", "POST /a-b"}, []string{fns[0].Name, fns[1].Name})
	})
}

func TestRequestWithAKeyIsOneRun(t *testing.T) {
	endpointTest(t, func(t *testing.T, p *pawl, _ *app, run string) {
		begins := func(run, event string) (engine.Begun, error) {
			cp, err := wire.ParseCheckpoint(fmt.Appendf(nil, `{"run_id":%q,"event":%s,"steps":[],"idempotency":"order-7"}`, run, event))
			require.NoError(t, err)
			return p.Begin(t.Context(), cp, "")
		}
		b, err := begins(run, request)
		require.NoError(t, err)
		require.Equal(t, run, b.Run)
		again := engine.NewID()
		b, err = begins(again, request)
		require.NoError(t, err)
		require.Equal(t, run, b.Run, "the first one")
		_, err = p.History().Run(t.Context(), again)
		require.ErrorIs(t, err, store.ErrNotFound)
		b, err = begins(run, request)
		require.NoError(t, err, "the first one, whose answer was lost")
		require.Equal(t, run, b.Run)
		_, err = begins(engine.NewID(), strings.Replace(request, "q=1", "q=2", 1))
		var conflict *store.KeyConflictError
		require.ErrorAs(t, err, &conflict)
	})
}

package realtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

// place of the bytes that tell a reader where it is
var ended = string(place(store.LastPiece))

// house is streams on a real store. What they ask about runs is answered by hand.
type house struct {
	t     *testing.T
	path  string
	store *sqlite.Store
	b     *Broker
	s     *Streams
	logs  *bytes.Buffer

	mu       sync.Mutex
	outcomes map[string]Outcome
	calls    map[string]time.Time

	stop context.CancelFunc
	done chan struct{}
}

// stream runs fn in virtual time.
func inHouse(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, path: filepath.Join(t.TempDir(), "pawl.db"), outcomes: map[string]Outcome{}, calls: map[string]time.Time{}, logs: &bytes.Buffer{}}
		h.start()
		defer h.end()
		fn(t, h)
	})
}

func (h *house) start() {
	h.t.Helper()
	st, err := sqlite.Open(h.t.Context(), h.path, sqlite.Options{Durability: sqlite.None})
	require.NoError(h.t, err)
	h.store, h.b = st, NewBroker()
	h.s = NewStreams(Config{
		Broker: h.b, Store: st, Log: slog.New(slog.NewTextHandler(h.logs, nil)),
		Look: func(_ context.Context, run string) (Outcome, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if o, ok := h.outcomes[run]; ok {
				return o, nil
			}
			return Outcome{}, store.ErrNotFound
		},
		Since: func(run string) (time.Time, bool) {
			h.mu.Lock()
			defer h.mu.Unlock()
			at, ok := h.calls[run]
			return at, ok
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	h.stop, h.done = cancel, make(chan struct{})
	go func() {
		defer close(h.done)
		h.s.Run(ctx)
	}()
}

func (h *house) end() {
	h.stop()
	<-h.done
	require.NoError(h.t, h.store.Close())
}

// crash starts anew with what is on disk now.
func (h *house) crash() {
	h.t.Helper()
	h.s.writing.Lock() // nothing more is written
	st := h.store
	h.stop()
	require.NoError(h.t, st.Close())
	h.s.writing.Unlock()
	<-h.done
	h.start()
}

// run is a run that the store knows.
func (h *house) run() string {
	h.t.Helper()
	e := durable.Event{ID: ulid.Make().String(), Name: "order/placed", At: noon, Received: noon, Body: durable.JSON(`{}`)}
	r := durable.NewRun(ulid.Make().String(), durable.Function{Slug: "shop-ship", App: "shop", Version: 1}, e, noon, noon)
	_, err := h.store.Accept(h.t.Context(), noon, []store.Accepted{{Event: e, Starts: []durable.Start{{Run: r}}}})
	require.NoError(h.t, err)
	h.outcomes[r.ID] = Outcome{}
	return r.ID
}

// over ends a run, as the engine tells it.
func (h *house) over(run string, o Outcome) {
	o.Ended = time.Now()
	h.mu.Lock()
	h.outcomes[run] = o
	h.mu.Unlock()
	h.s.Ended(h.t.Context(), run)
}

func (h *house) tee(run string) *Tee {
	h.t.Helper()
	t, err := h.s.Tee(h.t.Context(), run)
	require.NoError(h.t, err)
	return t
}

// viewer is one who reads a stream.
type viewer struct {
	h      *house
	sub    *Subscriber
	replay *Replay
	ended  bool
}

func (h *house) join(run string, after int64) *viewer {
	h.t.Helper()
	v := &viewer{h: h}
	var err error
	v.sub, err = h.b.Subscribe(nil)
	require.NoError(h.t, err)
	v.replay, err = h.s.Join(h.t.Context(), run, after, v.sub)
	require.NoError(h.t, err)
	return v
}

func (v *viewer) leave() {
	v.replay.Leave()
	v.h.b.Leave(v.sub)
}

// read is what has come since, without the places.
func (v *viewer) read() string {
	v.h.t.Helper()
	synctest.Wait()
	var b strings.Builder
	for _, part := range strings.SplitAfter(v.raw(), "\n\n") {
		if !strings.HasPrefix(part, "id: ") {
			b.WriteString(part)
		}
	}
	return b.String()
}

func (v *viewer) raw() string {
	v.h.t.Helper()
	var b strings.Builder
	for {
		list, err := v.replay.Next(v.h.t.Context())
		require.NoError(v.h.t, err)
		if len(list) == 0 {
			break
		}
		for _, raw := range list {
			b.Write(raw)
		}
	}
	items, err := v.sub.Take()
	for _, i := range items {
		require.True(v.h.t, i.Raw)
		b.Write(i.Text)
	}
	if err != nil {
		require.ErrorIs(v.h.t, err, io.EOF)
		v.ended = true
	}
	return b.String()
}

// The events of an app.
func meta(run string) string { return string(metadata(run)) }

func chunk(step, text string) string {
	if step == "" {
		return fmt.Sprintf("event: inngest.stream\ndata: {\"data\":%q}\n\n", text)
	}
	return fmt.Sprintf("event: inngest.stream\ndata: {\"data\":%q,\"hashedStepId\":%q}\n\n", text, step)
}

func commit(step string) string {
	return fmt.Sprintf("event: inngest.commit\ndata: {\"hashedStepId\":%q}\n\n", step)
}
func undo(step string) string { return string(rollback(step)) }

const answer = "event: inngest.response\ndata: {\"status\":\"succeeded\",\"response\":{\"body\":\"ok\",\"statusCode\":200,\"headers\":{}}}\n\n"

func TestStreamIsPassedOnAsItIs(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		v := h.join(run, 0)
		defer v.leave()
		require.Empty(t, v.read())
		tee := h.tee(run)
		for _, text := range []string{meta(run), ":\n\n", chunk("a", "1"), chunk("a", "2"), commit("a"), "event: other\ndata: x\n\n"} {
			tee.Write([]byte(text))
			require.Equal(t, text, v.read(), "at once, and byte for byte")
		}
		whole := chunk("b", strings.Repeat("x", 100))
		tee.Write([]byte(whole[:50]))
		require.Empty(t, v.read(), "half an event says nothing to a client, and breaks the next one if the rest never comes")
		tee.Write([]byte(whole[50:]))
		require.Equal(t, whole, v.read())
		tee.Write([]byte(answer))
		require.Equal(t, answer, v.read())
		require.True(t, v.ended)
		tee.Close()
	})
}

func TestBytesThatAreNoEventsArePassedOnAtOnce(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		v := h.join("any channel", 0)
		defer v.leave()
		tee := h.tee("any channel")
		tee.Write([]byte("hel"))
		require.Equal(t, "hel", v.read())
		tee.Write([]byte("lo"))
		require.Equal(t, "lo", v.read())
		tee.Close()
		require.False(t, v.ended)
	})
}

func TestTwoBranchesStreamWholeEvents(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		v := h.join(run, 0)
		defer v.leave()
		one, two := h.tee(run), h.tee(run)
		a, b := chunk("a", "left"), chunk("b", "right")
		one.Write([]byte(a[:20]))
		two.Write([]byte(b[:30]))
		one.Write([]byte(a[20:]))
		two.Write([]byte(b[30:]))
		require.Equal(t, a+b, v.read())
		one.Close()
		two.Close()
	})
}

// TestWhoComesLater gets what was committed, what is under way, and then what
// comes: before a restart and after it.
func TestWhoComesLater(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		tee := h.tee(run)
		tee.Write([]byte(meta(run) + chunk("a", "1") + chunk("b", "bad") + chunk("a", "2") + undo("b") + commit("a") + chunk("b", "half")))
		v := h.join(run, 0)
		committed := meta(run) + chunk("a", "1") + chunk("a", "2") + commit("a")
		require.Equal(t, committed+chunk("b", "half"), v.read())
		tee.Write([]byte(chunk("b", "rest") + commit("b")))
		require.Equal(t, chunk("b", "rest")+commit("b"), v.read())
		time.Sleep(time.Second) // it is on disk
		tee.Write([]byte(chunk("c", "lost")))
		v.leave()

		h.crash()
		v = h.join(run, 0)
		defer v.leave()
		committed += chunk("b", "half") + chunk("b", "rest") + commit("b")
		require.Equal(t, committed, v.read())
		tee = h.tee(run)
		tee.Write([]byte(meta(run) + chunk("c", "again") + commit("c")))
		require.Equal(t, meta(run)+chunk("c", "again")+commit("c"), v.read())
		tee.Close()
	})
}

// TestSettleKeepsBeforeTheResult: when Settle has returned, a crash loses nothing.
func TestSettleKeepsBeforeTheResult(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		tee := h.tee(run)
		tee.Write([]byte(chunk("a", "1") + commit("a")))
		h.s.Settle(t.Context(), run, nil, false)
		h.crash()
		v := h.join(run, 0)
		defer v.leave()
		require.Equal(t, meta(run)+chunk("a", "1")+commit("a"), v.read())
	})
}

// TestSettleWaitsForTheLastEvents of a step whose result came first, but not for
// ever.
func TestSettleWaitsForTheLastEvents(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		tee := h.tee(run)
		tee.Write([]byte(chunk("a", "1") + chunk("b", "1")))
		began := time.Now()
		settled := make(chan struct{})
		go func() {
			h.s.Settle(t.Context(), run, []string{"a", "z"}, false)
			close(settled)
		}()
		time.Sleep(100 * time.Millisecond)
		tee.Write([]byte(chunk("a", "2")))
		time.Sleep(100 * time.Millisecond)
		tee.Write([]byte(commit("a")))
		<-settled
		require.Equal(t, 200*time.Millisecond, time.Since(began))
		kept, err := h.store.KeptStream(t.Context(), run)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, kept.Steps)
		h.s.Settle(t.Context(), run, []string{"b"}, false)
		require.Equal(t, 200*time.Millisecond+settleWait, time.Since(began))
		tee.Close()
		h.s.Settle(t.Context(), run, []string{"b"}, false)
		require.Equal(t, 200*time.Millisecond+settleWait, time.Since(began))
	})
}

// TestSettleWaitsForTheAnswer of an endpoint, if something is to come at all.
func TestSettleWaitsForTheAnswer(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		began := time.Now()
		v := h.join(run, 0)
		defer v.leave()
		h.s.Settle(t.Context(), run, nil, true)
		require.Zero(t, time.Since(began), "nothing is to come")
		tee := h.tee(run)
		go func() {
			time.Sleep(100 * time.Millisecond)
			tee.Write([]byte(answer))
		}()
		h.s.Settle(t.Context(), run, nil, true)
		require.Equal(t, 100*time.Millisecond, time.Since(began))
		kept, err := h.store.KeptStream(t.Context(), run)
		require.NoError(t, err)
		require.True(t, kept.Answer)
		tee.Close()
	})
}

// TestCommitsAreWrittenTogether: the number of transactions does not grow with
// that of the chunks.
func TestCommitsAreWrittenTogether(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		before := h.store.Commits()
		for range 20 {
			run := h.run()
			tee := h.tee(run)
			for i := range 100 {
				step := fmt.Sprint("s", i)
				tee.Write([]byte(chunk(step, "1") + chunk(step, "2") + commit(step)))
			}
			tee.Close()
		}
		time.Sleep(time.Second)
		require.LessOrEqual(t, h.store.Commits()-before, int64(20+3), "20 are those of the runs")
	})
}

// TestStepThatRunsAgain was committed, and its result was lost: what it sent the
// first time is void.
func TestStepThatRunsAgain(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		early := h.join(run, 0)
		first := h.tee(run)
		first.Write([]byte(chunk("a", "1") + commit("a") + chunk("b", "1") + commit("b")))
		time.Sleep(time.Second)
		early.read()
		second := h.tee(run)
		second.Write([]byte(chunk("a", "2")))
		require.Equal(t, undo("a")+chunk("a", "2"), early.read())
		second.Write([]byte(commit("a")))
		require.Equal(t, commit("a"), early.read())
		first.Write([]byte(chunk("a", "3") + commit("a") + undo("a")))
		require.Empty(t, early.read(), "the entry that is over has no say any more")
		first.Close()
		second.Close()
		require.Empty(t, early.read())
		early.leave()
		want := meta(run) + chunk("b", "1") + commit("b") + undo("a") + chunk("a", "2") + commit("a")
		for range 2 {
			v := h.join(run, 0)
			require.Equal(t, want, v.read())
			v.leave()
			time.Sleep(time.Second)
			h.crash()
		}
		// It may also send nothing, or fail, the second time.
		third := h.tee(run)
		third.Write([]byte(commit("a") + undo("b")))
		third.Close()
		time.Sleep(time.Second)
		v := h.join(run, 0)
		defer v.leave()
		require.Equal(t, meta(run)+undo("a")+undo("b"), v.read())
	})
}

// TestRequestThatBreaksOff leaves nothing that was not committed.
func TestRequestThatBreaksOff(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		v := h.join(run, 0)
		defer v.leave()
		tee := h.tee(run)
		tee.Write([]byte(chunk("a", "1") + commit("a") + chunk("b", "1") + chunk("c", "1")[:10]))
		v.read()
		tee.Close()
		require.Equal(t, undo("b"), v.read())
		late := h.join(run, 0)
		defer late.leave()
		require.Equal(t, meta(run)+chunk("a", "1")+commit("a"), late.read())
	})
}

// TestCodeOutsideOfSteps is repeated at each entry, and so is what it streams.
func TestCodeOutsideOfSteps(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		v := h.join(run, 0)
		entry := func(text string) {
			tee := h.tee(run)
			tee.Write([]byte(text))
			tee.Close()
		}
		entry(chunk("", "hello") + chunk("a", "1") + commit("a"))
		require.Equal(t, chunk("", "hello")+chunk("a", "1")+commit("a"), v.read())
		entry(chunk("", "hello") + chunk("", "world") + chunk("b", "1") + commit("b"))
		require.Equal(t, chunk("", "world")+chunk("b", "1")+commit("b"), v.read())
		v.leave()
		time.Sleep(time.Second)
		h.crash()
		v = h.join(run, 0)
		defer v.leave()
		kept := chunk("", "hello") + chunk("a", "1") + commit("a") + chunk("", "world") + chunk("b", "1") + commit("b")
		require.Equal(t, meta(run)+kept, v.read())
		one, two := h.tee(run), h.tee(run) // branches
		one.Write([]byte(chunk("", "hello")))
		two.Write([]byte(chunk("", "hello") + chunk("", "world") + chunk("", "!")))
		one.Write([]byte(chunk("", "world") + chunk("", "!")))
		require.Equal(t, chunk("", "!"), v.read())
		one.Close()
		two.Close()
		// Code that does something else each time: what it sent last is what counts.
		entry(chunk("", "hello") + chunk("", "moon"))
		require.Equal(t, undo("")+chunk("", "hello")+chunk("", "moon"), v.read())
		time.Sleep(time.Second)
		late := h.join(run, 0)
		defer late.leave()
		require.Equal(t, meta(run)+chunk("a", "1")+commit("a")+chunk("b", "1")+commit("b")+undo("")+chunk("", "hello")+chunk("", "moon"), late.read())
	})
}

// TestEndpointHasStreamedToItsClientItself in the request that began the run, and
// does so again when it is entered.
func TestEndpointHasStreamedToItsClientItself(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		h.outcomes[run] = Outcome{Endpoint: true}
		v := h.join(run, 0)
		defer v.leave()
		tee := h.tee(run)
		tee.Write([]byte(chunk("", "hello") + chunk("", "world")))
		require.Equal(t, undo("")+chunk("", "hello")+chunk("", "world"), v.read())
		tee.Close()
	})
}

func failed(message string) Response {
	return Response{Failed: true, Status: 500, Header: [][2]string{{"content-type", "application/json"}}, Body: message}
}

func TestEndOfARun(t *testing.T) {
	end := string(failed("no").event())
	t.Run("cancelled: told at once", func(t *testing.T) {
		inHouse(t, func(t *testing.T, h *house) {
			run := h.run()
			v := h.join(run, 0)
			defer v.leave()
			h.over(run, Outcome{Cancelled: true, Response: failed("no")})
			require.Equal(t, end, v.read())
			require.True(t, v.ended)
		})
	})
	t.Run("of an app that never streams: told at once", func(t *testing.T) {
		inHouse(t, func(t *testing.T, h *house) {
			run := h.run()
			v := h.join(run, 0)
			defer v.leave()
			h.over(run, Outcome{Silent: true, Response: failed("no")})
			require.Equal(t, end, v.read())
		})
	})
	t.Run("failed: told when the app had time to say it", func(t *testing.T) {
		inHouse(t, func(t *testing.T, h *house) {
			run := h.run()
			v := h.join(run, 0)
			defer v.leave()
			began := time.Now()
			h.over(run, Outcome{Response: failed("no")})
			require.Empty(t, v.read())
			<-v.sub.Ready()
			require.Equal(t, patience, time.Since(began))
			require.Equal(t, end, v.read())
			require.True(t, v.ended)
		})
	})
	t.Run("the app's answer comes after the run's end and is the one", func(t *testing.T) {
		inHouse(t, func(t *testing.T, h *house) {
			run := h.run()
			v := h.join(run, 0)
			defer v.leave()
			h.over(run, Outcome{Response: Response{Status: 200, Body: "from the store"}})
			time.Sleep(patience - time.Millisecond)
			tee := h.tee(run)
			tee.Write([]byte(meta(run) + chunk("", "long")))
			time.Sleep(patience - time.Millisecond)
			tee.Write([]byte(chunk("", "story")))
			time.Sleep(patience - time.Millisecond)
			tee.Write([]byte(answer))
			tee.Close()
			require.Equal(t, meta(run)+chunk("", "long")+chunk("", "story")+answer, v.read())
			require.True(t, v.ended)
			time.Sleep(time.Minute)
			h.crash()
			late := h.join(run, 0)
			defer late.leave()
			require.Equal(t, meta(run)+chunk("", "long")+chunk("", "story")+answer, late.read())
			require.True(t, late.ended)
		})
	})
	t.Run("a request that stays open does not hold up the end for ever", func(t *testing.T) {
		inHouse(t, func(t *testing.T, h *house) {
			run := h.run()
			v := h.join(run, 0)
			defer v.leave()
			tee := h.tee(run)
			began := time.Now()
			h.over(run, Outcome{Response: failed("no")})
			for !v.ended {
				tee.Write([]byte(":\n\n"))
				time.Sleep(time.Second)
				v.read()
				require.Less(t, time.Since(began), time.Minute)
			}
			tee.Close()
		})
	})
	t.Run("who comes after the end", func(t *testing.T) {
		inHouse(t, func(t *testing.T, h *house) {
			run := h.run()
			tee := h.tee(run)
			tee.Write([]byte(chunk("a", "1") + commit("a") + chunk("b", "1")))
			tee.Close()
			time.Sleep(time.Second)
			h.over(run, Outcome{Response: failed("no")})
			time.Sleep(time.Minute)
			for range 2 {
				v := h.join(run, 0)
				require.Equal(t, meta(run)+chunk("a", "1")+commit("a")+end, v.read())
				require.True(t, v.ended)
				v.leave()
				h.crash()
			}
		})
	})
	t.Run("who comes between the end and the answer", func(t *testing.T) {
		inHouse(t, func(t *testing.T, h *house) {
			run := h.run()
			h.over(run, Outcome{Response: failed("no")})
			time.Sleep(time.Second)
			v := h.join(run, 0)
			defer v.leave()
			require.Empty(t, v.read())
			tee := h.tee(run)
			tee.Write([]byte(answer))
			tee.Close()
			require.Equal(t, answer, v.read())
		})
	})
	t.Run("an answer that never came home is replaced by that of the next entry", func(t *testing.T) {
		inHouse(t, func(t *testing.T, h *house) {
			run := h.run()
			tee := h.tee(run)
			tee.Write([]byte(chunk("a", "1") + commit("a") + answer))
			tee.Close()
			time.Sleep(time.Second)
			other := strings.Replace(answer, `"ok"`, `"other"`, 1)
			next := h.tee(run)
			next.Write([]byte(chunk("b", "1")))
			v := h.join(run, 0)
			require.Equal(t, meta(run)+chunk("a", "1")+commit("a")+chunk("b", "1"), v.read())
			next.Write([]byte(commit("b") + other))
			require.Equal(t, commit("b")+other, v.read())
			v.leave()
			tee = h.tee(run) // a branch that was not waited for
			next.Write([]byte(chunk("c", "1")))
			next.Close()
			tee.Close()
			h.over(run, Outcome{Response: failed("no")})
			time.Sleep(time.Minute)
			late := h.join(run, 0)
			defer late.leave()
			require.Equal(t, meta(run)+chunk("a", "1")+commit("a")+chunk("b", "1")+commit("b")+other, late.read())
			require.True(t, late.ended)
		})
	})
}

// TestReaderSaysWhereItIs and gets what follows.
func TestReaderSaysWhereItIs(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		v := h.join(run, 0)
		tee := h.tee(run)
		tee.Write([]byte(chunk("a", "1") + commit("a")))
		time.Sleep(time.Second)
		require.Equal(t, chunk("a", "1")+commit("a")+"id: 1\n\n", v.raw())
		v.leave()
		tee.Write([]byte(chunk("b", "1") + commit("b")))
		h.s.Settle(t.Context(), run, nil, false)
		h.crash()
		v = h.join(run, 1)
		require.Equal(t, meta(run)+chunk("b", "1")+commit("b")+"id: 2\n\n", v.raw())
		v.leave()
		v = h.join(run, 2)
		require.Empty(t, v.raw())
		v.leave()
		tee = h.tee(run)
		tee.Write([]byte(chunk("a", "2") + commit("a") + answer)) // it runs again
		time.Sleep(time.Second)
		v = h.join(run, 2)
		require.Equal(t, meta(run)+undo("a")+chunk("a", "2")+commit("a")+"id: 4\n\n"+answer+ended, v.raw())
		v.leave()
		v = h.join(run, 99) // of another store
		require.Equal(t, meta(run)+chunk("b", "1")+commit("b")+undo("a")+chunk("a", "2")+commit("a")+"id: 4\n\n"+answer+ended, v.raw())
		v.leave()
		tee.Close()
	})
}

// TestWhatIsKeptIsBounded: a run that streams without end fills neither the disk
// nor the memory, and whoever comes later is told that something is missing.
func TestWhatIsKeptIsBounded(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		incomplete := "event: pawl.incomplete\ndata: {}\n\n"
		run := h.run()
		live := h.join(run, 0)
		defer live.leave()
		tee := h.tee(run)
		big := chunk("a", strings.Repeat("x", 1<<20))
		for range 6 {
			tee.Write([]byte(big))
			require.Len(t, live.read(), len(big))
		}
		tee.Write([]byte(commit("a") + chunk("b", "1") + commit("b")))
		require.Equal(t, commit("a")+chunk("b", "1")+commit("b"), live.read())
		time.Sleep(time.Second)
		late := h.join(run, 0)
		defer late.leave()
		require.Equal(t, meta(run)+incomplete, late.read(), "a step is kept whole or not at all")
		require.Contains(t, h.logs.String(), run)
		tee.Close()
		require.Zero(t, h.s.held.Load())

		run = h.run()
		tee = h.tee(run)
		for i := range maxPieces + 10 {
			step := fmt.Sprint("s", i)
			tee.Write([]byte(chunk(step, "1") + commit(step)))
		}
		tee.Close()
		time.Sleep(time.Second)
		kept, err := h.store.KeptStream(t.Context(), run)
		require.NoError(t, err)
		require.Equal(t, maxPieces+1, kept.Pieces)
		require.Zero(t, h.s.held.Load())
	})
}

// TestSlowReaderHoldsUpNobody reads nothing, while another has all at once.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		slow, quick := h.join(run, 0), h.join(run, 0)
		defer slow.leave()
		defer quick.leave()
		tee := h.tee(run)
		for range maxWaiting + 1 {
			tee.Write([]byte(chunk("a", "x")))
			require.Equal(t, chunk("a", "x"), quick.read())
		}
		_, err := slow.sub.Take()
		require.ErrorIs(t, err, ErrSlow)
		tee.Write([]byte(commit("a")))
		require.Equal(t, commit("a"), quick.read())
		tee.Close()
	})
}

// TestRequestsThatSDKsLeaveOpen are ended when the call that they belong to is
// over, and no sooner.
func TestRequestsThatSDKsLeaveOpen(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		h.calls[run] = time.Now()
		time.Sleep(time.Millisecond)
		tee := h.tee(run)
		over := make(chan struct{})
		defer tee.OnOver(func() { close(over) })()
		time.Sleep(time.Hour)
		require.False(t, tee.Over(), "a step may think for long")
		h.mu.Lock()
		h.calls[run] = time.Now() // the next call
		h.mu.Unlock()
		h.s.Moved(run)
		began := time.Now()
		tee.Write([]byte(commit("a"))) // late
		<-over
		require.Equal(t, teeGrace, time.Since(began))
		require.True(t, tee.Over())
		next := h.tee(run)
		time.Sleep(time.Minute)
		require.False(t, next.Over())
		h.mu.Lock()
		delete(h.calls, run)
		h.mu.Unlock()
		h.s.Moved(run)
		time.Sleep(time.Minute)
		require.True(t, next.Over())
		last := h.tee(run) // its call was answered before it came
		time.Sleep(time.Minute)
		require.True(t, last.Over())
		tee.Close()
		next.Close()
		last.Close()
		require.Empty(t, h.s.runs, "nothing is left in memory")
		require.Zero(t, h.s.held.Load())
	})
}

func TestCloseEndsAllRequests(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		one, two := h.tee(h.run()), h.tee("any channel")
		h.s.Close()
		require.True(t, one.Over() && two.Over())
		one.Close()
		two.Close()
		require.Empty(t, h.s.runs)
	})
}

func TestRequestsAreBounded(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		run := h.run()
		var list []*Tee
		for range maxTeesOfRun {
			list = append(list, h.tee(run))
		}
		_, err := h.s.Tee(t.Context(), run)
		require.ErrorIs(t, err, ErrTooManyTees)
		for _, tee := range list {
			tee.Close()
		}
		h.s.tees = maxTees
		_, err = h.s.Tee(t.Context(), run)
		require.ErrorIs(t, err, ErrTooManyTees)
		h.s.tees = 0
		h.tee(run).Close()
	})
}

// broken is a store that cannot write.
type broken struct {
	store.Streams
	mu  sync.Mutex
	err error
}

func (b *broken) KeepStream(ctx context.Context, list []store.Piece) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	return b.Streams.KeepStream(ctx, list)
}

// TestDiskThatCannotBeWritten holds up neither the run nor its readers, and what
// was committed is written when it can be.
func TestDiskThatCannotBeWritten(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		b := &broken{Streams: h.store, err: errors.New("the disk is full")}
		h.s.Store = b
		run := h.run()
		v := h.join(run, 0)
		defer v.leave()
		tee := h.tee(run)
		tee.Write([]byte(chunk("a", "1") + commit("a")))
		h.s.Settle(t.Context(), run, nil, false)
		tee.Write([]byte(chunk("b", "1") + commit("b")))
		require.Equal(t, chunk("a", "1")+commit("a")+chunk("b", "1")+commit("b"), v.raw())
		time.Sleep(time.Minute)
		late := h.join(run, 0)
		require.Equal(t, meta(run)+chunk("a", "1")+commit("a")+chunk("b", "1")+commit("b"), late.read())
		late.leave()
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		time.Sleep(time.Minute)
		require.Equal(t, "id: 2\n\n", v.raw())
		tee.Close()
		h.crash()
		again := h.join(run, 0)
		defer again.leave()
		require.Equal(t, meta(run)+chunk("a", "1")+commit("a")+chunk("b", "1")+commit("b"), again.read())
	})
}

// slow is a store whose writes wait until they may go on.
type slow struct {
	store.Streams
	writing, goOn chan struct{}
}

func (s *slow) KeepStream(ctx context.Context, list []store.Piece) error {
	s.writing <- struct{}{}
	<-s.goOn
	return s.Streams.KeepStream(ctx, list)
}

// TestPlaceIsToldWhenAllIsOnDisk: what was committed while the disk was busy comes
// before the place, and is not on disk up to it.
func TestPlaceIsToldWhenAllIsOnDisk(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		disk := &slow{h.store, make(chan struct{}), make(chan struct{})}
		h.s.Store = disk
		run := h.run()
		v := h.join(run, 0)
		defer v.leave()
		tee := h.tee(run)
		tee.Write([]byte(chunk("a", "1") + commit("a")))
		<-disk.writing
		tee.Write([]byte(chunk("b", "1") + commit("b")))
		disk.goOn <- struct{}{}
		<-disk.writing
		require.Equal(t, chunk("a", "1")+commit("a")+chunk("b", "1")+commit("b"), v.raw())
		disk.goOn <- struct{}{}
		synctest.Wait()
		require.Equal(t, "id: 2\n\n", v.raw())
		tee.Close()
	})
}

// TestRunThatIsGone: what comes of it is passed on, and nothing is kept of a run
// that is not there.
func TestRunThatIsGone(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		v := h.join("01JQDAE4RQF8MBCR55T5AK4KXS", 0)
		defer v.leave()
		tee := h.tee("01JQDAE4RQF8MBCR55T5AK4KXS")
		tee.Write([]byte(chunk("a", "1") + commit("a") + chunk("", "x")))
		require.Equal(t, chunk("a", "1")+commit("a")+chunk("", "x"), v.read())
		tee.Close()
		time.Sleep(time.Second)
		kept, err := h.store.KeptStream(t.Context(), "01JQDAE4RQF8MBCR55T5AK4KXS")
		require.NoError(t, err)
		require.Zero(t, kept)
	})
}

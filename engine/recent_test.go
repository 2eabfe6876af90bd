package engine_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// What happened in the last hour is known after a restart as it was before.
func TestRecentOutlivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{}
		a.serve = func(c callSeen) (int, string, http.Header) {
			switch {
			case c.Fn == "shop-bad":
				return http.StatusInternalServerError, `{"name":"Error","message":"boom"}`, nil
			case c.Fn == "shop-nap" && c.Steps[wire.StepHash("nap", 0)] == nil:
				return ops(op("Sleep", "nap", `,"name":"3d"`))
			default:
				return serial("a", "b")(c)
			}
		}
		p := newPawl(t, a, function("good", "x", 4), function("bad", "x", 1), function("nap", "x", 4))
		p.send(`{"name":"x"}`) // more than an hour ago, when it matters
		time.Sleep(50 * time.Minute)
		p.send(`{"name":"x"}`)
		time.Sleep(15 * time.Minute)
		p.send(`{"name":"x"}`)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		before := p.Recent()
		require.Equal(t, engine.Counts{Events: 2, Started: 6, Completed: 2, Failed: 2, Retried: 2, Steps: 4}, before.Sum)
		require.Equal(t, before.End.Add(-engine.RecentSpan), before.Since)
		require.Len(t, before.Functions, 3)

		p.restart()
		synctest.Wait()
		require.Equal(t, before, p.Recent())

		p.restart() // it is not counted twice
		p.send(`{"name":"x"}`)
		synctest.Wait()
		after := p.Recent()
		require.Equal(t, 3, after.Sum.Events)
		require.Equal(t, 9, after.Sum.Started)
		require.Equal(t, 3, after.Sum.Completed)
	})
}

// slow is a store that has not yet told what happened, and then cannot tell all of it.
type slow struct {
	store.Store
	tells chan struct{}
}

func (s slow) Past(ctx context.Context, span store.Span, each func(store.Happening)) (time.Time, error) {
	<-s.tells
	for _, ago := range []time.Duration{time.Minute, 30 * time.Minute} {
		each(store.Happening{Kind: store.RunEnded, Status: durable.Failed, At: span.Until.Add(-ago), Function: "f", Took: time.Second})
	}
	return span.Until.Add(-10 * time.Minute), nil
}

// What is not known is not told as nothing: it says from when on it is known.
func TestRecentSaysWhatIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tells := make(chan struct{})
		p := newPawl(t, &app{serve: serial("a")}, function("f", "x", 4))
		p.between = func(s store.Store) store.Store { return slow{s, tells} }
		time.Sleep(5 * time.Hour)
		p.restart()
		began := time.Now()
		time.Sleep(time.Minute)
		require.Equal(t, began, p.Recent().Since, "the start waits for nothing")
		p.send(`{"name":"x"}`)
		synctest.Wait()
		close(tells)
		synctest.Wait()
		got := p.Recent()
		require.Equal(t, began.Add(-10*time.Minute), got.Since)
		require.Equal(t, engine.Counts{Events: 1, Started: 1, Completed: 1, Failed: 1, Steps: 1}, got.Sum, "what came before is a part")
		require.Equal(t, 1, got.Functions[0].Sum.Failed)
		time.Sleep(2 * time.Hour)
		got = p.Recent()
		require.Equal(t, got.End.Add(-engine.RecentSpan), got.Since)
		require.Zero(t, got.Sum)
	})
}

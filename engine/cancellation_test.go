package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func TestCancelManyFindsItsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "s", `,"name":"10d"`)}
		p := newPawl(t, a, function("f", "x", 0)+","+function("g", "x", 0))
		begin := time.Now()
		for i := range 6 {
			p.send(fmt.Sprintf(`{"name":"x","data":{"n":%d}}`, i%2))
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		require.Equal(t, 12, p.count(durable.Running))
		_, err := p.CancelMany(t.Context(), durable.Cancellation{
			Function: "shop-f", After: begin.Add(30 * time.Second), Before: begin.Add(4*time.Minute + 30*time.Second), If: "event.data.n == 1",
		}, nil, "ann")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		var got []int
		for _, r := range p.runs() {
			if r.Status == durable.Cancelled {
				require.Equal(t, "shop-f", r.Function)
				got = append(got, int(r.Queued.Sub(begin)/time.Minute))
			}
		}
		require.ElementsMatch(t, []int{1, 3}, got, "those of the function, in the window, whose event meets the condition")

		_, err = p.CancelMany(t.Context(), durable.Cancellation{Function: "shop-f", Before: time.Now(), If: "event.data.("}, nil, "ann")
		var bad *engine.ExpressionError
		require.ErrorAs(t, err, &bad)
		require.Contains(t, bad.Message, "line 1")
		_, err = p.CancelMany(t.Context(), durable.Cancellation{Function: "shop-nobody", Before: time.Now()}, nil, "ann")
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

// TestCancelManyGoesOnAfterAStop has the server stop again and again while it
// cancels more runs than one page.
func TestCancelManyGoesOnAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "s", `,"name":"10d"`)}
		p := newPawl(t, a, function("f", "x", 0))
		const n = 700
		batch := "["
		for i := range n {
			if i > 0 {
				batch += ","
			}
			batch += `{"name":"x"}`
		}
		p.send(batch + "]")
		synctest.Wait()
		require.Equal(t, n, p.count(durable.Running))
		c, err := p.CancelMany(t.Context(), durable.Cancellation{Function: "shop-f", Before: time.Now().Add(5 * time.Second)}, nil, "ann")
		require.NoError(t, err)
		p.restart()
		p.send(`{"name":"x"}`) // in the window
		p.restart()
		time.Sleep(6 * time.Second)
		p.send(`{"name":"x"}`) // after it
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, n+1, p.count(durable.Cancelled))
		require.Equal(t, 1, p.count(durable.Running))
		list, err := p.Cancellations(t.Context(), store.Page{Limit: 5})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, c.ID, list[0].ID)
		require.NoError(t, p.RemoveCancellation(t.Context(), c.ID, "ann"))
		require.ErrorIs(t, p.RemoveCancellation(t.Context(), c.ID, "ann"), store.ErrNotFound)
	})
}

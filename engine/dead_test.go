package engine_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// letters returns all dead letters, oldest first.
func (p *pawl) letters() []store.Letter {
	p.t.Helper()
	list, err := p.Letters().DeadLetters(p.t.Context(), store.LetterFilter{Oldest: true}, store.Page{Limit: 10_000})
	require.NoError(p.t, err)
	return list
}

func TestEveryFailedRunLeavesOneDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{}
		a.serve = func(c callSeen) (int, string, http.Header) {
			switch c.Fn {
			case "shop-good":
				return http.StatusOK, `1`, nil
			case "shop-page":
				return http.StatusOK, `<html>`, nil
			case "shop-long":
				return ops(op("Sleep", "nap", `,"name":"3d"`))
			}
			return http.StatusInternalServerError, `{"name":"StripeError","message":"stripe: 503"}`, nil
		}
		p := newPawl(t, a, function("bad", "x", 4), function("good", "x", 4), function("page", "x", 1), function("long", "x", 4),
			`{"id":"shop-bad-failure","name":"bad (failure)","triggers":[{"event":"inngest/function.failed","expression":"event.data.function_id == 'shop-bad'"}],
			"steps":{"step":{"runtime":{"url":"http://app/api/inngest?fnId=shop-bad-failure&stepId=step"},"retries":{"attempts":0}}}}`)
		p.send(`{"name":"x"}`)
		time.Sleep(time.Second)
		for _, r := range p.runs() {
			if r.Function == "shop-long" {
				require.NoError(t, p.Cancel(t.Context(), r.ID))
			}
		}
		p.restart()
		time.Sleep(10 * time.Minute)
		require.Equal(t, 0, p.count(durable.Running))

		failed := map[string]durable.DeadLetter{}
		for _, l := range p.letters() {
			require.NotContains(t, failed, l.Function)
			failed[l.Function] = l.DeadLetter
		}
		require.Len(t, failed, 3, "none of the run that completed, none of the one that was cancelled")
		require.Equal(t, durable.ClassError, failed["shop-bad"].Class)
		require.Equal(t, "StripeError: stripe: 503", failed["shop-bad"].Title)
		require.Equal(t, 5, failed["shop-bad"].Attempts)
		require.Equal(t, durable.ClassProtocol, failed["shop-page"].Class)
		require.Equal(t, 1, failed["shop-bad-failure"].Attempts, "a failure handler that fails is a failed run too")
		require.Equal(t, 3, p.count(durable.Failed))
	})
}

func TestPoisonRunIsParkedWithAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{dies: true}
		p := newPawl(t, a, function("f", "x", 2))
		p.send(`{"name":"x"}`)
		time.Sleep(5 * time.Minute)
		p.wantStatus(0, durable.Failed)
		l := p.letters()[0]
		require.Equal(t, durable.ClassCrash, l.Class)
		require.Equal(t, "the app died or hung up on each of 3 tries: this run may be what kills it", l.Reason)
		require.Len(t, a.seen(), 3)
	})
}

func TestAppAwayForTooLongIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{away: true}
		p := newPawl(t, a, function("f", "x", 2))
		for i := range 3 {
			p.send(fmt.Sprintf(`{"name":"x","data":{"n":%d}}`, i))
		}
		time.Sleep(23 * time.Hour)
		p.restart()
		require.Empty(t, p.letters())
		time.Sleep(2 * time.Hour)
		letters := p.letters()
		require.Len(t, letters, 3)
		require.Equal(t, durable.ClassUnreachable, letters[0].Class)
		require.Contains(t, letters[0].Reason, "the app was away for 24h")
		groups, err := p.Letters().DeadGroups(t.Context(), store.GroupFilter{}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, groups, 1)
		require.Equal(t, 3, groups[0].Open)
	})
}

var errDied = io.EOF // what a transport says when a connection ends before the answer

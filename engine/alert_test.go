package engine_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
)

// told is a message as it comes to people.
type told struct {
	At     time.Time
	Text   string
	Alerts []struct {
		Kind, Object, Text, URL, Look string
		Count, Times                  int
		Run                           string `json:"run_id"`
	}
	More int
}

// phone gets messages.
type phone struct {
	mu    sync.Mutex
	got   []told
	off   bool
	tries []time.Time
}

func (p *phone) Post(_ context.Context, _ string, message []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries = append(p.tries, time.Now())
	if p.off {
		return errors.New("nobody answers")
	}
	m := told{At: time.Now()}
	if err := json.Unmarshal(message, &m, json.MatchCaseInsensitiveNames(true)); err != nil {
		return err
	}
	p.got = append(p.got, m)
	return nil
}

func (*phone) Close() {}

func (p *phone) turn(off bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = off
}

// messages are those that came since they were last asked for.
func (p *phone) messages() (list []told) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	list, p.got = p.got, nil
	return list
}

func newAlerting(t *testing.T, a *app, w durable.Watch, functions ...string) (*pawl, *phone) {
	t.Helper()
	ph := &phone{}
	p := newPawl(t, a, functions...)
	require.NoError(t, p.Close(t.Context()))
	p.alerts = engine.Alerts{Watch: w, To: ph, Site: "https://pawl.example/"}
	p.start()
	return p, ph
}

// refuses fails each run for good, with the text that its event has.
func refuses(c callSeen) (int, string, http.Header) {
	var data struct{ No string }
	_ = json.Unmarshal(c.Event.Data, &data, json.MatchCaseInsensitiveNames(true))
	return http.StatusBadRequest, `{"name":"Error","message":"` + data.No + `"}`, http.Header{"X-Inngest-No-Retry": {"true"}}
}

func broken(message string) string { return `{"name":"x","data":{"no":"` + message + `"}}` }

func TestPeopleAreToldOfDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ph := newAlerting(t, &app{serve: refuses}, durable.Watch{On: true}, function("f", "x", 0))
		p.send(broken("refused"))
		time.Sleep(durable.AlertGather - time.Second)
		require.Empty(t, ph.messages(), "others may come")
		p.send(broken("lost"))
		p.restart()
		time.Sleep(time.Second)
		list := ph.messages()
		require.Len(t, list, 1)
		require.Len(t, list[0].Alerts, 2)
		first := list[0].Alerts[0]
		require.Equal(t, "group", first.Kind)
		require.Contains(t, first.Text, "shop-f failed for good in a new way: refused")
		require.Equal(t, "https://pawl.example/dead-letters/"+first.Object, first.URL, "a link to the group")
		require.Equal(t, "pawl dlq list --group "+first.Object, first.Look)
		require.Contains(t, list[0].Text, first.Text+"\n  "+first.URL)
		g, err := p.Letters().DeadGroup(t.Context(), first.Object)
		require.NoError(t, err)
		require.Equal(t, g.Newest, first.Run)

		for range 300 {
			p.send(broken("refused"))
		}
		time.Sleep(time.Hour)
		list = ph.messages()
		require.Len(t, list, 1, "three hundred more are one message")
		require.Len(t, list[0].Alerts, 2)
		require.Equal(t, 10, list[0].Alerts[0].Count)
		require.Equal(t, 100, list[0].Alerts[1].Count)
		time.Sleep(100 * time.Hour)
		require.Empty(t, ph.messages())
	})
}

// What stands in an error is somebody's words: in a chat they call nobody, and disguise no link.
func TestAlertsHaveNoMarkupOfChats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ph := newAlerting(t, &app{serve: refuses}, durable.Watch{On: true}, function("f", "x", 0))
		const words = "<!channel> <https://evil.example|log in again> & @here, @channel"
		p.send(broken(words))
		time.Sleep(time.Minute)
		list := ph.messages()
		require.Len(t, list, 1)
		require.Contains(t, list[0].Text, "&lt;!channel&gt; &lt;https://evil.example|log in again&gt; &amp; @\u2060here, @\u2060channel")
		require.Contains(t, list[0].Alerts[0].Text, words, "programs get it as it is")
	})
}

func TestPeopleAreToldOfManyFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ph := newAlerting(t, &app{serve: refuses}, durable.Watch{Failures: 60}, function("f", "x", 0))
		for range 300 { // five hours at the pace that is allowed
			p.send(plainEvent(0))
			time.Sleep(time.Minute)
		}
		require.Empty(t, ph.messages())
		for range 3 * 60 { // an hour at three times the pace
			p.send(plainEvent(0))
			time.Sleep(20 * time.Second)
		}
		list := ph.messages()
		require.Len(t, list, 1, "once an hour at most")
		require.Equal(t, "failures", list[0].Alerts[0].Kind)
		require.Contains(t, list[0].Text, "more than 60 runs of shop-f fail for good in an hour")
		require.Equal(t, "https://pawl.example/runs?q=status%3Afailed+function%3Ashop-f", list[0].Alerts[0].URL)
		time.Sleep(time.Hour)
		list = ph.messages()
		require.Len(t, list, 1)
		require.Greater(t, list[0].Alerts[0].Times, 30, "and it says how often it came")
	})
}

func TestPeopleAreToldOfOldLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ph := newAlerting(t, &app{serve: refuses}, durable.Watch{}, function("f", "x", 0))
		p.send(plainEvent(0))
		failed := p.wantStatus(0, durable.Failed)
		time.Sleep(time.Hour)
		p.alerts.Age = 24 * time.Hour
		p.restart() // it is asked for when the letter is there already
		time.Sleep(23*time.Hour - time.Minute)
		require.Empty(t, ph.messages())
		time.Sleep(2 * time.Minute)
		list := ph.messages()
		require.Len(t, list, 1)
		require.Equal(t, "old", list[0].Alerts[0].Kind)
		require.Equal(t, failed.ID, list[0].Alerts[0].Run)
		time.Sleep(48 * time.Hour)
		require.Len(t, ph.messages(), 2, "once a day")
		require.NoError(t, p.Discard(t.Context(), failed.ID, "a test", "ann"))
		time.Sleep(100 * time.Hour)
		require.Empty(t, ph.messages())
	})
}

func TestPeopleAreToldOfCircuitsAndABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: func(callSeen) (int, string, http.Header) {
			return http.StatusBadGateway, "<html>", http.Header{"X-Inngest-Sdk": nil}
		}}
		p, ph := newAlerting(t, a, durable.Watch{On: true}, function("f", "x", 20))
		require.NoError(t, p.Close(t.Context()))
		p.most.Runs = 20
		p.start()
		p.send(repeat(20, plainEvent))
		time.Sleep(time.Minute)
		list := ph.messages()
		require.Len(t, list, 1)
		require.Equal(t, "circuit", list[0].Alerts[0].Kind)
		require.Equal(t, "shop", list[0].Alerts[0].Object)
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts}, "ann", ""))
		for range 5 * 60 { // five minutes
			_ = p.trySend(repeat(20, plainEvent))
			time.Sleep(time.Second)
		}
		list = ph.messages()
		require.Len(t, list, 1)
		require.Equal(t, "backlog", list[0].Alerts[0].Kind)
		require.Contains(t, list[0].Text, "events are refused: ")
	})
}

// What nobody takes is offered again, ever less often, over restarts, for a day.
func TestAlertsAreOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ph := newAlerting(t, &app{serve: refuses}, durable.Watch{On: true}, function("f", "x", 0))
		ph.turn(true)
		p.send(plainEvent(0))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Len(t, ph.tries, 4)
		p.restart()
		ph.turn(false)
		time.Sleep(30 * time.Minute)
		list := ph.messages()
		require.Len(t, list, 1)
		require.Equal(t, "group", list[0].Alerts[0].Kind)

		ph.turn(true)
		p.send(`{"name":"x"}`)
		require.NoError(t, p.Discard(t.Context(), p.wantStatus(0, durable.Failed).ID, "x", ""))
		require.NoError(t, p.Discard(t.Context(), p.wantStatus(1, durable.Failed).ID, "x", ""))
		p.send(`{"name":"x"}`) // the group is new once more
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		tries := len(ph.tries)
		require.Less(t, tries, 40)
		ph.turn(false)
		time.Sleep(30 * time.Hour)
		require.Empty(t, ph.messages(), "a day later it is no news")
		require.Len(t, ph.tries, tries)
		u, err := p.opened.Untold(t.Context(), time.Now(), 10)
		require.NoError(t, err)
		require.Empty(t, u.Alerts)
	})
}

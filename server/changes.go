package server

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/redact"
)

// GET /v1/changes is one stream of all that changes, as server-sent events, for
// pages that are open. It begins with the event "hello"; whoever gets it a second
// time, on a new connection, may have missed something and reads anew, and so does who
// has read before something changed. Then come
// events "news", at most one each newsPause, with the runs that have changed and
// with the words for what else has to be read again.
const (
	newsPause = 150 * time.Millisecond
	// goneAfter is how long a reader may take for what was written before it is
	// given up: a page that comes back connects again.
	goneAfter = 20 * time.Second
	// longestFollow is how long one connection follows.
	longestFollow = 30 * time.Minute
)

// rowView is a run in a list: without what it returned.
type rowView struct {
	RunID      string     `json:"run_id"`
	Function   string     `json:"function"` // slug
	App        string     `json:"app"`
	Status     string     `json:"status"` // Queued, Running, Completed, Failed, Cancelled or Skipped
	EventID    string     `json:"event_id"`
	EventName  string     `json:"event_name"`
	QueuedAt   time.Time  `json:"queued_at"`
	StartedAt  *time.Time `json:"started_at"`
	EndedAt    *time.Time `json:"ended_at"`
	Problem    string     `json:"problem,omitzero"` // why it failed, in a line
	OriginalID string     `json:"original_run_id,omitzero"`
	Cron       string     `json:"cron,omitzero"`
	ParentID   string     `json:"parent_run_id,omitzero"` // that invoked it, also when it is gone
	// Of searches alone: the function that invoked it, and its event's data, unless
	// that is long.
	ParentFunction string         `json:"parent_function,omitzero"`
	Data           jsontext.Value `json:"data,omitzero"`
}

func viewRow(r *durable.Run) rowView {
	v := rowView{
		RunID: r.ID, Function: r.Function, App: r.App, Status: r.Status.String(), QueuedAt: r.Queued.UTC(),
		StartedAt: timeOrNull(r.Started), EndedAt: timeOrNull(r.Ended), OriginalID: r.Original, Cron: r.Cron,
	}
	if len(r.Events) > 0 {
		v.EventID, v.EventName = r.Events[0].ID, r.Events[0].Name
	}
	if by := r.Waiting(); len(by) > 0 {
		v.ParentID = by[0].Run
	}
	if r.Status == durable.Failed {
		v.Problem = engine.Brief(r.Output)
	}
	return v
}

func viewNews(n engine.RunNews) changedView {
	return changedView{
		rowView: rowView{
			RunID: n.ID, Function: n.Function, App: n.App, Status: n.Status.String(), EventID: n.EventID, EventName: n.EventName,
			QueuedAt: n.Queued.UTC(), StartedAt: timeOrNull(n.Started), EndedAt: timeOrNull(n.Ended), Problem: n.Problem,
			OriginalID: n.Original, Cron: n.Cron, ParentID: n.Parent,
		},
		Seq: n.Seq,
	}
}

// changedView is a run that has changed.
type changedView struct {
	rowView
	Seq int `json:"seq"` // entries in its journal
}

// newsView is one event of the stream.
type newsView struct {
	Runs  []changedView `json:"runs"`
	Stale []string      `json:"stale"` // runs, events, letters, apps, controls, counts, metadata; unnamed: runs that are not in runs
}

// topics are the words for what has to be read again.
var topics = []struct {
	is   engine.Topic
	word string
}{
	{engine.TopicRuns, "runs"},
	{engine.TopicEvents, "events"},
	{engine.TopicLetters, "letters"},
	{engine.TopicApps, "apps"},
	{engine.TopicControls, "controls"},
	{engine.TopicCounts, "counts"},
	{engine.TopicMetadata, "metadata"},
	{engine.TopicUnnamed, "unnamed"},
}

type helloView struct {
	Version string `json:"version"`
	// QuietMS is for how long nothing has changed, in milliseconds: who has read since
	// then has missed nothing.
	QuietMS int64 `json:"quiet_ms"`
}

// mostPages is how many connections one person or token may follow by at once, so that
// nobody takes them from all others.
const mostPages = 32

const tooManyPages = "you follow this server with 32 pages already; close some of them"

// watcher is who follows; "" is a program that holds every key.
func watcher(r *http.Request) string {
	id, _ := identified(r)
	return cmp.Or(id.person, id.name)
}

// watchers counts the connections of each who follows.
type watchers struct {
	mu sync.Mutex
	of map[string]int
}

// enter counts one more of who, until what it returns is called; nil means that there are
// as many as may be.
func (ws *watchers) enter(who string) (leave func()) {
	if who == "" {
		return func() {}
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.of[who] >= mostPages {
		return nil
	}
	if ws.of == nil {
		ws.of = map[string]int{}
	}
	ws.of[who]++
	return func() {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		if ws.of[who]--; ws.of[who] == 0 {
			delete(ws.of, who)
		}
	}
}

func (s *Server) changes(w http.ResponseWriter, r *http.Request, _ []byte) {
	if q := readQuery(r); q.refused(w) {
		return
	}
	rung, may := s.people.rung(), s.admitted(r)
	if !may(r.Context()) {
		s.askForKey(w, r)
		return
	}
	leave := s.watchers.enter(watcher(r))
	if leave == nil {
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusTooManyRequests, tooManyPages)
		return
	}
	defer leave()
	follower, err := s.eng.Follow()
	if err != nil {
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer follower.Close()
	st := stream{rc: http.NewResponseController(w), w: w, rules: s.rules}
	st.open()
	if r.Method == http.MethodHead || !st.event("hello", helloView{s.version, s.eng.Quiet().Milliseconds()}) {
		return
	}
	over := time.NewTimer(stay(r, longestFollow))
	defer over.Stop()
	beat := time.NewTicker(s.keepAlive)
	defer beat.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-follower.Wake():
		case <-beat.C:
			if !may(r.Context()) || !st.put(":\n\n") {
				return
			}
			continue
		case <-rung:
			if rung = s.people.rung(); !may(r.Context()) {
				return
			}
			continue
		case <-over.C:
			return
		case <-s.draining.Done():
			return
		case <-r.Context().Done():
			return
		}
		select { // what comes shortly after comes with it
		case <-pause.C:
		case <-r.Context().Done():
			return
		}
		runs, stale := follower.Take()
		if !st.event("news", viewAll(runs, stale)) {
			return
		}
		pause.Reset(newsPause)
	}
}

func viewAll(runs []engine.RunNews, stale engine.Topic) newsView {
	v := newsView{Runs: make([]changedView, len(runs)), Stale: []string{}}
	slices.SortFunc(runs, func(a, b engine.RunNews) int { return strings.Compare(a.ID, b.ID) })
	for i, n := range runs {
		v.Runs[i] = viewNews(n)
	}
	for _, t := range topics {
		if stale&t.is != 0 {
			v.Stale = append(v.Stale, t.word)
		}
	}
	return v
}

// stream writes server-sent events.
type stream struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	rules redact.Rules // of redaction, which hold here as in any answer
}

func (x stream) open() {
	h := x.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h["Cache-Control"] = noStore
	h.Set("X-Accel-Buffering", "no")
	x.w.WriteHeader(http.StatusOK)
}

func (x stream) event(name string, data any) bool {
	b, err := json.Marshal(data, marshalOptions)
	if err == nil && x.rules.Any() {
		b, err = x.rules.JSON(b)
	}
	return err == nil && x.put("event: "+name+"\ndata: "+string(b)+"\n\n")
}

func (x stream) put(text string) bool {
	_ = x.rc.SetWriteDeadline(time.Now().Add(goneAfter)) // recorders in tests have none
	if _, err := x.w.Write([]byte(text)); err != nil {
		return false
	}
	return x.rc.Flush() == nil
}

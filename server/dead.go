package server

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// letterRoutes are those of dead letters.
var letterRoutes = []route{
	{method: "GET", pattern: "/v1/dead-letters", who: signingKey, serve: (*Server).listLetters},
	{method: "GET", pattern: "/v1/dead-letters/groups", who: signingKey, serve: (*Server).listLetterGroups},
	{method: "GET", pattern: "/v1/dead-letters/groups/{fingerprint}", who: signingKey, serve: (*Server).showLetterGroup},
	{method: "POST", pattern: "/v1/dead-letters/retry", who: signingKey, mark: act, key: takesKey, serve: (*Server).retryLetters, body: maxLetterBody, json: true},
	{method: "POST", pattern: "/v1/dead-letters/discard", who: signingKey, mark: act, key: takesKey, serve: (*Server).discardLetters, body: maxLetterBody, json: true},
	{method: "GET", pattern: "/v1/dead-letters/jobs", who: signingKey, serve: (*Server).listRetryJobs},
	{method: "GET", pattern: "/v1/dead-letters/jobs/{id}", who: signingKey, serve: (*Server).showRetryJob},
	{method: "GET", pattern: "/v1/dead-letters/jobs/{id}/runs", who: signingKey, serve: (*Server).listRetriedRuns},
	{method: "DELETE", pattern: "/v1/dead-letters/jobs/{id}", who: signingKey, mark: act, key: sameAgain, serve: (*Server).stopRetryJob},
	{method: "GET", pattern: "/v1/dead-letters/{run}", who: signingKey, serve: (*Server).showLetter},
	{method: "POST", pattern: "/v1/dead-letters/{run}/{action}", who: signingKey, mark: act, key: takesKey, serve: (*Server).actOnLetter, body: maxLetterBody, json: true, lets: true},

	{method: "POST", pattern: "/v1/runs/{run}/rerun", who: signingKey, mark: act, key: takesKey, serve: (*Server).rerun, body: maxLetterBody, json: true, lets: true},
}

// letterView is a dead letter in the API.
type letterView struct {
	RunID       string        `json:"run_id"`
	Function    string        `json:"function"` // slug
	App         string        `json:"app"`
	EventID     string        `json:"event_id"`
	EventName   string        `json:"event_name"`
	Class       durable.Class `json:"class"`
	Fingerprint string        `json:"fingerprint"`
	Title       string        `json:"title"`
	Reason      string        `json:"reason"`
	Step        string        `json:"step"` // name; "" for the function's body
	Attempts    int           `json:"attempts"`
	FailedAt    time.Time     `json:"failed_at"`
	State       string        `json:"state"` // open, retried or discarded
	ClosedAt    *time.Time    `json:"closed_at"`
	RetriedAs   string        `json:"retried_as,omitzero"`      // id of the run
	RetryOf     string        `json:"retry_of,omitzero"`        // id of the run that its run repeats, which failed as well
	Job         string        `json:"job,omitzero"`             // id of the job that retried or discarded it
	EditedID    string        `json:"edited_event_id,omitzero"` // of the event that it was retried with
	Discarded   string        `json:"discard_reason,omitzero"`
	Note        string        `json:"note,omitzero"`
}

func viewLetter(l store.Letter) letterView {
	return letterView{
		RunID: l.Run, Function: l.Function, App: l.App, EventID: l.Event.ID, EventName: l.Event.Name,
		Class: l.Class, Fingerprint: l.Fingerprint, Title: l.Title, Reason: l.Reason, Step: l.Step, Attempts: l.Attempts,
		FailedAt: l.Failed.UTC(), State: l.State.String(), ClosedAt: timeOrNull(l.Closed),
		RetriedAs: l.RetriedAs, RetryOf: l.Of, Job: l.Job, EditedID: l.Edited, Discarded: l.Why, Note: l.Note,
	}
}

// letterGroupView is a group of dead letters that look alike.
type letterGroupView struct {
	Fingerprint string        `json:"fingerprint"`
	Function    string        `json:"function"` // slug
	App         string        `json:"app"`
	Class       durable.Class `json:"class"`
	Title       string        `json:"title"` // of all of them; "…" stands for what differs
	Open        int           `json:"open"`
	Retried     int           `json:"retried"`
	Discarded   int           `json:"discarded"`
	FirstAt     time.Time     `json:"first_failed_at"`
	LastAt      time.Time     `json:"last_failed_at"`
	NewestRun   string        `json:"newest_run_id"`
	Cursor      string        `json:"cursor"` // of the next page, if this is the last row
}

func viewLetterGroup(g store.LetterGroup) letterGroupView {
	return letterGroupView{
		Fingerprint: g.Fingerprint, Function: g.Function, App: g.App, Class: g.Class, Title: g.Title,
		Open: g.Open, Retried: g.Retried, Discarded: g.Discarded,
		FirstAt: g.First.UTC(), LastAt: g.Last.UTC(), NewestRun: g.Newest, Cursor: g.Cursor(),
	}
}

// letterDetail is a dead letter with all that is known about its run.
type letterDetail struct {
	letterView
	Group       letterGroupView `json:"group"`
	Run         runView         `json:"run"`
	Event       eventView       `json:"event"`
	EditedEvent *eventView      `json:"edited_event,omitzero"`
	Steps       []stepView      `json:"steps"`
}

func (s *Server) listLetters(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	page := q.page(20, 200)
	filter := q.letters()
	if q.refused(w) {
		return
	}
	if page.Cursor != "" {
		if _, err := s.eng.Letters().DeadLetter(r.Context(), page.Cursor); err != nil {
			s.failWith(w, r, err, "cursor must be the run_id of the last row; there is no dead letter of run "+page.Cursor)
			return
		}
	}
	list, err := s.eng.Letters().DeadLetters(r.Context(), filter, page)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	views := make([]letterView, len(list))
	for i, l := range list {
		views[i] = viewLetter(l)
	}
	s.reply(w, views)
}

func (s *Server) listLetterGroups(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	page := store.Page{Limit: q.number("limit", 20, 1, 200), Cursor: q.get("cursor")}
	filter := store.GroupFilter{Function: q.get("function"), Class: q.class()}
	switch q.get("state") {
	case "", store.Open.String():
	case anyState:
		filter.Closed = true
	default:
		q.refuse("state must be open, for groups with an open letter, or all")
	}
	if q.refused(w) {
		return
	}
	list, err := s.eng.Letters().DeadGroups(r.Context(), filter, page)
	if err != nil {
		s.failWith(w, r, err, "cursor must be that of the last row")
		return
	}
	views := make([]groupTrendView, len(list))
	now := time.Now()
	for i, g := range list {
		if views[i], err = s.withTrend(r, g, now); err != nil {
			s.failWith(w, r, err, "")
			return
		}
	}
	s.reply(w, views)
}

func noLetter(run string) string {
	return "There is no dead letter of run " + printable(run) + ": only runs that failed for good have one"
}

func (s *Server) showLetter(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.PathValue("run")
	l, err := s.eng.Letters().DeadLetter(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noLetter(id))
		return
	}
	d := letterDetail{letterView: viewLetter(l)}
	group, err := s.eng.Letters().DeadGroup(r.Context(), l.Fingerprint)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	d.Group = viewLetterGroup(group)
	steps, err := s.loadSteps(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	d.Run, d.Steps = steps.Run, steps.Steps
	e, err := s.eng.History().Event(r.Context(), l.Event.ID)
	if err != nil {
		s.failWith(w, r, err, noEvent(l.Event.ID))
		return
	}
	d.Event = viewEvent(e)
	if l.Edited != "" {
		edited, err := s.eng.History().Event(r.Context(), l.Edited)
		if err != nil {
			s.failWith(w, r, err, noEvent(l.Edited))
			return
		}
		v := viewEvent(edited)
		d.EditedEvent = &v
	}
	s.reply(w, d)
}

// anyState chooses letters whatever became of them.
const anyState = "all"

// letters reads a filter of letters; open ones, unless something else is asked
// for.
func (q *query) letters() store.LetterFilter {
	f := store.LetterFilter{
		Function: q.get("function"), Class: q.class(), Fingerprint: q.get("fingerprint"),
		After: q.time("failed_after", time.Time{}), Before: q.time("failed_before", time.Time{}),
	}
	switch text := q.get("state"); text {
	case anyState:
	case "":
		f.State = new(store.LetterState)
	default:
		state, ok := store.ParseLetterState(text)
		if !ok {
			q.refuse("state must be open, retried, discarded or all")
		}
		f.State = &state
	}
	return f
}

func (q *query) class() durable.Class {
	c := durable.Class(q.get("class"))
	if c != "" && !slices.Contains(durable.Classes, c) {
		q.refuse("class must be one of " + classes())
	}
	return c
}

// classes are the words for what kinds of failure there are.
func classes() string {
	words := make([]string, len(durable.Classes))
	for i, c := range durable.Classes {
		words[i] = string(c)
	}
	return strings.Join(words, ", ")
}

package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// runV2 is a run in the v2 API.
type runV2 struct {
	ID            string        `json:"id"`
	App           refV2         `json:"app"`
	Function      functionRefV2 `json:"function"`
	Status        string        `json:"status"` // QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED or SKIPPED
	QueuedAt      time.Time     `json:"queuedAt,omitzero"`
	StartedAt     time.Time     `json:"startedAt,omitzero"`
	EndedAt       time.Time     `json:"endedAt,omitzero"`
	DurationMs    int64         `json:"durationMs,omitzero,string"` // from start to end
	Trigger       triggeredV2   `json:"trigger"`
	OriginalRunID string        `json:"originalRunId,omitzero"` // the run that this one repeats
	Output        *resultV2     `json:"output,omitzero"`        // when it is asked for
}

type refV2 struct {
	ID string `json:"id"`
}

type functionRefV2 struct {
	ID   string `json:"id"` // without the app's prefix
	Name string `json:"name,omitzero"`
}

// triggeredV2 says what started a run.
type triggeredV2 struct {
	EventIDs     []string `json:"eventIds,omitzero"`
	IsBatch      bool     `json:"isBatch,omitzero"`
	BatchID      string   `json:"batchId,omitzero"` // the run's own id: a batch has one run
	CronSchedule string   `json:"cronSchedule,omitzero"`
}

// resultV2 is how a run or a step ended: one of the two is set.
type resultV2 struct {
	Data  jsontext.Value `json:"data,omitzero"`
	Error jsontext.Value `json:"error,omitzero"`
}

// shortID is a function's id without its app's prefix.
func shortID(app, slug string) string { return strings.TrimPrefix(slug, app+"-") }

func (s *Server) viewRunV2(ctx context.Context, r *durable.Run, output bool) runV2 {
	v := runV2{
		ID: r.ID, App: refV2{r.App}, Function: functionRefV2{ID: shortID(r.App, r.Function)},
		Status: strings.ToUpper(r.Status.String()), QueuedAt: r.Queued.UTC(), StartedAt: r.Started.UTC(), EndedAt: r.Ended.UTC(),
		DurationMs: lasted(r.Started, r.Ended), OriginalRunID: r.Original,
		Trigger: triggeredV2{CronSchedule: r.Cron},
	}
	if s.eng.Batched(ctx, r) {
		v.Trigger.IsBatch, v.Trigger.BatchID = true, r.ID
	}
	if f, ok := s.eng.Function(r.Function); ok {
		v.Function.Name = f.Name
	}
	for _, e := range r.Events {
		v.Trigger.EventIDs = append(v.Trigger.EventIDs, e.ID)
	}
	if output {
		v.Output = result(r)
	}
	return v
}

// lasted is a duration in milliseconds, 0 unless it has begun and ended.
func lasted(from, to time.Time) int64 {
	if from.IsZero() || to.Before(from) {
		return 0
	}
	return to.Sub(from).Milliseconds()
}

// result is how a run ended, or nil.
func result(r *durable.Run) *resultV2 {
	switch r.Status {
	case durable.Completed, durable.Skipped:
		return &resultV2{Data: readable(r.Output)}
	case durable.Failed:
		return &resultV2{Error: readable(r.Output)}
	default:
		return nil
	}
}

func noRunV2(id string) string { return "Run not found: " + printable(id) }

func (s *Server) listRunsV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	f := store.RunFilter{Deferred: q.flag("isDeferred")}
	app, function := q.get("appId"), q.get("functionId")
	switch {
	case function != "" && app == "":
		refuseV2(w, http.StatusBadRequest, codeMissing, "functionId needs appId: the id of a function is unique in its app")
		return
	case app != "":
		f.Functions = s.functionsOf(app, function)
	}
	s.replyRunsV2(w, r, &q, f)
}

// functionsOf are the slugs of an app's functions, also of those that it does
// not serve any more; with id, of that one only.
func (s *Server) functionsOf(app, id string) []string {
	slugs := []string{}
	for _, f := range s.eng.Functions(app) {
		if id == "" || shortID(app, f.Slug) == id {
			slugs = append(slugs, f.Slug)
		}
	}
	return slugs
}

func (s *Server) runsOfFunctionV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	f, ok := s.function(w, r)
	if !ok {
		return
	}
	q := readQuery(r)
	s.replyRunsV2(w, r, &q, store.RunFilter{Functions: []string{f.Slug}})
}

// replyRunsV2 answers with the page of the runs of f that the parameters ask
// for.
func (s *Server) replyRunsV2(w http.ResponseWriter, r *http.Request, q *query, f store.RunFilter) {
	l := s.listing(q, r.URL, 20, 100)
	output := q.flag("includeOutput")
	f.From, f.Until = q.time("from", time.Time{}), q.time("until", time.Time{})
	f.Time = q.timeField()
	f.Statuses = q.statuses()
	p := store.Page{Limit: l.limit + 1, Cursor: l.after.ID, At: l.after.time(), Oldest: q.oldest()}
	if q.refusedV2(w) {
		return
	}
	runs, err := s.eng.History().Runs(r.Context(), f, p)
	if err != nil {
		s.failWithV2(w, r, err, "")
		return
	}
	runs, page := cut(l, runs, func(r *durable.Run) place {
		return place{[...]time.Time{store.ByQueued: r.Queued, store.ByStarted: r.Started, store.ByEnded: r.Ended}[f.Time].UnixMicro(), r.ID}
	})
	s.replyPageV2(w, http.StatusOK, s.viewRunsV2(r.Context(), runs, output != nil && *output), page)
}

func (s *Server) viewRunsV2(ctx context.Context, runs []*durable.Run, output bool) []runV2 {
	views := make([]runV2, len(runs))
	for i, r := range runs {
		views[i] = s.viewRunV2(ctx, r, output)
	}
	return views
}

func (s *Server) runsOfEventV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	l := s.listing(&q, r.URL, 20, 40)
	output := q.flag("includeOutput")
	if q.refusedV2(w) {
		return
	}
	id := r.PathValue("event")
	if _, err := s.eng.History().Event(r.Context(), id); err != nil {
		s.failWithV2(w, r, err, noEvent(id))
		return
	}
	runs, err := s.eng.History().Runs(r.Context(), store.RunFilter{Event: id}, store.Page{Limit: l.limit + 1, Cursor: l.after.ID})
	if err != nil {
		s.failWithV2(w, r, err, "")
		return
	}
	runs, page := cut(l, runs, func(r *durable.Run) place { return place{ID: r.ID} })
	s.replyPageV2(w, http.StatusOK, s.viewRunsV2(r.Context(), runs, output != nil && *output), page)
}

// runOfPath is the run that a path names, and whether its output is asked for;
// not ok when it has answered.
func (s *Server) runOfPath(w http.ResponseWriter, r *http.Request) (run *durable.Run, output, ok bool) {
	q := readQuery(r)
	asked := q.flag("includeOutput")
	if q.refusedV2(w) {
		return nil, false, false
	}
	id := r.PathValue("run")
	run, err := s.eng.History().Run(r.Context(), id)
	if err != nil {
		s.failWithV2(w, r, err, noRunV2(id))
		return nil, false, false
	}
	return run, asked != nil && *asked, true
}

func (s *Server) showRunV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	if run, output, ok := s.runOfPath(w, r); ok {
		s.replyV2(w, s.viewRunV2(r.Context(), run, output))
	}
}

// cancelRunV2 cancels a run and answers with it.
func (s *Server) cancelRunV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.PathValue("run")
	cancelled := s.eng.Cancel(r.Context(), id, s.actor(r))
	if cancelled != nil && !errors.Is(cancelled, durable.ErrEnded) {
		s.failWithV2(w, r, cancelled, noRunV2(id))
		return
	}
	run, err := s.eng.History().Run(r.Context(), id)
	switch {
	case err != nil:
		s.failWithV2(w, r, err, noRunV2(id))
	case cancelled == nil:
		s.replyV2(w, s.viewRunV2(r.Context(), run, false))
	case run.Status == durable.Cancelled:
		refuseV2(w, http.StatusConflict, codeCancelled, "Run is already cancelled")
	default:
		refuseV2(w, http.StatusConflict, codeEnded, "Cannot cancel an ended run")
	}
}

// rerunV2 starts a run anew. Source: spec/12 §6.
func (s *Server) rerunV2(w http.ResponseWriter, r *http.Request, body []byte) {
	var in rerunIn
	if message := readStrict(body, &in); message != "" {
		refuseV2(w, http.StatusBadRequest, codeInvalid, message)
		return
	}
	from, wrong := in.FromStep.from()
	if wrong != "" {
		refuseV2(w, http.StatusBadRequest, codeMissing, wrong)
		return
	}
	id := r.PathValue("run")
	key, message := once(r, "rerun/"+id, body)
	if message != "" {
		refuseV2(w, http.StatusBadRequest, codeFormat, message)
		return
	}
	run, err := s.eng.Rerun(r.Context(), id, engine.Rerun{
		From: from, Data: in.Data.Clone(),
		Once: key, Reply: func(run string) []byte { return []byte(run) }, By: s.actor(r),
	})
	if s.inTheWayV2(w, r, err) {
		return
	}
	if replayedV2(w, err, func(e store.KeyEntry) { s.replyV2(w, invokedV2{string(e.Reply)}) }) {
		return
	}
	if refused, ok := errors.AsType[*engine.RerunError](err); ok {
		refuseV2(w, http.StatusBadRequest, codeInvalid, refused.Message)
		return
	}
	if err != nil {
		s.failWithV2(w, r, err, noRunV2(id))
		return
	}
	s.replyV2(w, invokedV2{run})
}

func (q *query) timeField() store.RunTime {
	switch q.get("timeField") {
	case "", "queuedAt":
	case "startedAt":
		return store.ByStarted
	case "endedAt":
		return store.ByEnded
	default:
		q.refuse("timeField must be queuedAt, startedAt or endedAt")
	}
	return store.ByQueued
}

func (q *query) oldest() bool {
	switch q.get("order") {
	case "", "desc":
	case "asc":
		return true
	default:
		q.refuse("order must be asc or desc")
	}
	return false
}

// statuses are those of a list, nil when it is for all.
func (q *query) statuses() []durable.Status {
	var list []durable.Status
	q.known = append(q.known, "status") // may be given more than once
	for _, text := range q.values["status"] {
		switch status, ok := durable.ParseStatus(text); {
		case ok && !slices.Contains(list, status):
			list = append(list, status)
		case !ok:
			q.refuse("status must be QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED or SKIPPED")
		}
	}
	return list
}

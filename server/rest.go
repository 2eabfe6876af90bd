package server

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// The one account and the one environment there are. Source: spec/12 §1.
const (
	accountID     = "00000000-0000-4000-a000-000000000000"
	environmentID = "00000000-0000-4000-b000-000000000000"
)

// eventView is an event in the v1 API.
type eventView struct {
	InternalID    string         `json:"internal_id"`
	AccountID     string         `json:"account_id"`
	EnvironmentID string         `json:"environment_id"`
	Source        string         `json:"source"`
	SourceID      *string        `json:"source_id"`
	ReceivedAt    time.Time      `json:"received_at"`
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Data          jsontext.Value `json:"data"`
	User          jsontext.Value `json:"user,omitzero"`
	Timestamp     int64          `json:"ts"`
	V             string         `json:"v,omitzero"`
}

// eventDetail is an event with what has not become of it yet.
type eventDetail struct {
	eventView
	Waits []eventWaitView `json:"waits"` // for which functions it waits for other events
}

// For what an event waits.
const (
	waitDebounce = "debounce" // for none to come that takes its place
	waitBatch    = "batch"    // for its batch to be full
)

// eventWaitView is a function for which an event waits for others.
type eventWaitView struct {
	Function string    `json:"function"`
	For      string    `json:"for"`   // debounce or batch
	Until    time.Time `json:"until"` // when its run starts, if nothing changes that
}

func viewEvent(e durable.Event) eventView {
	v := eventView{
		InternalID: e.ID, AccountID: accountID, EnvironmentID: environmentID, ReceivedAt: e.Received.UTC(),
		ID: e.Key, Name: e.Name, Data: jsontext.Value("null"), Timestamp: e.At.UnixMilli(),
	}
	if v.ID == "" {
		v.ID = e.ID
	}
	for name, value := range members(e.Body) {
		switch name {
		case "data":
			v.Data = value
		case "user":
			if string(value) != "{}" {
				v.User = value
			}
		case "v":
			b, _ := jsontext.AppendUnquote(nil, value) // only a string gets stored
			v.V = string(b)
		}
	}
	return v
}

// runView is a run in the v1 API. Function to QueuedAt are Pawl's own.
type runView struct {
	RunID           string         `json:"run_id"`
	StartedAt       *time.Time     `json:"run_started_at"`
	FunctionID      string         `json:"function_id"`
	FunctionVersion int            `json:"function_version"`
	EnvironmentID   string         `json:"environment_id"`
	EventID         string         `json:"event_id"`
	BatchID         string         `json:"batch_id,omitzero"`        // the run's own id: a batch has one run
	Cron            string         `json:"cron,omitzero"`            // of the schedule that started it
	OriginalRunID   string         `json:"original_run_id,omitzero"` // the first run that this one repeats
	Status          string         `json:"status"`
	EndedAt         *time.Time     `json:"ended_at"`
	Output          jsontext.Value `json:"output"`
	Function        string         `json:"function"` // slug
	App             string         `json:"app"`
	EventName       string         `json:"event_name"`
	QueuedAt        time.Time      `json:"queued_at"`
	Metadata        []noteView     `json:"metadata,omitzero"` // of one run that is asked for
}

func (s *Server) viewRun(ctx context.Context, r *durable.Run) runView {
	v := runView{
		RunID: r.ID, StartedAt: timeOrNull(r.Started), FunctionVersion: r.Version, EnvironmentID: environmentID,
		Status: statusWord(r.Status), EndedAt: timeOrNull(r.Ended), Output: readable(r.Output),
		Function: r.Function, App: r.App, QueuedAt: r.Queued.UTC(), OriginalRunID: r.Original, Cron: r.Cron,
	}
	if s.eng.Batched(ctx, r) {
		v.BatchID = r.ID
	}
	if f, ok := s.eng.Function(r.Function); ok {
		v.FunctionID = f.ID
	}
	if len(r.Events) > 0 {
		v.EventID, v.EventName = r.Events[0].ID, r.Events[0].Name
	}
	return v
}

// viewWhole is a run with its metadata.
func (s *Server) viewWhole(ctx context.Context, r *durable.Run) (runView, error) {
	v := s.viewRun(ctx, r)
	notes, err := s.eng.History().Metadata(ctx, r.ID)
	v.Metadata = viewNotes(notes)
	return v, err
}

// damaged stands for a stored payload that is no JSON any more.
const damaged = `"(the stored value is damaged)"`

// readable is a stored payload as an answer may carry it, so that one damaged
// record does not spoil the list that it is in. Nothing is null.
func readable(v jsontext.Value) jsontext.Value {
	switch {
	case len(v) == 0:
		return jsontext.Value("null")
	case !v.IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)):
		return jsontext.Value(damaged)
	}
	return v
}

func (s *Server) viewRuns(ctx context.Context, runs []*durable.Run) []runView {
	views := make([]runView, len(runs))
	for i, r := range runs {
		views[i] = s.viewRun(ctx, r)
	}
	return views
}

// scheduled is the API's word for a queued run.
const scheduled = "Scheduled"

func statusWord(s durable.Status) string {
	if s == durable.Queued {
		return scheduled
	}
	return s.String()
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (s *Server) listEvents(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	page := q.page(20, 51)
	filter := store.EventFilter{
		Name:   q.get("name"),
		After:  q.time("received_after", time.Now().Add(-time.Hour)),
		Before: q.time("received_before", time.Time{}),
	}
	if q.refused(w) {
		return
	}
	events, err := s.eng.History().Events(r.Context(), filter, page)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	views := make([]eventView, len(events))
	for i, e := range events {
		views[i] = viewEvent(e)
	}
	s.reply(w, views)
}

// What is missing is told in the words that callers of the protocol's API know,
// and by its name.
func noEvent(id string) string { return "Event not found: " + printable(id) }

func (s *Server) showEvent(w http.ResponseWriter, r *http.Request, _ []byte) {
	e, err := s.eng.History().Event(r.Context(), r.PathValue("event"))
	if err != nil {
		s.failWith(w, r, err, noEvent(r.PathValue("event")))
		return
	}
	waits, err := s.eng.ParkedFor(r.Context(), e.ID)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	v := eventDetail{eventView: viewEvent(e)}
	for _, p := range waits {
		kind := waitDebounce
		if p.Batch {
			kind = waitBatch
		}
		v.Waits = append(v.Waits, eventWaitView{p.Function, kind, p.Until.UTC()})
	}
	s.reply(w, v)
}

// mostRuns bounds the runs of one event that are listed.
const mostRuns = 400

func (s *Server) runsOfEvent(w http.ResponseWriter, r *http.Request, _ []byte) {
	if q := readQuery(r); q.refused(w) {
		return
	}
	id := r.PathValue("event")
	if _, err := s.eng.History().Event(r.Context(), id); err != nil {
		s.failWith(w, r, err, noEvent(id))
		return
	}
	runs, err := s.eng.History().Runs(r.Context(), store.RunFilter{Event: id}, store.Page{Limit: mostRuns})
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	s.reply(w, s.viewRuns(r.Context(), runs))
}

// runFilter chooses by function and status, if they are given.
func runFilter(function string, status *durable.Status) (f store.RunFilter) {
	if function != "" {
		f.Functions = []string{function}
	}
	if status != nil {
		f.Statuses = []durable.Status{*status}
	}
	return f
}

func (s *Server) listRuns(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	page := q.page(20, 200)
	filter := runFilter(q.get("function"), q.status())
	if q.refused(w) {
		return
	}
	runs, err := s.eng.History().Runs(r.Context(), filter, page)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	s.reply(w, s.viewRuns(r.Context(), runs))
}

func (s *Server) showRun(w http.ResponseWriter, r *http.Request, _ []byte) {
	id, ok := runID(w, r)
	if !ok {
		return
	}
	run, err := s.eng.History().Run(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	v, err := s.viewWhole(r.Context(), run)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	s.reply(w, v)
}

// runID is the run that a path names, unless that cannot be one: then it has
// answered.
func runID(w http.ResponseWriter, r *http.Request) (id string, ok bool) {
	id = r.PathValue("run")
	if _, err := ulid.ParseStrict(id); err != nil {
		fail(w, http.StatusBadRequest, "Invalid run ID: "+printable(id))
		return "", false
	}
	return id, true
}

func noRun(id string) string { return "Unable to load function run: " + printable(id) }

// cancelRun cancels. To cancel what has ended changes nothing and is no mistake.
func (s *Server) cancelRun(w http.ResponseWriter, r *http.Request, _ []byte) {
	id, ok := runID(w, r)
	if !ok {
		return
	}
	if err := s.eng.Cancel(r.Context(), id, s.actor(r)); err != nil && !errors.Is(err, durable.ErrEnded) {
		s.failWith(w, r, err, noRun(id))
		return
	}
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusOK) // the body is empty, so it is not called JSON
}

// jobView is one thing that is queued for a run.
type jobView struct {
	RunID   string    `json:"run_id"`
	Step    string    `json:"step"` // hashed id, "step" for the function's body
	Kind    string    `json:"kind"` // call or wake
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
}

func (s *Server) jobs(w http.ResponseWriter, r *http.Request, _ []byte) {
	id, ok := runID(w, r)
	if !ok {
		return
	}
	if _, err := s.eng.History().Run(r.Context(), id); err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	items, err := s.eng.History().Items(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	views := make([]jobView, len(items))
	for i, item := range items {
		views[i] = jobView{RunID: id, Step: item.Step, Kind: "call", Attempt: item.Attempt, At: item.Due.UTC()}
		if item.Step == durable.Discovery {
			views[i].Step = "step"
		}
		switch item.Kind {
		case durable.Wake:
			views[i].Kind = "wake"
		case durable.Lapse:
			views[i].Kind = "lease"
		default:
		}
	}
	s.reply(w, views)
}

// failWith answers for an error of the engine; missing is what to say when the
// thing does not exist.
func (s *Server) failWith(w http.ResponseWriter, r *http.Request, err error, missing string) {
	status, message := s.trouble(w, r, err)
	if status == http.StatusNotFound && missing != "" {
		message = missing
	}
	fail(w, status, message)
}

// query reads the parameters of a request and keeps the first that is wrong. A
// parameter that nobody asks for is wrong too: a filter that is mistyped must
// not show everything.
type query struct {
	values url.Values
	known  []string // that were asked for
	wrong  string
}

func readQuery(r *http.Request) query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := query{values: values}
	if err != nil {
		q.refuse("the query ?" + printable(r.URL.RawQuery) + " cannot be read: write what is special in a value as %XX")
	}
	return q
}

// get is the value of a parameter, "" when it is not given.
func (q *query) get(name string) string {
	q.known = append(q.known, name)
	if len(q.values[name]) > 1 {
		q.refuse("the parameter " + name + " is given more than once")
	}
	return q.values.Get(name)
}

func (q *query) refuse(message string) {
	if q.wrong == "" {
		q.wrong = message
	}
}

// bad reports whether a parameter was wrong. It comes after all have been read.
func (q *query) bad() bool {
	for _, name := range slices.Sorted(maps.Keys(q.values)) {
		if !slices.Contains(q.known, name) {
			message := "there is no parameter " + printable(name) + " here"
			if len(q.known) > 0 {
				message += "; there are " + strings.Join(q.known, ", ")
			}
			q.refuse(message)
		}
	}
	return q.wrong != ""
}

// refused answers when a parameter was wrong. It comes after all have been read.
func (q *query) refused(w http.ResponseWriter) bool {
	bad := q.bad()
	if bad {
		fail(w, http.StatusBadRequest, q.wrong)
	}
	return bad
}

func (q *query) page(usual, most int) store.Page {
	return store.Page{Limit: q.number("limit", usual, 1, most), Cursor: q.cursor()}
}

func (q *query) cursor() string {
	cursor := q.get("cursor")
	if cursor != "" {
		if _, err := ulid.ParseStrict(cursor); err != nil {
			q.refuse("cursor must be the id of the last row")
		}
	}
	return cursor
}

func (q *query) number(name string, usual, least, most int) int {
	text := q.get(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.refuse(name + " must be a number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most))
		return usual
	}
	return n
}

func (q *query) time(name string, usual time.Time) time.Time {
	text := q.get(name)
	if text == "" {
		return usual
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.refuse(name + " must be a time such as 2026-01-02T15:04:05Z")
	}
	return t
}

func (q *query) status() *durable.Status {
	text := q.get("status")
	switch status, ok := durable.ParseStatus(text); {
	case text == "":
		return nil
	case ok:
		return &status
	case text == scheduled:
		queued := durable.Queued
		return &queued
	}
	q.refuse("status must be Queued, Running, Completed, Failed, Cancelled or Skipped")
	return nil
}

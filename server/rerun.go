package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Bounds of what people send about dead letters, in bytes.
const (
	maxLetterBody = wire.MaxEventBytes + 64<<10
	maxReason     = 2000
)

// readStrict decodes a body, none being the empty object, and says what is
// wrong with it, or "". A member that nobody knows is refused: a filter that is
// misspelled would choose everything.
func readStrict(body []byte, into any) string {
	if len(body) == 0 {
		return ""
	}
	if err := wire.CheckBody(body); err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(body, into, json.RejectUnknownMembers(true)); err != nil {
		return misread(body, err)
	}
	return ""
}

// readLoose is readStrict for SDKs, which may say more than Pawl knows.
func readLoose(body []byte, into any) string {
	if err := wire.CheckBody(body); err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(body, into); err != nil {
		return misread(body, err)
	}
	return ""
}

// rerunIn says how a run is started anew.
type rerunIn struct {
	FromStep *fromStepIn    `json:"fromStep,omitzero"`
	Data     jsontext.Value `json:"data,omitzero"` // in place of the event's data
}

// fromStepIn is the step from which a run is started anew; what was before it is
// not run again.
type fromStepIn struct {
	StepID string         `json:"stepId"`          // its id or its name
	Input  jsontext.Value `json:"input,omitzero"`  // an array of arguments in place of the step's own
	Output jsontext.Value `json:"output,omitzero"` // the step's result, which it then has without being run
}

// from is where a run begins that is started anew, or what is wrong with it; from its
// start when in is nil.
func (in *fromStepIn) from() (from durable.From, wrong string) {
	if in == nil {
		return from, ""
	}
	from = durable.From{Step: in.StepID, Input: orNothing(in.Input)}
	if len(in.Output) > 0 { // null is a result
		from.Output = in.Output.Clone()
	}
	switch {
	case in.StepID != "":
	case from.Input != nil:
		wrong = "fromStep.input needs fromStep.stepId: the step that it is for"
	case from.Output != nil:
		wrong = "fromStep.output needs fromStep.stepId: the step that it is for"
	default:
		wrong = "fromStep.stepId is required; without fromStep the run is started anew from its start"
	}
	return from, wrong
}

// What people send about a dead letter.
type (
	retryIn struct {
		Data jsontext.Value `json:"data,omitzero"` // in place of the event's data
	}
	discardIn struct {
		Reason string `json:"reason"`
	}
	noteIn struct {
		Note string `json:"note"`
	}
)

// letterActionIn is what POST /v1/dead-letters/{run}/{action} takes; each action
// has its own member.
type letterActionIn struct {
	Data   jsontext.Value `json:"data,omitzero"`   // to retry: in place of the event's data
	Reason string         `json:"reason,omitzero"` // to discard
	Note   string         `json:"note,omitzero"`   // to note
}

// retryManyIn is what POST /v1/dead-letters/retry takes.
type retryManyIn struct {
	letterFilterView
	All   bool   `json:"all,omitzero"` // every open one, when nothing else chooses
	Rate  string `json:"rate,omitzero"`
	First int    `json:"first,omitzero"`
}

// startedView is a run that was started, or that got what was sent.
type startedView struct {
	RunID string `json:"run_id"`
}

// rerun starts a run anew. Source: spec/12 §6.
func (s *Server) rerun(w http.ResponseWriter, r *http.Request, body []byte) {
	var in rerunIn
	if message := readStrict(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	from, wrong := in.FromStep.from()
	if wrong != "" {
		fail(w, http.StatusBadRequest, wrong)
		return
	}
	s.startAnew(w, r, body, engine.Rerun{From: from, Data: orNothing(in.Data)})
}

// orNothing is a copy of v that outlives the body it is in; nil for null.
func orNothing(v jsontext.Value) jsontext.Value {
	if len(v) == 0 || v.Kind() == 'n' {
		return nil
	}
	return v.Clone()
}

// startAnew answers with the run that it starts.
func (s *Server) startAnew(w http.ResponseWriter, r *http.Request, body []byte, how engine.Rerun) {
	id := r.PathValue("run")
	scope, missing := "rerun/", noRun(id)
	if how.Letter {
		scope, missing = "retry/", noLetter(id)
	}
	key, message := once(r, scope+id, body)
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	how.Once, how.Reply, how.By = key, func(run string) []byte { return []byte(run) }, s.actor(r)
	run, err := s.eng.Rerun(r.Context(), id, how)
	if again, ok := errors.AsType[*store.RepeatedError](err); ok {
		first := string(again.Entry.Reply)
		busy, err := s.meet(r, first)
		if s.inTheWay(w, r, first, busy, err) {
			return
		}
	}
	if replayed(w, err, func(e store.KeyEntry) { s.reply(w, startedView{string(e.Reply)}) }) {
		return
	}
	if err != nil {
		s.failLetter(w, r, err, missing)
		return
	}
	s.reply(w, startedView{run})
}

// failLetter is failWith for what can be wrong with a letter or a rerun.
func (s *Server) failLetter(w http.ResponseWriter, r *http.Request, err error, missing string) {
	if refused, ok := errors.AsType[*engine.RerunError](err); ok {
		fail(w, http.StatusBadRequest, refused.Message)
		return
	}
	if closed, ok := errors.AsType[*store.LetterClosedError](err); ok {
		message := closed.Error()
		if closed.State == store.Retried {
			message += "; POST /v1/runs/" + closed.Run + "/rerun starts it once more"
		}
		fail(w, http.StatusConflict, message)
		return
	}
	if busy, ok := errors.AsType[*store.SingleError](err); ok {
		fail(w, http.StatusConflict, busy.Error())
		return
	}
	s.failWith(w, r, err, missing)
}

// actOnLetter retries, discards or annotates a letter. One pattern serves them:
// two of the kind {run}/retry and jobs/{id} would contradict each other.
func (s *Server) actOnLetter(w http.ResponseWriter, r *http.Request, body []byte) {
	switch r.PathValue("action") {
	case "retry":
		s.retryLetter(w, r, body)
	case "discard":
		s.discardLetter(w, r, body)
	case "note":
		s.annotateLetter(w, r, body)
	default:
		s.notFound(w, r)
	}
}

func (s *Server) retryLetter(w http.ResponseWriter, r *http.Request, body []byte) {
	var in retryIn
	if message := readStrict(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	s.startAnew(w, r, body, engine.Rerun{Letter: true, Data: orNothing(in.Data)})
}

func (s *Server) discardLetter(w http.ResponseWriter, r *http.Request, body []byte) {
	var in discardIn
	message := readStrict(body, &in)
	if message == "" {
		message = wrongText("reason", in.Reason)
	}
	if message == "" && strings.TrimSpace(in.Reason) == "" {
		message = "reason is required: why the run need not be run again"
	}
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	s.changed(w, r, s.eng.Discard(r.Context(), r.PathValue("run"), in.Reason, s.actor(r)))
}

func (s *Server) annotateLetter(w http.ResponseWriter, r *http.Request, body []byte) {
	var in noteIn
	message := readStrict(body, &in)
	if message == "" {
		message = wrongText("note", in.Note)
	}
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	s.changed(w, r, s.eng.Annotate(r.Context(), r.PathValue("run"), in.Note, s.actor(r)))
}

// wrongText says what is wrong with a text that a person wrote, or "".
func wrongText(name, text string) string {
	if utf8.RuneCountInString(text) > maxReason {
		return name + " is longer than " + strconv.Itoa(maxReason) + " characters"
	}
	return ""
}

// changed answers with a letter as it has become.
func (s *Server) changed(w http.ResponseWriter, r *http.Request, err error) {
	id := r.PathValue("run")
	var l store.Letter
	if err == nil {
		l, err = s.eng.Letters().DeadLetter(r.Context(), id)
	}
	if err != nil {
		s.failLetter(w, r, err, noLetter(id))
		return
	}
	s.reply(w, viewLetter(l))
}

// The usual way of a job, and its bounds.
const (
	usualRate  = "10/s"
	fastest    = time.Millisecond
	slowest    = time.Hour
	usualFirst = 5
	mostFirst  = 100
)

// retryJobView is a job that retries letters.
type retryJobView struct {
	ID        string           `json:"id"`
	State     string           `json:"state"` // running, done or stopped
	Waiting   bool             `json:"waiting"`
	Why       string           `json:"why,omitzero"` // it was stopped
	Filter    letterFilterView `json:"filter"`
	Rate      string           `json:"rate"`
	First     int              `json:"first"`
	CreatedAt time.Time        `json:"created_at"`
	EndedAt   *time.Time       `json:"ended_at"`
	Started   int              `json:"started"` // runs; of those:
	Running   int              `json:"running"`
	Completed int              `json:"completed"`
	Failed    int              `json:"failed"`
	Cancelled int              `json:"cancelled"`
	Skipped   int              `json:"skipped"` // letters that could not be retried
}

type letterFilterView struct {
	Function    string        `json:"function,omitzero"`
	Class       durable.Class `json:"class,omitzero"`
	Fingerprint string        `json:"fingerprint,omitzero"`
	After       *time.Time    `json:"failed_after,omitzero"`
	Before      *time.Time    `json:"failed_before,omitzero"`
}

func viewRetryJob(j store.RetryJob) retryJobView {
	return retryJobView{
		ID: j.ID, State: j.State.String(), Waiting: j.Waiting, Why: j.Why, Rate: rateText(j.Every), First: j.First,
		Filter: letterFilterView{
			Function: j.Filter.Function, Class: j.Filter.Class, Fingerprint: j.Filter.Fingerprint,
			After: timeOrNull(j.Filter.After), Before: timeOrNull(j.Filter.Before),
		},
		CreatedAt: j.Created.UTC(), EndedAt: timeOrNull(j.Ended),
		Started: j.Started, Running: j.Started - j.Completed - j.Failed - j.Cancelled,
		Completed: j.Completed, Failed: j.Failed, Cancelled: j.Cancelled, Skipped: j.Skipped,
	}
}

// retryLetters starts a job. What it retries must be said: a filter, or all.
func (s *Server) retryLetters(w http.ResponseWriter, r *http.Request, body []byte) {
	in := retryManyIn{Rate: usualRate, First: usualFirst}
	message := readStrict(body, &in)
	every, ok := parseRate(in.Rate)
	key, wrongKey := once(r, "retry", body)
	class := query{values: map[string][]string{"class": {string(in.Class)}}}
	f := store.LetterFilter{Function: in.Function, Class: class.class(), Fingerprint: in.Fingerprint}
	if in.After != nil {
		f.After = *in.After
	}
	if in.Before != nil {
		f.Before = *in.Before
	}
	switch {
	case message != "":
	case class.wrong != "":
		message = class.wrong
	case !ok:
		message = "rate must be a number for each second, minute or hour, such as 10/s, 100/m or 50/h, at most 1000/s"
	case in.First < 0 || in.First > mostFirst:
		message = fmt.Sprintf("first must be a number from 0 to %d", mostFirst)
	case !in.All && f == (store.LetterFilter{}):
		message = `say which dead letters: function, class, fingerprint, failed_after or failed_before; "all": true retries every open one`
	default:
		message = wrongKey
	}
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	if in.Function != "" {
		if _, ok := s.eng.Function(in.Function); !ok {
			fail(w, http.StatusNotFound, "there is no function "+printable(in.Function)+"; GET /v1/apps lists the apps that are synced")
			return
		}
	}
	if in.Fingerprint != "" {
		if _, err := s.eng.Letters().DeadGroup(r.Context(), in.Fingerprint); err != nil {
			s.failWith(w, r, err, "there is no group "+printable(in.Fingerprint)+"; GET /v1/dead-letters/groups lists them")
			return
		}
	}
	job, err := s.eng.StartRetries(r.Context(), f, every, in.First, key, s.actor(r))
	if again, ok := errors.AsType[*store.RepeatedError](err); ok {
		w.Header().Set(headerReplayed, "true")
		job, err = s.eng.Letters().RetryJob(r.Context(), string(again.Entry.Reply))
	}
	if replayed(w, err, func(store.KeyEntry) {}) { // another payload for the same key
		return
	}
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	s.reply(w, viewRetryJob(job))
}

// units are what a rate can be for each of.
var units = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// parseRate turns a rate into the time from one to the next.
func parseRate(text string) (time.Duration, bool) {
	number, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if unit == "" {
		unit = "s"
	}
	per, ok := units[strings.TrimSpace(unit)]
	if err != nil || !ok || !(n > 0) || n > 1e6 {
		return 0, false
	}
	every := time.Duration(float64(per) / n)
	return every, every >= fastest && every <= slowest
}

func rateText(every time.Duration) string {
	if every <= 0 {
		return ""
	}
	for _, unit := range []string{"s", "m", "h"} {
		if n := float64(units[unit]) / float64(every); n >= 1 || unit == "h" {
			return strconv.FormatFloat(n, 'g', 4, 64) + "/" + unit
		}
	}
	return ""
}

func noJob(id string) string { return "There is no job " + printable(id) }

func (s *Server) listRetryJobs(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	page := q.page(20, 200)
	if q.refused(w) {
		return
	}
	list, err := s.eng.Letters().RetryJobs(r.Context(), page)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	views := make([]retryJobView, len(list))
	for i, j := range list {
		views[i] = viewRetryJob(j)
	}
	s.reply(w, views)
}

func (s *Server) showRetryJob(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.PathValue("id")
	job, err := s.eng.Letters().RetryJob(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noJob(id))
		return
	}
	s.reply(w, viewRetryJob(job))
}

// stopRetryJob ends a job; the runs that it has started go on.
func (s *Server) stopRetryJob(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.PathValue("id")
	job, err := s.eng.StopRetries(r.Context(), id, "somebody stopped it", s.actor(r))
	if err != nil {
		s.failWith(w, r, err, noJob(id))
		return
	}
	s.reply(w, viewRetryJob(job))
}

package server

import (
	"cmp"
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
	Data     jsontext.Value `json:"data,omitzero"` // an object in place of the event's data
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
		Data jsontext.Value `json:"data,omitzero"` // an object in place of the event's data
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
	Data   jsontext.Value `json:"data,omitzero"`   // to retry: an object in place of the event's data
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

// discardManyIn is what POST /v1/dead-letters/discard takes.
type discardManyIn struct {
	letterFilterView
	All    bool   `json:"all,omitzero"` // every open one, when nothing else chooses
	Reason string `json:"reason"`
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
	s.startAnew(w, r, body, engine.Rerun{From: from, Data: in.Data.Clone()})
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
	s.startAnew(w, r, body, engine.Rerun{Letter: true, Data: in.Data.Clone()})
}

func (s *Server) discardLetter(w http.ResponseWriter, r *http.Request, body []byte) {
	var in discardIn
	message := readStrict(body, &in)
	if message == "" {
		message = wrongReason(in.Reason)
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

// wrongReason says what is wrong with why a letter is discarded, or "".
func wrongReason(text string) string {
	if strings.TrimSpace(text) == "" {
		return "reason is required: why the run need not be run again"
	}
	return wrongText("reason", text)
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

// What a job does with letters.
const (
	jobRetries  = "retry"
	jobDiscards = "discard"
)

// retryJobView is a job that retries letters, or discards them.
type retryJobView struct {
	ID        string           `json:"id"`
	Kind      string           `json:"kind"`            // retry or discard
	Reason    string           `json:"reason,omitzero"` // why the letters are discarded
	State     string           `json:"state"`           // running, done or stopped
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
	Discarded int              `json:"discarded"`
}

type letterFilterView struct {
	Function    string        `json:"function,omitzero"`
	Class       durable.Class `json:"class,omitzero"`
	Fingerprint string        `json:"fingerprint,omitzero"`
	After       *time.Time    `json:"failed_after,omitzero"`
	Before      *time.Time    `json:"failed_before,omitzero"`
}

func viewRetryJob(j store.RetryJob) retryJobView {
	kind := jobRetries
	if j.Reason != "" {
		kind = jobDiscards
	}
	return retryJobView{
		ID: j.ID, Kind: kind, Reason: j.Reason, State: j.State.String(), Waiting: j.Waiting, Why: j.Why, Rate: rateText(j.Every), First: j.First,
		Filter: letterFilterView{
			Function: j.Filter.Function, Class: j.Filter.Class, Fingerprint: j.Filter.Fingerprint,
			After: timeOrNull(j.Filter.After), Before: timeOrNull(j.Filter.Before),
		},
		CreatedAt: j.Created.UTC(), EndedAt: timeOrNull(j.Ended),
		Started: j.Started, Running: j.Started - j.Completed - j.Failed - j.Cancelled,
		Completed: j.Completed, Failed: j.Failed, Cancelled: j.Cancelled, Skipped: j.Skipped, Discarded: j.Discarded,
	}
}

// filter is the filter that a view tells of, or what is wrong with it: what a job
// works on must be said, by a filter or all. verb is what it does with them all.
func (v letterFilterView) filter(all bool, verb string) (f store.LetterFilter, wrong string) {
	class := query{values: map[string][]string{"class": {string(v.Class)}}}
	f = store.LetterFilter{Function: v.Function, Class: class.class(), Fingerprint: v.Fingerprint}
	if v.After != nil {
		f.After = *v.After
	}
	if v.Before != nil {
		f.Before = *v.Before
	}
	if class.wrong == "" && !all && f == (store.LetterFilter{}) {
		return f, `say which dead letters: function, class, fingerprint, failed_after or failed_before; "all": true ` + verb + ` every open one`
	}
	return f, class.wrong
}

// retryLetters starts a job.
func (s *Server) retryLetters(w http.ResponseWriter, r *http.Request, body []byte) {
	in := retryManyIn{Rate: usualRate, First: usualFirst}
	message := readStrict(body, &in)
	every, ok := parseRate(in.Rate)
	f, wrongFilter := in.filter(in.All, "retries")
	key, wrongKey := once(r, "retry", body)
	switch {
	case message != "":
	case !ok:
		message = "rate must be a number for each second, minute or hour, such as 10/s, 100/m or 50/h, at most 1000/s"
	case in.First < 0 || in.First > mostFirst:
		message = fmt.Sprintf("first must be a number from 0 to %d", mostFirst)
	default:
		message = cmp.Or(wrongFilter, wrongKey)
	}
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	if s.chosen(w, r, f) {
		job, err := s.eng.StartRetries(r.Context(), f, every, in.First, key, s.actor(r))
		s.replyJob(w, r, job, err)
	}
}

// discardLetters starts a job that discards letters.
func (s *Server) discardLetters(w http.ResponseWriter, r *http.Request, body []byte) {
	var in discardManyIn
	message := readStrict(body, &in)
	f, wrongFilter := in.filter(in.All, "discards")
	key, wrongKey := once(r, "discard", body)
	if message = cmp.Or(message, wrongFilter, wrongReason(in.Reason), wrongKey); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	if s.chosen(w, r, f) {
		job, err := s.eng.StartDiscards(r.Context(), f, in.Reason, key, s.actor(r))
		s.replyJob(w, r, job, err)
	}
}

// chosen reports whether what a filter names is there; it answers when it is not.
func (s *Server) chosen(w http.ResponseWriter, r *http.Request, f store.LetterFilter) bool {
	if f.Function != "" {
		if _, ok := s.eng.Function(f.Function); !ok {
			fail(w, http.StatusNotFound, "there is no function "+printable(f.Function)+"; GET /v1/apps lists the apps that are synced")
			return false
		}
	}
	if f.Fingerprint != "" {
		if _, err := s.eng.Letters().DeadGroup(r.Context(), f.Fingerprint); err != nil {
			s.failWith(w, r, err, "there is no group "+printable(f.Fingerprint)+"; GET /v1/dead-letters/groups lists them")
			return false
		}
	}
	return true
}

// replyJob answers with a job that was started now, or by the same request before.
func (s *Server) replyJob(w http.ResponseWriter, r *http.Request, job store.RetryJob, err error) {
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

// retriedRunView is a run that a job has started.
type retriedRunView struct {
	RunID   string `json:"run_id"`
	RetryOf string `json:"retry_of"` // id of the run that it repeats
	Status  string `json:"status"`   // Running until it has ended
}

// listRetriedRuns tells what runs a job has started, such as those that failed again.
func (s *Server) listRetriedRuns(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.PathValue("id")
	q := readQuery(r)
	page := q.page(20, 200)
	status, ok := retriedStatuses[q.get("status")]
	if !ok {
		q.refuse("status must be Running, Completed, Failed or Cancelled")
	}
	if q.refused(w) {
		return
	}
	if _, err := s.eng.Letters().RetryJob(r.Context(), id); err != nil {
		s.failWith(w, r, err, noJob(id))
		return
	}
	list, err := s.eng.Letters().RetriedBy(r.Context(), id, status, page)
	if err != nil {
		s.failWith(w, r, err, "cursor must be the run_id of the last row; the job has started no run "+page.Cursor)
		return
	}
	views := make([]retriedRunView, len(list))
	for i, run := range list {
		views[i] = retriedRunView{RunID: run.Run, RetryOf: run.Of, Status: durable.Running.String()}
		if run.Status.Final() {
			views[i].Status = run.Status.String()
		}
	}
	s.reply(w, views)
}

// retriedStatuses are those that a job knows of its runs; Queued is that of all
// which have not ended.
var retriedStatuses = map[string]*durable.Status{
	"":                         nil,
	durable.Running.String():   new(durable.Queued),
	durable.Completed.String(): new(durable.Completed),
	durable.Failed.String():    new(durable.Failed),
	durable.Cancelled.String(): new(durable.Cancelled),
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

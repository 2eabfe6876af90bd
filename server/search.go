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
	"github.com/pawlhq/pawl/internal/redact"
	"github.com/pawlhq/pawl/internal/store"
)

// GET /v1/runs/search finds runs by what the indexes know (function, app, status,
// time, event id) and, among those, by what only a look at each can tell: the
// event's name, its data, the error. One request looks at mostLooked runs at most
// and says how far it came, so that it costs the same however many runs there are.

const mostLooked = 1000

// runSearch is what a search asks of each run.
type runSearch struct {
	event   string // name; with * at its end, how it begins
	problem string // a part of the error, in any letter case
	data    []dataTerm
	// rules are applied before anything is compared: what may not be seen may not be
	// guessed letter by letter either.
	rules redact.Rules
}

// dataTerm asks for a value in the event's data.
type dataTerm struct {
	path  []string
	op    byte // '=', '!' (is not) or '~' (has in it, in any letter case)
	value string
}

const wrongTerm = "data must be a path in the event's data, =, != or ~, and a value, such as customer.id=42"

// parseTerm reads a term such as customer.id=42.
func parseTerm(text string) (t dataTerm, ok bool) {
	i := strings.IndexAny(text, "=~!")
	if i <= 0 {
		return t, false
	}
	t.path, t.op, t.value = strings.Split(text[:i], "."), text[i], text[i+1:]
	if t.op == '!' {
		if !strings.HasPrefix(t.value, "=") {
			return t, false
		}
		t.value = t.value[1:]
	}
	return t, !slices.Contains(t.path, "")
}

func (t dataTerm) holds(data jsontext.Value) bool {
	for _, name := range t.path {
		var next jsontext.Value
		for member, v := range members(data) {
			if member == name {
				next = v
			}
		}
		data = next
	}
	text := string(data)
	if data.Kind() == '"' {
		text = textOf(data)
	}
	switch t.op {
	case '=':
		return data != nil && text == t.value
	case '!':
		return text != t.value
	default:
		return data != nil && strings.Contains(strings.ToLower(text), strings.ToLower(t.value))
	}
}

// looks reports whether runs have to be looked at one by one.
func (f runSearch) looks() bool { return f.event != "" || f.problem != "" || f.data != nil }

func (f runSearch) wants(ctx context.Context, h store.History, r *durable.Run) (bool, error) {
	if len(r.Events) == 0 {
		return false, nil
	}
	if name := f.rules.Text(r.Events[0].Name); f.event != "" && name != f.event {
		start, prefix := strings.CutSuffix(f.event, "*")
		if !prefix || !strings.HasPrefix(name, start) {
			return false, nil
		}
	}
	if f.problem != "" {
		if r.Status != durable.Failed {
			return false, nil
		}
		output, err := f.seen(r.Output)
		if err != nil || !strings.Contains(strings.ToLower(string(output)), strings.ToLower(f.problem)) {
			return false, err
		}
	}
	if f.data == nil {
		return true, nil
	}
	e, err := h.Event(ctx, r.Events[0].ID)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = nil // retention was faster
		}
		return false, err
	}
	data, err := f.seen(viewEvent(e).Data)
	if err != nil {
		return false, err
	}
	for _, t := range f.data {
		if !t.holds(data) {
			return false, nil
		}
	}
	return true, nil
}

// seen is data as the caller may see it.
func (f runSearch) seen(data jsontext.Value) (jsontext.Value, error) {
	if !f.rules.Any() || len(data) == 0 {
		return data, nil
	}
	const name = "data" // under which views have it: rules may name that too
	whole, err := f.rules.JSON([]byte(`{"` + name + `":` + string(data) + `}`))
	for member, v := range members(whole) {
		if member == name {
			return v, err
		}
	}
	return nil, err
}

// foundView is a page of a search.
type foundView struct {
	Runs   []rowView `json:"runs"`
	Cursor string    `json:"cursor"` // of the next page; "" when there is none
	// SearchedTo is the time of the last run that was looked at: a page may have few
	// runs, or none, and there be more behind it.
	SearchedTo *time.Time `json:"searched_to"`
}

func (s *Server) searchRuns(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	l := s.listing(&q, r.URL, 50, 200)
	f := store.RunFilter{
		Statuses: q.statuses(), Functions: q.all("function"), Event: q.get("event_id"),
		From: q.time("from", time.Time{}), Until: q.time("until", time.Time{}),
	}
	for _, app := range q.all("app") {
		f.Functions = append(f.Functions, s.functionsOf(app, "")...)
		if f.Functions == nil {
			f.Functions = []string{}
		}
	}
	find := runSearch{event: q.get("event"), problem: q.get("error"), rules: s.rules}
	for _, text := range q.all("data") {
		t, ok := parseTerm(text)
		if !ok {
			q.refuse(wrongTerm)
		}
		find.data = append(find.data, t)
	}
	if q.refused(w) {
		return
	}
	found, runs, err := s.search(r.Context(), f, find, l)
	if err == nil {
		err = s.addOrigins(r.Context(), found.Runs, runs)
	}
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	s.reply(w, found)
}

// mostShown bounds an event whose data a row of a search has, in bytes.
const mostShown = 512

// addOrigins adds to the rows of runs where they come from.
func (s *Server) addOrigins(ctx context.Context, rows []rowView, runs []*durable.Run) error {
	origins, err := s.eng.History().Origins(ctx, runs, mostShown)
	for i, o := range origins {
		rows[i].ParentFunction = o.Parent
		if o.Body != nil {
			rows[i].Data = viewEvent(durable.Event{Body: o.Body}).Data
		}
	}
	return err
}

// search returns the runs too, those of the rows.
func (s *Server) search(ctx context.Context, f store.RunFilter, find runSearch, l listing) (out foundView, found []*durable.Run, err error) {
	out = foundView{Runs: []rowView{}}
	p := store.Page{Limit: l.limit + 1, Cursor: l.after.ID, At: l.after.time()}
	if find.looks() {
		p.Limit = 201
	}
	for looked := 0; ; {
		runs, err := s.eng.History().Runs(ctx, f, p)
		if err != nil {
			return out, nil, err
		}
		for i, r := range runs {
			if i == p.Limit-1 {
				break // it is the first of the next page
			}
			looked++
			at := place{r.Queued.UnixMicro(), r.ID}
			p.Cursor, p.At, out.SearchedTo = r.ID, r.Queued, timeOrNull(r.Queued)
			ok, err := find.wants(ctx, s.eng.History(), r)
			if err != nil {
				return out, nil, err
			}
			if ok {
				out.Runs, found = append(out.Runs, viewRow(r)), append(found, r)
			}
			if len(out.Runs) == l.limit || looked == mostLooked {
				if i+1 < len(runs) {
					out.Cursor = s.sealer.cursor(l.name, at)
				}
				return out, found, nil
			}
		}
		if len(runs) < p.Limit {
			return out, found, nil
		}
	}
}

// all are the values of a parameter that may be given more than once.
func (q *query) all(name string) []string {
	q.known = append(q.known, name)
	return q.values[name]
}

// overviewView is what the first page shows.
type overviewView struct {
	End       time.Time            `json:"end"` // of the last bucket
	Seconds   int                  `json:"bucket_seconds"`
	Buckets   bucketsView          `json:"buckets"`
	Since     time.Time            `json:"since"` // of what came before, nothing is known; the start of the first bucket when all is
	Hour      countsView           `json:"hour"`  // sums of the last hour, from since on
	Wait      quantilesView        `json:"wait"`  // from queued to started
	Run       quantilesView        `json:"run"`   // from started to ended, with all that was waited for
	WaitP95   []float64            `json:"wait_p95_ms"`
	RunP95    []float64            `json:"run_p95_ms"` // by minute, of the last hour
	Functions []functionRecentView `json:"functions"`
	Waiting   int64                `json:"waiting"` // runs that have not begun
	InWork    int                  `json:"in_work"` // requests to apps and the like
	Attention []attentionView      `json:"attention"`
	Failures  []rowView            `json:"failures"` // the newest
}

// bucketsView are counts by time, the oldest first.
type bucketsView struct {
	Events    []int `json:"events"`
	Started   []int `json:"started"`
	Completed []int `json:"completed"`
	Failed    []int `json:"failed"`
	Cancelled []int `json:"cancelled"`
	Retried   []int `json:"retried"`
}

type countsView struct {
	Events    int `json:"events"`
	Started   int `json:"started"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
	Retried   int `json:"retried"` // tries that failed and are made again
	Steps     int `json:"steps"`
}

type quantilesView struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
}

type functionRecentView struct {
	Slug    string     `json:"slug"`
	Hour    countsView `json:"hour"`
	Started []int      `json:"started"` // by minute
	Failed  []int      `json:"failed"`
}

// attentionView is something that a person should look at.
type attentionView struct {
	Kind  string    `json:"kind"` // dead, circuit, app, paused, job or store
	Title string    `json:"title"`
	Text  string    `json:"text"`
	Name  string    `json:"name"` // fingerprint, app, function's slug or job; of a paused app, app/ and its name
	Count int       `json:"count,omitzero"`
	Run   string    `json:"run,omitzero"` // the newest
	At    time.Time `json:"at,omitzero"`
	// Of a pause of one value of a key of the function; value may be redacted.
	Key   string `json:"key,omitzero"`
	Value string `json:"value,omitzero"`
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request, _ []byte) {
	if q := readQuery(r); q.refused(w) {
		return
	}
	rc := s.eng.Recent()
	v := overviewView{
		End: rc.End.UTC(), Since: rc.Since.UTC(), Seconds: int(engine.RecentBucket / time.Second), Hour: countsView(rc.Sum),
		Wait: viewQuantiles(rc.Wait), Run: viewQuantiles(rc.Run), Waiting: rc.Waiting, InWork: rc.InWork,
	}
	for _, b := range rc.Buckets {
		v.Buckets.add(b)
	}
	for i := range rc.WaitBy {
		v.WaitP95, v.RunP95 = append(v.WaitP95, millis(rc.WaitBy[i].P95)), append(v.RunP95, millis(rc.RunBy[i].P95))
	}
	for i, f := range rc.Functions {
		if i == mostShownFunctions {
			break
		}
		fv := functionRecentView{Slug: f.Slug, Hour: countsView(f.Sum)}
		for _, c := range f.Minute {
			fv.Started, fv.Failed = append(fv.Started, c.Started), append(fv.Failed, c.Failed)
		}
		v.Functions = append(v.Functions, fv)
	}
	var err error
	if v.Attention, err = s.attention(r.Context()); err != nil {
		s.failWith(w, r, err, "")
		return
	}
	failed, err := s.eng.History().Runs(r.Context(), store.RunFilter{Statuses: []durable.Status{durable.Failed}, Time: store.ByEnded}, store.Page{Limit: newestFailures})
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	for _, run := range failed {
		v.Failures = append(v.Failures, viewRow(run))
	}
	s.reply(w, v)
}

// What the overview shows at most.
const (
	mostShownFunctions = 50
	newestFailures     = 8
	mostAttention      = 12
	mostTitled         = 100 // bytes of a key and of its value in a title
)

func (b *bucketsView) add(c engine.Counts) {
	b.Events, b.Started, b.Completed = append(b.Events, c.Events), append(b.Started, c.Started), append(b.Completed, c.Completed)
	b.Failed, b.Cancelled, b.Retried = append(b.Failed, c.Failed), append(b.Cancelled, c.Cancelled), append(b.Retried, c.Retried)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func viewQuantiles(q engine.Quantiles) quantilesView {
	return quantilesView{millis(q.P50), millis(q.P95), millis(q.P99)}
}

// attention is what needs a person: the worst first.
func (s *Server) attention(ctx context.Context) (list []attentionView, err error) {
	if err := s.eng.Healthy(); err != nil {
		list = append(list, attentionView{Kind: "store", Title: "The server cannot work", Text: err.Error()})
	}
	for _, c := range s.eng.Circuits() {
		list = append(list, attentionView{Kind: "circuit", Title: c.App + " answers nothing but errors", Text: c.Last, Name: c.App, At: c.Since.UTC()})
	}
	for _, a := range s.eng.Apps() {
		if a.Problem != "" {
			list = append(list, attentionView{Kind: "app", Title: a.Name + " could not be synced", Text: a.Problem, Name: a.Name})
		}
	}
	jobs, err := s.eng.Letters().RetryJobs(ctx, store.Page{Limit: 3})
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.State == store.JobStopped && j.Reason == "" && time.Since(j.Ended) < engine.RecentSpan*24 {
			list = append(list, attentionView{Kind: "job", Title: "A bulk retry was stopped", Text: j.Why, Name: j.ID, Count: j.Failed, At: j.Ended.UTC()})
		}
	}
	groups, err := s.eng.Letters().DeadGroups(ctx, store.GroupFilter{}, store.Page{Limit: mostAttention})
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		list = append(list, attentionView{Kind: "dead", Title: g.Title, Text: g.Function, Name: g.Fingerprint, Count: g.Open, Run: g.Newest, At: g.Last.UTC()})
	}
	list = append(list, s.pauses()...)
	return list[:min(len(list), mostAttention)], nil
}

// titled is as much of a text as a title has.
func titled(text string) string {
	if len(text) > mostTitled {
		text = strings.ToValidUTF8(text[:mostTitled], "") + "…"
	}
	return text
}

// pauses are what operators hold back: what is held back as a whole comes first.
func (s *Server) pauses() (list []attentionView) {
	var values []attentionView
	for _, c := range s.eng.Controls() {
		if c.Pause == durable.Unpaused {
			continue
		}
		v := attentionView{Kind: "paused", Title: strings.TrimPrefix(c.Of(), durable.AppObject("")) + " is paused", Text: c.Why, Name: c.Of(), At: c.Since.UTC()}
		if c.Key == "" {
			list = append(list, v)
			continue
		}
		v.Key = c.Key
		v.Value = s.eng.ShownValue(c.Key, c.Value)
		v.Title += " for " + titled(v.Key) + " = " + titled(v.Value)
		values = append(values, v)
	}
	return append(list, values...)
}

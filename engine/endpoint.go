package engine

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/call"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// A durable endpoint is an HTTP handler of an app. Nobody registers it: app and
// function come to be with the first report of a run that began in it. Its runs
// are like others from then on, but that their function is entered by the request
// in which they began.

// Bounds of what requests can make grow.
const (
	maxEndpoints = 1000 // functions of one app that come to be by themselves
	maxSlugPart  = 80   // bytes of a path in a slug
	maxName      = 200  // bytes of a function's name
)

// usualEndpointRetries are those of an SDK that does not say. Source: spec/04 §5.1.
const usualEndpointRetries = 4

// BeginError says why a report on a run that began in an app was not understood.
type BeginError struct{ Message string }

func (e *BeginError) Error() string { return e.Message }

// ErrForeign means that a report is about another run than it says: there is one
// of that id which began in another way.
var ErrForeign = errors.New("the run is another one")

// Begun is what an app needs to know about a run that began in it.
type Begun struct {
	FunctionID, AppID string
	// Run is the run that began; another one than the app has named when that had
	// begun before for the same idempotency key.
	Run string
	// Ended says of such a run that nothing of it is in flight any more.
	Ended bool
}

// Begin takes the first report on a run that began in an app: the request, and
// what was done so far. When it returns nil, that is on disk. A report that was
// sent before changes nothing. sdk is what the app calls its SDK. With an idempotency
// key in the report, the run that was the first for the key is the one, and nothing is
// written for another. Where the endpoint requires a key and there is none, nothing is
// written; none is derived here, since what the app tells of was done already. Errors:
// *BeginError, *durable.KeyRequiredError, ErrForeign, *TooLarge, durable.ErrEnded, ErrClosing, *store.KeyConflictError, and those of the store.
func (e *Engine) Begin(ctx context.Context, cp wire.Checkpoint, sdk string) (Begun, error) {
	if e.closing.Load() {
		return Begun{}, ErrClosing
	}
	id, err := ulid.ParseStrict(cp.RunID)
	if err != nil {
		return Begun{}, &BeginError{"run_id must be a ULID"}
	}
	now := time.Now()
	ev, err := requestEvent(cp.Event, now)
	if err != nil {
		return Begun{}, err
	}
	ev.Trace = traceText(ctx)
	request, err := wire.ReadEndpoint(ev.Body)
	if err != nil {
		return Begun{}, &BeginError{err.Error()}
	}
	f, err := e.endpoint(ctx, request, cmp.Or(cp.Retries, new(usualEndpointRetries)), sdk, now)
	if err != nil {
		return Begun{}, err
	}
	if f.Limits.NoKey.About(durable.GivenKey(cp.Key), "") == durable.KeyRequired {
		return Begun{}, &durable.KeyRequiredError{Function: f.Slug, InApp: true}
	}
	b := Begun{FunctionID: f.ID, AppID: e.apps.Load().apps[f.App].ID, Run: cp.RunID}
	var once *store.Once
	if cp.Key != "" {
		if len(cp.Key) > mostKey {
			return Begun{}, &BeginError{fmt.Sprintf("idempotency has more than %d bytes", mostKey)}
		}
		asked, err := request.Data() // and no more: how an app has come to serve it may change with the next deploy
		if err != nil {
			return Begun{}, &BeginError{err.Error()}
		}
		once = &store.Once{
			Scope: "endpoint/" + f.Slug, Key: cp.Key, Reply: durable.JSON(cp.RunID), Life: lifeOf(cp.Key), Fingerprint: fingerprint(asked),
		}
	}
	in := durable.Inline{Ops: endpointOps(call.Ops(cp.Ops, now)), Protocol: cp.Version, RetryAt: retryAt(cp.RetryAfter, now)}
	began := ulid.Time(id.Time())
	if began.After(now) || now.Sub(began) > mostAhead {
		began = now
	}
	err = e.begin(ctx, cp.RunID, f, ev, in, began, now, once)
	if again, ok := errors.AsType[*store.RepeatedError](err); ok {
		b.Run = string(again.Entry.Reply)
		goesOn, err := e.unfinished(ctx, b.Run)
		b.Ended = !goesOn
		return b, err
	}
	if errors.Is(err, store.ErrExists) {
		if err = e.same(ctx, cp.RunID, f, ev); err == nil {
			err = e.inline(ctx, cp.RunID, in, Begun{})
		}
	}
	return b, err
}

// gatewayRetries are those of an endpoint that nobody has entered by itself: what
// the TypeScript SDK says by default.
const gatewayRetries = 3

// Enter begins a run of an endpoint for a client that asks Pawl in the app's place.
// The run is on disk before the endpoint is called, is under the limits of its
// function, and is the only one for a key. in is as wire.ReadEndpoint gives it.
// Errors are those of Invoke.
func (e *Engine) Enter(ctx context.Context, in wire.Endpoint, once *store.Once) (run string, err error) {
	if e.closing.Load() {
		return "", ErrClosing
	}
	now := time.Now()
	f := endpointFunction(in, gatewayRetries)
	if known, _ := e.knownEndpoint(&f); known.Endpoint && !known.Archived {
		f = known // with the retries that its SDK has told
	} else if f, err = e.endpoint(ctx, in, new(gatewayRetries), "", now); err != nil {
		return "", err
	}
	in.Go = strings.HasPrefix(e.apps.Load().apps[f.App].SDK, "go:")
	ev := durable.Event{
		ID: NewID(), Name: wire.EventHTTPRequest, At: now.UTC().Truncate(time.Millisecond), Received: now, Trace: traceText(ctx),
		Target: &durable.Target{Function: f.Slug},
	}
	if in.Go {
		ev.Name = wire.EventHTTPStarted
	}
	data, err := in.Data()
	if err != nil {
		return "", &BeginError{err.Error()}
	}
	ev.Body = fmt.Appendf(nil, `{"data":%s,"id":"%s","name":"%s","ts":%d,"user":{}}`, data, ev.ID, ev.Name, ev.At.UnixMilli())
	return e.startOne(ctx, f, ev, now, once, data, "", func(run string) []byte { return []byte(run) })
}

// An idempotency key, in bytes, and how long it holds.
const (
	mostKey = 255
	keyLife = 7 * 24 * time.Hour
)

// lifeOf is how long a key holds of which nobody says that.
func lifeOf(key string) time.Duration {
	if durable.IsDerivedKey(key) {
		return durable.DerivedLife
	}
	return keyLife
}

// fingerprint tells payloads apart, however they are written.
func fingerprint(payload jsontext.Value) string {
	if same, err := wire.Canonical(payload); err == nil {
		payload = same
	}
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// mostAhead is how long before its first report a run may have begun.
const mostAhead = 24 * time.Hour

// requestEvent is the event that stands for a request, as an app describes it.
func requestEvent(sent jsontext.Value, now time.Time) (durable.Event, error) {
	var in struct {
		Name string         `json:"name"`
		Data jsontext.Value `json:"data"`
	}
	if len(sent) == 0 || unmarshal(sent, &in) != nil || in.Data.Kind() != '{' {
		return durable.Event{}, &BeginError{"event must be an object with a name and data: the request in which the run began"}
	}
	if len(sent) > wire.MaxEventBytes {
		return durable.Event{}, &TooLarge{fmt.Sprintf("the request in which the run began has %d bytes; the limit is %d", len(sent), wire.MaxEventBytes)}
	}
	ev := durable.Event{ID: NewID(), Name: in.Name, At: now.UTC().Truncate(time.Millisecond), Received: now}
	name, err := json.Marshal(in.Name)
	if err != nil {
		return durable.Event{}, &BeginError{"event.name is not text"}
	}
	ev.Body = fmt.Appendf(nil, `{"data":%s,"id":"%s","name":%s,"ts":%d,"user":{}}`, in.Data, ev.ID, name, ev.At.UnixMilli())
	return ev, nil
}

// begin writes a run with what it has done.
func (e *Engine) begin(ctx context.Context, id string, f durable.Function, ev durable.Event, in durable.Inline, began, now time.Time, once *store.Once) error {
	table := e.apps.Load().table
	policy := e.policy(f)
	r := durable.NewInline(id, f, ev, policy, began.UTC(), now)
	r.Keys = e.keysOf(ctx, f, match.NewDoc(ev.Body), now)
	release, err := e.reserve(ctx, id, in)
	if err != nil {
		return err
	}
	defer release()
	e.prepare(table, r, in)
	c, err := durable.Next(r, in, policy, now)
	if err != nil {
		return err
	}
	from := originOf(r)
	from.began = false
	r.Apply(c)
	batch := []store.Accepted{{Event: ev, Starts: []durable.Start{{Run: r, Entries: c.Entries, Waits: c.Waits, Dead: c.Dead, Metadata: durable.MetadataOf(in, c)}}}}
	for _, sent := range c.Emit {
		batch = append(batch, e.accept(ctx, table, sent, now))
	}
	row, head, queued := newsOf(r, durable.Change{}), r.Head, r.Queued // then it is the store's
	if err := e.store.Begin(ctx, now, batch, once); err != nil {
		return err
	}
	e.received(1, now)
	told := durable.Change{Head: &head, Entries: c.Entries, Dead: c.Dead}
	e.changed(f.Slug, queued, true, told, now)
	if e.tracer != nil {
		e.tracer.run(ctx, from)
	}
	e.spread(row, c)
	e.tell(ctx, id, f.Slug, began, c)
	return overLimit(c, in)
}

// same reports, by an error, whether a run that is there is the one that an app
// means: sent again because the first answer was lost.
func (e *Engine) same(ctx context.Context, run string, f durable.Function, ev durable.Event) error {
	r, err := e.store.Run(ctx, run)
	if err != nil {
		return err
	}
	if r.Function != f.Slug || r.Events[0].Name != ev.Name || !bytes.Equal(dataOf(r.Events[0].Body), dataOf(ev.Body)) {
		return fmt.Errorf("%w: there is a run %s already, which began in another request", ErrForeign, run)
	}
	return nil
}

func dataOf(event durable.JSON) jsontext.Value {
	var e struct {
		Data jsontext.Value `json:"data"`
	}
	_ = unmarshal(event, &e) // it was built from good parts
	return e.Data
}

// Report takes a further report on a run that began in an app. What failed is tried
// again after retryAfter; 0: when the engine decides. As the app is told
// them, b names its function and app; empty ones are not looked at. Errors:
// store.ErrNotFound, ErrForeign, durable.ErrEnded, *TooLarge, and those of the store.
func (e *Engine) Report(ctx context.Context, run string, ops []wire.Op, retryAfter time.Duration, b Begun) error {
	now := time.Now()
	return e.inline(ctx, run, durable.Inline{Ops: endpointOps(call.Ops(ops, now)), RetryAt: retryAt(retryAfter, now)}, b)
}

func retryAt(after time.Duration, now time.Time) time.Time {
	if after <= 0 {
		return time.Time{}
	}
	return now.Add(after)
}

func (e *Engine) inline(ctx context.Context, run string, in durable.Inline, b Begun) error {
	apps := e.apps.Load().apps
	c, err := e.transition(ctx, run, in, func(r *durable.Run, f durable.Function, _ durable.Change) error {
		switch {
		case !f.Endpoint:
			return fmt.Errorf("%w: it did not begin in an endpoint; its steps are reported to /v1/checkpoint/%s/async", ErrForeign, run)
		case b.FunctionID != "" && b.FunctionID != f.ID:
			return fmt.Errorf("%w: fn_id is not that of the run's function", ErrForeign)
		case b.AppID != "" && b.AppID != apps[r.App].ID:
			return fmt.Errorf("%w: app_id is not that of the run's app", ErrForeign)
		}
		return nil
	})
	if errors.Is(err, durable.ErrEnded) {
		known := false
		if look := e.store.View(ctx, run, func(r *durable.Run) error { known = r.Knows(in); return nil }); look != nil {
			return look
		}
		if known {
			return nil
		}
	}
	if err != nil {
		return err
	}
	if c.Head != nil && c.Head.Status.Final() {
		e.worker.Interrupt(run)
	}
	return overLimit(c, in)
}

// overLimit is the error of a report that made its run fail, if the app did not
// say itself that it had failed.
func overLimit(c durable.Change, in durable.Inline) error {
	if c.Head == nil || c.Head.Status != durable.Failed {
		return nil
	}
	for _, op := range in.Ops {
		if op.Step == durable.CompleteID && op.Kind != durable.OpComplete {
			return nil
		}
	}
	return &TooLarge{Brief(c.Head.Output)}
}

// endpointOps turns the end of an endpoint that answered with an error of its own
// into a failure.
func endpointOps(ops []durable.Op) []durable.Op {
	for i := range ops {
		if op := &ops[i]; op.Kind == durable.OpComplete {
			if err, bad := badResponse(op.Memo); bad {
				op.Kind, op.Step, op.Err, op.Memo = durable.OpFailed, durable.CompleteID, call.Failure(err), nil
			}
		}
	}
	return ops
}

// endpointAnswer does the same with the answer of an endpoint that was entered again.
func endpointAnswer(a wire.Answer) wire.Answer {
	if a.Kind == wire.Returned {
		if err, bad := badResponse(a.Output); bad {
			a.Kind, a.NoRetry, a.Err, a.Output = wire.Failed, true, err, nil
		}
	}
	return a
}

// badResponse is the failure of an endpoint that answered with an error of the
// server's kind. What a client did wrong is a result like any other.
func badResponse(output jsontext.Value) (wire.Error, bool) {
	r, ok := wire.ParseResponse(output)
	if !ok || r.Status < http.StatusInternalServerError {
		return wire.Error{}, false
	}
	return wire.ResponseError(r), true
}

// endpoint returns the function that a request is for, and makes it unless it is
// there.
func (e *Engine) endpoint(ctx context.Context, in wire.Endpoint, retries *int, sdk string, now time.Time) (durable.Function, error) {
	f := endpointFunction(in, *retries)
	if known, ok := e.knownEndpoint(&f); ok {
		return known, nil
	}
	e.syncing.Lock()
	defer e.syncing.Unlock()
	if known, ok := e.knownEndpoint(&f); ok { // somebody else was first
		return known, nil
	}
	old := e.apps.Load()
	app, isKnown := old.apps[f.App]
	if isKnown && app.Registers() {
		return f, &BeginError{fmt.Sprintf("an app of the name %s has registered functions; give that app another id", f.App)}
	}
	all := make([]durable.Function, 0, len(old.table.Functions())+1)
	own := 0
	for _, other := range old.table.Functions() {
		if other.Slug != f.Slug {
			all = append(all, other)
			if other.App == f.App {
				own++
			}
		} else {
			f.Version = other.Version + 1
		}
	}
	if own >= maxEndpoints && f.Version == 1 {
		in.Name = otherEndpoints
		f = endpointFunction(in, *retries)
		if known, ok := old.table.Function(f.Slug); ok {
			return known, nil
		}
		e.log.WarnContext(ctx, "an app has too many endpoints; those that follow are one: give endpoints with ids in their paths a functionId",
			"app", f.App, "endpoints", own, "path", in.URL.Path)
	}
	hold(&f)
	limit(&f, old.controls[f.Slug])
	app = durable.App{
		Name: f.App, ID: uuid.NewSHA1(namespace, []byte(f.App)).String(), URL: in.URL.Scheme + "://" + in.URL.Host,
		SDK: cmp.Or(strings.TrimPrefix(sdk, "inngest-"), app.SDK), Framework: durable.FrameworkEndpoint, SyncedAt: now,
	}
	if err := e.store.SaveApp(ctx, app, []durable.Function{f}, nil, nil, nil); err != nil {
		return f, err
	}
	table, _ := match.NewTable(append(all, f), e.programs)
	e.publish(old, app, table)
	e.log.InfoContext(ctx, "endpoint found", "app", app.Name, "endpoint", f.Name, "function", f.Slug)
	return f, nil
}

// otherEndpoints is the name of all endpoints of an app beyond the first thousand.
const otherEndpoints = "other endpoints"

// knownEndpoint looks a function up as it would be now. Another that has its slug
// makes it take a longer one.
func (e *Engine) knownEndpoint(f *durable.Function) (durable.Function, bool) {
	table := e.apps.Load().table
	known, ok := table.Function(f.Slug)
	if ok && known.Name != f.Name {
		rename(f, f.Slug+"-"+short(f.Name)[:6])
		known, ok = table.Function(f.Slug)
	}
	return known, ok && !known.Archived && bytes.Equal(known.Config, f.Config)
}

// endpointFunction is the function that stands for an endpoint.
func endpointFunction(in wire.Endpoint, retries int) durable.Function {
	name, part := in.Name, slugPart(in.Name)
	if name == "" {
		name = in.Method + " " + in.URL.EscapedPath()
		part = slugPart(strings.ToLower(in.Method) + in.URL.EscapedPath())
	}
	f := durable.Function{
		App: endpointApp(in.URL.Host), Name: cut(name, maxName), Version: 1, URL: in.URL.Scheme + "://" + in.URL.Host, Retries: retries,
	}
	config, err := json.Marshal(struct {
		Endpoint bool   `json:"endpoint"`
		Name     string `json:"name"`
		Retries  int    `json:"retries"`
	}{true, f.Name, retries})
	if err != nil {
		panic(fmt.Sprintf("names are text: %v", err))
	}
	f.Config = config
	rename(&f, f.App+"-"+part)
	return f
}

// rename gives a function its slug, and the id that goes with it.
func rename(f *durable.Function, slug string) {
	f.Slug, f.ID = slug, uuid.NewSHA1(namespace, []byte(f.App+"\x00"+slug)).String()
}

// cut is text of at most so many bytes, and a mark when there was more.
func cut(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// endpointApp is the name of the app at a host. The names of this machine are one.
func endpointApp(host string) string {
	host = strings.ToLower(host)
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), ""
	}
	switch name {
	case "127.0.0.1", "::1", "0.0.0.0":
		name = "localhost"
	}
	if port != "" {
		name = net.JoinHostPort(name, port)
	}
	return name
}

// slugPart is text as a part of a slug.
func slugPart(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, s)
	s = strings.Trim(s, "-")
	if len(s) > maxSlugPart {
		s = s[:maxSlugPart]
	}
	return cmp.Or(s, "endpoint")
}

package pawl

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

// remote is a server that is reached over HTTP.
type remote struct {
	app  *App
	base string
}

func (a *App) overHTTP(base string) *remote { return &remote{a, strings.TrimSuffix(base, "/")} }

// Attach makes app one of a server: its events go there, and that server's calls
// are answered, by the http.Handler that the app is. When the app knows where it
// is served ([ServedAt], INNGEST_SERVE_ORIGIN) it registers there at once;
// otherwise the server has to be told: pawl serve --app URL. A development
// server finds apps by itself.
func Attach(ctx context.Context, server string, app *App) (*Attachment, error) {
	if err := app.Err(); err != nil {
		return nil, err
	}
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("pawl: %q is no URL of a server, such as http://localhost:8288", server)
	}
	if app.keys.Load() == nil && !app.set.dev {
		return nil, errors.New("pawl: the app has no signing key, and is not in development mode: set INNGEST_SIGNING_KEY, or INNGEST_DEV=1 for a development server")
	}
	if err := app.belong(app.overHTTP(server), nil); err != nil {
		return nil, err
	}
	if app.set.origin != "" {
		if _, err := app.register(ctx, app.set.origin, "", ""); err != nil {
			return nil, err
		}
	}
	return &Attachment{app}, nil
}

// Attachment is an app's tie to a server.
type Attachment struct{ app *App }

// Close ends it when all is saved that the app has answered for ([App.Drain]). The
// server goes on by itself, and calls the app again when it is back.
func (a *Attachment) Close(ctx context.Context) error { return a.app.Drain(ctx) }

// statusError is an answer that says no.
type statusError struct {
	status  int
	message string
	code    string // of some, such as idempotency_key_required
	after   time.Duration
}

func (e *statusError) Error() string { return e.message }

// Retryable says that a request which the server finds wrong stays wrong.
func (e *statusError) Retryable() bool {
	return e.status >= 500 || e.status == http.StatusTooManyRequests || e.status == http.StatusUnauthorized
}

// bodyLimit bounds what is read of a server's answer, in bytes.
const bodyLimit = 64 << 20

// do sends a request with a JSON body, and reads the JSON answer. With keyed it
// is sent again when it is not known whether it came through.
func (r *remote) do(ctx context.Context, method, path string, body []byte, header http.Header, keyed bool, into any) error {
	ring := r.app.keys.Load()
	keys := []string{""}
	if ring != nil {
		keys[0] = ring.Current.Hashed()
		for _, k := range ring.Previous {
			keys = append(keys, k.Hashed())
		}
	}
	tries := 1
	if keyed {
		tries = sendTries
	}
	var err error
	for n := range tries {
		for _, key := range keys {
			err = r.once(ctx, method, path, body, header, key, into)
			if s, ok := errors.AsType[*statusError](err); !ok || s.status != http.StatusUnauthorized {
				break
			}
		}
		s, answered := errors.AsType[*statusError](err)
		if err == nil || answered && s.status < 500 && s.status != http.StatusTooManyRequests {
			return err
		}
		if n < tries-1 {
			pause := sendPause << n
			if answered {
				pause = max(pause, min(s.after, 5*time.Second))
			}
			if sleep(ctx, pause) != nil {
				return err
			}
		}
	}
	return err
}

func (r *remote) once(ctx context.Context, method, path string, body []byte, header http.Header, key string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	proto.TraceOf(ctx).Mark(req.Header)
	req.Header.Set(proto.HeaderSDK, sdk)
	req.Header.Set("User-Agent", sdk)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := r.app.set.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // its URL may hold a key
		}
		return fmt.Errorf("the server at %s cannot be reached: %w", r.base, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, bodyLimit))
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", r.base, err)
	}
	if res.StatusCode/100 != 2 {
		seconds, _ := strconv.Atoi(res.Header.Get(proto.HeaderRetryAfter)) // 0 when it is a date, or absent
		message, code := said(answer, res.Status)
		return &statusError{res.StatusCode, message, code, time.Duration(seconds) * time.Second}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the answer of %s is not what a server of the protocol says: %w", r.base, err)
	}
	return nil
}

// said is why a server refuses.
func said(answer []byte, status string) (message, code string) {
	var body struct {
		Error   any    `json:"error"`
		Code    any    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &body) == nil {
		code, _ = body.Code.(string)
		if text, ok := body.Error.(string); ok && text != "" {
			return text, code
		}
		if body.Message != "" {
			return body.Message, code
		}
	}
	return "the server answered " + status, code
}

func (r *remote) Send(ctx context.Context, events []byte) ([]string, error) {
	key := r.app.set.eventKey
	if key == "" {
		key = "NO_EVENT_KEY_SET" // development servers take any
	}
	var seed [10]byte
	_, _ = rand.Read(seed[:]) // never fails
	header := http.Header{proto.HeaderEventIDSeed: {strconv.FormatInt(time.Now().UnixMilli(), 10) + "," + base64.StdEncoding.EncodeToString(seed[:])}}
	var reply struct {
		IDs []string `json:"ids"`
	}
	err := r.do(ctx, http.MethodPost, "/e/"+url.PathEscape(key), events, header, true, &reply)
	if s, ok := errors.AsType[*statusError](err); ok && s.status == http.StatusUnauthorized {
		return nil, fmt.Errorf("%w; is INNGEST_EVENT_KEY one of the server's?", err)
	}
	return reply.IDs, err
}

func (r *remote) Checkpoint(ctx context.Context, c proto.Checkpoint) error {
	body, err := json.Marshal(struct {
		RunID      string          `json:"run_id"`
		FunctionID string          `json:"fn_id"`
		ItemID     string          `json:"qi_id"`
		RequestID  string          `json:"request_id,omitempty"`
		Generation int64           `json:"generation_id,omitempty"`
		Started    int64           `json:"request_started_at"`
		Steps      json.RawMessage `json:"steps"`
		At         int64           `json:"ts"`
	}{c.RunID, c.FunctionID, c.ItemID, c.RequestID, c.Generation, c.Started.UnixMilli(), c.Steps, time.Now().UnixMilli()})
	if err != nil {
		return err
	}
	err = r.do(ctx, http.MethodPost, "/v1/checkpoint/"+url.PathEscape(c.RunID)+"/async", body, nil, false, nil)
	if s, ok := errors.AsType[*statusError](err); ok {
		switch s.status {
		case http.StatusConflict:
			return fmt.Errorf("%w: %w", proto.ErrStale, err)
		case http.StatusNotFound, http.StatusGone:
			return fmt.Errorf("%w: %w", proto.ErrGone, err)
		case http.StatusRequestEntityTooLarge:
			return fmt.Errorf("%w: %w", proto.ErrTooLarge, err)
		}
	}
	return err
}

func (r *remote) State(ctx context.Context, run string) (events, memos []byte, err error) {
	var batch, actions json.RawMessage
	path := "/v0/runs/" + url.PathEscape(run)
	if err := r.do(ctx, http.MethodGet, path+"/batch", nil, nil, true, &batch); err != nil {
		return nil, nil, err
	}
	if err := r.do(ctx, http.MethodGet, path+"/actions", nil, nil, true, &actions); err != nil {
		return nil, nil, err
	}
	return batch, actions, nil
}

func (r *remote) Signal(ctx context.Context, name string, data []byte) (string, error) {
	body, err := json.Marshal(struct {
		Signal string          `json:"signal"`
		Data   json.RawMessage `json:"data"`
	}{name, data})
	if err != nil {
		return "", err
	}
	var reply struct {
		Data struct {
			RunID string `json:"run_id"`
		} `json:"data"`
	}
	err = r.do(ctx, http.MethodPost, "/v1/signals", body, nil, false, &reply)
	if s, ok := errors.AsType[*statusError](err); ok && s.status == http.StatusNotFound {
		return "", proto.ErrNobodyWaits
	}
	return reply.Data.RunID, err
}

func (r *remote) Invoke(ctx context.Context, slug string, data []byte, key string) (string, error) {
	body, err := json.Marshal(struct {
		Data json.RawMessage `json:"data"`
	}{data})
	if err != nil {
		return "", err
	}
	if key == "" {
		key = "retry:" + rand.Text() // for our own retries; to the server's rules it is none
	}
	var reply struct {
		ID string `json:"id"` // of the event
	}
	header := http.Header{"Idempotency-Key": {key}}
	if err := r.do(ctx, http.MethodPost, "/invoke/"+url.PathEscape(slug), body, header, true, &reply); err != nil {
		return "", err
	}
	var runs struct {
		Data []struct {
			RunID string `json:"run_id"`
		} `json:"data"`
	}
	if err := r.do(ctx, http.MethodGet, "/v1/events/"+url.PathEscape(reply.ID)+"/runs", nil, nil, true, &runs); err != nil {
		return "", err
	}
	if len(runs.Data) == 0 {
		return "", fmt.Errorf("the server has started no run for event %s", reply.ID)
	}
	return runs.Data[0].RunID, nil
}

// How often a server is asked how a run stands: the first pause, which doubles
// up to the last.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = 2 * time.Second
)

func (r *remote) Run(ctx context.Context, id string, wait time.Duration) (proto.RunState, error) {
	if id == "" {
		return proto.RunState{}, proto.ErrGone // the path is that of another request
	}
	until := time.Now().Add(wait)
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		var reply struct {
			Data struct {
				RunID     string          `json:"run_id"`
				Function  string          `json:"function"`
				Status    string          `json:"status"`
				Output    json.RawMessage `json:"output"`
				StartedAt *time.Time      `json:"run_started_at"`
				EndedAt   *time.Time      `json:"ended_at"`
			} `json:"data"`
		}
		err := r.do(ctx, http.MethodGet, "/v1/runs/"+url.PathEscape(id), nil, nil, true, &reply)
		if s, ok := errors.AsType[*statusError](err); ok && (s.status == http.StatusNotFound || s.status == http.StatusBadRequest) {
			return proto.RunState{}, proto.ErrGone // there is none, or can be none of such an id
		}
		if err != nil {
			return proto.RunState{}, err
		}
		d := reply.Data
		state := proto.RunState{ID: d.RunID, Function: d.Function, Status: d.Status, Output: d.Output}
		if d.StartedAt != nil {
			state.Started = *d.StartedAt
		}
		if d.EndedAt != nil {
			state.Ended = *d.EndedAt
		}
		if state.Final() || !time.Now().Before(until) {
			return state, nil
		}
		if err := sleep(ctx, min(pause, time.Until(until))); err != nil {
			return state, err
		}
	}
}

func (r *remote) Publish(ctx context.Context, channel, topic string, data []byte) error {
	query := url.Values{"channel": {channel}, "topic": {topic}}
	return r.do(ctx, http.MethodPost, "/v1/realtime/publish?"+query.Encode(), data, nil, false, nil)
}

func (r *remote) Begin(ctx context.Context, b proto.Begin) (proto.Begun, error) {
	body, err := json.Marshal(struct {
		RunID   string          `json:"run_id"`
		Event   json.RawMessage `json:"event"`
		Steps   json.RawMessage `json:"steps"`
		Retries int             `json:"retries"`
		Version int             `json:"request_version"`
		Key     string          `json:"idempotency,omitempty"`
		After   int             `json:"retry_after,omitempty"` // in seconds
		At      int64           `json:"ts"`
	}{b.RunID, b.Event, b.Steps, b.Retries, 2, b.Key, seconds(b.RetryAfter), time.Now().UnixMilli()})
	if err != nil {
		return proto.Begun{}, err
	}
	var reply struct {
		Data struct {
			RunID      string `json:"run_id"`
			FunctionID string `json:"fn_id"`
			AppID      string `json:"app_id"`
			Token      string `json:"token"`
			Realtime   string `json:"realtime_token"`
			Ended      bool   `json:"ended"`
		} `json:"data"`
	}
	err = r.do(ctx, http.MethodPost, "/v1/http/runs", body, nil, false, &reply)
	d := reply.Data
	return proto.Begun{RunID: d.RunID, FunctionID: d.FunctionID, AppID: d.AppID, Token: d.Token, RealtimeToken: d.Realtime, Ended: d.Ended}, reported(err)
}

func (r *remote) Report(ctx context.Context, b proto.Begun, steps []byte, after time.Duration) error {
	body, err := json.Marshal(struct {
		RunID      string          `json:"run_id"`
		FunctionID string          `json:"fn_id"`
		AppID      string          `json:"app_id"`
		Steps      json.RawMessage `json:"steps"`
		After      int             `json:"retry_after,omitempty"` // in seconds
		At         int64           `json:"ts"`
	}{b.RunID, b.FunctionID, b.AppID, steps, seconds(after), time.Now().UnixMilli()})
	if err != nil {
		return err
	}
	return reported(r.do(ctx, http.MethodPost, "/v1/http/runs/"+url.PathEscape(b.RunID)+"/steps", body, nil, false, nil))
}

// seconds is a pause as the protocol has it; 0 if there is none.
func seconds(pause time.Duration) int {
	if pause <= 0 {
		return 0
	}
	return retryAfter(pause)
}

// reported is what an answer to a report means.
func reported(err error) error {
	s, ok := errors.AsType[*statusError](err)
	if !ok {
		return err
	}
	if s.code == noKeyCode {
		return fmt.Errorf("%w: %w", proto.ErrNoKey, err)
	}
	switch s.status {
	case http.StatusNotFound, http.StatusGone, http.StatusConflict:
		return fmt.Errorf("%w: %w", proto.ErrGone, err)
	case http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %w", proto.ErrTooLarge, err)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", proto.ErrOtherRequest, err)
	}
	return err
}

func (r *remote) ResultURL(_ string, b proto.Begun) string {
	return r.base + "/v1/http/runs/" + url.PathEscape(b.RunID) + "/output?token=" + url.QueryEscape(b.Token)
}

func (r *remote) StreamURL(_ string, b proto.Begun) string {
	return r.base + "/v1/realtime/sse?token=" + url.QueryEscape(b.RealtimeToken)
}

func (r *remote) Tee(ctx context.Context, run string) (io.WriteCloser, error) {
	body, w := io.Pipe()
	path := "/v1/realtime/publish/tee?" + url.Values{"channel": {run}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, body)
	if err != nil {
		return nil, err
	}
	proto.TraceOf(ctx).Mark(req.Header)
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set(proto.HeaderSDK, sdk)
	req.Header.Set("User-Agent", sdk)
	if ring := r.app.keys.Load(); ring != nil {
		req.Header.Set("Authorization", "Bearer "+ring.Current.Hashed())
	}
	t := &tee{PipeWriter: w, done: make(chan error, 1)}
	go func() {
		err := r.sent(req)
		_ = body.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // who writes is told
		t.done <- err
	}()
	return t, nil
}

// sent makes a request whose answer says nothing but that it came through.
func (r *remote) sent(req *http.Request) error {
	res, err := r.app.set.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, bodyLimit))
	if err == nil && res.StatusCode/100 != 2 {
		message, code := said(answer, res.Status)
		err = &statusError{status: res.StatusCode, message: message, code: code}
	}
	return err
}

// tee is a request that streams.
type tee struct {
	*io.PipeWriter
	done chan error // how it ended
}

// Close ends it and waits for the answer.
func (t *tee) Close() error {
	_ = t.PipeWriter.Close() // which never fails
	return <-t.done
}

// register tells the server the app's functions.
func (a *App) register(ctx context.Context, at, kind, deploy string) (modified bool, err error) {
	r, ok := a.api().(*remote)
	if !ok {
		return false, errors.New("pawl: the app belongs to an engine in its own process; another server cannot have it too")
	}
	body, err := marshal(map[string]any{
		"url": at, "appName": a.name, "functions": a.registrations(at), "framework": "net/http", "deployType": "ping",
		"sdk": sdk, "v": "0.1", "capabilities": map[string]any{"in_band_sync": "v1", "trust_probe": "v1"},
	})
	if err != nil {
		return false, err
	}
	path, header := "/fn/register", http.Header{proto.HeaderSyncKind: {proto.SyncOutOfBand}}
	if deploy != "" {
		path += "?" + url.Values{"deployId": {deploy}}.Encode()
	}
	if kind != "" {
		header.Set(proto.HeaderExpectedKind, kind)
	}
	var reply struct {
		Modified bool `json:"modified"`
	}
	if err := r.do(ctx, http.MethodPost, path, body, header, true, &reply); err != nil {
		return false, fmt.Errorf("pawl: register app %s with %s: %w", a.name, r.base, err)
	}
	return reply.Modified, nil
}

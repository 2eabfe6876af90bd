package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// recorder stands between pawl and one app, in both directions. It changes
// nothing, unless it is told to lose an answer; a broken connection on one side is a
// broken connection on the other. What it sees goes into the app log, and what
// concerns a run into its traffic.
type recorder struct {
	appURL  string // where pawl calls the app
	pawlURL string // where the app calls pawl
	log     *appLog

	mu      sync.Mutex
	traffic map[string]traffic // by run
	entered map[string]int     // generation of the latest request that entered a run's endpoint
	bearers map[string]bool    // credentials that the app used
	lose    map[string]bool    // events whose next acknowledgement is lost
	sent    []sendAnswer       // to the app's events
}

// sendAnswer is what pawl answered to events.
type sendAnswer struct {
	status     int
	retryAfter string
}

// traffic counts what was said about one run.
type traffic struct {
	calls       int // POST requests to the app, and requests that enter an endpoint again
	useAPI      int // of these, with the state left out
	targeted    int // of these, aimed at a single step
	fetches     int // the app fetched the state
	checkpoints int // answered with 200
	sends       int // requests with events whose data.from is the run
	signed      int // requests with a signature
	answers     int // signed answers
}

// newRecorder starts a recorder in front of the app at appAddr and of the server
// at pawlURL. The app may start later.
func newRecorder(t *testing.T, log *appLog, appAddr, pawlURL string) *recorder {
	t.Helper()
	r := &recorder{log: log, traffic: map[string]traffic{}, entered: map[string]int{}, bearers: map[string]bool{}, lose: map[string]bool{}}
	toApp := httptest.NewServer(r.proxy("http://"+appAddr, r.fromPawl, r.answered))
	toPawl := httptest.NewServer(r.proxy(pawlURL, r.fromApp, r.acknowledged))
	t.Cleanup(toApp.Close)
	t.Cleanup(toPawl.Close)
	r.appURL, r.pawlURL = toApp.URL, toPawl.URL
	return r
}

func (r *recorder) of(run string) traffic {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.traffic[run]
}

func (r *recorder) count(run string, change func(*traffic)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.traffic[run]
	change(&t)
	r.traffic[run] = t
}

func (r *recorder) usedBearers() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var used []string
	for b := range r.bearers {
		used = append(used, b)
	}
	return used
}

func (r *recorder) proxy(target string, request func(*http.Request, []byte), answer func(*http.Response, []byte) error) http.Handler {
	to, err := url.Parse(target)
	if err != nil {
		panic(err) // both targets are our own
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
		},
		ModifyResponse: func(res *http.Response) error {
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			res.Body.Close()
			res.Body = io.NopCloser(bytes.NewReader(body))
			return answer(res, body)
		},
		ErrorHandler: func(_ http.ResponseWriter, req *http.Request, err error) {
			r.log.append(line{Run: req.Header.Get("X-Run-ID"), What: "cut", Step: err.Error(), Gen: generation(req)})
			panic(http.ErrAbortHandler)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.ContentLength = int64(len(body))
		request(req, body)
		forward.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), sentBody{}, body)))
	})
}

// fromPawl sees a call on its way to the app.
func (r *recorder) fromPawl(req *http.Request, body []byte) {
	var call struct {
		Ctx struct {
			Run string `json:"run_id"`
		}
		UseAPI bool `json:"use_api"`
		Steps  map[string]json.RawMessage
	}
	if req.Method != http.MethodPost || json.Unmarshal(body, &call) != nil || call.Ctx.Run == "" {
		if run := req.Header.Get("X-Run-ID"); run != "" { // an endpoint is entered again
			r.count(run, func(t *traffic) {
				r.entered[run] = generation(req)
				t.calls++
				if req.Header.Get("X-Inngest-Step-ID") != "" {
					t.targeted++
				}
				if req.Header.Get("X-Inngest-Signature") != "" {
					t.signed++
				}
			})
		}
		return
	}
	if !call.UseAPI {
		r.log.append(line{Run: call.Ctx.Run, What: "memo", IDs: keys(call.Steps), Gen: generation(req)})
	}
	r.count(call.Ctx.Run, func(t *traffic) {
		t.calls++
		if call.UseAPI {
			t.useAPI++
		}
		if req.URL.Query().Get("stepId") != "step" {
			t.targeted++
		}
		if req.Header.Get("X-Inngest-Signature") != "" {
			t.signed++
		}
	})
}

// answered sees the app's answer to a call on its way to pawl.
func (r *recorder) answered(res *http.Response, body []byte) error {
	run := res.Request.Header.Get("X-Run-ID")
	if run == "" {
		return nil
	}
	if res.Header.Get("X-Inngest-Signature") != "" {
		r.count(run, func(t *traffic) { t.answers++ })
	}
	var ops []struct{ Op, ID string }
	if json.Unmarshal(body, &ops) != nil {
		ops = nil // a result, or an error
	}
	ids := make([]string, len(ops))
	for i, op := range ops {
		ids[i] = op.Op + " " + op.ID
	}
	r.log.append(line{Run: run, What: "answer", IDs: ids, Gen: generation(res.Request)})
	return nil
}

// fromApp sees a request of the app on its way to pawl.
func (r *recorder) fromApp(req *http.Request, body []byte) {
	for _, e := range sentEvents(req, body) {
		if e.Data.From != "" {
			r.count(e.Data.From, func(t *traffic) { t.sends++ })
		}
	}
	if bearer, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bearers[bearer] = true
	}
}

// acknowledged sees pawl's answer to a request of the app, before the app does.
func (r *recorder) acknowledged(res *http.Response, body []byte) error {
	path := strings.Split(strings.Trim(res.Request.URL.Path, "/"), "/")
	if path[0] == "e" {
		r.mu.Lock()
		r.sent = append(r.sent, sendAnswer{res.StatusCode, res.Header.Get("Retry-After")})
		r.mu.Unlock()
	}
	switch {
	case isCheckpoint(res.Request):
		sent := checkpointed(res.Request)
		if res.StatusCode != http.StatusOK {
			r.log.append(line{Run: sent.run, What: "refused", Step: res.Status, IDs: sent.ids, Gen: sent.generation})
			return nil
		}
		r.log.append(line{Run: sent.run, What: "ack", IDs: sent.ids, Gen: sent.generation})
		r.count(sent.run, func(t *traffic) { t.checkpoints++ })
	case res.StatusCode == http.StatusOK && len(path) == 4 && path[1] == "runs" && path[3] == "actions":
		var memo map[string]json.RawMessage
		if json.Unmarshal(body, &memo) == nil {
			r.count(path[2], func(t *traffic) {
				t.fetches++
				r.log.append(line{Run: path[2], What: "memo", IDs: keys(memo), Gen: r.entered[path[2]]})
			})
		}
	case res.StatusCode == http.StatusOK && path[0] == "e":
		sent, _ := res.Request.Context().Value(sentBody{}).([]byte)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, e := range sentEvents(res.Request, sent) {
			if r.lose[e.Name] {
				delete(r.lose, e.Name)
				return errLost
			}
		}
	}
	return nil
}

// sendAnswers are pawl's answers to the app's events, so far.
func (r *recorder) sendAnswers() []sendAnswer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// errLost cuts a connection whose answer is to be lost.
var errLost = errors.New("lost on purpose")

// loseAcknowledgement cuts the connection in place of the next 200 for an event
// that the app sends: pawl has it, and the app cannot know.
func (r *recorder) loseAcknowledgement(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lose[event] = true
}

// sentEvent is an event that the app sends; scenarios put their run into it.
type sentEvent struct {
	Name string
	Data struct{ From string }
}

// sentEvents returns the events in a request of the app, if it is one for them.
func sentEvents(req *http.Request, body []byte) []sentEvent {
	if req.Method != http.MethodPost || !strings.HasPrefix(req.URL.Path, "/e/") {
		return nil
	}
	var several []sentEvent
	if json.Unmarshal(body, &several) == nil {
		return several
	}
	var one sentEvent
	if json.Unmarshal(body, &one) == nil {
		return []sentEvent{one}
	}
	return nil
}

// sentBody is the context key of a forwarded request's body.
type sentBody struct{}

// checkpoint is what a checkpoint request says.
type checkpoint struct {
	run        string
	ids        []string // of the steps that it reports as done
	generation int      // that it belongs to; 0 if it does not say
}

// isCheckpoint reports whether a request of an app reports steps: those of a call,
// or of an endpoint's own request.
func isCheckpoint(req *http.Request) bool {
	path, ok := strings.CutPrefix(req.URL.Path, "/v1/checkpoint")
	if !ok {
		path, ok = strings.CutPrefix(req.URL.Path, "/v1/http/runs")
	}
	return ok && req.Method == http.MethodPost && (path == "" || strings.HasSuffix(path, "/async") || strings.HasSuffix(path, "/steps"))
}

func checkpointed(req *http.Request) (c checkpoint) {
	body, _ := req.Context().Value(sentBody{}).([]byte)
	var sent struct {
		Run        string `json:"run_id"`
		Generation int    `json:"generation_id"`
		Steps      []struct{ Op, ID string }
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		return c // what is no JSON reports no step
	}
	for _, step := range sent.Steps {
		if step.Op == "StepRun" || step.Op == "Step" {
			c.ids = append(c.ids, step.ID)
		}
	}
	c.run, c.generation = sent.Run, sent.Generation
	return c
}

// generation is that of the dispatch a request to an app belongs to, 0 if it
// does not say.
func generation(req *http.Request) int {
	n, err := strconv.Atoi(req.Header.Get("X-Inngest-Generation-ID"))
	if err != nil {
		return 0
	}
	return n
}

func keys(m map[string]json.RawMessage) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	return ids
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// What the app of mode flow serves: a function that ends with its first request.
const (
	flowName     = "bench-flow"
	flowFunction = flowName + "-run"
	flowEvent    = "bench/flow"
	flowKey      = "event.data.k"
	flowRetries  = 3
)

// flowEventOf is an event for a run of a key.
func flowEventOf(n int64, key string) string {
	return fmt.Sprintf(`{"name":%q,"data":{"n":%d,"k":%q,"pad":%q}}`, flowEvent, n, key, padding)
}

// flowCall is a request that the app has got.
type flowCall struct {
	n       int64
	key     string
	attempt int
	at      time.Time
}

// flowApp is the app of mode flow. It lives in the driver: what it counts is
// compared with what was sent.
type flowApp struct {
	self string
	addr string
	http *http.Server
	work time.Duration // that a request takes

	began func(flowCall)   // if given, told of each request
	ended func(key string) // if given, told of each answer

	first    chan time.Time
	once     sync.Once
	calls    atomic.Int64
	open     atomic.Int64
	most     atomic.Int64
	overlaps atomic.Int64 // requests of a key while another of it was open

	mu       sync.Mutex
	keys     map[string]int // open, by key
	done     []uint8        // requests, by number
	starts   []time.Time    // of the first request of each number
	known    int            // numbers that had a request
	attempts int            // requests that said that others had failed
	repeated int
	hot      []time.Time // of the newest requests of the key flowHot
}

// startFlowApp listens. Numbers of events are below n.
func startFlowApp(n int, work time.Duration) (*flowApp, error) {
	a := &flowApp{work: work, first: make(chan time.Time, 1), keys: map[string]int{}, done: make([]uint8, n)}
	if err := a.listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	a.self = "http://" + a.addr + appPath
	return a, nil
}

func (a *flowApp) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	a.addr = l.Addr().String()
	a.http = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	go func(s *http.Server) { _ = s.Serve(l) }(a.http) // ends with stop
	return nil
}

func (a *flowApp) stop() error {
	if err := a.http.Close(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// leave ends the app when it has answered what it has, so that nobody listens any
// more; comeBack starts it where it was.
func (a *flowApp) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return a.http.Shutdown(ctx)
}

func (a *flowApp) comeBack() error { return a.listen(a.addr) }

// register tells the server what the app serves, with flow control options.
func (a *flowApp) register(ctx context.Context, server, key, options string) error {
	body := fmt.Sprintf(`{"url":%q,"deployType":"ping","framework":"net/http","appName":%q,"sdk":%q,"v":"0.1","functions":[`+
		`{"id":%q,"name":%q,"triggers":[{"event":%q}],%s,"steps":{"step":{"id":"step","name":"step",`+
		`"runtime":{"type":"http","url":"%s?fnId=%s&stepId=step"},"retries":{"attempts":%d}}}}]}`,
		a.self, flowName, headerSDK[0], flowFunction, flowFunction, flowEvent, options, a.self, flowFunction, flowRetries)
	return register(ctx, server, key, body)
}

// ServeHTTP answers a call: the run ends.
func (a *flowApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	h := w.Header()
	h["X-Inngest-Sdk"], h["X-Inngest-Req-Version"], h["Content-Type"] = headerSDK, headerVersion, headerJSON
	if r.Method != http.MethodPost {
		_, _ = io.WriteString(w, `{"function_count":1,"has_event_key":true,"has_signing_key":true,"mode":"cloud","schema_version":"2024-05-24"}`)
		return
	}
	var c struct {
		Ctx struct {
			Attempt int `json:"attempt"`
		} `json:"ctx"`
		Event struct {
			Data struct {
				N int64  `json:"n"`
				K string `json:"k"`
			} `json:"data"`
		} `json:"event"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxCallBytes))
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(errorBody("internal", err.Error())) // the server calls again
		return
	}
	call := flowCall{n: c.Event.Data.N, key: c.Event.Data.K, attempt: c.Ctx.Attempt, at: at}
	a.begin(call)
	if a.work > 0 {
		time.Sleep(a.work)
	}
	w.WriteHeader(http.StatusPartialContent)
	a.end(call)
	_, _ = io.WriteString(w, `[{"op":"RunComplete","id":"`+completeID+`","data":1}]`) // a server that has gone away calls again
	if a.ended != nil {
		a.ended(call.key)
	}
}

func (a *flowApp) begin(c flowCall) {
	a.once.Do(func() { a.first <- c.at })
	a.calls.Add(1)
	open := a.open.Add(1)
	for old := a.most.Load(); open > old && !a.most.CompareAndSwap(old, open); old = a.most.Load() {
	}
	a.mu.Lock()
	if a.keys[c.key]++; a.keys[c.key] > 1 {
		a.overlaps.Add(1)
	}
	if c.key == flowHot {
		const few = 64
		if a.hot = append(a.hot, c.at); len(a.hot) > 2*few {
			a.hot = append(a.hot[:0], a.hot[len(a.hot)-few:]...)
		}
	}
	if c.attempt > 0 {
		a.attempts++
	}
	if int(c.n) < len(a.done) {
		if a.done[c.n]++; a.done[c.n] == 1 {
			a.known++
			a.starts = append(a.starts, c.at)
		} else {
			a.repeated++
		}
	}
	a.mu.Unlock()
	if a.began != nil {
		a.began(c)
	}
}

func (a *flowApp) end(c flowCall) {
	a.mu.Lock()
	if a.keys[c.key]--; a.keys[c.key] == 0 {
		delete(a.keys, c.key)
	}
	a.mu.Unlock()
	a.open.Add(-1)
}

// distinct is how many numbers had a request.
func (a *flowApp) distinct() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known
}

// hotBetween is how many requests of the key flowHot began between two times.
func (a *flowApp) hotBetween(from, to time.Time) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.hot {
		if at.After(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// rateJitter is by how much requests may be late on their way from the server to
// the app, so that some of one moment come together with those of a later one.
const rateJitter = 100 * time.Millisecond

// report compares what came with what was accepted and declared.
func (a *flowApp) report(out *FlowBurst, l *flowLoad, c flowConfig, back time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.SortFunc(a.starts, time.Time.Compare)
	out.Starts = mostIn(a.starts, time.Second)
	// From idle, so many begin at once, and then one after the other. Source: spec/11 §3.
	out.MayStart = c.limit + int(float64(c.limit)*(time.Second+rateJitter).Seconds())
	out.AtOnce, out.Repeated, out.Attempts = int(a.most.Load()), a.repeated, a.attempts
	for n, taken := range l.taken {
		if taken && a.done[n] == 0 {
			out.Lost++
		}
	}
	say := func(format string, args ...any) { out.Problems = append(out.Problems, fmt.Sprintf(format, args...)) }
	if out.Starts > out.MayStart {
		say("%d runs began in one second; the throttle lets %d", out.Starts, out.MayStart)
	}
	if out.AtOnce > c.atOnce {
		say("%d requests were open at once; the app declares %d", out.AtOnce, c.atOnce)
	}
	if out.Lost > 0 {
		say("%d accepted events had no run", out.Lost)
	}
	if out.Repeated > 0 {
		say("%d requests were made again", out.Repeated)
	}
	if out.Attempts > 0 {
		say("%d requests said that others had failed before", out.Attempts)
	}
	if !back.IsZero() {
		i, _ := slices.BinarySearchFunc(a.starts, back, time.Time.Compare)
		if i < len(a.starts) {
			out.BackMicros = a.starts[i].Sub(back).Microseconds()
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// What the app of mode waits serves.
const (
	waitsApp     = "bench-waits"
	waitsOne     = waitsApp + "-one" // waits for the event that has its number
	waitsAll     = waitsApp + "-all" // waits for any event of a name
	waitsFan     = waitsApp + "-fan" // one of many that an event starts
	waitsStart   = "bench/waits.start"
	waitsPaid    = "bench/waits.paid"
	waitsOpen    = "bench/waits.open"
	waitsFanned  = "bench/waits.fan"
	waitsMatch   = "event.data.n == async.data.n"
	waitsTimeout = 30 * 24 * time.Hour
)

var waitStep = hashed("paid")

// arrival is a request that reached the app.
type arrival struct {
	n     int64 // of the run
	fn    string
	woken bool // what the run waited for has come
	at    time.Time
}

// waiter is the app of mode waits. It lives in the driver: what is measured is
// when requests come, and not how many.
type waiter struct {
	server, key string
	self        string
	fans        int
	arrivals    chan arrival
	http        *http.Server
}

// startWaiter listens; register tells the server.
func startWaiter(server, key string, fans int) (*waiter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	w := &waiter{server: server, key: key, fans: fans, self: "http://" + l.Addr().String() + appPath, arrivals: make(chan arrival, 1<<16)}
	w.http = &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = w.http.Serve(l) }() // ends with stop
	return w, nil
}

func (a *waiter) stop() error {
	err := a.http.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// register tells the server what the app serves.
func (a *waiter) register(ctx context.Context) error {
	function := func(id, event string) string {
		return fmt.Sprintf(`{"id":%q,"name":%q,"triggers":[{"event":%q}],"steps":{"step":{"id":"step","name":"step",`+
			`"runtime":{"type":"http","url":"%s?fnId=%s&stepId=step"},"retries":{"attempts":3}}}}`, id, id, event, a.self, id)
	}
	functions := []string{function(waitsOne, waitsStart), function(waitsAll, waitsStart+".all")}
	for i := range a.fans {
		functions = append(functions, function(fmt.Sprintf("%s-%d", waitsFan, i), waitsFanned))
	}
	body := fmt.Sprintf(`{"url":%q,"deployType":"ping","framework":"net/http","appName":%q,"sdk":%q,"v":"0.1","functions":[%s]}`,
		a.self, waitsApp, headerSDK[0], strings.Join(functions, ","))
	return register(ctx, a.server, a.key, body)
}

// ServeHTTP answers a call: a run waits, and ends when it was woken.
func (a *waiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	came := arrival{at: time.Now(), fn: r.URL.Query().Get("fnId")}
	var c struct {
		Event struct {
			Data struct {
				N int64 `json:"n"`
			} `json:"data"`
		} `json:"event"`
		Steps map[string]json.RawMessage `json:"steps"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxCallBytes))
	if err == nil && r.Method == http.MethodPost {
		err = json.Unmarshal(body, &c)
	}
	status, answer := http.StatusPartialContent, []byte(`[{"op":"RunComplete","id":"`+completeID+`","data":1}]`)
	came.n, came.woken = c.Event.Data.N, c.Steps[waitStep] != nil
	switch {
	case err != nil:
		status, answer = http.StatusInternalServerError, errorBody("internal", err.Error())
	case r.Method != http.MethodPost:
		status, answer = http.StatusOK, []byte(`{"function_count":2,"has_event_key":true,"has_signing_key":true,"mode":"cloud","schema_version":"2024-05-24"}`)
	case came.woken, strings.HasPrefix(came.fn, waitsFan):
	default:
		answer = fmt.Appendf(nil, `[{"id":%q,"op":"WaitForEvent","name":%q,"displayName":"paid","opts":{"event":%q,"if":%q,"timeout":"30d"},"data":null}]`,
			waitStep, waitsPaid, waitsPaid, waitsMatch)
	}
	h := w.Header()
	h["X-Inngest-Sdk"], h["X-Inngest-Req-Version"], h["Content-Type"] = headerSDK, headerVersion, headerJSON
	w.WriteHeader(status)
	_, _ = w.Write(answer) // a server that has gone away sends the call again
	if r.Method == http.MethodPost && err == nil {
		a.arrivals <- came
	}
}

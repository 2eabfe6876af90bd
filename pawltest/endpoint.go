package pawltest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
)

// Ask makes a request to an endpoint of the app, or to a mux in front of it, as a
// client does that follows it to where the answer is, and lets time pass until it is
// there. The header X-Run-Id of the answer names the run.
//
// When the process dies before it has answered, the client asks once more, for which
// the request has to have an Idempotency-Key: without one that would be another run.
func (p *Pawl) Ask(h http.Handler, r *http.Request) *http.Response {
	p.t.Helper()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			p.t.Fatal(err)
		}
	}
	for {
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		res := p.answer(h, again)
		if res == nil {
			if r.Header.Get("Idempotency-Key") == "" {
				p.t.Fatal("the process died before it had answered, and the request has no Idempotency-Key by which a client could ask again")
			}
			continue
		}
		run := resultOf(res)
		if run == "" {
			return res
		}
		where := res.Header.Get("Location")
		for res = nil; res == nil; { // who waits comes again
			res = p.answer(p.app, httptest.NewRequestWithContext(r.Context(), http.MethodGet, where, http.NoBody))
		}
		res.Header.Set("X-Run-Id", run)
		return res
	}
}

// answer is what a client in this life of the process gets; nil: the process died.
func (p *Pawl) answer(h http.Handler, r *http.Request) *http.Response {
	rec := httptest.NewRecorder()
	if p.trap == nil {
		h.ServeHTTP(rec, r)
		return rec.Result()
	}
	p.trap.wait()
	life, answered := p.trap.life(), make(chan struct{})
	go func() { // which in a process that has died goes on until the case ends
		defer close(answered)
		h.ServeHTTP(rec, r)
	}()
	select {
	case <-answered:
	case <-p.trap.lives(life).Done():
	}
	if p.trap.life() != life {
		return nil
	}
	return rec.Result()
}

// resultOf is the run to whose result an answer sends; "" if it does not. An answer of
// the endpoint's own names its run.
func resultOf(res *http.Response) string {
	u, err := url.Parse(res.Header.Get("Location"))
	own := res.Header.Get("X-Run-Id") != "" && res.Header.Get("Idempotency-Replayed") == ""
	if err != nil || res.StatusCode != http.StatusSeeOther || own || u.Query().Get("token") == "" {
		return ""
	}
	return u.Query().Get("run")
}

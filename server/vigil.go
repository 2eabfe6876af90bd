package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pawlhq/pawl/engine"
)

// vigil is the wait of one client for the end of a run. It may take days, and there
// may be many: net/http has some 30 KB for each connection, and two goroutines. So
// it takes the connection over, and what happens meanwhile is told to it: by a
// timer, by the engine, and when the server is about to end. Where a connection
// cannot be taken over, its handler waits.
//
// A client of such a connection that has gone is seen when something is sent to it.
type vigil struct {
	*reader
	end   *engine.Ending
	until time.Time // when the client is told that there is no result yet; zero: never
	conn  *taken    // nil: the handler waits

	mu     sync.Mutex
	timer  *time.Timer
	unhook func() bool
	over   chan struct{} // closed when all was said
}

// keep returns when the vigil is over, or is kept without the handler.
func (v *vigil) keep() {
	v.over = make(chan struct{})
	ctx := v.r.Context()
	if v.conn = takeOver(v.w, v.r); v.conn != nil {
		v.s.vigils.Add(1)
		v.w, v.rc = v.conn, http.NewResponseController(v.conn)
		v.r = v.r.WithContext(context.WithoutCancel(ctx)) // it ends with the handler
	}
	v.begin()
	if v.conn != nil {
		return
	}
	select {
	case <-v.over:
	case <-ctx.Done():
		v.happens(func() bool { return true })
	}
	v.close()
}

func (v *vigil) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stream {
		v.open()
	}
	v.timer = time.AfterFunc(v.pause(), func() { v.happens(v.passes) })
	v.unhook = context.AfterFunc(v.s.draining, func() {
		v.happens(func() bool {
			v.stop()
			return true
		})
	})
	v.end.Then(func() {
		v.happens(func() bool {
			if head, ok := v.end.Head(); ok {
				v.ended(head)
			} else {
				v.stop()
			}
			return true
		})
	})
}

// pause is how long nothing has to be done.
func (v *vigil) pause() time.Duration {
	if v.until.IsZero() {
		return v.s.keepAlive
	}
	return time.Until(v.until)
}

// passes is told that time has.
func (v *vigil) passes() (over bool) {
	if !v.until.IsZero() {
		v.late()
		return true
	}
	if !v.alive() {
		return true
	}
	v.timer.Reset(v.pause())
	return false
}

// happens does what has to be done, unless all is over, and ends the vigil if it is
// then.
func (v *vigil) happens(do func() (over bool)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.over:
		return
	default:
	}
	over := true
	defer func() {
		if p := recover(); p != nil { // as in a handler, it costs this client its answer and no other
			v.s.log.Error("a wait for a result panicked", "run", v.run, "err", p, "stack", string(debug.Stack()))
			v.broken = true
		}
		if over {
			v.leave()
		}
	}()
	over = do()
}

func (v *vigil) leave() {
	v.timer.Stop()
	v.unhook()
	v.end.Close()
	if v.conn != nil {
		v.conn.close(v.broken)
		v.s.vigils.Done()
	}
	close(v.over)
}

// Wait returns when nobody is being answered any more on a connection that was taken
// over from the HTTP server, whose Shutdown does not know of them, or with the error
// of ctx. Config.Draining has to be done before.
func (s *Server) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.vigils.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// taken is a connection that was taken over, as a ResponseWriter for one answer.
type taken struct {
	conn   net.Conn
	header http.Header
	old    bool // HTTP/1.0
	wrote  bool
	body   io.WriteCloser // chunks; nil when the length is known, or the end of the connection is the body's
}

// takeOver takes the connection of a request over, with the headers that were set so
// far. It returns nil where that is not possible, or where there was a body: what is
// not read of that would reset the connection, and the answer be lost; and for a HEAD,
// whose answer has none.
func takeOver(w http.ResponseWriter, r *http.Request) *taken {
	if r.ProtoMajor != 1 || r.ContentLength != 0 || r.Method == http.MethodHead {
		return nil
	}
	t := &taken{header: w.Header().Clone(), old: !r.ProtoAtLeast(1, 1)}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	_ = conn.SetDeadline(time.Time{})
	t.conn = conn
	return t
}

func (t *taken) Header() http.Header { return t.header }

func (t *taken) WriteHeader(status int) {
	if t.wrote {
		return
	}
	t.wrote = true
	h := t.header
	h.Set("Connection", "close")
	if h.Get("Date") == "" {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	version := "1.1"
	switch {
	case t.old:
		version = "1.0"
	case h.Get("Content-Length") != "" || !bodyAllowed(status):
	default:
		h.Set("Transfer-Encoding", "chunked")
		t.body = httputil.NewChunkedWriter(t.conn)
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/%s %03d %s\r\n", version, status, http.StatusText(status))
	_ = h.Write(&head) // to memory
	head.WriteString("\r\n")
	_ = t.write(t.conn, head.Bytes()) // the next write fails as well
}

func (t *taken) Write(b []byte) (int, error) {
	t.WriteHeader(http.StatusOK)
	to := io.Writer(t.conn)
	if t.body != nil {
		to = t.body
	}
	if err := t.write(to, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// putPart is how much of an answer has to be taken within longestPut.
const putPart = 64 << 10

func (t *taken) write(to io.Writer, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), putPart)
		if err := t.conn.SetWriteDeadline(time.Now().Add(longestPut)); err != nil {
			return err
		}
		if _, err := to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// FlushError does nothing: nothing is held back.
func (t *taken) FlushError() error { return nil }

// SetWriteDeadline does nothing: each write has its own.
func (t *taken) SetWriteDeadline(time.Time) error { return nil }

// close ends the answer and the connection. One that is cut is reset, so that also
// in HTTP/1.0 nobody takes what came for all there is.
func (t *taken) close(cut bool) {
	switch tcp, ok := t.conn.(*net.TCPConn); {
	case cut && ok:
		_ = tcp.SetLinger(0)
	case cut:
	case t.body != nil:
		_ = t.body.Close()
		_ = t.write(t.conn, []byte("\r\n")) // the trailer, which is empty
	}
	_ = t.conn.Close()
}

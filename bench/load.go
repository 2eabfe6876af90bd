package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of a load.
const (
	runTimeout     = 60 * time.Second // the longest that a client waits for a run
	maxErrorsInRow = 10               // after these a client gives up
	errorPause     = 20 * time.Millisecond
	maxSamples     = 200 // events whose runs are looked at afterwards
	latencyDigits  = 3
)

// load is a closed loop: each of its clients sends, waits for the end, and sends
// again. What it sends is numbered, so that client n mod clients owns number n.
type load struct {
	server  string // host:port, see aim
	path    string // of the event API, with the key
	event   string // name of the events
	clients int
	batch   int  // events in a request
	waits   bool // an event is done when its run has ended, else when it is accepted

	rec     *recorder
	stopped atomic.Bool
	ended   []chan int64 // for each client, the numbers of its runs that ended
	doubled atomic.Int64 // runs that ended though nobody waited for them
}

func newLoad(event string, clients, batch int, waits bool) *load {
	l := &load{event: event, clients: clients, batch: batch, waits: waits, rec: newRecorder()}
	l.ended = make([]chan int64, clients)
	for i := range l.ended {
		l.ended[i] = make(chan int64, 1)
	}
	return l
}

// aim says where to send; run needs it, runEnded does not.
func (l *load) aim(server, eventKey string) { l.server, l.path = server, "/e/"+eventKey }

// runEnded is told by the app that run n has ended.
func (l *load) runEnded(n int64) {
	if n < 0 {
		l.doubled.Add(1)
		return
	}
	select {
	case l.ended[n%int64(l.clients)] <- n:
	default:
		l.doubled.Add(1)
	}
}

// run works until stop has been called and each client has what it waits for.
func (l *load) run(ctx context.Context) {
	var clients sync.WaitGroup
	for i := range l.clients {
		clients.Go(func() { l.client(ctx, i) })
	}
	clients.Wait()
}

func (l *load) stop() { l.stopped.Store(true) }

// client is one of the loop's clients, with a connection of its own.
func (l *load) client(ctx context.Context, i int) {
	c := newConn(l.server, "")
	defer c.close()
	timeout := time.NewTimer(runTimeout)
	defer timeout.Stop()
	var body []byte
	errorsInRow := 0
	for n := int64(i); !l.stopped.Load() && ctx.Err() == nil && errorsInRow < maxErrorsInRow; n += int64(l.clients) {
		body = l.body(body[:0], n)
		start := time.Now()
		status, answer, err := c.do(ctx, "POST", l.path, body)
		if err == nil && status != 200 {
			err = fmt.Errorf("POST an event: status %d: %s", status, firstBytes(answer))
		}
		if err == nil {
			l.rec.accepted(l.batch, n/int64(l.clients), answer)
			if l.waits {
				timeout.Reset(runTimeout)
				err = l.await(ctx, i, n, timeout)
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			errorsInRow++
			l.rec.failed(err)
			pause(ctx, errorPause)
			continue
		}
		errorsInRow = 0
		l.rec.done(start, time.Now(), l.batch)
	}
}

// errUnfinished means that a run did not end in time.
var errUnfinished = errors.New("a run did not end in time")

// await waits for the end of run n of client i.
func (l *load) await(ctx context.Context, i int, n int64, timeout *time.Timer) error {
	for {
		select {
		case got := <-l.ended[i]:
			if got == n {
				return nil
			}
			l.doubled.Add(1) // a second end of an earlier run
		case <-timeout.C:
			return fmt.Errorf("run %d: %w (%v)", n, errUnfinished, runTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// body appends the events of request n. Their data is padded to about 100 bytes.
func (l *load) body(buf []byte, n int64) []byte {
	if l.batch > 1 {
		buf = append(buf, '[')
	}
	for i := range l.batch {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, `{"name":"`...)
		buf = append(buf, l.event...)
		buf = append(buf, `","data":{"n":`...)
		buf = strconv.AppendInt(buf, n*int64(l.batch)+int64(i), 10)
		buf = append(buf, `,"pad":"`...)
		buf = append(buf, padding...)
		buf = append(buf, `"}}`...)
	}
	if l.batch > 1 {
		buf = append(buf, ']')
	}
	return buf
}

// recorder keeps what the clients measured. Only what ended while it is open
// counts for the figures; everything counts for the books.
type recorder struct {
	mu      sync.Mutex
	open    bool
	latency *hdrhistogram.Histogram // microseconds
	count   int64                   // events done while open

	sent     int64    // events accepted, ever
	samples  []string // ids of some accepted events
	every    int64    // each client gives every so-manieth event as a sample
	errors   int64
	firstErr error
}

func newRecorder() *recorder {
	return &recorder{every: 64, latency: hdrhistogram.New(1, runTimeout.Microseconds(), latencyDigits)}
}

// setOpen starts or ends the time that counts.
func (r *recorder) setOpen(open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = open
}

// accepted notes that the server took events, and keeps an id now and then; turn
// counts the requests of one client.
func (r *recorder) accepted(events int, turn int64, answer []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent += int64(events)
	if turn%r.every != 0 || len(r.samples) >= maxSamples {
		return
	}
	var reply struct {
		IDs []string `json:"ids"`
	}
	switch err := json.Unmarshal(answer, &reply); {
	case err != nil || len(reply.IDs) != events:
		r.fail(fmt.Errorf("POST %d events: the answer has no id for each: %s", events, firstBytes(answer)))
	default:
		r.samples = append(r.samples, reply.IDs[len(reply.IDs)-1])
	}
}

// done records that events took from start to end.
func (r *recorder) done(start, end time.Time, events int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return
	}
	r.count += int64(events)
	if err := r.latency.RecordValue(max(1, end.Sub(start).Microseconds())); err != nil {
		r.fail(err)
	}
}

func (r *recorder) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(err)
}

func (r *recorder) fail(err error) {
	r.errors++
	if r.firstErr == nil {
		r.firstErr = err
	}
}

// pause waits for d or for ctx to end.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

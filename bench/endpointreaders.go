package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/oklog/ulid/v2"
)

// EndpointResult is how long results take to those who wait for them.
type EndpointResult struct {
	Ways []EndpointWay
}

// EndpointWay is that with a number of others who wait for other results. The
// first two are from sending the report that ends the run.
type EndpointWay struct {
	Others               int
	AckP50, AckP99       int64 // µs until the server has said that it is on disk
	ReaderP50, ReaderP99 int64 // until the reader has the result
	AfterP50, AfterP99   int64 // from the former to the latter; 0 when the reader was first
	Load                 *float64
}

// EndpointReaders is what many cost who wait at once, each for another result.
type EndpointReaders struct {
	Readers   int
	Before    *int64 // resident bytes of the server, with the runs asleep
	After     *int64 // with everybody waiting
	Idle      time.Duration
	CPU       *float64 // cores that the server used meanwhile
	AllMicros int64    // from the first report to the last reader's result
	Load      *float64
	Problems  []string
}

// begunRun is a run that the bench has begun as an app would.
type begunRun struct{ run, token string }

// begin reports a run that has done a step, and sleeps, if it is to be asleep.
func begin(ctx context.Context, c *conn, asleep bool) (b begunRun, err error) {
	b.run = ulid.Make().String()
	more := ""
	if asleep {
		more = fmt.Sprintf(`,{"id":%q,"op":"Sleep","name":"10h"}`, hashed("nap"))
	}
	body := fmt.Sprintf(`{"run_id":%q,"request_version":2,"retries":3,"event":{"name":"inngest/http.request","data":{"content_type":"","domain":"http://127.0.0.1:9",`+
		`"ip":"","method":"GET","path":"/book","query_params":"","body":"","fn":""}},"steps":[{"id":%q,"op":"StepRun","data":%q}%s]}`,
		b.run, hashed("a"), padding, more)
	status, answer, err := c.do(ctx, "POST", "/v1/checkpoint", []byte(body))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("begin a run: status %d: %s", status, firstBytes(answer))
	}
	if err != nil {
		return b, err
	}
	var told struct{ Data struct{ Token string } }
	err = json.Unmarshal(answer, &told)
	b.token = told.Data.Token
	return b, err
}

// end reports the result of a run.
func (b begunRun) end(ctx context.Context, c *conn) error {
	body := fmt.Sprintf(`{"run_id":%q,"steps":[{"id":%q,"op":"RunComplete","data":{"status":200,"headers":{},"body":%q,"version":2}}]}`, b.run, hashed("complete"), b.result())
	status, answer, err := c.do(ctx, "POST", "/v1/checkpoint/"+b.run+"/steps", []byte(body))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("end run %s: status %d: %s", b.run, status, firstBytes(answer))
	}
	return err
}

func (b begunRun) result() string { return fmt.Sprintf(`{"run":%q,"pad":%q}`, b.run, padding) }

// resultReader waits for one result on a connection of its own.
type resultReader struct {
	of   begunRun
	nc   net.Conn
	took chan readerTold // gets one
}

type readerTold struct {
	at  time.Time
	err error
}

// listen asks for a result. Its goroutine ends with the answer, or with close.
func (b begunRun) listen(ctx context.Context, addr string) (*resultReader, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	r := &resultReader{b, nc, make(chan readerTold, 1)}
	if _, err := fmt.Fprintf(nc, "GET /v1/http/runs/%s/output?token=%s HTTP/1.1\r\nHost: %s\r\n\r\n", b.run, b.token, addr); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	go func() {
		status, body, _, err := readAnswer(bufio.NewReaderSize(nc, 512), nil)
		at := time.Now()
		if err == nil && (status != http.StatusOK || string(trimmed(body)) != b.result()) {
			err = fmt.Errorf("the result of run %s: status %d: %s", b.run, status, firstBytes(body))
		}
		r.took <- readerTold{at, err}
	}()
	return r, nil
}

// trimmed is a result without the white space that kept its connection alive.
func trimmed(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

// wait waits for the result.
func (r *resultReader) wait(ctx context.Context) (time.Time, error) {
	defer r.nc.Close() //nolint:errcheck // reading is over
	select {
	case t := <-r.took:
		return t.at, t.err
	case <-time.After(waitsPatient):
		return time.Time{}, fmt.Errorf("no result of run %s in %v", r.of.run, waitsPatient)
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
}

// readerPause is how long a reader has until it waits.
const readerPause = 10 * time.Millisecond

// measureWay times the way of results to one reader each.
func measureWay(ctx context.Context, r *rig, samples, others int) (w EndpointWay, err error) {
	w.Others = others
	if v, err := loadAverage(); err == nil {
		w.Load = &v
	}
	app := newConn(r.addr, r.signKey)
	defer app.close()
	ack, reader, after := newHistogram(), newHistogram(), newHistogram()
	for i := range waitsWarmup + samples {
		b, err := begin(ctx, app, false)
		if err != nil {
			return w, err
		}
		waiting, err := b.listen(ctx, r.addr)
		if err != nil {
			return w, err
		}
		pause(ctx, readerPause)
		sent := time.Now()
		if err := b.end(ctx, app); err != nil {
			return w, errors.Join(err, waiting.nc.Close())
		}
		acked := time.Now()
		at, err := waiting.wait(ctx)
		if err != nil {
			return w, err
		}
		if i < waitsWarmup {
			continue
		}
		for _, x := range []struct {
			h *hdrhistogram.Histogram
			d time.Duration
		}{{ack, acked.Sub(sent)}, {reader, at.Sub(sent)}, {after, at.Sub(acked)}} {
			if err := x.h.RecordValue(max(0, x.d.Microseconds())); err != nil {
				return w, err
			}
		}
	}
	w.AckP50, w.AckP99 = ack.ValueAtQuantile(50), ack.ValueAtQuantile(99)
	w.ReaderP50, w.ReaderP99 = reader.ValueAtQuantile(50), reader.ValueAtQuantile(99)
	w.AfterP50, w.AfterP99 = after.ValueAtQuantile(50), after.ValueAtQuantile(99)
	return w, nil
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, waitsPatient.Microseconds(), latencyDigits)
}

// measureReaders measures the way of results, alone and beside many who wait, and
// what those cost.
func measureReaders(ctx context.Context, c endpointConfig, rc rigConfig, out *EndpointReport, log io.Writer) (err error) {
	r := &rig{client: &http.Client{Timeout: 10 * time.Second}}
	defer func() { err = errors.Join(err, r.stop(false)) }()
	if err := r.serve(ctx, rc); err != nil {
		return err
	}
	way := func(others int) error {
		if c.samples == 0 {
			return nil
		}
		w, err := measureWay(ctx, r, c.samples, others)
		if err != nil {
			return err
		}
		fmt.Fprintf(log, "%d others wait: a reader has the result after p50 %s ms, p99 %s ms\n", others, millis(w.ReaderP50), millis(w.ReaderP99))
		out.Result.Ways = append(out.Result.Ways, w)
		return nil
	}
	if err := way(0); err != nil || c.readers == 0 {
		return err
	}
	many := &EndpointReaders{Readers: c.readers, Idle: c.idle}
	out.Readers = many
	if v, err := loadAverage(); err == nil {
		many.Load = &v
	}
	runs := make([]begunRun, c.readers)
	if err := eachOf(len(runs), func(app *conn, i int) (err error) {
		runs[i], err = begin(ctx, app, true)
		return err
	}, r); err != nil {
		return err
	}
	pause(ctx, idlePause)
	many.Before = resident(r.server.pid())
	waiting := make([]*resultReader, len(runs))
	defer func() {
		for _, w := range waiting {
			if w != nil {
				_ = w.nc.Close() // most are closed by now
			}
		}
	}()
	if err := eachOf(len(runs), func(_ *conn, i int) (err error) {
		waiting[i], err = runs[i].listen(ctx, r.addr)
		return err
	}, r); err != nil {
		return fmt.Errorf("%d readers: %w", len(runs), err)
	}
	pause(ctx, idlePause)
	before := r.processorTime()
	pause(ctx, c.idle)
	if used := difference(before, r.processorTime()); used != nil {
		v := *used / c.idle.Seconds()
		many.CPU = &v
	}
	many.After = resident(r.server.pid())
	if r.debug != "" {
		if err := r.saveHeap(ctx, filepath.Join(rc.pprof, "readers-heap.pprof")); err != nil {
			return err
		}
	}
	if err := way(len(runs)); err != nil {
		return err
	}
	began := time.Now()
	var last atomic.Int64
	var told sync.WaitGroup
	var mu sync.Mutex
	for _, w := range waiting {
		told.Go(func() {
			at, err := w.wait(ctx)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				if len(many.Problems) < 10 {
					many.Problems = append(many.Problems, err.Error())
				}
				return
			}
			for old := last.Load(); at.Sub(began).Microseconds() > old && !last.CompareAndSwap(old, at.Sub(began).Microseconds()); old = last.Load() {
			}
		})
	}
	err = eachOf(len(runs), func(app *conn, i int) error { return runs[i].end(ctx, app) }, r)
	told.Wait()
	many.AllMicros = last.Load()
	fmt.Fprintf(log, "%d readers: all have their results after %s ms\n", len(runs), millis(many.AllMicros))
	return err
}

// saveHeap writes what the server has on its heap.
func (r *rig) saveHeap(ctx context.Context, path string) error {
	b, err := r.get(ctx, r.debug, "/debug/pprof/heap")
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// eachOf does something for each of n with waitsClients clients of the server.
func eachOf(n int, do func(app *conn, i int) error, r *rig) error {
	var next atomic.Int64
	failures := make(chan error, waitsClients)
	var clients sync.WaitGroup
	for range waitsClients {
		clients.Go(func() {
			app := newConn(r.addr, r.signKey)
			defer app.close()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(app, int(i)); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	clients.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

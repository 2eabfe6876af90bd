package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Mode realtime measures what is published: how soon it is with whoever reads it,
// and what readers cost.

// Bounds of mode realtime.
const (
	maxSubscribers  = 40_000
	realtimeWarmup  = 50
	realtimeChannel = "bench"
	readersTimeout  = 2 * time.Minute
	dialAtOnce      = 64
)

// realtimeConfig are the settings of mode realtime.
type realtimeConfig struct {
	readers []int // of one topic, or each of its own
	samples int   // messages that count
}

// RealtimeReport is what mode realtime found.
type RealtimeReport struct {
	Report
	Readers []ReadersResult
}

// ReadersResult is what happens with so many readers.
type ReadersResult struct {
	Readers    int
	Messages   int      // that count
	Shared     bool     // all read one topic; else each reads one of its own
	OneMicros  [3]int64 // p50, p99, max: from publishing until a reader has it
	AllMicros  [3]int64 // until all who read it have it
	AckMicros  [3]int64 // until the publisher is answered
	IdleBytes  *int64   // resident, with all readers connected and nothing published
	AfterBytes *int64   // after all messages
	EmptyBytes *int64   // before the first reader
	CPU        *float64 // s of the server for all messages
	Load       *float64
}

// runRealtime measures each number of readers, all of one topic and each of its own.
func runRealtime(ctx context.Context, s settings, rc rigConfig, head Report, log io.Writer) (*RealtimeReport, error) {
	w := &RealtimeReport{Report: head}
	for _, n := range s.realtime.readers {
		for _, shared := range []bool{true, false} {
			if n == 1 && !shared {
				continue
			}
			res, err := readersCase(ctx, s, rc, n, shared)
			if err != nil {
				return nil, fmt.Errorf("%d readers: %w", n, err)
			}
			fmt.Fprintf(log, "%d readers, %s: with one in p50 %s ms, p99 %s ms\n", n, topicsOf(shared), millis(res.OneMicros[0]), millis(res.OneMicros[1]))
			w.Readers = append(w.Readers, res)
		}
	}
	return w, nil
}

func topicsOf(shared bool) string {
	if shared {
		return "one topic"
	}
	return "a topic each"
}

func readersCase(ctx context.Context, s settings, rc rigConfig, n int, shared bool) (res ReadersResult, err error) {
	res = ReadersResult{Readers: n, Shared: shared, Messages: s.realtime.samples}
	if load, err := loadAverage(); err == nil {
		res.Load = &load
	}
	r, err := startRig(ctx, rc, func(int64) {})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, r.stop(s.keep)) }()
	resident := func() *int64 {
		time.Sleep(3 * time.Second) // until nothing moves any more
		b, err := residentMemory(r.server.pid())
		if err != nil {
			return nil
		}
		return &b
	}
	res.EmptyBytes = resident()
	c := &crowd{rig: r, shared: shared, came: make(chan time.Time, n)}
	defer c.leave()
	if err := c.join(ctx, n); err != nil {
		return res, err
	}
	res.IdleBytes = resident()
	hist := [3]*hdrhistogram.Histogram{}
	for i := range hist {
		hist[i] = hdrhistogram.New(1, int64(readersTimeout/time.Microsecond), 3)
	}
	var before time.Duration
	for i := range realtimeWarmup + s.realtime.samples {
		if i == realtimeWarmup {
			before, _ = cpuTime(r.server.pid())
		}
		times, err := c.publish(ctx, i)
		if err != nil {
			return res, err
		}
		if i < realtimeWarmup {
			continue
		}
		for k, d := range times {
			_ = hist[k].RecordValue(max(1, d.Microseconds())) // publish has bounded it
		}
	}
	if after, err := cpuTime(r.server.pid()); err == nil {
		cpu := (after - before).Seconds()
		res.CPU = &cpu
	}
	for k, into := range []*[3]int64{&res.AckMicros, &res.OneMicros, &res.AllMicros} {
		*into = [3]int64{hist[k].ValueAtQuantile(50), hist[k].ValueAtQuantile(99), hist[k].Max()}
	}
	res.AfterBytes = resident()
	return res, nil
}

// crowd is readers of server-sent events, each on a connection of its own.
type crowd struct {
	rig    *rig
	shared bool
	conns  []net.Conn
	came   chan time.Time // a message is with a reader
	broken atomic.Pointer[error]
	ended  sync.WaitGroup
	left   atomic.Bool
}

func (c *crowd) topic(i int) string {
	if c.shared {
		return "all"
	}
	return fmt.Sprint("t", i)
}

// join connects n readers, and returns when the server has answered all of them.
func (c *crowd) join(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, readersTimeout)
	defer cancel()
	slots, errs := make(chan struct{}, dialAtOnce), make(chan error, n)
	var mu sync.Mutex
	for i := range n {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			conn, lines, err := c.connect(ctx, i)
			if err == nil {
				mu.Lock()
				c.conns = append(c.conns, conn)
				mu.Unlock()
				c.ended.Go(func() { c.read(lines) })
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// connect asks for a token and opens the stream with as little memory as it takes:
// this program shares the machine with the server.
func (c *crowd) connect(ctx context.Context, i int) (net.Conn, *bufio.Reader, error) {
	body := fmt.Sprintf(`[{"channel":%q,"name":%q}]`, realtimeChannel, c.topic(i))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.rig.addr+"/v1/realtime/token", strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.rig.signKey)
	resp, err := c.rig.client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for a token: %w", err)
	}
	defer resp.Body.Close()
	var token struct{ JWT string }
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil || token.JWT == "" {
		return nil, nil, fmt.Errorf("ask for a token: status %d", resp.StatusCode)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.rig.addr)
	if err != nil {
		return nil, nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET /v1/realtime/sse?token=%s HTTP/1.1\r\nHost: %s\r\n\r\n", token.JWT, c.rig.addr); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	lines := bufio.NewReaderSize(conn, 512)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("read the answer: %w", err), conn.Close())
		}
		if line == "\r\n" {
			return conn, lines, nil
		}
	}
}

// read notes when messages come, until the connection ends.
func (c *crowd) read(lines *bufio.Reader) {
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if !c.left.Load() {
				err = fmt.Errorf("a reader was cut off: %w", err)
				c.broken.CompareAndSwap(nil, &err)
			}
			return
		}
		if bytes.HasPrefix(line, []byte("data: ")) {
			c.came <- time.Now()
		}
	}
}

// publish sends one message, and tells how long it took until it was answered, until
// the first reader had it, and until all had it.
func (c *crowd) publish(ctx context.Context, i int) (times [3]time.Duration, err error) {
	want := 1
	if c.shared {
		want = len(c.conns)
	}
	q := url.Values{"channel": {realtimeChannel}, "topic": {c.topic(i % len(c.conns))}}
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.rig.addr+"/v1/realtime/publish?"+q.Encode(), strings.NewReader(`{"text":"about a hundred bytes of something that a function tells those who wait for it to go on, at once"}`))
	if err != nil {
		return times, err
	}
	req.Header.Set("Authorization", "Bearer "+c.rig.signKey)
	resp, err := c.rig.client.Do(req)
	if err != nil {
		return times, fmt.Errorf("publish: %w", err)
	}
	resp.Body.Close()
	times[0] = time.Since(began)
	if resp.StatusCode != http.StatusOK {
		return times, fmt.Errorf("publish: status %d", resp.StatusCode)
	}
	late := time.NewTimer(readersTimeout)
	defer late.Stop()
	for n := range want {
		select {
		case at := <-c.came:
			d := at.Sub(began)
			if n == 0 || d < times[1] {
				times[1] = d
			}
			times[2] = max(times[2], d)
		case <-late.C:
			if err := c.broken.Load(); err != nil {
				return times, *err
			}
			return times, fmt.Errorf("%d of %d readers have the message after %v", n, want, readersTimeout)
		case <-ctx.Done():
			return times, ctx.Err()
		}
	}
	return times, nil
}

func (c *crowd) leave() {
	c.left.Store(true)
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.ended.Wait()
}

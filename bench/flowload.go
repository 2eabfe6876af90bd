package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// flowPhase is a time in which events are sent at a rate.
type flowPhase struct {
	rate   int // a second
	d      time.Duration
	counts bool // its acknowledgements are measured
}

// flowLoad is an open loop: events are sent when their time has come, whatever
// became of those before, and an acknowledgement is late by all that it waited.
type flowLoad struct {
	r       *flowRig
	taken   []bool // by number: accepted
	refused atomic.Int64
	bare    atomic.Int64 // refused without a word about when to send again
	burst   atomic.Int64 // accepted in phases that count
	all     atomic.Int64

	mu      sync.Mutex
	latency *hdrhistogram.Histogram
}

func newFlowLoad(r *flowRig, n int) *flowLoad {
	return &flowLoad{r: r, taken: make([]bool, n), latency: newHistogram()}
}

// job is an event that is to be sent at a time.
type job struct {
	n      int
	at     time.Time
	counts bool
}

// run sends all phases, and tells before each.
func (l *flowLoad) run(ctx context.Context, phases []flowPhase, tell func(phase int) error) error {
	jobs := make(chan job, len(l.taken))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var clients sync.WaitGroup
	for range flowClients {
		clients.Go(func() {
			c := newConn(l.r.addr, "")
			defer c.close()
			for j := range jobs {
				if ctx.Err() != nil {
					return
				}
				if err := l.send(ctx, c, j); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	n := 0
	for i, p := range phases {
		if err := tell(i); err != nil {
			cancel(err)
		}
		began := time.Now()
		of := min(int(p.d.Seconds()*float64(p.rate)), len(l.taken)-n)
		for k := 0; k < of && ctx.Err() == nil; {
			due := min(of, int(time.Since(began).Seconds()*float64(p.rate))+1)
			for ; k < due; k++ {
				jobs <- job{n, began.Add(time.Duration(float64(k) / float64(p.rate) * float64(time.Second))), p.counts}
				n++
			}
			pause(ctx, time.Millisecond)
		}
	}
	close(jobs)
	clients.Wait()
	return context.Cause(ctx)
}

func (l *flowLoad) send(ctx context.Context, c *conn, j job) error {
	status, answer, err := c.do(ctx, "POST", "/e/"+l.r.eventKey, []byte(flowEventOf(int64(j.n), "")))
	took := time.Since(j.at)
	switch {
	case err != nil:
		return err
	case status == http.StatusTooManyRequests:
		l.refused.Add(1)
		if c.retry == "" {
			l.bare.Add(1)
		}
	case status != http.StatusOK:
		return fmt.Errorf("POST an event: status %d: %s", status, firstBytes(answer))
	default:
		l.taken[j.n] = true // each number is one client's
		l.all.Add(1)
	}
	if j.counts {
		if status == http.StatusOK {
			l.burst.Add(1)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.latency.RecordValue(min(max(1, took.Microseconds()), l.latency.HighestTrackableValue()))
	}
	return nil
}

func (l *flowLoad) accepted() int { return int(l.all.Load()) }

// report says what was accepted.
func (l *flowLoad) report(out *FlowBurst, burst time.Duration) {
	out.Accepted, out.Refused = l.accepted(), int(l.refused.Load())
	out.PerSecond = float64(l.burst.Load()) / burst.Seconds()
	out.P50Micros, out.P99Micros, out.MaxMicros = l.latency.ValueAtQuantile(50), l.latency.ValueAtQuantile(99), l.latency.Max()
	if n := l.bare.Load(); n > 0 {
		out.Problems = append(out.Problems, fmt.Sprintf("%d events were refused without Retry-After", n))
	}
}

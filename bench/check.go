package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Bounds of a check.
const (
	drainTimeout  = 30 * time.Second
	drainInterval = 25 * time.Millisecond
)

// check compares what the clients, the app and the server remember of a case. It
// returns the number of events looked at, and each difference as a sentence.
func (r *rig) check(ctx context.Context, l *load, c Case) (checked int, problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if l.rec.errors > 0 {
		say("%d requests or runs failed; the first: %v", l.rec.errors, l.rec.firstErr)
	}
	if n := l.doubled.Load(); n > 0 {
		say("%d runs ended more than once, or after nobody waited any more", n)
	}
	if c.event() != "" {
		if err := r.drained(ctx); err != nil {
			say("%v", err)
		}
		tally, err := r.tally(ctx)
		switch {
		case err != nil:
			say("%v", err)
		default:
			problems = append(problems, tally.differences(l.rec.sent)...)
		}
	}
	for _, id := range l.rec.samples {
		if err := r.checkEvent(ctx, id, c); err != nil {
			say("%v", err)
			break // the others tell the same
		}
		checked++
	}
	return checked, problems
}

// differences compares the app's tally with the number of runs that were started.
func (t Tally) differences(runs int64) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if t.Done != runs {
		say("the app ended %d runs, the server accepted %d", t.Done, runs)
	}
	if want := runs * stepsOfRun; t.Steps != want {
		say("the app ran %d steps, %d runs have %d", t.Steps, runs, want)
	}
	if t.Refused > 0 {
		say("%d checkpoints were not taken, %d of them as stale", t.Refused, t.Stale)
	}
	if t.Wrong > 0 {
		say("%d calls had a wrong memo", t.Wrong)
	}
	return problems
}

// tally asks the app what it saw.
func (r *rig) tally(ctx context.Context) (t Tally, err error) {
	b, err := r.get(ctx, r.appAddr, "/tally")
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("read the tally: %w", err)
	}
	return t, nil
}

// runRow is what is read of a run in the server's lists.
type runRow struct {
	ID     string `json:"run_id"`
	Status string `json:"status"`
}

// runs fetches a list of runs.
func (r *rig) runs(ctx context.Context, path string) ([]runRow, error) {
	b, err := r.get(ctx, r.addr, path)
	if err != nil {
		return nil, err
	}
	var list struct {
		Data []runRow `json:"data"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("GET %s: %w: %s", path, err, firstBytes(b))
	}
	return list.Data, nil
}

// drained waits until the server has no run that is queued or running, and
// returns an error when that takes too long or when a run did not complete.
func (r *rig) drained(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainTimeout, errors.New("runs were still unfinished"))
	defer cancel()
	for _, status := range []string{"Queued", "Running"} {
		for {
			left, err := r.runs(ctx, "/v1/runs?limit=1&status="+status)
			if err != nil {
				return err
			}
			if len(left) == 0 {
				break
			}
			pause(ctx, drainInterval)
			if ctx.Err() != nil {
				return fmt.Errorf("wait for all runs to end: run %s is %s: %w", left[0].ID, left[0].Status, context.Cause(ctx))
			}
		}
	}
	for _, status := range []string{"Failed", "Cancelled"} {
		bad, err := r.runs(ctx, "/v1/runs?limit=1&status="+status)
		if err != nil {
			return err
		}
		if len(bad) > 0 {
			return fmt.Errorf("run %s is %s", bad[0].ID, bad[0].Status)
		}
	}
	return nil
}

// checkEvent looks at one accepted event: it is remembered, and exactly one run
// of it has completed, or none when no function wanted it.
func (r *rig) checkEvent(ctx context.Context, id string, c Case) error {
	id = url.PathEscape(id)
	if _, err := r.get(ctx, r.addr, "/v1/events/"+id); err != nil {
		return err
	}
	runs, err := r.runs(ctx, "/v1/events/"+id+"/runs")
	switch {
	case err != nil:
		return err
	case c.event() == "" && len(runs) > 0:
		return fmt.Errorf("event %s has %d runs, no function wanted it", id, len(runs))
	case c.event() != "" && (len(runs) != 1 || runs[0].Status != "Completed"):
		return fmt.Errorf("event %s: its runs are %v, not one completed", id, runs)
	}
	return nil
}

// hostOf is the host:port of an http URL.
func hostOf(u string) string {
	u = strings.TrimPrefix(u, "http://")
	host, _, _ := strings.Cut(u, "/")
	return host
}

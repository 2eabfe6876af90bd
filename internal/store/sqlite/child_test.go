package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// The test binary runs itself as a child that works on the store at the path
// in childEnv and tells on stdout, line by line, what was acknowledged. It
// rests between events for the time in childPauseEnv.
const (
	childEnv      = "PAWL_STORE_CHILD"
	childPauseEnv = "PAWL_STORE_CHILD_PAUSE"
)

// perStep is how many entries a step of a child's run writes in one go.
const perStep = 3

// child works until the first error. Each of its workers takes an event in,
// then moves the run that it started on, step by step, now and then to its
// end.
func child(path string) int {
	ctx := context.Background()
	pause, err := time.ParseDuration(os.Getenv(childPauseEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := Open(ctx, path, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var mu sync.Mutex
	tell := func(words ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(os.Stdout, words...) // one write
	}
	var first error
	var known string
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			err := childWork(ctx, s, i, pause, tell)
			mu.Lock()
			defer mu.Unlock()
			if first == nil || errors.Is(err, store.ErrUnknown) {
				first = err
			}
		})
	}
	workers.Wait()
	if known, err = childAftermath(ctx, s, first); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	tell("end", known)
	_ = s.Close()
	return 0
}

func childWork(ctx context.Context, s *Store, worker int, pause time.Duration, tell func(...any)) error {
	for n := 0; ; n++ {
		time.Sleep(pause)
		a := sent(time.Now())
		a.Event.Key = a.Event.ID
		run := a.Starts[0].Run.ID
		event := a.Event.ID
		if _, err := s.Accept(ctx, time.Now(), []store.Accepted{a}); err != nil {
			return err
		}
		tell("event", event, run)
		for i := range 1 + (worker+n)%4 {
			err := s.Transition(ctx, run, func(*durable.Run) (store.Decision, error) {
				var c durable.Change
				for j := range perStep {
					c.Entries = append(c.Entries, durable.Entry{
						Step: fmt.Sprint(i, "-", j), Kind: durable.StepDone, At: time.Now(), Data: durable.JSON(`"` + strings.Repeat("z", 100*worker) + `"`),
					})
				}
				c.Put = []durable.Put{{Item: durable.Item{Run: run, Due: time.Now(), Attempt: i + 1}}}
				return store.Decision{Change: c}, nil
			})
			if err != nil {
				return err
			}
			tell("step", run, i+1)
		}
		if n%3 == 0 {
			follow := sent(time.Now())
			next, sentID := follow.Starts[0].Run.ID, follow.Event.ID
			err := s.Transition(ctx, run, func(*durable.Run) (store.Decision, error) {
				head := durable.Head{Status: durable.Completed, Ended: time.Now(), Output: durable.JSON(`1`)}
				return store.Decision{Change: durable.Change{Head: &head}, Accepted: []store.Accepted{follow}}, nil
			})
			if err != nil {
				return err
			}
			tell("event", sentID, next)
			tell("ended", run)
		}
	}
}

// childAftermath checks what a store that failed still does, and says how it
// failed.
func childAftermath(ctx context.Context, s *Store, first error) (string, error) {
	if !errors.Is(s.Healthy(), store.ErrUnavailable) {
		return "", fmt.Errorf("healthy says %w after %w", s.Healthy(), first)
	}
	a := sent(time.Now())
	if _, err := s.Accept(ctx, time.Now(), []store.Accepted{a}); !errors.Is(err, store.ErrUnavailable) {
		return "", fmt.Errorf("a write after the failure: %w", err)
	}
	if _, err := s.Event(ctx, a.Event.ID); !errors.Is(err, store.ErrNotFound) {
		return "", fmt.Errorf("a read after the failure: %w", err)
	}
	if _, err := s.Events(ctx, store.EventFilter{}, store.Page{Limit: 10}); err != nil {
		return "", fmt.Errorf("a list after the failure: %w", err)
	}
	switch {
	case errors.Is(first, store.ErrUnknown):
		return "unknown", nil
	case errors.Is(first, store.ErrUnavailable):
		return "unavailable", nil
	}
	return "", fmt.Errorf("failed with %w", first)
}

// childLog is what a child told.
type childLog struct {
	events map[string]string // to the run it started
	steps  map[string]int    // of a run
	ended  map[string]bool
	end    string
}

func parseLog(b []byte) *childLog {
	l := &childLog{}
	l.read(bytes.NewReader(b), func() {})
	return l
}

// read reads to the end. A last line that was cut off tells nothing.
func (l *childLog) read(r io.Reader, begun func()) {
	l.events, l.steps, l.ended = map[string]string{}, map[string]int{}, map[string]bool{}
	in := bufio.NewReader(r)
	for n := 0; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if n == 0 {
			begun()
		}
		switch w := strings.Fields(line); w[0] {
		case "event":
			l.events[w[1]] = w[2]
		case "step":
			l.steps[w[1]], _ = strconv.Atoi(w[2])
		case "ended":
			l.ended[w[1]] = true
		case "end":
			l.end = w[1]
		}
	}
}

// check opens the store and compares it with what was told, and with what must
// hold whatever was.
func (l *childLog) check(t *testing.T, path string) {
	t.Helper()
	s, err := Open(t.Context(), path, Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	for event, run := range l.events {
		_, err := s.Event(t.Context(), event)
		require.NoError(t, err)
		r, err := s.Run(t.Context(), run)
		require.NoError(t, err)
		require.Equal(t, event, r.Events[0].ID)
		entries, err := s.Journal(t.Context(), run, 0)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(entries), perStep*l.steps[run], "acknowledged steps")
		require.True(t, !l.ended[run] || r.Status.Final(), "acknowledged end")
	}
	// No transition is there by half, acknowledged or not.
	for what, query := range map[string]string{
		"events without their run":   `SELECT count(*) FROM events WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.event = events.id)`,
		"events with several runs":   `SELECT count(*) FROM (SELECT event FROM runs GROUP BY event HAVING count(*) > 1)`,
		"runs without their event":   `SELECT count(*) FROM runs WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.id = runs.event)`,
		"open runs without an item":  `SELECT count(*) FROM runs WHERE status < 2 AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.run = runs.id)`,
		"items of ended runs":        `SELECT count(*) FROM queue JOIN runs ON runs.id = queue.run WHERE status >= 2`,
		"half a step":                `SELECT count(*) FROM (SELECT run FROM journal GROUP BY run HAVING count(*) % 3 <> 0 OR max(n) <> count(*))`,
		"a step without its item":    `SELECT count(*) FROM queue WHERE attempt * 3 <> (SELECT count(*) FROM journal WHERE journal.run = queue.run)`,
		"keys of runs that are not":  `SELECT count(*) FROM idempotency WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = CAST(reply AS TEXT))`,
		"entries of no run":          `SELECT count(*) FROM journal WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = journal.run)`,
		"ends that sent no event on": `SELECT abs((SELECT count(*) FROM runs WHERE status >= 2) - (SELECT count(*) FROM events WHERE key = ''))`,
	} {
		require.NoError(t, s.read(t.Context(), func(c *conn) error {
			stmt := c.Prep(query)
			return rows(stmt, func() { require.Zero(t, stmt.ColumnInt(0), what) })
		}))
	}
}

// number is an environment variable, or def.
func number(t *testing.T, name string, def int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err, name)
	return n
}

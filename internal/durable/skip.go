package durable

import (
	"encoding/json"
	"fmt"
	"time"
)

// Skip says why a run was not started; it is the Output of a skipped run.
type Skip struct {
	Reason string `json:"reason"`           // one of the words below
	Run    string `json:"run_id,omitempty"` // the run in its way

	// Of ticks of a schedule that follow each other, which one run stands for: the first
	// and the last, and how many they are; More when they are more than that.
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"`
	Ticks int       `json:"ticks,omitempty"`
	More  bool      `json:"more,omitempty"`
}

// SkipSingleton: the function runs once at a time for its key. Source: spec/11 §1.
const SkipSingleton = "Singleton"

// SkipPaused: the function is paused, and refuses what would start.
const SkipPaused = "Paused"

// SkipNoKey: the event has no idempotency key, and the function requires one.
const SkipNoKey = "NoKey"

// SkipOverlap: the run of an earlier tick had not ended, and the schedule's policy
// for that is to skip, or to keep the newest tick alone.
const SkipOverlap = "Overlap"

// SkipMissed: nobody was there when the ticks were due, and the schedule's policy for
// that leaves them out.
const SkipMissed = "Missed"

// Pass adds the tick that comes next.
func (s *Skip) Pass(tick time.Time) {
	s.To = tick
	s.Ticks++
}

// ticks says of which ticks a skipped run tells.
func (s Skip) ticks() string {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case s.More:
		return fmt.Sprintf("more than %d ticks from %s to %s", s.Ticks, at(s.From), at(s.To))
	case s.Ticks == 1:
		return "the tick of " + at(s.To)
	default:
		return fmt.Sprintf("%d ticks from %s to %s", s.Ticks, at(s.From), at(s.To))
	}
}

// Head is the head of a run that is skipped at now.
func (s Skip) Head(now time.Time) Head {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("durable: texts and times cannot be written as JSON: %v", err))
	}
	return Head{Status: Skipped, Ended: now, Protocol: Unpinned, Output: b}
}

// Skip is why the run was skipped, as a sentence about it; "" when it was not.
func (r *Run) Skip() string {
	var s Skip
	switch {
	case r.Status != Skipped:
		return ""
	case json.Unmarshal(r.Output, &s) == nil && s.Reason == SkipPaused:
		return r.Function + " was paused, and refused what would start"
	case s.Reason == SkipSingleton:
		return fmt.Sprintf("run %s of %s was in progress, and one at a time runs for its singleton key", s.Run, r.Function)
	case s.Reason == SkipNoKey:
		return r.Function + " starts only for an idempotency key, and its event has none; send the event with an id, or with the header Idempotency-Key"
	case s.Reason == SkipOverlap:
		return fmt.Sprintf("run %s of an earlier tick was in progress at %s", s.Run, s.ticks())
	case s.Reason == SkipMissed:
		return fmt.Sprintf("it stands for %s, missed while nobody was there to run them", s.ticks())
	default:
		return "it was not to start"
	}
}

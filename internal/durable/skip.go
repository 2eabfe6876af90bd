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
}

// SkipSingleton: the function runs once at a time for its key. Source: spec/11 §1.
const SkipSingleton = "Singleton"

// SkipPaused: the function is paused, and refuses what would start.
const SkipPaused = "Paused"

// Head is the head of a run that is skipped at now.
func (s Skip) Head(now time.Time) Head {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("durable: two texts cannot be written as JSON: %v", err))
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
	default:
		return "it was not to start"
	}
}

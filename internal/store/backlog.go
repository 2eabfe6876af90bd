package store

import "fmt"

// Backlog is what waits to begin.
type Backlog struct {
	Runs int64 // that have not begun
	// Bytes of events that something has yet to be done about. An event counts
	// once for each run of it that has not begun, once for each item that it is
	// parked with, and once while it has yet to be handed on to those who wait.
	Bytes int64
}

// Plus is what waits when more has come.
func (b Backlog) Plus(more Backlog) Backlog {
	return Backlog{Runs: b.Runs + more.Runs, Bytes: b.Bytes + more.Bytes}
}

// Refuse says why more may not come while waiting waits and b is the most that
// may, where 0 is no bound; nil when it may. What adds nothing to a count that is
// over its bound is not refused for it.
func (b Backlog) Refuse(waiting, more Backlog) error {
	then := waiting.Plus(more)
	if over(more.Runs, then.Runs, b.Runs) || over(more.Bytes, then.Bytes, b.Bytes) {
		return &BacklogError{Waiting: waiting, More: more, Most: b}
	}
	return nil
}

func over(more, then, most int64) bool { return most > 0 && more > 0 && then > most }

// BacklogError means that more would wait than may: nothing was saved.
type BacklogError struct {
	Waiting, More, Most Backlog
}

func (e *BacklogError) Error() string {
	what, of, setting := fmt.Sprintf("%d runs wait to begin, the most is %d", e.Waiting.Runs, e.Most.Runs),
		over(e.More.Runs, e.More.Runs, e.Most.Runs), "--max-backlog"
	if !over(e.More.Runs, e.Waiting.Runs+e.More.Runs, e.Most.Runs) {
		what = fmt.Sprintf("events with %d bytes wait, these would add %d, the most is %d", e.Waiting.Bytes, e.More.Bytes, e.Most.Bytes)
		of, setting = over(e.More.Bytes, e.More.Bytes, e.Most.Bytes), "--max-backlog-bytes"
	}
	if of {
		return what + "; nothing was saved: this is more than may ever wait, so send less at once, or raise " + setting
	}
	return what + "; nothing was saved, send it again later"
}

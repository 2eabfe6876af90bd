package pawl

import (
	"context"
	"fmt"
	"sync"
)

// maxLate is how many runs may be on their way to the disk whose answers were
// given.
const maxLate = 1024

// late is what goes on after an answer was given.
type late struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n becomes 0; nil: nobody waits for that
}

// begin does f beside whatever else happens, unless there is too much already.
func (l *late) begin(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= maxLate {
		return false
	}
	l.n++
	go func() {
		defer l.end()
		f()
	}()
	return true
}

func (l *late) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n--; l.n == 0 && l.none != nil {
		close(l.none)
		l.none = nil
	}
}

// Drain returns when all is saved that endpoints with [Pipelined] have answered
// for. An engine in this process calls it when it is closed, and so does
// [Attachment.Close]; let nobody ask the endpoints any more by then.
func (a *App) Drain(ctx context.Context) error {
	l := &a.late
	l.mu.Lock()
	if l.n == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.none == nil {
		l.none = make(chan struct{})
	}
	none := l.none
	l.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pawl: some answers that were given are not saved yet: %w", context.Cause(ctx))
	}
}

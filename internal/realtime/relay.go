package realtime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// ErrEnding ends what waits when the server is about to end: whoever reads
// connects to the next one.
var ErrEnding = errors.New("the server is shutting down")

// longestPut is how long a client may take to take a few bytes.
const longestPut = 30 * time.Second

// Relay writes what was before, and then what comes, as server-sent events, until
// there is no more (nil), ctx ends (nil), ending is closed (ErrEnding) or the reader is
// too slow (ErrSlow). After keepAlive of silence it writes a comment.
func Relay(ctx context.Context, w http.ResponseWriter, replays []*Replay, sub *Subscriber, keepAlive time.Duration, ending <-chan struct{}) error {
	x := &eventWriter{w: w, rc: http.NewResponseController(w)}
	if err := x.flush(); err != nil {
		return err
	}
	for _, replay := range replays {
		for {
			list, err := replay.Next(ctx)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			x.deadline()
			for _, b := range list {
				x.write(b)
			}
			if err := x.flush(); err != nil {
				return err
			}
		}
	}
	beat := time.NewTimer(keepAlive)
	defer beat.Stop()
	for {
		items, end := sub.Take()
		if len(items) > 0 || end == nil {
			x.deadline()
			for _, item := range items {
				x.item(item)
			}
			if err := x.flush(); err != nil {
				return err
			}
			beat.Reset(keepAlive)
		}
		if end != nil {
			if errors.Is(end, io.EOF) {
				return nil
			}
			return end
		}
		select {
		case <-sub.Ready():
		case <-beat.C:
			x.deadline()
			x.write([]byte(":\n\n"))
		case <-ending:
			return ErrEnding
		case <-ctx.Done():
			return nil
		}
	}
}

// eventWriter writes server-sent events. A reader who takes nothing for longestPut
// is cut off.
type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (x *eventWriter) deadline() {
	_ = x.rc.SetWriteDeadline(time.Now().Add(longestPut)) // recorders in tests have none
}

func (x *eventWriter) write(b []byte) {
	_, _ = x.w.Write(b) // flush tells
}

func (x *eventWriter) item(item Item) {
	if item.Raw {
		x.write(item.Text)
		return
	}
	x.write([]byte("data: "))
	x.write(item.Text)
	x.write([]byte("\n\n"))
}

func (x *eventWriter) flush() error { return x.rc.Flush() }

package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestLoadCountsWhatHappened drives the app through the fake server, and the books
// of clients, app and server have to agree.
func TestLoadCountsWhatHappened(t *testing.T) {
	t.Parallel()
	for _, c := range []Case{{Accept, 4}, {Batch, 2}, {Steps, 1}, {Steps, 8}, {Plain, 3}} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			const enough = 200
			f := newFakeServer(t)
			l := c.load()
			l.aim(f.addr(), "key")
			ended := make(chan struct{}, 1<<16)
			a := f.serve(t, func(n int64) { l.runEnded(n); ended <- struct{}{} })
			l.rec.setOpen(true)
			finished := make(chan struct{})
			go func() { l.run(context.Background()); close(finished) }()
			if c.event() != "" {
				for range enough {
					<-ended
				}
			}
			l.stop()
			<-finished
			f.work.Wait()

			r := rig{addr: f.addr(), appAddr: hostOf(a.self), client: http.DefaultClient}
			checked, problems := r.check(context.Background(), l, c)
			if len(problems) > 0 {
				t.Errorf("problems: %q", problems)
			}
			if l.rec.sent > 0 && checked == 0 {
				t.Error("no event was looked at")
			}
			if l.rec.count != l.rec.sent {
				t.Errorf("%d counted, %d sent", l.rec.count, l.rec.sent)
			}
			if got := l.rec.latency.TotalCount(); got*int64(l.batch) != l.rec.count {
				t.Errorf("%d latencies of %d events", got, l.rec.count)
			}
		})
	}
}

func TestCheckFindsWhatWentWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		tally Tally
		want  string
	}{
		{"all is well", Tally{Done: 5, Steps: 15, Checkpoints: 15}, ""},
		{"a run was lost", Tally{Done: 4, Steps: 15}, "ended 4 runs"},
		{"a step ran again", Tally{Done: 5, Steps: 16}, "ran 16 steps"},
		{"a checkpoint was refused", Tally{Done: 5, Steps: 15, Refused: 1}, "1 checkpoints were not taken"},
		{"a memo was wrong", Tally{Done: 5, Steps: 15, Wrong: 1}, "wrong memo"},
	} {
		got := strings.Join(c.tally.differences(5), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	l := newLoad("x", 2, 1, true)
	for range 3 {
		l.runEnded(1) // the first waits to be read, as a client would
	}
	if got := l.doubled.Load(); got != 2 {
		t.Errorf("%d runs counted as ended twice, want 2", got)
	}
}

func TestAClientThatIsRefusedGivesUp(t *testing.T) {
	t.Parallel()
	f := newFakeServer(t)
	l := newLoad("x", 1, 1, false)
	l.aim(f.addr(), "wrong")
	l.run(context.Background())
	if l.rec.errors != maxErrorsInRow || l.rec.sent != 0 || !strings.Contains(l.rec.firstErr.Error(), "status 404") {
		t.Errorf("%d errors, %d sent, first %v; want %d, 0, status 404", l.rec.errors, l.rec.sent, l.rec.firstErr, maxErrorsInRow)
	}
}

func TestAppTellsItsNewsInLines(t *testing.T) {
	t.Parallel()
	news := make(chan int64, 3)
	news <- syncedNews
	news <- 17
	news <- 18
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, w := io.Pipe()
	told := make(chan error, 1)
	go func() { told <- tellNews(ctx, w, wordURL+"http://x/", news); w.Close() }()
	var url string
	var synced int
	var done []int64
	h := appNews{
		url:    func(u string) { url = u },
		synced: func() { synced++ },
		done: func(n int64) {
			if done = append(done, n); len(done) == 2 {
				cancel()
			}
		},
	}
	if err := h.hear(r); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil || url != "http://x/" || synced != 1 || len(done) != 2 || done[0] != 17 || done[1] != 18 {
		t.Errorf("url %q, synced %d, done %v, err %v", url, synced, done, err)
	}
	for _, line := range []string{"done x\n", "hello\n"} {
		if err := h.hear(bytes.NewBufferString(line)); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}

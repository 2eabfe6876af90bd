package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func piece(run string, n int64, step, data string) store.Piece {
	return store.Piece{Run: run, N: n, Step: step, Data: []byte(data)}
}

func (d *db) keep(pieces ...store.Piece) {
	d.Helper()
	require.NoError(d, d.KeepStream(d.Context(), pieces))
}

// stream is what is kept of a run's stream, as text.
func (d *db) stream(run string, after, last int64) string {
	d.Helper()
	list, err := d.Stream(d.Context(), run, after, last, 1<<20)
	require.NoError(d, err)
	var b strings.Builder
	for _, p := range list {
		require.Equal(d, run, p.Run)
		fmt.Fprintf(&b, "%d %s %s\n", p.N, p.Step, p.Data)
	}
	return b.String()
}

var streamTests = []test{
	{"keeps pieces in order, over a restart", func(d *db) {
		one, two := d.startAt(far), d.startAt(far)
		d.keep(piece(one, 1, "", "hello"), piece(two, 1, "a", "other"), piece(one, 3, "a", "x"))
		d.keep(piece(one, 4, "b", "y"), piece(one, store.LastPiece, store.AnswerStep, "end"))
		for range 2 {
			require.Equal(d, "1  hello\n3 a x\n4 b y\n", d.stream(one, 0, store.LastPiece-1))
			require.Equal(d, "4 b y\n", d.stream(one, 3, 4))
			require.Equal(d, fmt.Sprintf("%d answer end\n", store.LastPiece), d.stream(one, 4, store.LastPiece))
			kept, err := d.KeptStream(d.Context(), one)
			require.NoError(d, err)
			require.Equal(d, store.Kept{Last: 4, Bytes: 7, Pieces: 3, Steps: []string{"", "a", "b"}, Answer: true}, kept)
			require.Equal(d, "1 a other\n", d.stream(two, 0, store.LastPiece))
			d.reopen()
		}
	}},
	{"keeps nothing of a run that is not there", func(d *db) {
		run := d.startAt(far)
		d.keep(piece("01JQDAE4RQF8MBCR55T5AK4KXS", 1, "", "x"), piece(run, 1, "", "y"))
		kept, err := d.KeptStream(d.Context(), "01JQDAE4RQF8MBCR55T5AK4KXS")
		require.NoError(d, err)
		require.Zero(d, kept)
		require.Equal(d, "1  y\n", d.stream(run, 0, 9))
	}},
	{"forgets what a step sent that runs again", func(d *db) {
		run, other := d.startAt(far), d.startAt(far)
		d.keep(piece(run, 1, "a", "1"), piece(run, 2, "b", "2"), piece(run, 3, "a", "3"), piece(other, 1, "a", "4"))
		void := piece(run, 4, "a", "void")
		void.Void = true
		d.keep(void, piece(run, 5, "a", "5"))
		require.Equal(d, "2 b 2\n4 a void\n5 a 5\n", d.stream(run, 0, 9))
		require.Equal(d, "1 a 4\n", d.stream(other, 0, 9))
	}},
	{"has one answer", func(d *db) {
		run := d.startAt(far)
		d.keep(piece(run, store.LastPiece, store.AnswerStep, "first"))
		d.keep(piece(run, store.LastPiece, store.AnswerStep, "second"))
		require.Equal(d, fmt.Sprintf("%d answer second\n", store.LastPiece), d.stream(run, 0, store.LastPiece))
	}},
	{"reads a little at a time", func(d *db) {
		run := d.startAt(far)
		for n := range int64(10) {
			d.keep(piece(run, n+1, "a", strings.Repeat("x", 100)))
		}
		after, pages := int64(0), 0
		for {
			list, err := d.Stream(d.Context(), run, after, 9, 250)
			require.NoError(d, err)
			if len(list) == 0 {
				break
			}
			require.LessOrEqual(d, len(list), 3)
			require.Equal(d, after+1, list[0].N)
			after = list[len(list)-1].N
			pages++
		}
		require.Equal(d, int64(9), after)
		require.Equal(d, 3, pages)
		list, err := d.Stream(d.Context(), run, 0, 9, 1)
		require.NoError(d, err)
		require.Len(d, list, 1, "at least one")
	}},
	{"takes a run's stream along, a little at a time", func(d *db) {
		run, _ := d.over(durable.Completed, 0)
		young, _ := d.over(durable.Completed, 5)
		for n := range int64(40) {
			d.keep(piece(run, n+1, "a", "x"))
		}
		d.keep(piece(run, store.LastPiece, store.AnswerStep, "end"), piece(young, 1, "a", "x"))
		r, left := store.Retention{Runs: 3 * day}, 41
		for {
			s, err := d.Sweep(d.Context(), noon.Add(4*day), r, 10)
			require.NoError(d, err)
			list, err := d.Stream(d.Context(), run, 0, store.LastPiece, 1<<20)
			require.NoError(d, err)
			require.LessOrEqual(d, left-len(list), 10)
			for i, p := range list {
				require.Equal(d, int64(i+1), p.N, "its end goes first")
			}
			if left = len(list); !s.More {
				break
			}
		}
		require.Zero(d, left)
		d.wantGone(true, run, 0)
		d.wantGone(false, young, 2)
		require.Equal(d, "1 a x\n", d.stream(young, 0, 9))
	}},
	{"is written beside what moves its run", func(d *db) {
		run := d.startAt(noon)
		done := make(chan error, 20)
		for n := range int64(20) {
			go func() { done <- d.KeepStream(d.Context(), []store.Piece{piece(run, n+1, "a", "x")}) }()
		}
		d.change(run, end(durable.Completed))
		for range 20 {
			require.NoError(d, <-done)
		}
		kept, err := d.KeptStream(d.Context(), run)
		require.NoError(d, err)
		require.Equal(d, 20, kept.Pieces)
		require.Equal(d, store.Swept{Runs: 1}, d.sweep(noon.Add(time.Hour*24), store.Retention{Runs: time.Hour}))
		d.keep(piece(run, 21, "a", "late"))
		require.Empty(d, d.stream(run, 0, store.LastPiece))
	}},
}

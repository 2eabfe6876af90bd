package flow

import (
	"strconv"
	"testing"
	"time"
)

// BenchmarkBoard is a turn, and what it makes room for, with so many lanes that
// want the same: behind a gate of their own each, and one that all share.
func BenchmarkBoard(b *testing.B) {
	for _, lanes := range []int{10, 10_000} {
		b.Run(strconv.Itoa(lanes), func(b *testing.B) {
			board, now := NewBoard(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			specs := make(map[string][]GateSpec, lanes)
			for i := range lanes {
				name := "lane " + strconv.Itoa(i)
				specs[name] = []GateSpec{{Name: "all", Slots: 5}, {Name: name, Rate: Rate{Every: time.Microsecond, Burst: 1}}}
				board.Offer(name, Begin, "", specs[name])
			}
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Microsecond)
				name, pass, ok, err := board.Next(now)
				if !ok || err != nil {
					b.Fatal("somebody has a turn", err)
				}
				board.Offer(name, Begin, "", specs[name])
				board.Undo(Pass{Slots: pass.Slots})
			}
		})
	}
}

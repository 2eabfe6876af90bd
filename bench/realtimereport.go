package main

import (
	"fmt"
	"io"
	"strings"
)

// realtimeCommand is what repeats a report of mode realtime.
func (s settings) realtimeCommand() string {
	numbers := make([]string, len(s.realtime.readers))
	for i, n := range s.realtime.readers {
		numbers[i] = fmt.Sprint(n)
	}
	text := fmt.Sprintf("go run ./bench -mode realtime -subscribers %s -messages %d", strings.Join(numbers, ","), s.realtime.samples)
	if s.write != "" {
		text += " -write " + published(s.write)
	}
	return text
}

// publish prints the report and writes its part of the page.
func (w *RealtimeReport) publish(s settings, out io.Writer) error {
	header := w.header()
	header = header[:len(header)-1] // there are no cases with a duration
	return publishTables(s, out, w, realtimeHeading, header, w.tables())
}

func (w *RealtimeReport) tables() []table {
	t := table{columns: []string{
		"readers", "answered p50 ms", "p99", "with the first p50 ms", "p99", "max", "with all p50 ms", "p99", "max",
		"server CPU ms each", "MB without readers", "idle MB", "KB for a reader", "MB after", "load",
	}}
	mega := func(n *int64) string {
		if n == nil {
			return "n/a"
		}
		return fmt.Sprintf("%.0f", float64(*n)/(1<<20))
	}
	for _, r := range w.Readers {
		each, cpu := "n/a", "n/a"
		if r.IdleBytes != nil && r.EmptyBytes != nil {
			each = fmt.Sprintf("%.1f", float64(*r.IdleBytes-*r.EmptyBytes)/(1<<10)/float64(r.Readers))
		}
		if r.CPU != nil {
			cpu = fmt.Sprintf("%.2f", *r.CPU*1e3/float64(r.Messages))
		}
		t.rows = append(t.rows, []string{
			fmt.Sprintf("%d, %s", r.Readers, topicsOf(r.Shared)), millis(r.AckMicros[0]), millis(r.AckMicros[1]),
			millis(r.OneMicros[0]), millis(r.OneMicros[1]), millis(r.OneMicros[2]), millis(r.AllMicros[0]), millis(r.AllMicros[1]), millis(r.AllMicros[2]),
			cpu, mega(r.EmptyBytes), mega(r.IdleBytes), each, mega(r.AfterBytes), known(r.Load, "%.1f"),
		})
	}
	return []table{t}
}

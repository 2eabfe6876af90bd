package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// flowCommand is what repeats a report of mode flow.
func (s settings) flowCommand() string {
	queues := make([]string, len(s.flow.queues))
	for i, q := range s.flow.queues {
		queues[i] = q.String()
	}
	text := fmt.Sprintf("go run ./bench -mode flow -queues %s -duration %v -probes %d -hot %d -rate %d -times %d -burst %v -limit %d -atonce %d -call %v -backlog %d -durability %s",
		strings.Join(queues, ","), s.duration, s.flow.probes, s.flow.hot, s.flow.rate, s.flow.times, s.flow.burst,
		s.flow.limit, s.flow.atOnce, s.flow.call, s.flow.backlog, s.durability)
	if s.write != "" {
		text += " -write " + published(s.write)
	}
	return text
}

// publish prints the report, writes its part of the page, and says whether all was
// right.
func (w *FlowReport) publish(s settings, out io.Writer) error {
	if err := publishTables(s, out, w, flowHeading, w.header(), w.tables()); err != nil {
		return err
	}
	problems := w.problems()
	for _, p := range problems {
		fmt.Fprintln(out, "WRONG:", p)
	}
	if n := len(problems); n > 0 {
		return fmt.Errorf("%w: %d problems", errProblems, n)
	}
	return nil
}

func (w *FlowReport) header() [][2]string {
	lines := w.Report.header()
	return lines[:len(lines)-1] // the durations are in the command
}

// problems are all that was not as promised.
func (w *FlowReport) problems() (all []string) {
	for _, q := range w.Queues {
		all = append(all, q.Problems...)
	}
	for _, p := range w.Probes {
		if p.Between > 1 {
			all = append(all, fmt.Sprintf("beside %d runs of one key, %d of them were called before one of another key", p.Waiting, p.Between))
		}
	}
	for _, b := range w.Bursts {
		for _, p := range b.Problems {
			all = append(all, b.What+": "+p)
		}
	}
	return all
}

func (w *FlowReport) tables() (tables []table) {
	if len(w.Queues) > 0 {
		t := table{columns: []string{
			"runs waiting", "keys", "runs/s", "of the first", "server CPU s per 1,000 runs", "file MB", "start ms", "first request ms", "peak MB", "load",
		}}
		for _, q := range w.Queues {
			t.rows = append(t.rows, []string{
				fmt.Sprint(q.Waiting), fmt.Sprint(q.Keys), fmt.Sprintf("%.0f", q.PerSecond), fmt.Sprintf("%.2f", q.PerSecond/w.Queues[0].PerSecond),
				known(q.CPU, "%.3f"), mega(&q.FileBytes), millis(q.StartMicros), millis(q.FirstMicros), mega(q.PeakBytes), known(q.Load, "%.1f"),
			})
		}
		tables = append(tables, t)
	}
	if len(w.Probes) > 0 {
		t := table{columns: []string{"runs of one key waiting", "a run of another key: p50 ms", "p99 ms", "max ms", "runs of the one key called before it, at most", "load"}}
		for _, p := range w.Probes {
			t.rows = append(t.rows, []string{
				fmt.Sprint(p.Waiting), millis(p.P50Micros), millis(p.P99Micros), millis(p.MaxMicros), fmt.Sprint(p.Between), known(p.Load, "%.1f"),
			})
		}
		tables = append(tables, t)
	}
	if len(w.Bursts) > 0 {
		t := table{columns: []string{
			"a burst", "accepted/s", "accepted", "refused", "accept p50 ms", "p99 ms", "max ms", "starts in a second, at most", "at once, at most",
			"MB before", "peak MB", "MB after", "file MB", "drained after s", "lost", "called again", "tries used up", "load",
		}}
		for _, b := range w.Bursts {
			t.rows = append(t.rows, []string{
				b.What, fmt.Sprintf("%.0f", b.PerSecond), fmt.Sprint(b.Accepted), fmt.Sprint(b.Refused), millis(b.P50Micros), millis(b.P99Micros), millis(b.MaxMicros),
				fmt.Sprintf("%d (may: %d)", b.Starts, b.MayStart), fmt.Sprint(b.AtOnce), mega(b.Before), mega(b.PeakBytes), mega(b.After), mega(&b.FileBytes),
				fmt.Sprintf("%.0f", b.DrainedIn.Round(time.Second).Seconds()), fmt.Sprint(b.Lost), fmt.Sprint(b.Repeated), fmt.Sprint(b.Attempts), known(b.Load, "%.1f"),
			})
		}
		tables = append(tables, t)
	}
	return tables
}

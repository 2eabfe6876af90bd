package main

import (
	"fmt"
	"io"
)

// publish prints the report, writes its part of the page, and says whether all
// was right.
func (e *EndpointReport) publish(s settings, out io.Writer) error {
	if err := publishTables(s, out, e, endpointHeading, e.header(), e.tables()); err != nil {
		return err
	}
	for _, p := range e.problems() {
		fmt.Fprintln(out, "WRONG:", p)
	}
	if n := len(e.problems()); n > 0 {
		return fmt.Errorf("%w: %d problems", errProblems, n)
	}
	return nil
}

func (e *EndpointReport) header() [][2]string {
	lines := e.Report.header()
	return lines[:len(lines)-1] // there are no cases with a duration
}

func (e *EndpointReport) tables() (tables []table) {
	if len(e.Requests) > 0 {
		t := table{columns: []string{
			"the app reports to", "clients", "p50 ms", "p99 ms", "max ms", "requests/s",
			"more than without the SDK: p50 ms", "p99 ms", "more than at once: p50 ms", "p99 ms", "server CPU s per 1,000", "load",
		}}
		for _, c := range e.Requests {
			bare50, bare99 := e.added(c, toNobody)
			stub50, stub99 := "–", "–"
			if c.Server == toPawl {
				stub50, stub99 = e.added(c, toStub)
			}
			t.rows = append(t.rows, []string{
				c.Server, fmt.Sprint(c.Clients), millis(c.P50Micros), millis(c.P99Micros), millis(c.MaxMicros), fmt.Sprintf("%.0f", c.PerSecond),
				bare50, bare99, stub50, stub99, known(c.ServerCPU, "%.2f"), known(c.Load, "%.1f"),
			})
		}
		tables = append(tables, t)
	}
	if len(e.Result.Ways) > 0 {
		t := table{columns: []string{
			"others that wait", "report to acknowledgement: p50 ms", "p99 ms", "report to the reader's result: p50 ms", "p99 ms",
			"acknowledgement to the reader's result: p50 ms", "p99 ms", "load",
		}}
		for _, w := range e.Result.Ways {
			t.rows = append(t.rows, []string{
				fmt.Sprint(w.Others), millis(w.AckP50), millis(w.AckP99), millis(w.ReaderP50), millis(w.ReaderP99), millis(w.AfterP50), millis(w.AfterP99), known(w.Load, "%.1f"),
			})
		}
		tables = append(tables, t)
	}
	if m := e.Readers; m != nil {
		more := "n/a"
		if m.Before != nil && m.After != nil {
			v := *m.After - *m.Before
			more = mega(&v)
		}
		missing := "0"
		if len(m.Problems) > 0 {
			missing = "WRONG"
		}
		tables = append(tables, table{
			columns: []string{"readers that wait", "MB before", "MB with them", "more MB", "server cores while they wait", "over", "all results, all told ms", "missed", "load"},
			rows: [][]string{{
				fmt.Sprint(m.Readers), mega(m.Before), mega(m.After), more, known(m.CPU, "%.3f"), m.Idle.String(), millis(m.AllMicros), missing, known(m.Load, "%.1f"),
			}},
		})
	}
	return tables
}

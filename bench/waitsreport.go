package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// The page of results has a part for each mode, in this order. That of mode drive is
// the first, and begins the page.
const (
	waitsHeading    = "# Runs that wait\n"
	endpointHeading = "# Durable endpoints\n"
	realtimeHeading = "# What is published\n"
	flowHeading     = "# Flow control\n"
	embeddedHeading = "# In one's own process\n"
	pageHeading     = "# The dashboard\n"
)

// writePart replaces one part of a page of results.
func writePart(path, part string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the page of results: %w", err)
	}
	headings := []string{"", waitsHeading, endpointHeading, realtimeHeading, flowHeading, embeddedHeading, pageHeading}
	parts := make([]string, len(headings))
	rest := string(old)
	for i := len(headings) - 1; i > 0; i-- {
		if at := strings.Index(rest, headings[i]); at >= 0 {
			rest, parts[i] = rest[:at], rest[at:]
		}
	}
	parts[0] = rest
	mine := 0
	for i, heading := range headings {
		if strings.HasPrefix(part, heading) {
			mine = i // every part begins with the empty heading
		}
	}
	parts[mine] = part
	var page []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			page = append(page, p)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(page, "\n\n")+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// waitsCommand is what repeats a report of mode waits.
func (s settings) waitsCommand() string {
	sizes := make([]string, len(s.waits.sizes))
	for i, n := range s.waits.sizes {
		sizes[i] = fmt.Sprint(n)
	}
	text := fmt.Sprintf("go run ./bench -mode waits -waiting %s -samples %d -bulk %d -fan %d -beside %d -durability %s",
		strings.Join(sizes, ","), s.waits.samples, s.waits.bulk, s.waits.fans, s.waits.rests, s.durability)
	if s.write != "" {
		text += " -write " + published(s.write)
	}
	return text
}

// publish prints the report, writes its part of the page, and says whether all
// was right.
func (w *WaitsReport) publish(s settings, out io.Writer) error {
	if err := publishTables(s, out, w, waitsHeading, w.header(), w.tables()); err != nil {
		return err
	}
	for _, b := range w.Bulk {
		if b.Missed != 0 {
			return fmt.Errorf("%w: %d runs did not end", errProblems, b.Missed)
		}
	}
	return nil
}

func (w *WaitsReport) header() [][2]string {
	lines := w.Report.header()
	return lines[:len(lines)-1] // there are no cases with a duration
}

// mega is a number of bytes in MB.
func mega(n *int64) string {
	if n == nil {
		return "n/a"
	}
	return fmt.Sprintf("%.0f", float64(*n)/(1<<20))
}

// table is a table of results.
type table struct {
	columns []string
	rows    [][]string
}

func (w *WaitsReport) tables() []table {
	var tables []table
	if len(w.Sizes) > 0 {
		t := table{columns: []string{
			"runs waiting", "file MB", "wake p50 ms", "wake p99 ms", "wake max ms", "idle MB", "MB after the wake-ups",
			"start after kill -9, ms: median", "worst", "load",
		}}
		for _, at := range w.Sizes {
			slices.Sort(at.StartMicros)
			t.rows = append(t.rows, []string{
				fmt.Sprint(at.Waiting), mega(&at.FileBytes), millis(at.P50Micros), millis(at.P99Micros), millis(at.MaxMicros),
				mega(at.IdleBytes), mega(at.AfterBytes), millis(at.StartMicros[len(at.StartMicros)/2]), millis(slices.Max(at.StartMicros)),
				known(at.Load, "%.1f"),
			})
		}
		tables = append(tables, t)
	}
	if at := w.Due; at != nil {
		slices.Sort(at.StartMicros)
		tables = append(tables, table{
			columns: []string{"runs due at the start", "file MB", "start after kill -9, ms: median", "worst", "MB after 3 s"},
			rows: [][]string{{
				fmt.Sprint(at.Waiting), mega(&at.FileBytes), millis(at.StartMicros[len(at.StartMicros)/2]), millis(slices.Max(at.StartMicros)), mega(at.AfterBytes),
			}},
		})
	}
	if len(w.Bulk) > 0 {
		t := table{columns: []string{"at once", "all accepted ms", "all at the app ms", "runs/s", "server CPU s", "missed", "load"}}
		for _, b := range w.Bulk {
			t.rows = append(t.rows, []string{
				b.What, millis(b.AcceptMicros), millis(b.AllMicros), fmt.Sprintf("%.0f", float64(b.Runs)/float64(b.AllMicros)*1e6),
				known(b.CPU, "%.1f"), fmt.Sprint(b.Missed), known(b.Load, "%.1f"),
			})
		}
		tables = append(tables, t)
	}
	return tables
}

// publishTables prints a report as JSON or as tables, and writes its part of the
// page if that is asked for.
func publishTables(s settings, out io.Writer, report any, heading string, header [][2]string, tables []table) error {
	var err error
	if s.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		err = writeTables(out, header, tables)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if s.write == "" {
		return nil
	}
	var page strings.Builder
	markdownTables(&page, heading, header, tables)
	return writePart(s.write, page.String())
}

func writeTables(out io.Writer, header [][2]string, tables []table) error {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range header {
		fmt.Fprintf(tw, "%s\t%s\n", line[0], line[1])
	}
	for _, t := range tables {
		fmt.Fprintln(tw)
		fmt.Fprintln(tw, strings.Join(t.columns, "\t"))
		for _, row := range t.rows {
			fmt.Fprintln(tw, strings.Join(row, "\t"))
		}
	}
	return tw.Flush()
}

func markdownTables(b *strings.Builder, heading string, header [][2]string, tables []table) {
	b.WriteString(heading + "\nWritten by the command below; `README.md` says what each number means.\n\n| | |\n|---|---|\n")
	for _, line := range header {
		fmt.Fprintf(b, "| %s | %s |\n", line[0], strings.ReplaceAll(line[1], "|", `\|`))
	}
	for _, t := range tables {
		b.WriteString("\n| " + strings.Join(t.columns, " | ") + " |\n|---" + strings.Repeat("|---:", len(t.columns)-1) + "|\n")
		for _, row := range t.rows {
			b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		}
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is one run of the bench: on what, of what, and what came out.
type Report struct {
	Time       time.Time
	Command    string
	Cores      int
	CPU        string
	Kernel     string
	FileSystem string
	Go         string
	Commit     string
	Durability string
	Duration   time.Duration
	Disk       Disk
	Results    []Result
}

// machine fills in what the figures depend on.
func (r *Report) machine(dir, commit string) {
	r.Cores, r.CPU, r.Kernel = runtime.NumCPU(), processor(), kernel()
	r.FileSystem, r.Go, r.Commit = fileSystem(dir), runtime.Version(), commit
}

// What is said of a commit that cannot be told, and of a checkout that had more.
const (
	commitUnknown = "unknown"
	commitChanged = "+changes"
	commitDigits  = 12
)

// checkoutCommit is the commit of the checkout that the bench is run in.
func checkoutCommit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", fmt.Sprintf("--short=%d", commitDigits), "HEAD").Output()
	if err != nil {
		return commitUnknown
	}
	commit := strings.TrimSpace(string(head))
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil || len(changes) > 0 {
		commit += commitChanged
	}
	return commit
}

// commitOf is the commit that a Go binary says it was built from.
func commitOf(info *debug.BuildInfo) string {
	commit, changed := commitUnknown, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), commitDigits)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = commitChanged
		}
	}
	return commit + changed
}

// header describes the machine, a line for each fact.
func (r *Report) header() [][2]string {
	return [][2]string{
		{"command", r.Command},
		{"date", r.Time.UTC().Format("2006-01-02 15:04 UTC")},
		{"machine", fmt.Sprintf("%d cores, %s", r.Cores, r.CPU)},
		{"kernel", r.Kernel},
		{"file system", r.FileSystem},
		{"Go", r.Go},
		{"commit", r.Commit},
		{"durability", r.Durability},
		{"fdatasync of 4 KB alone", fmt.Sprintf("p50 %s, p99 %s ms (%d of them)", millis(r.Disk.P50Micros), millis(r.Disk.P99Micros), r.Disk.Syncs)},
		{"each case", fmt.Sprintf("%v, after a warm-up, on a fresh database", r.Duration)},
	}
}

// columns are the heads of the table of results.
var columns = []string{
	"case", "in flight", "events or runs/s", "steps/s", "p50 ms", "p99 ms", "max ms", "fsyncs/s",
	"server CPU s per 1,000", "server cores", "bench+app cores", "bytes written each", "peak MB", "load", "checked",
}

// row is one result as text, a cell for each column.
func (r Result) row() []string {
	steps := "–"
	if r.Steps > 0 {
		steps = fmt.Sprintf("%.0f", float64(r.Steps)/r.Seconds)
	}
	var others *float64
	if r.DriverCPU != nil && r.AppCPU != nil {
		v := *r.DriverCPU + *r.AppCPU
		others = &v
	}
	var peak *float64
	if r.PeakBytes != nil {
		v := float64(*r.PeakBytes) / (1 << 20)
		peak = &v
	}
	checked := fmt.Sprint(r.Checked)
	if len(r.Problems) > 0 {
		checked = "WRONG"
	}
	return []string{
		string(r.Case.Kind), fmt.Sprint(r.Case.InFlight), fmt.Sprintf("%.0f", r.PerSecond()), steps,
		millis(r.P50Micros), millis(r.P99Micros), millis(r.MaxMicros), known(r.Fsyncs, "%.0f"),
		known(r.CPUPer1000(), "%.3f"), known(r.ServerCPU, "%.2f"), known(others, "%.2f"),
		known(r.WrittenEach(), "%.0f"), known(peak, "%.0f"), known(r.Load, "%.1f"), checked,
	}
}

func millis(us int64) string { return fmt.Sprintf("%.2f", float64(us)/1000) }

func known(v *float64, format string) string {
	if v == nil {
		return "n/a"
	}
	return fmt.Sprintf(format, *v)
}

// problems are those of all results, each with its case in front.
func (r *Report) problems() (all []string) {
	for _, res := range r.Results {
		for _, p := range res.Problems {
			all = append(all, res.Case.String()+": "+p)
		}
	}
	return all
}

// writeText prints the report for a terminal.
func (r *Report) writeText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range r.header() {
		fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	table = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, strings.Join(columns, "\t")+"\t")
	for _, res := range r.Results {
		fmt.Fprintln(table, strings.Join(res.row(), "\t")+"\t")
	}
	for _, p := range r.problems() {
		fmt.Fprintln(table, "WRONG: "+p)
	}
	return table.Flush()
}

// writeMarkdown prints the report as a page to publish.
func (r *Report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Results\n\nWritten by the command below; `README.md` says what each number means.\n\n| | |\n|---|---|\n")
	for _, line := range r.header() {
		fmt.Fprintf(&b, "| %s | %s |\n", line[0], strings.ReplaceAll(line[1], "|", `\|`))
	}
	b.WriteString("\n| " + strings.Join(columns, " | ") + " |\n|---" + strings.Repeat("|---:", len(columns)-1) + "|\n")
	for _, res := range r.Results {
		b.WriteString("| " + strings.Join(res.row(), " | ") + " |\n")
	}
	if all := r.problems(); len(all) > 0 {
		b.WriteString("\nWhat was not as promised:\n\n")
		for _, p := range all {
			b.WriteString("- " + p + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/check"
	"github.com/pawlhq/pawl/internal/durable"
)

// pawl check asks new code, before it is deployed, what it would do with the runs
// that are recorded.

func checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check --app URL",
		Short: "Replay recorded runs against new code before it is deployed",
		Long: "Calls the new code at --app with the results of recorded runs, as Pawl would, but so\n" +
			"that no step runs. Tells which steps would run again, which results cannot be read\n" +
			"any more, and which runs that go on would end otherwise. Nothing is changed.\n\n" +
			"Looks at the runs that go on, and at the last that ended, of each function of the app.\n" +
			"They come from the Pawl at --url, or from a store file or a backup (--db).\n\n" +
			"Exits with 0 when all is fine, 1 when something was found, 2 when it could not check.",
		Example: "pawl check --app http://localhost:3001/api/inngest\n" +
			"pawl check --app http://localhost:3001/api/inngest --db sqlite:backup.db --json\n" +
			"pawl check --app localhost:3001/api/inngest --status running --accept missing-step",
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return checkNewCode(c) },
	}
	addKeyFlags(c)
	f := c.Flags()
	f.String("app", "", "Where the new code is served, such as http://localhost:3001/api/inngest")
	f.String("app-id", "", "Name of the app, if there are several and none is known at that URL")
	f.String("db", "", "Store file or backup to read in place of a server's: sqlite:PATH")
	f.StringSlice("function", nil, "Only runs of this function; may be given more than once")
	f.StringSlice("status", nil, "Only Queued, Running, Completed, Failed or Cancelled; may be given more than once")
	ageFlag(f, "newer", "Only those that were queued at most so long ago, such as 24h or 7d")
	f.Int("limit", 20, "How many ended runs of each function, the newest; at most 10000")
	f.Int("live-limit", 1000, "How many runs that go on of each function, the newest; at most 100000")
	f.Duration("timeout", 30*time.Second, "How long one call of the app may take")
	f.StringSlice("accept", nil, "What is meant and no finding: "+kindNames())
	return c
}

func kindNames() string {
	var names []string
	for _, k := range check.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

func checkNewCode(c *cobra.Command) error {
	o, source, done, err := checkOptions(c)
	if err != nil {
		return notChecked{err}
	}
	defer done()
	r, err := check.Run(c.Context(), source, o)
	if err != nil {
		return notChecked{err}
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		err = printJSON(c.OutOrStdout(), r)
	} else {
		_, err = lipgloss.Fprint(c.OutOrStdout(), checkReport(r))
	}
	switch {
	case err != nil:
		return notChecked{err}
	case r.Findings > 0:
		return fmt.Errorf("the new code does not fit recorded runs: %s", english(r.Findings, "finding", "findings"))
	case r.Unchecked > 0:
		return notChecked{fmt.Errorf("%s could not be checked", english(r.Unchecked, "run", "runs"))}
	}
	return nil
}

// checkOptions reads the flags, and opens what the runs come from; done closes it.
func checkOptions(c *cobra.Command) (o check.Options, source check.Source, done func(), err error) {
	f := c.Flags()
	fail := func(format string, list ...any) (check.Options, check.Source, func(), error) {
		return o, nil, nil, usageError{fmt.Errorf(format, list...)}
	}
	o = check.Options{AtOnce: 4}
	o.URL, _ = f.GetString("app")
	if o.URL == "" {
		return fail("--app: say where the new code is served, such as http://localhost:3001/api/inngest")
	}
	if !strings.Contains(o.URL, "://") {
		o.URL = "http://" + o.URL
	}
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fail("--app: want a URL such as http://localhost:3001/api/inngest")
	}
	o.App, _ = f.GetString("app-id")
	o.Functions, _ = f.GetStringSlice("function")
	if len(o.Functions) == 0 {
		o.Functions = nil
	}
	statuses, _ := f.GetStringSlice("status")
	for _, name := range statuses {
		s, ok := durable.ParseStatus(name)
		if !ok || s == durable.Skipped {
			return fail("--status %s: want Queued, Running, Completed, Failed or Cancelled", name)
		}
		o.Statuses = append(o.Statuses, s)
	}
	if age, _ := f.GetDuration("newer"); age > 0 {
		o.Since = time.Now().Add(-age)
	}
	for name, n := range map[string]struct {
		into        *int
		least, most int
	}{"limit": {&o.Ended, 0, 10_000}, "live-limit": {&o.Live, 1, 100_000}} {
		if *n.into, _ = f.GetInt(name); *n.into < n.least || *n.into > n.most {
			return fail("--%s: want a number from %d to %d", name, n.least, n.most)
		}
	}
	if o.Timeout, _ = f.GetDuration("timeout"); o.Timeout <= 0 {
		return fail("--timeout: must be more than 0s")
	}
	accepted, _ := f.GetStringSlice("accept")
	for _, k := range accepted {
		if !slices.Contains(check.Kinds(), check.Kind(k)) {
			return fail("--accept %s: want some of %s", k, kindNames())
		}
		o.Accept = append(o.Accept, check.Kind(k))
	}
	if o.Key, err = givenKey(c); err != nil {
		return o, nil, nil, err
	}
	db, _ := f.GetString("db")
	if db == "" {
		cl, err := newKeyClient(c, o.Key)
		return o, &served{cl}, func() {}, err
	}
	path, ok := strings.CutPrefix(db, dbPrefix)
	switch {
	case !ok || path == "":
		return fail("--db %s: want %sPATH", db, dbPrefix)
	case f.Changed("url"):
		return fail("--db and --url: runs come from one of them, give only that one")
	}
	file, err := check.OpenFile(path)
	if err != nil {
		return o, nil, nil, err
	}
	return o, file, func() { _ = file.Close() }, nil
}

// checkReport is a report for people.
func checkReport(r *check.Report) string {
	var b strings.Builder
	bold, faint := lipgloss.NewStyle().Bold(true), lipgloss.NewStyle().Faint(true)
	for _, f := range r.Functions {
		line := bold.Render(oneLine(f.Function)) + "  " + checkedRuns(f.Live, f.Ended)
		if f.More {
			line += ", and there are more that go on (--live-limit)"
		}
		if len(f.Findings) == 0 && f.Note == "" && len(f.Unchecked) == 0 {
			line += ", all fine"
		}
		_, _ = fmt.Fprintln(&b, line)
		if f.Note != "" {
			_, _ = fmt.Fprintln(&b, "  "+oneLine(f.Note))
		}
		for _, found := range f.Findings {
			tellFinding(&b, found, faint)
		}
		tellUnchecked(&b, f.Unchecked)
	}
	if r.Live+r.Ended+r.Unchecked == 0 && len(r.Functions) == 0 {
		_, _ = fmt.Fprintf(&b, "There are no runs of app %s to check against.\n", oneLine(r.App))
		return b.String()
	}
	_, _ = fmt.Fprintf(&b, "\n%s: %s against %s; %s", oneLine(r.App), checkedRuns(r.Live, r.Ended), oneLine(r.SDK), english(r.Findings, "finding", "findings"))
	if r.Unchecked > 0 {
		_, _ = fmt.Fprintf(&b, ", and %s could not be checked", english(r.Unchecked, "run", "runs"))
	}
	_, _ = fmt.Fprintln(&b, ".")
	return b.String()
}

func checkedRuns(live, ended int) string {
	return fmt.Sprintf("%s checked, %d that %s on", english(live+ended, "run", "runs"), live, plural(live, "goes", "go"))
}

func tellFinding(b io.Writer, f *check.Finding, faint lipgloss.Style) {
	color := lipgloss.NewStyle().Foreground(lipgloss.Red)
	word := string(f.Kind)
	if f.Accepted {
		color, word = faint, word+" (accepted)"
	}
	_, _ = fmt.Fprintf(b, "\n  %s  %s\n", color.Render(word), oneLine(f.Title()))
	var in []string
	if f.Live > 0 {
		in = append(in, english(f.Live, "run that goes on", "runs that go on"))
	}
	if f.Ended > 0 {
		in = append(in, english(f.Ended, "run that has ended", "runs that have ended"))
	}
	_, _ = fmt.Fprintf(b, "    in %s, such as %s\n", strings.Join(in, " and "), f.Example)
	if !f.Accepted {
		for _, line := range strings.Split(lipgloss.Wrap(oneLine(f.Text()), 84, ""), "\n") {
			_, _ = fmt.Fprintln(b, "    "+strings.TrimRight(line, " "))
		}
	}
}

// mostUnchecked bounds the runs of a function that are named.
const mostUnchecked = 5

func tellUnchecked(b io.Writer, list []check.Unchecked) {
	for i, u := range list {
		if i == mostUnchecked {
			_, _ = fmt.Fprintf(b, "  and %d more\n", len(list)-i)
			return
		}
		_, _ = fmt.Fprintf(b, "  could not check run %s: %s\n", u.Run, oneLine(u.Why))
	}
}

var errNoKey = errors.New("pawl refused the key; give the one that it was started with as --signing-key or PAWL_SIGNING_KEY; a token is not enough here, since the app is called with the key")

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/tree"
	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/wire"
	"github.com/pawlhq/pawl/server"
)

func runsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "runs",
		Short: "Look at runs",
		Args:  args(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	addClientFlags(c)
	list := &cobra.Command{
		Use: "list", Short: "List the latest runs", Args: args(cobra.NoArgs), RunE: listRuns,
	}
	limitFlag(list, 20, "How many, at most 200")
	list.Flags().String("cursor", "", "Id of the run to go on after")
	list.Flags().String("function", "", "Only runs of this function")
	list.Flags().String("status", "", "Only Queued, Running, Completed, Failed, Cancelled or Skipped")
	show := &cobra.Command{
		Use: "show ID", Short: "Show a run with its steps", Args: args(cobra.ExactArgs(1)), RunE: showRun,
	}
	follow := &cobra.Command{
		Use: "follow [ID]", Short: "Follow a run until it ends; fails when it does",
		Long: "Follows a run, the latest unless an id is given, until it ends.\nExits with 1 when the run failed, was cancelled or was skipped.",
		Args: args(cobra.MaximumNArgs(1)), RunE: followRun,
	}
	c.AddCommand(list, show, follow, rerunCommand())
	return c
}

func listRuns(c *cobra.Command, _ []string) error {
	query := flagQuery(c, "limit", "cursor", "function", "status")
	cl, runs, done, err := listOf[run](c, "/v1/runs", query)
	if done {
		return err
	}
	if len(runs) == 0 {
		none, err := cl.noRuns(c.Context(), query)
		if err == nil {
			_, err = fmt.Fprintln(c.OutOrStdout(), none)
		}
		return err
	}
	t := plain("RUN", "STATUS", "FUNCTION", "EVENT", "QUEUED", "TOOK")
	for _, r := range runs {
		t.Row(r.ID, colour(r.Status), oneLine(r.Function), oneLine(r.Event), humanize.Time(r.QueuedAt), r.took())
	}
	return printTable(c, t)
}

// noRuns says why a list of runs is empty.
func (c *client) noRuns(ctx context.Context, query url.Values) (string, error) {
	if !query.Has("function") && !query.Has("status") && !query.Has("cursor") {
		return "There are no runs. Send an event: pawl send NAME", nil
	}
	function := query.Get("function")
	if function == "" {
		return "No run matches.", nil
	}
	var apps []struct {
		Functions []struct {
			Slug string `json:"slug"`
		} `json:"functions"`
	}
	if err := c.get(ctx, "/v1/apps", nil, &apps); err != nil {
		return "", err
	}
	var known []string
	for _, a := range apps {
		for _, f := range a.Functions {
			if f.Slug == function {
				return "No run of " + function + " matches.", nil
			}
			known = append(known, oneLine(f.Slug))
		}
	}
	if known == nil {
		return "There is no function " + function + ", nor any other: no app has synced.", nil
	}
	return "There is no function " + function + "; there are " + strings.Join(known, ", "), nil
}

// line joins what there is of the parts of a line.
func line(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "  ")
}

func showRun(c *cobra.Command, list []string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	var h history
	if err := cl.get(c.Context(), "/v1/runs/"+url.PathEscape(list[0])+"/steps", nil, &h); err != nil {
		return err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		return printJSON(c.OutOrStdout(), h)
	}
	_, err = lipgloss.Fprintln(c.OutOrStdout(), drawn(h))
	return err
}

// drawn is a run as a tree of its steps and their tries. One failure is told
// once, where it happened.
func drawn(h history) string {
	t := tree.Root(line(oneLine(h.Run.Function), colour(h.Run.Status), took(h.Run.StartedAt, h.Run.EndedAt)))
	t.Child("run " + h.Run.ID + ", event " + oneLine(h.Run.Event))
	told := map[string]bool{}
	for _, s := range h.Steps {
		if s.passesOn(told) {
			continue
		}
		for _, a := range s.Attempts {
			if len(a.Error) > 0 {
				told[message(a.Error)] = true
			}
		}
		t.Child(withTries(s, s.rests()))
	}
	for _, n := range h.Run.Metadata {
		t.Child(n.line(h.Steps))
	}
	switch h.Run.Status {
	case "Completed":
		t.Child("result " + short(h.Run.Output))
	case "Failed":
		if failure := message(h.Run.Output); !told[failure] {
			t.Child("error " + failure)
		}
	case "Skipped":
		t.Child("reason " + short(h.Run.Output))
	}
	return t.String()
}

// line is metadata on one line, with the name of its step.
func (n noted) line(steps []step) string {
	about := ""
	for _, s := range steps {
		if n.Step != "" && s.Step == n.Step {
			about = " of " + oneLine(s.Name)
		}
	}
	if n.Attempt > 0 {
		about += fmt.Sprintf(", try %d", n.Attempt)
	}
	return "metadata " + oneLine(n.Kind) + about + " " + short(n.Values)
}

// message is an error as the API tells it, on one line.
func message(v jsontext.Value) string { return oneLine(wire.ParseError(v, nil).Error()) }

// passesOn reports whether s is the function's body that failed with nothing but
// what a step of it had failed with.
func (s step) passesOn(told map[string]bool) bool {
	for _, a := range s.Attempts {
		if len(a.Error) > 0 && !told[message(a.Error)] {
			return false
		}
	}
	return s.Step == "" && len(s.Attempts) > 0
}

// rests is until when a step rests, if it still does.
func (s step) rests() string {
	if s.Until == nil || s.Ended != nil {
		return ""
	}
	return "until " + s.Until.Local().Format(time.DateTime)
}

func failedTry(a attempt) string {
	line := fmt.Sprintf("try %d failed: %s", a.Attempt, message(a.Error))
	if a.NextAt != nil {
		line += ", next at " + a.NextAt.Local().Format(time.TimeOnly)
	}
	return line
}

// newsWait is how long one request waits for news.
const newsWait = 30 * time.Second

func followRun(c *cobra.Command, list []string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	id := ""
	if len(list) > 0 {
		id = list[0]
	} else if id, err = cl.latest(c.Context()); err != nil {
		return err
	}
	out := c.OutOrStdout()
	asJSON, _ := c.Flags().GetBool("json")
	if !asJSON {
		_, _ = fmt.Fprintln(out, "run", id)
	}
	told, failures := map[string]string{}, map[string]bool{}
	query := url.Values{} // the first look does not wait
	for {
		var h history
		if err := cl.get(c.Context(), "/v1/runs/"+url.PathEscape(id)+"/steps", query, &h); err != nil {
			return err
		}
		if !asJSON {
			tellSteps(out, h, told, failures)
		}
		if h.Run.EndedAt != nil {
			return ended(out, h, asJSON)
		}
		query = url.Values{"after": {strconv.Itoa(h.Seq)}, "wait": {newsWait.String()}}
	}
}

func (c *client) latest(ctx context.Context) (string, error) {
	var runs []run
	if err := c.get(ctx, "/v1/runs", url.Values{"limit": {"1"}}, &runs); err != nil {
		return "", err
	}
	if len(runs) == 0 {
		return "", errors.New("there are no runs yet; send an event: pawl send NAME")
	}
	return runs[0].ID, nil
}

// tellSteps prints the steps that changed since told, which holds the state of
// each step, and each failure that was told.
func tellSteps(out io.Writer, h history, told map[string]string, failures map[string]bool) {
	for _, s := range h.Steps {
		state := fmt.Sprint(s.Status, len(s.Attempts))
		if told[s.Step] == state || s.passesOn(failures) {
			continue
		}
		told[s.Step] = state
		text := "  " + line(colour(s.Status), oneLine(s.Name), took(s.Started, s.Ended), s.rests())
		if n := len(s.Attempts); n > 0 && len(s.Attempts[n-1].Error) > 0 {
			text += "\n    " + failedTry(s.Attempts[n-1])
			failures[message(s.Attempts[n-1].Error)] = true
		}
		_, _ = lipgloss.Fprintln(out, text)
	}
}

func ended(out io.Writer, h history, asJSON bool) error {
	if asJSON {
		if err := printJSON(out, h); err != nil {
			return err
		}
	} else {
		_, _ = lipgloss.Fprintln(out, line(colour(h.Run.Status), took(h.Run.StartedAt, h.Run.EndedAt)))
	}
	switch h.Run.Status {
	case "Completed":
		return nil
	case "Failed":
		return errors.New("the run failed: " + message(h.Run.Output))
	}
	return errors.New("the run was " + strings.ToLower(h.Run.Status))
}

func took(from, to *time.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return "took " + server.Rounded(to.Sub(*from)).String()
}

// short is a payload on one line.
func short(v jsontext.Value) string {
	const most = 200
	if len(v) > most {
		return oneLine(string(v[:most])) + "…"
	}
	return oneLine(string(v))
}

// colour is a status word in its colour; a pipe gets the word alone. What the
// API v1 calls Scheduled is Queued everywhere else.
func colour(status string) string {
	c := lipgloss.NewStyle()
	if status == "Scheduled" {
		status = "Queued"
	}
	switch status {
	case "Completed", "completed", "done", "retried":
		c = c.Foreground(lipgloss.Green)
	case "Failed", "failed", "stopped":
		c = c.Foreground(lipgloss.Red)
	case "retrying", "open":
		c = c.Foreground(lipgloss.Yellow)
	case "Running", "running", "planned", "sleeping", "waiting":
		c = c.Foreground(lipgloss.Blue)
	default:
		c = c.Faint(true)
	}
	return c.Render(status)
}

func printJSON(out io.Writer, v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true), json.FormatNilSliceAsNull(false))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return err
}

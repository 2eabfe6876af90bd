package main

import (
	"cmp"
	"context"
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
)

func dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Look at the runs that failed for good, and run them again",
		Long: `Every run that failed for good leaves a dead letter. Those that look alike
form a group: the same function, the same kind of failure, and an error that
differs in numbers and ids at most.

pawl dlq alone lists the groups.`,
		Example: `pawl dlq                          # what fails, and how often
pawl dlq list --function shop-charge
pawl dlq show RUN                 # what happened, try by try
pawl dlq retry RUN                # run it again
pawl dlq retry-all --group ID     # all that look alike, at a rate`,
		Args: args(cobra.NoArgs),
		RunE: listGroups,
	}
	addClientFlags(c)
	addGroupFlags(c)
	groups := &cobra.Command{
		Use: "groups", Short: "List what fails, and how often", Args: args(cobra.NoArgs), RunE: listGroups,
	}
	addGroupFlags(groups)
	list := &cobra.Command{
		Use: "list", Short: "List dead letters, the newest first", Args: args(cobra.NoArgs), RunE: listLetters,
		Example: "pawl dlq list --class unreachable --older 1h\npawl dlq list --group 3f9c2b1a77e0d4c1 --state all",
	}
	addLetterFlags(list)
	list.Flags().String("state", "open", "Only open, retried or discarded; or all")
	limitFlag(list, 20, "How many, at most 200")
	list.Flags().String("cursor", "", "Id of the run to go on after")
	show := &cobra.Command{
		Use: "show RUN", Short: "Show a dead letter with every try of its run", Args: args(cobra.ExactArgs(1)), RunE: showLetter,
	}
	c.AddCommand(groups, list, show)
	addActions(c)
	return c
}

func addGroupFlags(c *cobra.Command) {
	c.Flags().String("function", "", "Only of this function")
	c.Flags().String("class", "", classHelp)
	c.Flags().Bool("all", false, "Also groups in which nothing is open")
	limitFlag(c, 50, "How many, at most 200; those that grew last")
	c.Flags().String("cursor", "", "Cursor of the last group, from --json, to go on after")
}

const classHelp = "Only error, non_retriable, unreachable, crash, timeout, protocol or limit"

// addLetterFlags makes the flags that choose letters.
func addLetterFlags(c *cobra.Command) {
	c.Flags().String("function", "", "Only of this function")
	c.Flags().String("class", "", classHelp)
	c.Flags().String("group", "", "Only of this group, by its id as pawl dlq shows it")
	ageFlag(c.Flags(), "older", "Only those that failed at least so long ago, such as 1h")
	ageFlag(c.Flags(), "newer", "Only those that failed at most so long ago, such as 24h or 7d")
}

// letter is a dead letter as the API tells it.
type letter struct {
	RunID     string     `json:"run_id"`
	Function  string     `json:"function"`
	App       string     `json:"app"`
	EventID   string     `json:"event_id"`
	EventName string     `json:"event_name"`
	Class     string     `json:"class"`
	Group     string     `json:"fingerprint"`
	Title     string     `json:"title"`
	Reason    string     `json:"reason"`
	Step      string     `json:"step"`
	Attempts  int        `json:"attempts"`
	FailedAt  time.Time  `json:"failed_at"`
	State     string     `json:"state"`
	ClosedAt  *time.Time `json:"closed_at"`
	RetriedAs string     `json:"retried_as,omitzero"`
	RetryOf   string     `json:"retry_of,omitzero"`
	Job       string     `json:"job,omitzero"`
	EditedID  string     `json:"edited_event_id,omitzero"`
	Discarded string     `json:"discard_reason,omitzero"`
	Note      string     `json:"note,omitzero"`
}

type letterGroup struct {
	Group     string    `json:"fingerprint"`
	Function  string    `json:"function"`
	App       string    `json:"app"`
	Class     string    `json:"class"`
	Title     string    `json:"title"`
	Open      int       `json:"open"`
	Retried   int       `json:"retried"`
	Discarded int       `json:"discarded"`
	FirstAt   time.Time `json:"first_failed_at"`
	LastAt    time.Time `json:"last_failed_at"`
	NewestRun string    `json:"newest_run_id"`
	Cursor    string    `json:"cursor"`
}

type payload struct {
	Data jsontext.Value `json:"data"`
}

type letterDetail struct {
	letter
	Group       letterGroup `json:"group"`
	Run         run         `json:"run"`
	Event       payload     `json:"event"`
	EditedEvent *payload    `json:"edited_event,omitzero"`
	Steps       []step      `json:"steps"`
}

func listGroups(c *cobra.Command, _ []string) error {
	query := flagQuery(c, "function", "class", "limit", "cursor")
	if all, _ := c.Flags().GetBool("all"); all {
		query.Set("state", "all")
	}
	_, groups, done, err := listOf[letterGroup](c, "/v1/dead-letters/groups", query)
	if done {
		return err
	}
	out := c.OutOrStdout()
	if len(groups) == 0 {
		_, err := fmt.Fprintln(out, "Nothing failed for good that somebody would have to look at.")
		return err
	}
	slices.SortStableFunc(groups, func(a, b letterGroup) int { return cmp.Compare(b.Open, a.Open) })
	t := plain("OPEN", "ERROR", "FUNCTION", "CLASS", "LAST", "GROUP")
	for _, g := range groups {
		t.Row(humanize.Comma(int64(g.Open))+" ×", clip(g.Title, 60), oneLine(g.Function), class(g.Class), humanize.Time(g.LastAt), g.Group)
	}
	if err = printTable(c, t); err == nil {
		_, err = lipgloss.Fprintln(out, hint("See them: pawl dlq list --group %s\nRun them again: pawl dlq retry-all --group %s", groups[0].Group, groups[0].Group))
	}
	return err
}

func listLetters(c *cobra.Command, _ []string) error {
	query := letterQuery(c, time.Now())
	for name, values := range flagQuery(c, "limit", "cursor", "state") {
		query[name] = values
	}
	cl, letters, done, err := listOf[letter](c, "/v1/dead-letters", query)
	if done {
		return err
	}
	if len(letters) == 0 {
		if err := cl.hasGroup(c.Context(), query.Get("fingerprint")); err != nil {
			return err
		}
		_, err := fmt.Fprintln(c.OutOrStdout(), "There are no such dead letters.")
		return err
	}
	open := query.Get("state") == "open"
	headers := []string{"RUN", "FAILED", "FUNCTION", "STEP", "TRIES", "CLASS", "ERROR"}
	if !open {
		headers = append(headers, "STATE")
	}
	t := plain(headers...)
	for _, l := range letters {
		row := []string{l.RunID, humanize.Time(l.FailedAt), oneLine(l.Function), oneLine(l.Step), strconv.Itoa(l.Attempts), class(l.Class), clip(l.Title, 60)}
		if !open {
			row = append(row, l.State)
		}
		t.Row(row...)
	}
	return printTable(c, t)
}

// hasGroup fails when there is no such group; "" is none that somebody asked for.
func (c *client) hasGroup(ctx context.Context, group string) error {
	if group == "" {
		return nil
	}
	var letters []letter
	query := url.Values{"fingerprint": {group}, "state": {"all"}, "limit": {"1"}}
	if err := c.get(ctx, "/v1/dead-letters", query, &letters); err != nil || len(letters) > 0 {
		return err
	}
	return fmt.Errorf("there is no group %s; pawl dlq groups --all lists those that there are", oneLine(group))
}

// letterQuery is the filter that addLetterFlags made flags for.
func letterQuery(c *cobra.Command, now time.Time) url.Values {
	query := flagQuery(c, "function", "class")
	if group, _ := c.Flags().GetString("group"); group != "" {
		query.Set("fingerprint", group)
	}
	addAges(c, query, "failed_after", "failed_before", now)
	return query
}

func showLetter(c *cobra.Command, list []string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		var raw jsontext.Value
		if err := cl.get(c.Context(), "/v1/dead-letters/"+url.PathEscape(list[0]), nil, &raw); err != nil {
			return err
		}
		return printJSON(c.OutOrStdout(), raw)
	}
	var d letterDetail
	if err := cl.get(c.Context(), "/v1/dead-letters/"+url.PathEscape(list[0]), nil, &d); err != nil {
		return err
	}
	return drawLetter(c.OutOrStdout(), d)
}

// drawLetter tells what happened, where, and what can be done about it.
func drawLetter(out io.Writer, d letterDetail) error {
	fact := lipgloss.NewStyle().Faint(true).Width(10).Render
	at := lipgloss.NewStyle().Bold(true).Render
	lines := []string{
		at(oneLine(d.Title)),
		"",
		fact("function") + oneLine(d.Function),
		fact("broke in") + or(oneLine(d.Step), "function body"),
		fact("because") + oneLine(d.Reason) + " (" + class(d.Class) + ")",
		fact("failed") + fmt.Sprintf("%s, %s after it was queued", humanize.Time(d.FailedAt), d.FailedAt.Sub(d.Run.QueuedAt).Round(time.Millisecond)),
		fact("run") + d.RunID,
		fact("event") + oneLine(d.EventName) + " " + d.EventID,
		fact("data") + short(d.Event.Data),
	}
	if d.EditedEvent != nil {
		lines = append(lines, fact("edited")+short(d.EditedEvent.Data))
	}
	state := colour(d.State)
	if d.ClosedAt != nil {
		state += " " + humanize.Time(*d.ClosedAt)
	}
	switch {
	case d.RetriedAs != "":
		state += " as run " + d.RetriedAs
		if d.Discarded != "" {
			state += ", after it was discarded: " + oneLine(d.Discarded)
		}
	case d.Discarded != "":
		state += ": " + oneLine(d.Discarded)
	}
	lines = append(lines, fact("state")+state)
	if d.RetryOf != "" {
		lines = append(lines, fact("failed again")+"it was a retry of run "+d.RetryOf)
	}
	if d.Note != "" {
		lines = append(lines, fact("note")+oneLine(d.Note))
	}
	if others := d.Group.Open + d.Group.Retried + d.Group.Discarded - 1; others > 0 {
		lines = append(lines, fact("group")+fmt.Sprintf("%s, with %s like it, the first %s",
			d.letter.Group, english(others, "other", "others"), humanize.Time(d.Group.FirstAt)))
	}
	lines = append(lines, "", attempts(d.Steps).String())
	if stack := stackOf(d.Run.Output); stack != "" {
		lines = append(lines, "", stack)
	}
	if d.State == "open" {
		lines = append(lines, "", hint("Run it again: pawl dlq retry %s", d.RunID))
	}
	_, err := lipgloss.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// attempts is a run's steps with every try that failed.
func attempts(steps []step) *tree.Tree {
	t := tree.Root("tries")
	for _, s := range steps {
		t.Child(withTries(s))
	}
	return t
}

// mostStack is how many lines of a stack are shown.
const mostStack = 12

// stackOf is the start of the stack in an error.
func stackOf(output jsontext.Value) string {
	var e struct {
		Stack string `json:"stack"`
	}
	if json.Unmarshal(output, &e, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) != nil || e.Stack == "" {
		return ""
	}
	var lines []string
	for line := range strings.Lines(e.Stack) {
		if len(lines) == mostStack {
			lines = append(lines, "  … "+hint("pawl dlq show --json has all of it"))
			break
		}
		lines = append(lines, "  "+clip(strings.TrimRight(line, "\n"), 160))
	}
	return strings.Join(lines, "\n")
}

// class is the word for a kind of failure, in a colour that says whose it is.
func class(word string) string {
	c := lipgloss.NewStyle()
	switch word {
	case "error", "non_retriable":
		c = c.Foreground(lipgloss.Red)
	case "crash":
		c = c.Foreground(lipgloss.Magenta)
	case "unreachable", "timeout":
		c = c.Foreground(lipgloss.Yellow)
	}
	return c.Render(word)
}

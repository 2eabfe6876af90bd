package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/wire"
)

// addActions adds what can be done about dead letters.
func addActions(c *cobra.Command) {
	retry := &cobra.Command{
		Use: "retry RUN", Short: "Run it again, from its start", Args: args(cobra.ExactArgs(1)), RunE: retryLetter,
		Long: `Starts the run anew, for the same event, and closes its dead letter.

With --data the new run sees other data; the dead letter keeps both.
To begin at a step, with the results of the steps before it, use pawl runs rerun.`,
		Example: "pawl dlq retry 01JQDAE4RQF8MBCR55T5AK4KXS\npawl dlq retry 01JQDAE4RQF8MBCR55T5AK4KXS --data @mended.json",
	}
	retry.Flags().String("data", "", "Other data for the event: JSON, @FILE, or - for standard input")
	all := &cobra.Command{
		Use: "retry-all", Short: "Run many again, at a rate", Args: args(cobra.NoArgs), RunE: retryAll,
		Long: `Retries the open dead letters that the flags choose, the oldest first, at a
rate. The first ones are on trial: when they have done well the others follow,
and when most of them fail again it stops by itself, as it does when later on
more fail than complete.

It is a job of the server: it goes on when this command ends, and after a
restart of the server. Exits with 1 when the job was stopped.`,
		Example: "pawl dlq retry-all --group 3f9c2b1a77e0d4c1 --rate 100/m\npawl dlq retry-all --class unreachable --newer 2h --detach",
	}
	addLetterFlags(all)
	all.Flags().Bool("all", false, "Every open dead letter, when no other flag chooses")
	all.Flags().String("rate", "10/s", "How many to start each second, minute or hour")
	all.Flags().Int("first", 5, "How many are on trial, at most 100; 0: none")
	all.Flags().Bool("detach", false, "Print the job and do not wait for it")
	none := &cobra.Command{
		Use: "discard-all", Short: "Close many that need not be run again", Args: args(cobra.NoArgs), RunE: discardAll,
		Long: `Discards the open dead letters that the flags choose, and keeps the reason with
each. It is a job of the server, as that of retry-all.`,
		Example: "pawl dlq discard-all --group 3f9c2b1a77e0d4c1 --reason 'orders of a load test'",
	}
	addLetterFlags(none)
	none.Flags().Bool("all", false, "Every open dead letter, when no other flag chooses")
	none.Flags().String("reason", "", "Why; kept with each dead letter")
	none.Flags().Bool("detach", false, "Print the job and do not wait for it")
	jobs := &cobra.Command{
		Use: "jobs", Short: "List what retry-all and discard-all were asked for", Args: args(cobra.NoArgs), RunE: listJobs,
	}
	follow := &cobra.Command{
		Use: "follow JOB", Short: "Follow a job of retry-all or discard-all until it ends", Args: args(cobra.ExactArgs(1)), RunE: followJob,
	}
	stop := &cobra.Command{
		Use: "stop JOB", Short: "Stop a job of retry-all or discard-all; the runs it has started go on", Args: args(cobra.ExactArgs(1)), RunE: stopJob,
	}
	discard := &cobra.Command{
		Use: "discard RUN", Short: "Close a dead letter that need not be run again", Args: args(cobra.ExactArgs(1)), RunE: discard,
		Example: "pawl dlq discard 01JQDAE4RQF8MBCR55T5AK4KXS --reason 'a test order'",
	}
	discard.Flags().String("reason", "", "Why; kept with the dead letter")
	note := &cobra.Command{
		Use: "note RUN TEXT", Short: "Keep a note with a dead letter; \"\" removes it", Args: args(cobra.ExactArgs(2)), RunE: note,
	}
	c.AddCommand(retry, all, none, jobs, follow, stop, discard, note)
}

// rerunCommand is pawl runs rerun.
func rerunCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "rerun RUN", Short: "Start a run anew, from its start or from a step", Args: args(cobra.ExactArgs(1)), RunE: rerun,
		Long: `Starts a run anew, for the same event. With --from the results of the steps
before that step are copied, and it is the first to run again; with --output the
step does not run, and has that result. The dead letter of the run, if it has one,
is closed.`,
		Example: "pawl runs rerun 01JQDAE4RQF8MBCR55T5AK4KXS --from charge\npawl runs rerun 01JQDAE4RQF8MBCR55T5AK4KXS --from charge --input '[{\"amount\": 7}]'\n" +
			"pawl runs rerun 01JQDAE4RQF8MBCR55T5AK4KXS --from charge --output '{\"id\": \"ch_1\"}'",
	}
	c.Flags().String("from", "", "Step to begin at: its name, or its id if several have that name")
	c.Flags().String("input", "", "What the step is called with: a JSON array or @FILE; TypeScript apps only")
	c.Flags().String("output", "", "The result of that step, which then does not run: JSON or @FILE")
	c.Flags().String("data", "", "Other data for the event: JSON, @FILE, or - for standard input")
	return c
}

// post sends v and reads the data of the answer.
func (c *client) post(ctx context.Context, path string, v, into any) error {
	body, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	// A key, so that it happens once, whatever on the way sends it again.
	header := http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {rand.Text()}}
	return c.call(ctx, http.MethodPost, path, header, body, into)
}

// dataFlag reads --data; nil when it is not given.
func dataFlag(c *cobra.Command) (jsontext.Value, error) {
	text, _ := c.Flags().GetString("data")
	if text == "" {
		return nil, nil
	}
	return readData(text, c.InOrStdin())
}

type started struct {
	RunID string `json:"run_id"`
}

func retryLetter(c *cobra.Command, list []string) error {
	data, err := dataFlag(c)
	if err != nil {
		return err
	}
	return startAnew(c, list[0], "/v1/dead-letters/"+url.PathEscape(list[0])+"/retry", struct {
		Data jsontext.Value `json:"data,omitzero"`
	}{data})
}

func rerun(c *cobra.Command, list []string) error {
	type from struct {
		StepID string         `json:"stepId"`
		Input  jsontext.Value `json:"input,omitzero"`
		Output jsontext.Value `json:"output,omitzero"`
	}
	var body struct {
		FromStep *from          `json:"fromStep,omitzero"`
		Data     jsontext.Value `json:"data,omitzero"`
	}
	var err error
	if body.Data, err = dataFlag(c); err != nil {
		return err
	}
	step, _ := c.Flags().GetString("from")
	text, _ := c.Flags().GetString("input")
	output, _ := c.Flags().GetString("output")
	switch {
	case step != "":
		body.FromStep = &from{StepID: step}
	case text != "":
		return usageError{errors.New("--input needs --from: the step that it is for")}
	case output != "":
		return usageError{errors.New("--output needs --from: the step that it is for")}
	}
	if text != "" {
		if body.FromStep.Input, err = readInput(text); err != nil {
			return err
		}
	}
	if output != "" {
		if body.FromStep.Output, err = readJSON("--output", output); err != nil {
			return err
		}
	}
	return startAnew(c, list[0], "/v1/runs/"+url.PathEscape(list[0])+"/rerun", body)
}

// readInput reads the arguments of a step.
func readInput(text string) (jsontext.Value, error) {
	b, err := readJSON("--input", text)
	if _, wrong := errors.AsType[usageError](err); wrong || err == nil && b.Kind() != '[' {
		return nil, usageError{errors.New("--input must be a JSON array: the arguments of the step, such as [1, \"a\"]")}
	}
	return b, err
}

// readJSON reads what a flag says: JSON, or @FILE with some.
func readJSON(flag, text string) (jsontext.Value, error) {
	b := []byte(text)
	if path, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if b, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
	}
	if err := wire.CheckJSON(b); err != nil {
		return nil, usageError{fmt.Errorf("%s must be JSON: %w", flag, err)}
	}
	return bytes.TrimSpace(b), nil
}

func startAnew(c *cobra.Command, of, path string, body any) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	var run started
	if err := cl.post(c.Context(), path, body, &run); err != nil {
		return err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		return printJSON(c.OutOrStdout(), run)
	}
	_, err = lipgloss.Fprintln(c.OutOrStdout(), "Run "+of+" was started anew, as run "+run.RunID+"\n"+hint("See how it goes: pawl runs follow %s", run.RunID))
	return err
}

func discard(c *cobra.Command, list []string) error {
	reason, err := reasonFlag(c)
	if err != nil {
		return err
	}
	return changeLetter(c, list[0], "discard", map[string]string{"reason": reason}, "The dead letter of run %s is discarded.")
}

// reasonFlag reads --reason, which must be given.
func reasonFlag(c *cobra.Command) (string, error) {
	reason, _ := c.Flags().GetString("reason")
	if strings.TrimSpace(reason) == "" {
		return "", usageError{errors.New("--reason is required: why the run need not be run again")}
	}
	return reason, nil
}

func note(c *cobra.Command, list []string) error {
	return changeLetter(c, list[0], "note", map[string]string{"note": list[1]}, "The note is kept with the dead letter of run %s.")
}

func changeLetter(c *cobra.Command, run, action string, body map[string]string, said string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	var l letter
	if err := cl.post(c.Context(), "/v1/dead-letters/"+url.PathEscape(run)+"/"+action, body, &l); err != nil {
		return err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		return printJSON(c.OutOrStdout(), l)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), said+"\n", l.RunID)
	return err
}

// job is a job of retry-all or discard-all as the API tells it.
type job struct {
	ID        string         `json:"id"`
	Kind      string         `json:"kind"`
	Reason    string         `json:"reason,omitzero"`
	State     string         `json:"state"`
	Waiting   bool           `json:"waiting"`
	Why       string         `json:"why,omitzero"`
	Filter    jsontext.Value `json:"filter"`
	Rate      string         `json:"rate"`
	First     int            `json:"first"`
	CreatedAt time.Time      `json:"created_at"`
	EndedAt   *time.Time     `json:"ended_at"`
	Started   int            `json:"started"`
	Running   int            `json:"running"`
	Completed int            `json:"completed"`
	Failed    int            `json:"failed"`
	Cancelled int            `json:"cancelled"`
	Skipped   int            `json:"skipped"`
	Discarded int            `json:"discarded"`
}

// String is what a job has done so far.
func (j job) String() string {
	if j.Kind == "discard" {
		return humanize.Comma(int64(j.Discarded)) + " discarded"
	}
	text := humanize.Comma(int64(j.Started)) + " started"
	for _, part := range []struct {
		n    int
		what string
	}{{j.Completed, "completed"}, {j.Failed, "failed again"}, {j.Cancelled, "cancelled"}, {j.Running, "still running"}, {j.Skipped, "not served any more"}} {
		if part.n > 0 {
			text += ", " + humanize.Comma(int64(part.n)) + " " + part.what
		}
	}
	return text
}

func retryAll(c *cobra.Command, _ []string) error {
	body, err := chosen(c)
	if err != nil {
		return err
	}
	body["rate"], _ = c.Flags().GetString("rate")
	body["first"], _ = c.Flags().GetInt("first")
	return startJob(c, "/v1/dead-letters/retry", body, func(j job) string {
		if j.First > 0 {
			return fmt.Sprintf("Retrying at %s, the first %d on trial", j.Rate, j.First)
		}
		return "Retrying at " + j.Rate
	})
}

func discardAll(c *cobra.Command, _ []string) error {
	reason, err := reasonFlag(c)
	if err != nil {
		return err
	}
	body, err := chosen(c)
	if err != nil {
		return err
	}
	body["reason"] = reason
	return startJob(c, "/v1/dead-letters/discard", body, func(job) string { return "Discarding" })
}

// chosen is what the flags say of the letters that a job works on.
func chosen(c *cobra.Command) (map[string]any, error) {
	query := letterQuery(c, time.Now())
	all, _ := c.Flags().GetBool("all")
	switch {
	case len(query) == 0 && !all:
		return nil, usageError{errors.New("say which dead letters: --group, --function, --class, --older or --newer; or --all of them")}
	case len(query) > 0 && all:
		return nil, usageError{errors.New("--all means every open dead letter; leave it out when other flags choose")}
	}
	body := map[string]any{"all": all}
	for name := range query {
		body[name] = query.Get(name)
	}
	return body, nil
}

// startJob starts a job and, unless it is detached, follows it; says tells what it
// does.
func startJob(c *cobra.Command, path string, body map[string]any, says func(job) string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	var j job
	if err := cl.post(c.Context(), path, body, &j); err != nil {
		return err
	}
	asJSON, _ := c.Flags().GetBool("json")
	if detach, _ := c.Flags().GetBool("detach"); detach {
		if asJSON {
			return printJSON(c.OutOrStdout(), j)
		}
		_, err := fmt.Fprintln(c.OutOrStdout(), j.ID)
		return err
	}
	if !asJSON {
		_, _ = lipgloss.Fprintln(c.OutOrStdout(), says(j)+"\n"+hint("Ctrl-C leaves it at work; pawl dlq stop %s ends it", j.ID))
	}
	return cl.follow(c, j.ID)
}

func followJob(c *cobra.Command, list []string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	return cl.follow(c, list[0])
}

// look is the time between two looks at a job.
const look = 300 * time.Millisecond

// follow tells how a job goes until it has ended.
func (c *client) follow(cmd *cobra.Command, id string) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	asJSON, _ := cmd.Flags().GetBool("json")
	told := ""
	for {
		var j job
		if err := c.get(ctx, "/v1/dead-letters/jobs/"+url.PathEscape(id), nil, &j); err != nil {
			return err
		}
		line := "  " + j.String()
		if j.Waiting {
			line += "; waiting for the first ones"
		}
		switch {
		case asJSON && j.State != "running":
			if err := printJSON(out, j); err != nil {
				return err
			}
		case !asJSON && line != told:
			_, _ = fmt.Fprintln(out, line)
			told = line
		}
		switch j.State {
		case "done":
			return nil
		case "stopped":
			return fmt.Errorf("the job was stopped: %s", oneLine(j.Why))
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func stopJob(c *cobra.Command, list []string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	var j job
	if err := cl.call(c.Context(), http.MethodDelete, "/v1/dead-letters/jobs/"+url.PathEscape(list[0]), nil, nil, &j); err != nil {
		return err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		return printJSON(c.OutOrStdout(), j)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "The job is %s: %s\n", j.State, j)
	return err
}

func listJobs(c *cobra.Command, _ []string) error {
	_, jobs, done, err := listOf[job](c, "/v1/dead-letters/jobs", nil)
	if done {
		return err
	}
	if len(jobs) == 0 {
		_, err := fmt.Fprintln(c.OutOrStdout(), "There are no jobs. pawl dlq retry-all makes one.")
		return err
	}
	t := plain("JOB", "STATE", "BEGAN", "RATE", "RUNS", "WHICH")
	for _, j := range jobs {
		state := colour(j.State)
		if j.Waiting {
			state = colour("waiting")
		}
		t.Row(j.ID, state, humanize.Time(j.CreatedAt), j.Rate, j.String(), clip(which(j.Filter), 60))
	}
	return printTable(c, t)
}

// which is a filter in words.
func which(filter jsontext.Value) string {
	var f struct {
		Function string `json:"function"`
		Class    string `json:"class"`
		Group    string `json:"fingerprint"`
	}
	if json.Unmarshal(filter, &f) != nil {
		return ""
	}
	var words []string
	for _, w := range []string{f.Function, f.Class, f.Group} {
		if w != "" {
			words = append(words, w)
		}
	}
	if words == nil {
		return "all of them"
	}
	return strings.Join(words, " ")
}

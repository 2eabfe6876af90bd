package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func pauseCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "pause NAME",
		Short: "Hold back the runs of a function or of an app, until pawl resume",
		Long: "Hold back the runs of a function (its slug) or of all functions of an app (app/NAME).\n" +
			"Events are taken in and start runs, which wait. Nothing is lost, unless --refuse says so.",
		Example: "pawl pause shop-charge --reason 'the bank is down'\npawl pause app/shop --all\npawl pause shop-charge --key event.data.customer --value c42",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			hold := "starts"
			if all, _ := c.Flags().GetBool("all"); all {
				hold = "all"
			}
			refuse, _ := c.Flags().GetBool("refuse")
			return act(c, list[0], "pause", map[string]any{"hold": hold, "refuse": refuse})
		},
	}
	c.Flags().Bool("all", false, "make no request at all, also for runs that have begun")
	c.Flags().Bool("refuse", false, "skip what would start meanwhile; otherwise it waits")
	addKey(c)
	addReason(c)
	return c
}

func resumeCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "resume NAME", Short: "Let the runs of a paused function or app go on", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return act(c, list[0], "resume", map[string]any{}) },
	}
	addKey(c)
	addReason(c)
	return c
}

func addReason(c *cobra.Command) {
	c.Flags().String("reason", "", "why, for the audit log and for pawl why")
	addClientFlags(c)
}

func addKey(c *cobra.Command) {
	c.Flags().String("key", "", "an expression by which the function is limited, such as event.data.customer")
	c.Flags().String("value", "", "the value of the key for which it is held back")
}

// act pauses or resumes.
func act(c *cobra.Command, name, what string, body map[string]any) error {
	path := "/v1/functions/" + url.PathEscape(name)
	if app, ok := strings.CutPrefix(name, "app/"); ok {
		path = "/v1/apps/" + url.PathEscape(app)
	}
	for _, flag := range []string{"reason", "key", "value"} {
		body[flag], _ = c.Flags().GetString(flag)
	}
	note, err := change(c, http.MethodPost, path+"/"+what, body)
	if err != nil {
		return err
	}
	if note != "" {
		_, err = fmt.Fprintln(c.OutOrStdout(), note)
		return err
	}
	if key := body["key"]; key != "" {
		name = fmt.Sprintf("%s for %s = %s", name, key, body["value"])
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %sd\n", name, what)
	return err
}

// change sends a body and expects no more than that it was taken, and perhaps a note
// on why nothing has changed.
func change(c *cobra.Command, method, path string, body any) (note string, err error) {
	cl, err := newClient(c)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	var done struct {
		OK   bool
		Note string
	}
	err = cl.call(c.Context(), method, path, http.Header{"Content-Type": {"application/json"}}, b, &done)
	return done.Note, err
}

func limitCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "limit FUNCTION [OPTIONS]",
		Short:   "Change the limits of a function while it runs",
		Long:    "Put flow control options (concurrency, throttle, priority) in place of those that the app\nregistered, as JSON. They hold at once, over restarts and over syncs, until --clear.",
		Example: `pawl limit shop-charge '{"concurrency": 5}'` + "\npawl limit shop-charge --clear",
		Args:    args(cobra.RangeArgs(1, 2)),
		RunE:    setLimits,
	}
	c.Flags().Bool("clear", false, "go back to what the app registered")
	addReason(c)
	return c
}

func setLimits(c *cobra.Command, list []string) error {
	clean, _ := c.Flags().GetBool("clear")
	limits := json.RawMessage("null")
	switch {
	case clean == (len(list) == 2):
		return usageError{errors.New(`pawl limit: give either options, such as '{"concurrency": 5}', or --clear`)}
	case !clean:
		if limits = json.RawMessage(list[1]); !json.Valid(limits) {
			return usageError{errors.New(`pawl limit: the options are not valid JSON; an example: '{"concurrency": 5}'`)}
		}
	}
	reason, _ := c.Flags().GetString("reason")
	body := map[string]any{"limits": limits, "reason": reason}
	if _, err := change(c, http.MethodPut, "/v1/functions/"+url.PathEscape(list[0])+"/limits", body); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), list[0]+": the limits hold from now on")
	return err
}

package main

import (
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func whyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "why RUN",
		Short:   "Say in one sentence why a run is not running now",
		Example: "pawl why 01KE1111111111111111111111",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    explain,
	}
	addClientFlags(c)
	return c
}

// reason is why a run is not running, as the API tells it.
type reason struct {
	Run      string     `json:"run_id"`
	Status   string     `json:"status"`
	Reason   string     `json:"reason"`
	Why      string     `json:"why"`
	Step     string     `json:"step,omitzero"`
	Until    *time.Time `json:"until"`
	WaitsFor string     `json:"waits_for_run,omitzero"`
}

func explain(c *cobra.Command, list []string) error {
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	var r reason
	if err := cl.get(c.Context(), "/v1/runs/"+url.PathEscape(list[0])+"/why", nil, &r); err != nil {
		return err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		return printJSON(c.OutOrStdout(), r)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), oneLine(r.Why))
	return err
}

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

func auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit [OBJECT]",
		Short: "See who has done what to others' work",
		Long: `Lists what people have done over the API and with pawl: paused, limited, cancelled,
run again, discarded, scheduled and so on, the newest first.

With an object only what was done to that: a function's slug, app/NAME, run/ID,
job/ID (of pawl dlq retry-all), schedule/ID, cancellation/ID, key/SCOPE or store.`,
		Example: "pawl audit --newer 24h\npawl audit shop-charge\npawl audit run/01JQDAE4RQF8MBCR55T5AK4KXS",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE:    listActs,
	}
	addClientFlags(c)
	limitFlag(c, 50, "How many, at most 200")
	c.Flags().String("cursor", "", "Cursor of the last line, from --json, to go on after")
	ageFlag(c.Flags(), "older", "Only what was done at least so long ago, such as 1h")
	ageFlag(c.Flags(), "newer", "Only what was done at most so long ago, such as 24h or 7d")
	return c
}

// deed is a line of the audit log as the API tells it.
type deed struct {
	Seq    int64          `json:"seq"`
	At     time.Time      `json:"at"`
	By     string         `json:"by"`
	What   string         `json:"what"`
	Object string         `json:"object"`
	Detail jsontext.Value `json:"detail,omitzero"`
	Cursor string         `json:"cursor"`
}

func listActs(c *cobra.Command, list []string) error {
	query := flagQuery(c, "limit", "cursor")
	addAges(c, query, "from", "until", time.Now())
	if len(list) > 0 {
		query.Set("object", list[0])
	}
	_, deeds, done, err := listOf[deed](c, "/v1/audit", query)
	if done {
		return err
	}
	if len(deeds) == 0 {
		_, err := fmt.Fprintln(c.OutOrStdout(), "Nobody has done such a thing.")
		return err
	}
	t := plain("WHEN", "WHAT", "OBJECT", "BY", "DETAIL")
	for _, d := range deeds {
		t.Row(d.At.Local().Format(time.DateTime), oneLine(d.What), oneLine(d.Object), oneLine(d.By), clip(inWords(d.Detail), 80))
	}
	return printTable(c, t)
}

// inWords is the detail of a line: its members by name.
func inWords(detail jsontext.Value) string {
	var members map[string]jsontext.Value
	if json.Unmarshal(detail, &members) != nil {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := string(members[name])
		if text, err := jsontext.AppendUnquote(nil, members[name]); err == nil {
			value = string(text)
		}
		parts = append(parts, name+": "+value)
	}
	return strings.Join(parts, ", ")
}

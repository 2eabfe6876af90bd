package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"charm.land/lipgloss/v2/tree"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/internal/wire"
)

// What commands that list things have in common: what they ask for, and how it is
// shown.

// listOf asks for a list. When JSON is wanted it is printed, and the command is
// done.
func listOf[T any](c *cobra.Command, path string, query url.Values) (cl *client, list []T, done bool, err error) {
	if cl, err = newClient(c); err != nil {
		return nil, nil, true, err
	}
	if err = cl.get(c.Context(), path, query, &list); err != nil {
		return nil, nil, true, err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		return nil, nil, true, printJSON(c.OutOrStdout(), list)
	}
	return cl, list, false, nil
}

// flagQuery is the flags that have a value, under the names of the API.
func flagQuery(c *cobra.Command, names ...string) url.Values {
	query := url.Values{}
	for _, name := range names {
		if f := c.Flags().Lookup(name); f != nil && f.Value.String() != "" {
			query.Set(name, f.Value.String())
		}
	}
	return query
}

// age is how long ago something was: a flag of the type duration that knows days and
// weeks too.
type age time.Duration

func (a *age) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		if d, err = wire.ParseDuration(text); err != nil {
			return errors.New("want a time such as 90m, 24h, 7d or 1w")
		}
	}
	if d < 0 {
		return errors.New("want a time that is not negative")
	}
	*a = age(d)
	return nil
}

func (a *age) String() string { return time.Duration(*a).String() }

func (a *age) Type() string { return "duration" } // so that GetDuration reads it

// ageFlag makes a flag for how long ago something was.
func ageFlag(f *pflag.FlagSet, name, help string) { f.Var(new(age), name, help) }

// addAges asks for what --newer and --older choose, by the parameters of these
// names.
func addAges(c *cobra.Command, query url.Values, after, before string, now time.Time) {
	for name, flag := range map[string]string{before: "older", after: "newer"} {
		if age, _ := c.Flags().GetDuration(flag); age > 0 {
			query.Set(name, now.Add(-age).UTC().Format(time.RFC3339Nano))
		}
	}
}

// limitFlag makes a flag for how many rows a list has.
func limitFlag(c *cobra.Command, usual limit, help string) {
	c.Flags().Var(&usual, "limit", help)
}

type limit int

func (l *limit) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 200 {
		return errors.New("want a number from 1 to 200")
	}
	*l = limit(n)
	return nil
}

func (l *limit) String() string { return strconv.Itoa(int(*l)) }

func (l *limit) Type() string { return "int" }

// plain is a table without lines, which a pipe can read as well.
func plain(headers ...string) *table.Table {
	return table.New().Border(lipgloss.HiddenBorder()).BorderTop(false).BorderBottom(false).BorderLeft(false).BorderHeader(false).
		Headers(headers...).StyleFunc(func(row, _ int) lipgloss.Style {
		s := lipgloss.NewStyle().PaddingRight(1)
		if row == table.HeaderRow {
			s = s.Faint(true)
		}
		return s
	})
}

// printTable writes a table, without the blanks at the ends of its lines.
func printTable(c *cobra.Command, t *table.Table) error {
	_, err := lipgloss.Fprintln(c.OutOrStdout(), trimmed(t.Render()))
	return err
}

// trimmed is text without the blanks at the ends of its lines.
func trimmed(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// withTries is a node for a step, with every try of it that failed.
func withTries(s step, parts ...string) *tree.Tree {
	node := tree.Root(line(append([]string{oneLine(s.Name), colour(s.Status), took(s.Started, s.Ended)}, parts...)...))
	for _, a := range s.Attempts {
		if len(a.Error) > 0 {
			node.Child(failedTry(a))
		}
	}
	return node
}

// hint says what to do next.
func hint(format string, list ...any) string {
	return lipgloss.NewStyle().Faint(true).Render(fmt.Sprintf(format, list...))
}

func english(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}

// clip is a text on one line of at most n characters.
func clip(s string, n int) string {
	runes := []rune(oneLine(s))
	if len(runes) <= n {
		return string(runes)
	}
	return string(runes[:n-1]) + "…"
}

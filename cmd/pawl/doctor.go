package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

func doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong in the store of a Pawl that is stopped",
		Long: "Looks at everything in a store that no Pawl has open: whether the file is sound,\n" +
			"whether each run that has not ended will go on, and whether nothing is left of\n" +
			"those that have. Exits with 1 when something is wrong and was not repaired.",
		Example: "pawl doctor --db sqlite:pawl.db\npawl doctor --fix",
		Args:    args(cobra.NoArgs),
		RunE:    examine,
	}
	addFlags(c.Flags(), modeDoctor)
	c.Flags().Bool("fix", false, "Repair what can be repaired without losing anything, each thing by itself")
	c.Flags().Bool("json", false, "Print JSON")
	return c
}

// storePath is where the store of a command is that works without a server.
func storePath(c *cobra.Command) (string, error) {
	l := loader{mode: modeDoctor, flags: c.Flags(), environ: os.Environ()}
	s, err := l.load()
	return strings.TrimPrefix(s.DB, dbPrefix), err
}

func examine(c *cobra.Command, _ []string) error {
	path, err := storePath(c)
	if err != nil {
		return err
	}
	look := sqlite.Examine
	if fix, _ := c.Flags().GetBool("fix"); fix {
		look = sqlite.Repair
	}
	var r reporter = &diagnosis{out: c.OutOrStdout()}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		r = newJSONDiagnosis(c.OutOrStdout())
	}
	found, left, curable := 0, 0, 0
	n, err := look(c.Context(), path, time.Now(), func(f store.Finding) {
		found++
		if !f.Cured {
			left++
			if f.Cure != "" {
				curable++
			}
		}
		r.finding(f)
	})
	if err != nil {
		return err
	}
	r.end(n, found)
	switch {
	case left == 0:
		return nil
	case curable > 0:
		return fmt.Errorf("%d of %d things that are wrong can be repaired: pawl doctor --fix", curable, found)
	case left < found:
		return fmt.Errorf("%d things are wrong, and %d of them cannot be repaired", found, left)
	}
	return errors.New("what is wrong cannot be repaired; if runs suffer from it, restore a backup: pawl restore")
}

// reporter tells what the doctor finds, as it is found.
type reporter interface {
	finding(f store.Finding)
	end(n store.Examined, found int)
}

// diagnosis is for people.
type diagnosis struct{ out io.Writer }

func (d *diagnosis) finding(f store.Finding) {
	about := ""
	switch {
	case f.Run != "":
		about = "run " + f.Run + ": "
	case f.Event != "":
		about = "event " + f.Event + ": "
	}
	line := fmt.Sprintf("%-9s %s%s", f.Rule, about, f.What)
	switch {
	case f.Cured:
		line += "\n          repaired: " + f.Cure
	case f.Cure != "":
		line += "\n          with --fix: " + f.Cure
	}
	_, _ = fmt.Fprintln(d.out, printable(line))
}

func (d *diagnosis) end(n store.Examined, found int) {
	result := "Nothing is wrong."
	if found > 0 {
		result = humanize.Comma(int64(found)) + " " + plural(found, "thing is", "things are") + " wrong."
	}
	_, _ = fmt.Fprintf(d.out, "Looked at %s runs (%s ended), %s events, %s queue items and %s waits. %s\n",
		humanize.Comma(int64(n.Runs)), humanize.Comma(int64(n.Ended)), humanize.Comma(int64(n.Events)),
		humanize.Comma(int64(n.Items)), humanize.Comma(int64(n.Waits)), result)
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// printable is text with line breaks of which no byte steers a terminal: names
// of steps are the app's.
func printable(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = oneLine(lines[i])
	}
	return strings.Join(lines, "\n")
}

// jsonDiagnosis is for scripts: one object, written as it is found out.
type jsonDiagnosis struct{ enc *jsontext.Encoder }

func newJSONDiagnosis(out io.Writer) *jsonDiagnosis {
	d := &jsonDiagnosis{jsontext.NewEncoder(out, jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true))}
	for _, t := range []jsontext.Token{jsontext.BeginObject, jsontext.String("findings"), jsontext.BeginArray} {
		_ = d.enc.WriteToken(t) // whoever reads it sees that it is cut off
	}
	return d
}

func (d *jsonDiagnosis) finding(f store.Finding) { _ = json.MarshalEncode(d.enc, f) }

func (d *jsonDiagnosis) end(n store.Examined, _ int) {
	_ = d.enc.WriteToken(jsontext.EndArray)
	_ = d.enc.WriteToken(jsontext.String("examined"))
	_ = json.MarshalEncode(d.enc, n)
	_ = d.enc.WriteToken(jsontext.EndObject)
}

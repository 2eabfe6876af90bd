// Package match finds out what an event means: which functions start. It looks
// functions up by event name, exact or by prefix, and asks their expressions;
// it keeps nothing and changes nothing.
package match

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match/expr"
)

// Table is what is registered at one moment. It never changes: a sync makes a
// new one.
type Table struct {
	bySlug  map[string]durable.Function
	byID    map[string]string       // slugs
	byEvent map[string][]*candidate // by name, or prefix with "*"
}

// candidate is a function with its triggers for one table key.
type candidate struct {
	fn       *durable.Function
	triggers []trigger // all of the function, in registered order
}

type trigger struct {
	event string
	when  *expr.Program // nil: always
}

// Problem says why a function cannot be matched.
type Problem struct {
	Function string
	Message  string
}

// Programs are expressions, compiled once for each source text, over all tables.
type Programs = expr.Cache

// NewTable builds a table. Functions with a problem are in it, but for the
// triggers that have one.
func NewTable(fns []durable.Function, programs *Programs) (*Table, []Problem) {
	t := &Table{bySlug: map[string]durable.Function{}, byID: map[string]string{}, byEvent: map[string][]*candidate{}}
	var problems []Problem
	for _, f := range fns {
		t.bySlug[f.Slug], t.byID[f.ID] = f, f.Slug
		if f.Once != "" {
			if _, err := programs.Compile(f.Once, expr.EventOnly); err != nil && !f.Archived {
				problems = append(problems, Problem{f.Slug, fmt.Sprintf("idempotency: %v", err)})
			}
		}
		for option, source := range f.Limits.Expressions() {
			if source == "" || f.Archived {
				continue
			}
			if _, err := programs.Compile(source, expr.EventOnly); err != nil {
				problems = append(problems, Problem{f.Slug, fmt.Sprintf("%s: %v", option, err)})
			}
		}
		for i, c := range f.Cancel {
			if c.If == "" {
				continue
			}
			if _, err := expr.CompileCancel(c.If); err != nil && !f.Archived {
				problems = append(problems, Problem{f.Slug, fmt.Sprintf("cancellation %d: %v", i+1, err)})
			}
		}
		if f.Archived {
			continue
		}
		c := &candidate{fn: &f}
		for _, tr := range f.Triggers {
			if tr.Event == "" {
				continue
			}
			compiled := trigger{event: tr.Event}
			if tr.Expression != "" {
				p, err := programs.Compile(tr.Expression, expr.EventOnly)
				if err != nil {
					problems = append(problems, Problem{f.Slug, fmt.Sprintf("trigger %q: %v", tr.Event, err)})
					continue
				}
				compiled.when = p
			}
			c.triggers = append(c.triggers, compiled)
		}
		keys := map[string]bool{}
		for _, tr := range c.triggers {
			if !keys[tr.event] {
				keys[tr.event] = true
				t.byEvent[tr.event] = append(t.byEvent[tr.event], c)
			}
		}
	}
	return t, problems
}

// Function returns a function by its slug, archived ones too.
func (t *Table) Function(slug string) (durable.Function, bool) {
	f, ok := t.bySlug[slug]
	return f, ok
}

// Served returns a function that is served now, by its slug or its ID.
func (t *Table) Served(name string) (durable.Function, bool) {
	f, ok := t.bySlug[name]
	if !ok {
		f, ok = t.bySlug[t.byID[name]]
	}
	return f, ok && !f.Archived
}

// Functions returns all functions, archived ones too, in no order.
func (t *Table) Functions() []durable.Function {
	list := make([]durable.Function, 0, len(t.bySlug))
	for _, f := range t.bySlug {
		list = append(list, f)
	}
	return list
}

// Starts returns the functions that e starts, each once however many of its
// triggers match. An expression that cannot be evaluated counts as false.
func (t *Table) Starts(ctx context.Context, e durable.Event, now time.Time) []durable.Function {
	if len(t.byEvent) == 0 {
		return nil
	}
	var found []*candidate
	names := names(e.Name)
	for _, name := range names {
		for _, c := range t.byEvent[name] {
			if !slices.Contains(found, c) {
				found = append(found, c)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	in := expr.Input{Event: expr.NewDoc(e.Body), Now: now}
	var starts []durable.Function
	for _, c := range found {
		if c.matches(ctx, names, in) {
			starts = append(starts, *c.fn)
		}
	}
	return starts
}

func (c *candidate) matches(ctx context.Context, names []string, in expr.Input) bool {
	for _, tr := range c.triggers {
		if !slices.Contains(names, tr.event) {
			continue
		}
		if tr.when == nil {
			return true
		}
		if ok, err := tr.when.Bool(ctx, in); err == nil && ok {
			return true
		}
	}
	return false
}

// names are the trigger texts that an event of this name matches: itself, and
// each prefix up to a separator with a star. Source: spec/10 §10.
func names(event string) []string {
	list := []string{event}
	for i := 0; i < len(event); i++ {
		if event[i] == '/' || event[i] == '.' {
			list = append(list, event[:i+1]+"*")
		}
	}
	return list
}

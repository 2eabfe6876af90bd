package call

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// defaultWait is how long a step waits that does not say. Source: spec/11 §13.
const defaultWait = 365 * 24 * time.Hour

// maxName bounds the name of what a step waits for.
const maxName = 512

// rest completes an op whose step rests until something comes.
func rest(o *durable.Op, op wire.Op, now time.Time) (err error) {
	var given bool
	if o.Until, given, err = op.Timeout(now); err != nil {
		return err
	}
	if !given {
		o.Until = now.Add(defaultWait)
	}
	switch op.Op {
	case wire.OpWaitForEvent:
		return waitForEvent(o, op)
	case wire.OpWaitForSignal:
		return waitForSignal(o, op)
	default:
		return invoke(o, op)
	}
}

func waitForEvent(o *durable.Op, op wire.Op) error {
	name, err := option(op, "event")
	if err != nil {
		return err
	}
	if name == "" {
		name = op.Name
	}
	if err := checkName(op, "event", name); err != nil {
		return err
	}
	condition, err := option(op, "if")
	if err != nil {
		return err
	}
	o.Kind, o.Wait = durable.OpWait, &durable.Wait{Kind: durable.ForEvent, Name: name, If: condition}
	o.Opts, err = opts(map[string]any{"event": name, "if": condition})
	return err
}

func waitForSignal(o *durable.Op, op wire.Op) error {
	name, err := option(op, "signal")
	if err != nil {
		return err
	}
	if name == "" {
		name = op.Name
	}
	if err := checkName(op, "signal", name); err != nil {
		return err
	}
	conflict, err := option(op, "conflict")
	if err != nil {
		return err
	}
	switch conflict {
	case "", "fail":
	case "replace":
		o.Replace = true
	default:
		return fmt.Errorf("step %q: conflict is %q, want fail or replace", o.Name, conflict)
	}
	o.Kind, o.Wait = durable.OpWait, &durable.Wait{Kind: durable.ForSignal, Name: name}
	o.Opts, err = opts(map[string]any{"signal": name})
	return err
}

func invoke(o *durable.Op, op wire.Op) error {
	var p struct {
		Data jsontext.Value `json:"data"`
		User jsontext.Value `json:"user"`
		V    string         `json:"v"`
	}
	name, err := option(op, "function_id")
	switch {
	case err != nil:
		return err
	case name == "":
		return fmt.Errorf("step %q does not say which function to invoke", o.Name)
	case len(name) > maxName:
		return fmt.Errorf("step %q: the name of the function has %d bytes, the limit is %d", o.Name, len(name), maxName)
	}
	if raw := op.Opt("payload"); raw.Kind() == '{' {
		if err := json.Unmarshal(raw, &p, jsontext.AllowDuplicateNames(true)); err != nil {
			return fmt.Errorf("step %q: payload: %w", o.Name, err)
		}
	}
	in := &durable.Invoke{Function: name, V: p.V}
	switch p.Data.Kind() {
	case '{':
		if in.Payload, err = wire.WithoutReserved(p.Data); err != nil {
			return fmt.Errorf("step %q: payload: %w", o.Name, err)
		}
	case 0, 'n':
	default:
		return fmt.Errorf("step %q: the payload's data must be an object", o.Name)
	}
	if p.User.Kind() == '{' {
		in.User = p.User.Clone()
	}
	o.Kind, o.Invoke = durable.OpInvoke, in
	o.Opts, err = opts(map[string]any{"function_id": name})
	return err
}

// deferAdd completes an op that asks for a deferred call. What is wrong with it
// never fails the run: the call is refused, and the journal says why.
func deferAdd(o *durable.Op, op wire.Op) {
	o.Kind, o.Defer = durable.OpDefer, &durable.Defer{ID: op.ID}
	slug, err := option(op, "fn_slug")
	switch {
	case err != nil:
	case slug == "" || len(slug) > maxName:
		err = errors.New("it does not say which function to call")
	default:
		switch input := op.Opt("input"); input.Kind() {
		case '{':
			o.Defer.Input, err = wire.WithoutReserved(input)
		case 0, 'n':
			o.Defer.Input = durable.JSON("{}")
		default:
			err = errors.New("its input must be an object")
		}
	}
	o.Defer.Function = slug
	if err != nil {
		o.Err = durable.Failure{Name: "InvalidDefer", Message: err.Error()}
	}
}

// option is a text among an op's options; absent and null are "".
func option(op wire.Op, name string) (string, error) {
	v := op.Opt(name)
	if v.Kind() == 0 || v.Kind() == 'n' {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		return "", fmt.Errorf("step %q: %s must be text", op.DisplayName, name)
	}
	return s, nil
}

func checkName(op wire.Op, what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("step %q does not say which %s it waits for", op.DisplayName, what)
	case len(name) > maxName:
		return fmt.Errorf("step %q: the name of the %s has %d bytes, the limit is %d", op.DisplayName, what, len(name), maxName)
	}
	return nil
}

// opts is what a step waits for, as its journal keeps it for people.
func opts(m map[string]any) (durable.JSON, error) {
	for name, v := range m {
		if v == "" {
			delete(m, name)
		}
	}
	b, err := json.Marshal(m, json.Deterministic(true))
	return durable.JSON(strings.ToValidUTF8(string(b), "\uFFFD")), err
}

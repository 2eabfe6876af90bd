package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/proto"
)

// Opcodes, as ParseOps returns them. Source: SDK protocol notes 03 §5.1.
const (
	OpNone             = "None"
	OpStepRun          = "StepRun" // also sent as "Step"
	OpStepError        = "StepError"
	OpStepFailed       = "StepFailed"
	OpStepPlanned      = "StepPlanned"
	OpSleep            = "Sleep"
	OpWaitForEvent     = "WaitForEvent"
	OpInvokeFunction   = "InvokeFunction"
	OpWaitForSignal    = "WaitForSignal"
	OpAIGateway        = "AIGateway"
	OpGateway          = "Gateway"
	OpRunComplete      = "RunComplete"
	OpSyncRunComplete  = "SyncRunComplete"
	OpDiscoveryRequest = "DiscoveryRequest"
	OpDeferAdd         = "DeferAdd"
	OpDeferAbort       = "DeferAbort"
)

// MaxOps is how many ops one answer may hold.
const MaxOps = 1000

// ErrTooManyOps means an answer holds more than MaxOps ops.
var ErrTooManyOps = fmt.Errorf("more than %d ops in one answer", MaxOps)

// Op is one thing an app reports or asks for in its answer.
type Op struct {
	ID          string         // hashed step id
	Op          string         // one of the constants, or what the app sent if it is none
	Name        string         // its meaning depends on Op
	DisplayName string         // for people; never empty when the app sent any name
	Opts        jsontext.Value // nil when absent or null
	Data        jsontext.Value // nil when absent; null stays null
	Error       *Error         // nil when absent or null; {} is an error with no words
	UserID      string         // the step's id as the user wrote it
	UserIndex   int            // 0 for the first use of UserID in a run
	Started     time.Time      // zero when the app did not say
	Took        time.Duration
	Metadata    []Metadata // what the step notes about itself or its run
}

// ParseOps reads the ops of an answer or of a checkpoint: an array, or one op
// object. It ignores members it does not know (SDKs send bookkeeping that may
// hold the arguments of user code), accepts null for every optional member, and
// keeps an unknown opcode for the caller to refuse. It fails when body is not
// JSON, is nested too deeply (ErrNesting), holds too many ops (ErrTooManyOps),
// or an op lacks its id or opcode. Source: SDK protocol notes 03 §5.
func ParseOps(body []byte) ([]Op, error) {
	if err := checkNesting(body); err != nil {
		return nil, err
	}
	ops, err := parseOps(body)
	if err == nil || errors.Is(err, ErrTooManyOps) {
		return ops, err
	}
	// Only broken Unicode is worth a second look.
	if fixed, bad := sound(body); bad == nil && !bytes.Equal(fixed, body) {
		return parseOps(fixed)
	}
	return nil, err
}

func parseOps(body []byte) ([]Op, error) {
	c := newCursor(body)
	defer c.close()
	ops, err := c.ops()
	if err != nil {
		return ops, err
	}
	return ops, c.end()
}

// ops reads an array of ops, or one.
func (c cursor) ops() ([]Op, error) {
	switch c.kind() {
	case '{':
		op, err := c.op()
		if err != nil {
			return nil, err
		}
		return []Op{op}, nil
	case '[':
		if err := c.open('['); err != nil {
			return nil, err
		}
		var ops []Op
		for c.kind() != ']' {
			if len(ops) == MaxOps {
				return nil, ErrTooManyOps
			}
			op, err := c.op()
			if err != nil {
				return nil, fmt.Errorf("op %d: %w", len(ops), err)
			}
			ops = append(ops, op)
		}
		return ops, c.open(']')
	default:
		if err := c.skip(); err != nil {
			return nil, err
		}
		return nil, errors.New("want an array of ops or one op")
	}
}

// op reads one op object.
func (c cursor) op() (Op, error) {
	var op Op
	var noted jsontext.Value // read when the id is known
	err := c.members(func(name []byte) error {
		switch string(name) {
		case "userland":
			return c.userland(&op)
		case "timing":
			return c.timing(&op)
		case "id", "op", "name", "displayName", "opts", "data", "error", "metadata":
		default:
			return c.skip()
		}
		v, err := c.value()
		if err != nil {
			return err
		}
		if string(name) == "metadata" {
			noted = v
			return nil
		}
		return op.set(string(name), v)
	})
	if err != nil {
		return Op{}, err
	}
	if err := op.check(); err != nil {
		return op, err
	}
	if noted != nil {
		op.Metadata = opMetadata(noted, op.ID)
	}
	return op, nil
}

func (op *Op) set(name string, v jsontext.Value) (err error) {
	switch name {
	case "id":
		op.ID, err = text(v)
	case "op":
		op.Op, err = text(v)
		op.Op = canonicalOp(op.Op)
	case "name":
		op.Name, err = text(v)
	case "displayName":
		if v.Kind() == '"' {
			op.DisplayName, err = text(v)
		}
	case "opts":
		if v.Kind() == '{' {
			op.Opts = v
		}
	case "data":
		op.Data = v
	case "error":
		if !isNull(v) {
			e := ParseError(v, nil)
			op.Error = &e
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// maxOpID bounds the id of an op; SDKs send 40 hex characters.
const maxOpID = 255

// check completes an op and refuses one that could not be stored.
func (op *Op) check() error {
	if op.Op == "" {
		return errors.New("op has no opcode")
	}
	if op.ID == "" {
		switch op.Op {
		case OpNone, OpDiscoveryRequest:
		case OpRunComplete, OpSyncRunComplete:
			op.ID = CompleteID
		default:
			return fmt.Errorf("%s has no id", op.Op)
		}
	}
	if len(op.ID) > maxOpID || strings.ContainsFunc(op.ID, notIDRune) {
		return fmt.Errorf("%s has an id that no SDK makes", op.Op)
	}
	for _, s := range []string{op.UserID, op.Name} {
		if op.DisplayName == "" {
			op.DisplayName = s
		}
	}
	return nil
}

func notIDRune(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }

// userland reads {"id":…,"index":…}; what does not fit is ignored.
func (c cursor) userland(op *Op) error {
	if c.kind() != '{' {
		return c.skip()
	}
	return c.members(func(name []byte) error {
		id := string(name) == "id"
		v, err := c.value()
		switch {
		case err != nil:
			return err
		case id && v.Kind() == '"':
			op.UserID, err = text(v)
			return err
		case string(name) == "index":
			if n, ok := wholeNumber(v); ok && n >= 0 && n <= 1<<31 {
				op.UserIndex = int(n)
			}
		}
		return nil
	})
}

// timing reads {"a":<start, unix ns>,"b":<length, ns>}.
func (c cursor) timing(op *Op) error {
	if c.kind() != '{' {
		return c.skip()
	}
	return c.members(func(name []byte) error {
		start := string(name) == "a"
		v, err := c.value()
		if err != nil {
			return err
		}
		n, ok := wholeNumber(v)
		switch {
		case !ok || n <= 0:
		case start:
			op.Started = time.Unix(0, n).UTC()
		case string(name) == "b":
			op.Took = time.Duration(n)
		}
		return nil
	})
}

// wholeNumber reads a number that should be an integer; JavaScript may have
// given it a fraction, which is dropped.
func wholeNumber(v jsontext.Value) (int64, bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f < -1<<62 || f > 1<<62 {
		return 0, false
	}
	return int64(f), true
}

// canonicalOp gives the spelling of the constants, whatever the case.
func canonicalOp(op string) string {
	switch op {
	case OpStepRun, OpStepError, OpStepPlanned, OpRunComplete: // nearly all there are
		return op
	}
	if strings.EqualFold(op, "Step") {
		return OpStepRun
	}
	for _, known := range []string{
		OpNone, OpStepRun, OpStepError, OpStepFailed, OpStepPlanned, OpSleep, OpWaitForEvent, OpInvokeFunction,
		OpWaitForSignal, OpAIGateway, OpGateway, OpRunComplete, OpSyncRunComplete, OpDiscoveryRequest,
		OpDeferAdd, OpDeferAbort,
	} {
		if strings.EqualFold(op, known) {
			return known
		}
	}
	return op
}

// Lazy reports whether the op rides along with others: it does not count when
// we ask whether an answer holds more than one op.
func (op Op) Lazy() bool { return op.Op == OpDeferAdd || op.Op == OpDeferAbort }

// Race reports whether the op belongs to a parallel group whose first finished
// branch wakes the function.
func (op Op) Race() bool {
	if !bytes.Contains(op.Opts, []byte("parallelMode")) {
		return false
	}
	mode, _ := text(op.Opt("parallelMode"))
	return strings.EqualFold(mode, "race")
}

// RetryAfter is when a step that failed is to be tried again, if its op says so by
// itself: steps of one answer may differ. Pawl's own.
func (op Op) RetryAfter(now time.Time) (at time.Time, ok bool) {
	if !bytes.Contains(op.Opts, []byte(proto.OptRetryAfter)) {
		return time.Time{}, false
	}
	v := op.Opt(proto.OptRetryAfter)
	return ParseRetryAfter(string(v), now)
}

// Opt returns one member of Opts, nil when it is absent.
func (op Op) Opt(name string) (v jsontext.Value) {
	if op.Opts.Kind() != '{' {
		return nil
	}
	c := newCursor(op.Opts)
	defer c.close()
	err := c.members(func(n []byte) error {
		if string(n) != name {
			return c.skip()
		}
		var err error
		v, err = c.value()
		return err
	})
	if err != nil {
		return nil
	}
	return v
}

// SleepUntil says when a Sleep op ends: a duration or a date in the option
// "duration" (Go) or else in Name. An empty name, a length below zero and a past
// date all mean now. More than MaxSleep ahead is a *TooLongError.
func (op Op) SleepUntil(now time.Time) (time.Time, error) {
	when, err := text(op.Opt("duration"))
	if err != nil {
		d, err := ParseDurationValue(op.Opt("duration"))
		if err != nil {
			return time.Time{}, fmt.Errorf("sleep: %w", err)
		}
		return capped("sleep", d, now)
	}
	if when == "" {
		when = op.Name
	}
	return within("sleep", when, now)
}

// Timeout says until when a WaitForEvent, WaitForSignal or InvokeFunction op
// waits. No "timeout" option at all is ok=false; an empty one means now. More
// than MaxSleep ahead is a *TooLongError.
func (op Op) Timeout(now time.Time) (until time.Time, ok bool, err error) {
	v := op.Opt("timeout")
	if isNull(v) {
		return time.Time{}, false, nil
	}
	if v.Kind() == '0' {
		d, err := ParseDurationValue(v)
		if err != nil {
			return time.Time{}, false, fmt.Errorf("%s timeout: %w", op.Op, err)
		}
		until, err = capped(op.Op+" timeout", d, now)
		return until, err == nil, err
	}
	when, err := text(v)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("%s timeout: %w", op.Op, err)
	}
	until, err = within(op.Op+" timeout", when, now)
	return until, err == nil, err
}

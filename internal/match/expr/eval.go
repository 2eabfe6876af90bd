package expr

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotBool means a condition gave something other than true or false.
var ErrNotBool = errors.New("the result is neither true nor false")

// Doc is a JSON document that is decoded when an expression first reads it, and
// only once, however many expressions read it. Its numbers are doubles, but for
// whole ones that no double is (number.go). It may be used from several goroutines.
type Doc struct {
	raw   []byte
	once  sync.Once
	value ref.Val
	plain any
	err   error
}

// NewDoc makes a document of raw, which must not change afterwards.
func NewDoc(raw []byte) *Doc { return &Doc{raw: raw} }

// load decodes the document. A nil document is null.
func (d *Doc) load() (plain any, value ref.Val, err error) {
	if d == nil {
		return nil, types.NullValue, nil
	}
	d.once.Do(func() {
		if d.plain, d.err = decode(d.raw); d.err == nil {
			d.value = types.DefaultTypeAdapter.NativeToValue(d.plain)
		}
		d.raw = nil
	})
	return d.plain, d.value, d.err
}

// decode reads JSON as leniently as the SDKs' own parsers: the last of two equal
// names counts, and bad UTF-8 is replaced.
func decode(raw []byte) (v any, err error) {
	lenient := json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if hasLongNumber(raw) {
		lenient = json.JoinOptions(lenient, exactNumbers)
	}
	err = json.Unmarshal(raw, &v, lenient)
	return v, err
}

// Input is what one evaluation reads: the two events and the time that now()
// gives.
type Input struct {
	Event *Doc
	Async *Doc
	Now   time.Time
}

// variables is an Input as cel-go reads it.
type variables Input

// ResolveName implements cel-go's Activation.
func (in *variables) ResolveName(name string) (any, bool) {
	doc := in.Event
	switch name {
	case "event":
	case "async":
		doc = in.Async
	case nowVar:
		return types.Timestamp{Time: in.Now.UTC()}, true
	default:
		return nil, false
	}
	_, value, err := doc.load()
	if err != nil {
		return types.NewErr("read %s: %v", name, err), true
	}
	return value, true
}

// Parent implements cel-go's Activation.
func (in *variables) Parent() interpreter.Activation { return nil }

// Bool evaluates a condition. A missing value is false. It returns false with
// an error when the evaluation fails, costs too much or is interrupted by ctx,
// and with ErrNotBool when the result is no boolean.
func (p *Program) Bool(ctx context.Context, in Input) (bool, error) {
	if p.equal != nil {
		holds, err := p.equal.holds(in)
		if err != nil {
			return false, p.failed(err)
		}
		return holds, nil
	}
	v, err := p.eval(ctx, in)
	if err != nil {
		return false, err
	}
	switch v := v.(type) {
	case types.Bool:
		return bool(v), nil
	case types.Null:
		return false, nil
	default:
		return false, p.failed(fmt.Errorf("%w: %s", ErrNotBool, v.Type().TypeName()))
	}
}

// Value evaluates p and returns the result as JSON has it: nil, bool, int64,
// uint64, float64, string, []any or map[string]any. A timestamp is RFC 3339
// text, a duration text like 90s, bytes are base64. It fails as Bool does.
func (p *Program) Value(ctx context.Context, in Input) (any, error) {
	v, err := p.eval(ctx, in)
	if err != nil {
		return nil, err
	}
	plain, err := plainValue(v)
	if err != nil {
		return nil, p.failed(err)
	}
	return plain, nil
}

// eval runs the program. What a library or a value panics with is an error.
func (p *Program) eval(ctx context.Context, in Input) (v ref.Val, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, p.failed(fmt.Errorf("the evaluation broke off: %v", r))
		}
	}()
	if p.loops {
		v, _, err = p.cel.ContextEval(ctx, (*variables)(&in))
	} else {
		// Nothing in it can be interrupted, so it need not watch ctx.
		v, _, err = p.cel.Eval((*variables)(&in))
	}
	if err != nil {
		return nil, p.failed(err)
	}
	return v, nil
}

func (p *Program) failed(err error) error {
	source := p.source
	if len(source) > 80 {
		source = source[:80] + "…"
	}
	return fmt.Errorf("evaluate %q: %w", source, err)
}

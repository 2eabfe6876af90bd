package expr

import (
	"encoding/base64"
	"math"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/pawlhq/pawl/internal/wire"
)

// now() and its relatives read this variable, so that an evaluation takes its
// time as an argument.
const (
	nowVar     = "@now"
	fnNowPlus  = "@now_plus"
	fnNowMinus = "@now_minus"
)

// appFunctions declares what apps may call beyond CEL's standard functions.
// Their arguments are never null: calls are rewritten to see to that.
func appFunctions() []cel.EnvOption {
	text := func(name string, fn func(string) ref.Val) cel.EnvOption {
		return cel.Function(name, cel.Overload(name+"_string", []*cel.Type{cel.StringType}, cel.DynType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return fn(string(v.(types.String))) })))
	}
	return []cel.EnvOption{
		text("lowercase", func(s string) ref.Val { return types.String(strings.ToLower(s)) }),
		text("uppercase", func(s string) ref.Val { return types.String(strings.ToUpper(s)) }),
		text("b64decode", b64decode),
		text("json_parse", parseJSON),
		cel.Function("date", cel.Overload("date", []*cel.Type{cel.DynType}, cel.TimestampType, cel.UnaryBinding(date))),
		cel.Function(fnNowPlus, cel.Overload(fnNowPlus, []*cel.Type{cel.TimestampType, cel.DynType}, cel.TimestampType,
			cel.BinaryBinding(func(now, d ref.Val) ref.Val { return shift(now, d, types.Timestamp.Add) }))),
		cel.Function(fnNowMinus, cel.Overload(fnNowMinus, []*cel.Type{cel.TimestampType, cel.DynType}, cel.TimestampType,
			cel.BinaryBinding(func(now, d ref.Val) ref.Val { return shift(now, d, types.Timestamp.Subtract) }))),
	}
}

// b64decode takes the standard and the URL alphabet, padded or not. Bytes that
// are no UTF-8 become the replacement character.
func b64decode(s string) ref.Val {
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawStdEncoding.DecodeString(standard)
	if err != nil {
		return types.NewErr("b64decode: not base64: %v", err)
	}
	return types.String(strings.ToValidUTF8(string(b), "\uFFFD"))
}

func parseJSON(s string) ref.Val {
	v, err := decode([]byte(s))
	if err != nil {
		return types.NewErr("json_parse: %v", err)
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

// dateLayouts are the forms of a date in text; without a zone it is UTC.
var dateLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly}

// maxMillis is the year 9999, where CEL's timestamps end.
const maxMillis = 253_402_300_799_999

// date reads a timestamp: text, or a number of milliseconds since 1970 like
// event.ts.
func date(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Timestamp:
		return v
	case types.String:
		for _, layout := range dateLayouts {
			if t, err := time.Parse(layout, string(v)); err == nil {
				return types.Timestamp{Time: t.UTC()}
			}
		}
		return types.NewErr("date: the text is no date such as 2006-01-02T15:04:05Z")
	case types.Int:
		return millis(float64(v))
	case types.Double:
		return millis(float64(v))
	default:
		return noOverload("date", v)
	}
}

func millis(ms float64) ref.Val {
	if !(math.Abs(ms) <= maxMillis) { // also when NaN
		return types.NewErr("date: %v milliseconds is out of range", ms)
	}
	return types.Timestamp{Time: time.UnixMilli(int64(ms)).UTC()}
}

// shift moves now by a duration, given as a value or as text like "1h30m" or
// "2d".
func shift(now, by ref.Val, move func(types.Timestamp, ref.Val) ref.Val) ref.Val {
	switch by := by.(type) {
	case types.Duration:
		return move(now.(types.Timestamp), by)
	case types.String:
		d, err := wire.ParseDuration(string(by))
		if err != nil {
			return types.WrapErr(err)
		}
		return move(now.(types.Timestamp), types.Duration{Duration: d})
	default:
		return noOverload("now_plus", by)
	}
}

package expr

import (
	"errors"
	"math"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// The functions that a loose tree calls. No source can name them.
const (
	fnGet        = "@get"
	fnHas        = "@has"
	fnEq         = "@eq"
	fnNe         = "@ne"
	fnLt         = "@lt"
	fnLe         = "@le"
	fnGt         = "@gt"
	fnGe         = "@ge"
	fnAdd        = "@add"
	fnSub        = "@sub"
	fnMul        = "@mul"
	fnDiv        = "@div"
	fnMod        = "@mod"
	fnNeg        = "@neg"
	fnNot        = "@not"
	fnOr         = "@or"
	fnAnd        = "@and"
	fnIf         = "@if"
	fnIn         = "@one_of" // @in is taken by CEL
	fnSize       = "@size"
	fnNeed       = "@need"
	fnAbsent     = "@absent"
	fnAbsentNull = "@absent_null"
	fnTruthy     = "@truthy"
	fnKey        = "@key"
)

// looseFunctions declares the functions of a loose tree. All take and give any
// type but @truthy, which gives the boolean that CEL's own macros ask for.
func looseFunctions() []cel.EnvOption {
	opts := []cel.EnvOption{
		declare(fnOr, 2),
		declare(fnAnd, 2),
		declare(fnIf, 3),
		declare(fnAbsent, 1, cel.OverloadIsNonStrict(), cel.UnaryBinding(absentAs(types.False))),
		declare(fnAbsentNull, 1, cel.OverloadIsNonStrict(), cel.UnaryBinding(absentAs(types.NullValue))),
		cel.Function(fnTruthy, cel.Overload(fnTruthy, []*cel.Type{cel.DynType}, cel.BoolType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return types.Bool(truth(v)) }))),
	}
	for name, fn := range map[string]functions.UnaryOp{
		fnNeg: negate, fnNot: not, fnSize: size, fnNeed: need, fnKey: key,
	} {
		opts = append(opts, declare(name, 1, cel.UnaryBinding(fn)))
	}
	for name, fn := range map[string]functions.BinaryOp{
		fnGet: get, fnHas: has, fnIn: in, fnEq: equal, fnNe: notEqual, fnAdd: add,
		fnLt:  ordering(true, func(c types.Int) bool { return c < 0 }),
		fnLe:  ordering(true, func(c types.Int) bool { return c <= 0 }),
		fnGt:  ordering(false, func(c types.Int) bool { return c > 0 }),
		fnGe:  ordering(false, func(c types.Int) bool { return c >= 0 }),
		fnSub: arithmetic(subtract), fnMul: arithmetic(multiply), fnDiv: arithmetic(divide), fnMod: arithmetic(modulo),
	} {
		opts = append(opts, declare(name, 2, cel.BinaryBinding(fn)))
	}
	return opts
}

// declare declares a function of n arguments of any type.
func declare(name string, n int, opts ...cel.OverloadOpt) cel.EnvOption {
	args := make([]*cel.Type, n)
	for i := range args {
		args[i] = cel.DynType
	}
	return cel.Function(name, cel.Overload(name, args, cel.DynType, opts...))
}

func isNull(v ref.Val) bool { return v == types.NullValue }

// truth says whether v counts as true, by JavaScript's rules.
func truth(v ref.Val) bool {
	switch v := v.(type) {
	case types.Bool:
		return bool(v)
	case types.Null:
		return false
	case types.Int:
		return v != 0
	case types.Uint:
		return v != 0
	case types.Double:
		return v != 0 && !math.IsNaN(float64(v))
	case types.String:
		return v != ""
	default:
		return true
	}
}

// errAbsent marks a call that was not made because an argument is missing.
var errAbsent = errors.New("a value is missing")

// need gives v, or the mark if v is missing.
func need(v ref.Val) ref.Val {
	if isNull(v) {
		return types.WrapErr(errAbsent)
	}
	return v
}

// absentAs turns the mark that need left into instead.
func absentAs(instead ref.Val) functions.UnaryOp {
	return func(v ref.Val) ref.Val {
		if err, ok := v.(*types.Err); ok && errors.Is(err, errAbsent) {
			return instead
		}
		return v
	}
}

// get is a field of a map or an element of a list, null if there is none.
func get(from, name ref.Val) ref.Val {
	switch from := from.(type) {
	case traits.Mapper:
		if !isKey(name) {
			return types.NullValue
		}
		if v, ok := from.Find(name); ok {
			return v
		}
	case traits.Lister:
		if i, ok := position(name); ok && i < from.Size().(types.Int) {
			return from.Get(i)
		}
	}
	return types.NullValue
}

// isKey reports whether v may name a value of a map. cel-go panics over others.
func isKey(v ref.Val) bool {
	switch v.(type) {
	case types.String, types.Bool:
		return true
	default:
		return isNumber(v)
	}
}

// key gives v, which is to name a value in a map that the app writes.
func key(v ref.Val) ref.Val {
	if !isKey(v) {
		return types.NewErr("a value of type %s cannot name a value of a map", v.Type().TypeName())
	}
	return v
}

// position reads an index: any whole number from 0.
func position(key ref.Val) (types.Int, bool) {
	switch key := key.(type) {
	case types.Int:
		return key, key >= 0
	case types.Uint:
		return types.Int(key), key <= math.MaxInt64
	case types.Double:
		return types.Int(key), key >= 0 && key < 1<<53 && key == types.Double(math.Trunc(float64(key)))
	default:
		return 0, false
	}
}

func has(from, field ref.Val) ref.Val {
	if m, ok := from.(traits.Mapper); ok {
		return m.Contains(field)
	}
	return types.False
}

func in(v, container ref.Val) ref.Val {
	switch c := container.(type) {
	case types.Null:
		return types.False
	case traits.Mapper:
		if !isKey(v) {
			return types.False
		}
		return c.Contains(v)
	case traits.Lister:
		if tooLarge(c) || tooLarge(v) {
			return errTooLarge()
		}
		if isNumber(v) {
			return types.Bool(hasNumber(c, v))
		}
		return c.Contains(v)
	default:
		return noOverload("in", v, container)
	}
}

func hasNumber(list traits.Lister, v ref.Val) bool {
	for it := list.Iterator(); it.HasNext() == types.True; {
		if equal(it.Next(), v) == types.True {
			return true
		}
	}
	return false
}

func size(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Null:
		return types.IntZero
	case traits.Sizer:
		return v.Size()
	default:
		return noOverload("size", v)
	}
}

// not does not make a missing value true: a trigger with !event.data.x must
// not start for every event that has no x.
func not(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Null:
		return types.False
	case types.Bool:
		return !v
	default:
		return noOverload("!", v)
	}
}

func negate(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Null:
		return types.False
	case traits.Negater:
		return v.Negate()
	default:
		return noOverload("-", v)
	}
}

// equal compares by value: numbers across their types, anything else only with
// its own.
func equal(l, r ref.Val) ref.Val {
	switch {
	case isNumber(l) && isNumber(r):
		return types.Bool(!isNaN(l) && !isNaN(r) && compareNumbers(l, r) == 0)
	case tooLarge(l) || tooLarge(r):
		return errTooLarge()
	default:
		return types.Equal(l, r)
	}
}

func notEqual(l, r ref.Val) ref.Val {
	eq, ok := equal(l, r).(types.Bool)
	if !ok {
		return noOverload("!=", l, r)
	}
	return !eq
}

// ordering compares by holds. A missing left operand gives absentLeft and a
// missing right one the opposite, as if nothing were smaller than a missing
// value. Text never orders with a number.
func ordering(absentLeft bool, holds func(types.Int) bool) functions.BinaryOp {
	return func(l, r ref.Val) ref.Val {
		switch {
		case isNull(l):
			return types.Bool(absentLeft)
		case isNull(r):
			return types.Bool(!absentLeft)
		case isText(l) && isNumber(r), isNumber(l) && isText(r):
			return types.False
		case isNumber(l) && isNumber(r):
			if isNaN(l) || isNaN(r) {
				return noOverload("compare", l, r)
			}
			return types.Bool(holds(types.Int(compareNumbers(l, r))))
		}
		if c, ok := l.(traits.Comparer); ok {
			switch c := c.Compare(r).(type) {
			case types.Int:
				return types.Bool(holds(c))
			case *types.Err:
				return c
			}
		}
		return noOverload("compare", l, r)
	}
}

// add joins text with text or numbers, and otherwise adds as CEL does. Nothing
// is added by a missing value.
func add(l, r ref.Val) ref.Val {
	switch {
	case isNull(l):
		return r
	case isNull(r):
		return l
	case isText(l) && isNumber(r):
		return l.(types.String) + types.String(formatNumber(r))
	case isNumber(l) && isText(r):
		return types.String(formatNumber(l)) + r.(types.String)
	}
	l, r = sameNumbers(l, r)
	if l.Type() == r.Type() || !isText(l) {
		if a, ok := l.(traits.Adder); ok {
			return a.Add(r)
		}
	}
	return noOverload("+", l, r)
}

// arithmetic makes an operator loose: false for a missing operand, a double for
// a double and an integer.
func arithmetic(op functions.BinaryOp) functions.BinaryOp {
	return func(l, r ref.Val) ref.Val {
		if isNull(l) || isNull(r) {
			return types.False
		}
		return op(sameNumbers(l, r))
	}
}

func subtract(l, r ref.Val) ref.Val {
	if s, ok := l.(traits.Subtractor); ok {
		return s.Subtract(r)
	}
	return noOverload("-", l, r)
}

func multiply(l, r ref.Val) ref.Val {
	if m, ok := l.(traits.Multiplier); ok {
		return m.Multiply(r)
	}
	return noOverload("*", l, r)
}

func divide(l, r ref.Val) ref.Val {
	if d, ok := l.(traits.Divider); ok {
		return d.Divide(r)
	}
	return noOverload("/", l, r)
}

// modulo is also defined on doubles, or event.data.n % 2 could not be written.
func modulo(l, r ref.Val) ref.Val {
	if l, ok := l.(types.Double); ok {
		if r, ok := r.(types.Double); ok {
			if r == 0 {
				return types.NewErr("modulus by zero")
			}
			return types.Double(math.Mod(float64(l), float64(r)))
		}
	}
	if m, ok := l.(traits.Modder); ok {
		return m.Modulo(r)
	}
	return noOverload("%", l, r)
}

// sameNumbers makes doubles of two numbers of which only one is a double.
func sameNumbers(l, r ref.Val) (ref.Val, ref.Val) {
	_, lDouble := l.(types.Double)
	_, rDouble := r.(types.Double)
	if lDouble != rDouble && isNumber(l) && isNumber(r) {
		return l.ConvertToType(types.DoubleType), r.ConvertToType(types.DoubleType)
	}
	return l, r
}

func isText(v ref.Val) bool {
	_, ok := v.(types.String)
	return ok
}

func isNumber(v ref.Val) bool {
	switch v.(type) {
	case types.Int, types.Uint, types.Double:
		return true
	default:
		return false
	}
}

// formatNumber writes a number as JavaScript does: no exponent before 1e21.
func formatNumber(v ref.Val) string {
	switch v := v.(type) {
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10)
	default:
		return formatFloat(float64(v.(types.Double)))
	}
}

func formatFloat(f float64) string {
	if f == 0 {
		return "0" // also for -0
	}
	if size := math.Abs(f); size >= 1e-6 && size < 1e21 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// noOverload says that what cannot be done with these types. It makes a new
// error each time: cel-go writes the place of the failure into it.
func noOverload(what string, args ...ref.Val) ref.Val {
	msg := "no such overload: " + what + "("
	for i, arg := range args {
		if i > 0 {
			msg += ", "
		}
		msg += arg.Type().TypeName()
	}
	return types.NewErr("%s)", msg)
}

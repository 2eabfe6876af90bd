package expr

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Numbers of JSON are doubles, as spec/11 has it, and a double stands for every
// whole number near it from 2^53 on. Ids are often larger. So a whole number that
// no double is, and that JavaScript would not write for one, is an integer, and
// equals itself alone: two ids are never one. What JavaScript writes is taken for
// its double, so that a number which has been through it still equals itself.

// exactBits is up to where every whole number is a double.
const exactBits = 1 << 53

// integer is a whole number from -2^63 to 2^64-1.
type integer struct {
	negative bool
	size     uint64
}

func integerOf(v ref.Val) (integer, bool) {
	switch v := v.(type) {
	case types.Int:
		if v < 0 {
			return integer{true, -uint64(v)}, true
		}
		return integer{false, uint64(v)}, true
	case types.Uint:
		return integer{false, uint64(v)}, true
	default:
		return integer{}, false
	}
}

func (i integer) String() string {
	text := strconv.FormatUint(i.size, 10)
	if i.negative && i.size > 0 {
		return "-" + text
	}
	return text
}

func (i integer) double() float64 {
	if i.negative {
		return -float64(i.size)
	}
	return float64(i.size)
}

// isDouble reports whether i counts as its double.
func (i integer) isDouble() bool {
	d := i.double()
	return i.size <= exactBits || i.isExactly(d) || formatFloat(d) == i.String()
}

// isExactly reports whether d is i and no other number.
func (i integer) isExactly(d float64) bool { return i.compare(d) == 0 }

// compare orders i and d by what they are exactly. d is a number.
func (i integer) compare(d float64) int {
	const beyond = 1 << 64
	negative := math.Signbit(d)
	switch {
	case i.size == 0 && d == 0:
		return 0
	case i.negative != negative && i.negative:
		return -1
	case i.negative != negative:
		return 1
	}
	d = math.Abs(d)
	order := -1 // of the sizes
	if d < beyond {
		whole := math.Floor(d)
		if order = cmp.Compare(i.size, uint64(whole)); order == 0 && d > whole {
			order = -1
		}
	}
	if negative {
		return -order
	}
	return order
}

// asDouble makes a double of an integer that counts as one.
func asDouble(v ref.Val) ref.Val {
	if i, ok := integerOf(v); ok && i.isDouble() {
		return types.Double(i.double())
	}
	return v
}

// compareNumbers orders two numbers of which neither is NaN.
func compareNumbers(l, r ref.Val) int {
	l, r = asDouble(l), asDouble(r)
	li, lWhole := integerOf(l)
	ri, rWhole := integerOf(r)
	switch {
	case lWhole && rWhole:
		switch {
		case li.negative != ri.negative && li.negative:
			return -1
		case li.negative != ri.negative:
			return 1
		case li.negative:
			return cmp.Compare(ri.size, li.size)
		default:
			return cmp.Compare(li.size, ri.size)
		}
	case lWhole:
		return li.compare(float64(r.(types.Double)))
	case rWhole:
		return -ri.compare(float64(l.(types.Double)))
	default:
		return cmp.Compare(float64(l.(types.Double)), float64(r.(types.Double)))
	}
}

func isNaN(v ref.Val) bool {
	d, ok := v.(types.Double)
	return ok && math.IsNaN(float64(d))
}

// numberText is a number as text: the same for those that are equal, another for
// others.
func numberText(v ref.Val) string {
	v = asDouble(v)
	if i, ok := integerOf(v); ok {
		return i.String()
	}
	return formatFloat(float64(v.(types.Double)))
}

// mostDigits is how many digits in a row a double always tells apart.
const mostDigits = 15

// hasLongNumber reports whether there may be a number in raw that no double is.
func hasLongNumber(raw []byte) bool {
	digits := 0
	for _, b := range raw {
		if b < '0' || b > '9' {
			digits = 0
			continue
		}
		if digits++; digits > mostDigits {
			return true
		}
	}
	return false
}

// exactNumbers reads numbers that no double is as int64 or uint64.
var exactNumbers = json.WithUnmarshalers(json.UnmarshalFromFunc(func(dec *jsontext.Decoder, v *any) error {
	if dec.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if *v = wholeNumber(raw); *v == nil {
		return json.Unmarshal(raw, v)
	}
	return nil
}))

// wholeNumber is a number that is an integer and no double; nil for all others.
func wholeNumber(raw []byte) any {
	if bytes.ContainsAny(raw, ".eE") {
		return nil
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		if i, _ := integerOf(types.Int(n)); !i.isDouble() {
			return n
		}
		return nil
	}
	if n, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		if i, _ := integerOf(types.Uint(n)); !i.isDouble() {
			return n
		}
	}
	return nil
}

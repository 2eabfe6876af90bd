package expr

import (
	"strings"

	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// costs prices every call by the work that it did, a unit being a few hundred
// nanoseconds.
// CEL's own prices know nothing of our functions, and take conversions and time
// zones for free.
type costs struct{}

// Prices of calls that are dear whatever their arguments.
const (
	regexpCost   = 100 // a pattern from an event is compiled for each call
	repeatCost   = 500 // x{1000} makes that a thousand times as much
	timeZoneCost = 500 // loads the zone
)

// CallCost implements cel-go's ActualCostEstimator.
func (costs) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := uint64(1)
	switch function {
	case fnGet, fnHas, fnNeed, fnAbsent, fnAbsentNull, fnTruthy, fnSize, fnKey:
		// These never walk their arguments.
	case fnEq, fnNe, fnIn:
		for _, arg := range args {
			cost += uint64(weigh(arg, maxWeight))
		}
	case overloads.Matches:
		cost += regexpCost
		for _, arg := range args {
			cost += textCost(arg)
		}
		if pattern, ok := args[len(args)-1].(types.String); ok && strings.Contains(string(pattern), "{") {
			cost += repeatCost
		}
	case "json_parse":
		cost += 8 * textCost(args[0])
	default:
		if len(args) == 2 && strings.HasPrefix(function, "get") {
			cost += timeZoneCost
		}
		for _, arg := range args {
			cost += textCost(arg)
		}
		cost += textCost(result)
	}
	return &cost
}

// textCost prices walking text once.
func textCost(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v) / 64)
	case types.Bytes:
		return uint64(len(v) / 64)
	default:
		return 0
	}
}

// maxWeight is how many values may be compared or returned at once; an event of
// 3 MiB has fewer.
const maxWeight = 1 << 21

// weigh counts the values in v that a walk over v visits, and 64 bytes of text
// as one more, giving up at limit. A value built by an expression may hold one
// list many times over and so be far larger than the memory it takes.
func weigh(v ref.Val, limit int) int {
	switch v := v.(type) {
	case traits.Lister:
		n := 1
		for it := v.Iterator(); n < limit && it.HasNext() == types.True; {
			n += weigh(it.Next(), limit-n)
		}
		return n
	case traits.Mapper:
		n := 1
		for it := v.Iterator(); n < limit && it.HasNext() == types.True; {
			key := it.Next()
			n += weigh(key, limit-n) + weigh(v.Get(key), limit-n)
		}
		return n
	default:
		return 1 + int(textCost(v))
	}
}

func tooLarge(v ref.Val) bool {
	switch v.(type) {
	case traits.Lister, traits.Mapper:
		return weigh(v, maxWeight) >= maxWeight
	default:
		return false
	}
}

func errTooLarge() ref.Val {
	return types.NewErr("a value has more than %d parts", maxWeight)
}

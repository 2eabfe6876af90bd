package durable

import (
	"math/big"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of the metadata of a run. What would exceed them is not kept, and the run goes
// on. Source: spec/03 §13.
const (
	MaxMetadata      = 64 << 10 // bytes of the values of one kind in one place
	MaxRunMetadata   = 1 << 20  // weight of all of a run's
	maxMetadataName  = 255      // bytes of a kind, of the id of a step or span
	metadataOverhead = 512      // weight of an entry beside its values
)

// NoAttempt is the Attempt of what is not about one try.
const NoAttempt = -1

// MetadataKey is what metadata is about, and of which kind it is: a run, a step of it, a
// try of a step, or a span.
type MetadataKey struct {
	Step    string // hashed id; "" for the run, or its function's body
	Attempt int    // from 0; NoAttempt: of the step as a whole
	Span    string // id that the app gave; "" if none
	Kind    string // such as "userland.order"
}

// Metadata is what an app, or somebody else, has noted.
type Metadata struct {
	MetadataKey
	Values  JSON // an object
	Updated time.Time
}

// Weight is what it counts for MaxRunMetadata.
func (m Metadata) Weight() int { return len(m.Values) + metadataOverhead }

// MetadataOp says what becomes of the values that are there.
type MetadataOp string

// The ops. Members are those of the object at its top.
const (
	MetadataSet    MetadataOp = "set"    // the values are replaced
	MetadataMerge  MetadataOp = "merge"  // members are put over those that are there
	MetadataDelete MetadataOp = "delete" // members of these names are removed; all of it when none is named
	MetadataAdd    MetadataOp = "add"    // numbers are added to those that are there; other members as with merge
)

// MetadataUpdate is one change of metadata.
type MetadataUpdate struct {
	MetadataKey
	Op     MetadataOp
	Values JSON
}

// Apply is what becomes of metadata by an update: of was, its values, nil for none, in a
// run whose metadata weighs weight with them. nil: it is removed, or was not there. It
// reports false when the update is not kept: it is malformed, or one too many.
func (u MetadataUpdate) Apply(was JSON, weight int) (now JSON, ok bool) {
	if u.Kind == "" || len(u.Kind) > maxMetadataName || len(u.Step) > maxMetadataName || len(u.Span) > maxMetadataName || u.Attempt < NoAttempt {
		return was, false
	}
	var given map[string]jsontext.Value
	if json.Unmarshal(u.Values, &given) != nil || given == nil {
		return was, false
	}
	switch u.Op {
	case MetadataSet:
	case MetadataMerge, MetadataAdd, MetadataDelete:
		var old map[string]jsontext.Value
		if was == nil || json.Unmarshal(was, &old) != nil || old == nil {
			old = map[string]jsontext.Value{} // there is none, or it is damaged, and what comes now is good
		}
		given = u.onto(old, given)
	default:
		return was, false
	}
	if u.Op == MetadataDelete && len(given) == 0 {
		return nil, true
	}
	now, err := json.Marshal(given, json.Deterministic(true))
	if err != nil || len(now) > MaxMetadata {
		return was, false
	}
	if was != nil {
		weight -= Metadata{Values: was}.Weight()
	}
	if weight+(Metadata{Values: now}).Weight() > MaxRunMetadata {
		return was, false
	}
	return now, true
}

// onto is old as given changes it.
func (u MetadataUpdate) onto(old, given map[string]jsontext.Value) map[string]jsontext.Value {
	if u.Op == MetadataDelete && len(given) == 0 {
		return nil
	}
	for name, v := range given {
		switch {
		case u.Op == MetadataDelete:
			delete(old, name)
		case u.Op == MetadataAdd && old[name].Kind() == '0' && v.Kind() == '0':
			old[name] = sum(old[name], v)
		default:
			old[name] = v
		}
	}
	return old
}

// sum adds whole numbers exactly, and others as doubles.
func sum(a, b jsontext.Value) jsontext.Value {
	m, whole := new(big.Int).SetString(string(a), 10)
	n, too := new(big.Int).SetString(string(b), 10)
	if whole && too {
		return jsontext.Value(m.Add(m, n).String())
	}
	var x, y float64
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return b
	}
	v, err := json.Marshal(x + y)
	if err != nil { // beyond all numbers
		return b
	}
	return v
}

// MetadataOf are the updates that news bring of which a change tells: those of a step
// whose report came before, or too late, change nothing.
func MetadataOf(in Input, c Change) (list []MetadataUpdate) {
	var ops []Op
	switch in := in.(type) {
	case Answer:
		ops = in.Ops
	case Return:
		ops = in.Ops
	case Refusal:
		ops = in.Ops
	case Checkpoint:
		ops = in.Ops
	case Inline:
		ops = in.Ops
	default:
		return nil
	}
	for _, op := range ops {
		if len(op.Metadata) > 0 && slices.ContainsFunc(c.Entries, func(e Entry) bool { return e.Step == op.Step }) {
			list = append(list, op.Metadata...)
		}
	}
	return list
}

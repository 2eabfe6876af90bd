package engine

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// What people do to others' work is told by a line of the audit log, which the
// store writes in the transaction of what it tells. A request that is refused,
// or changes nothing, leaves none.

// program stands for whoever uses an engine without saying who acts.
const program = "the program"

// Bounds of a line of the audit log, in bytes.
const (
	mostObject = 512
	mostText   = 2000 // of each text in the detail
)

// facts are the detail of an act. Those without a value are left out.
type facts map[string]any

// newAct is a line of the audit log.
func newAct(now time.Time, by, what, object string, about facts) durable.Act {
	detail := map[string]any{}
	for name, v := range about {
		switch v := v.(type) {
		case string:
			if v != "" {
				detail[name] = cut(v, mostText)
			}
		case durable.JSON:
			switch {
			case len(v) > mostText:
				detail[name] = cut(string(v), mostText)
			case v != nil:
				detail[name] = v
			}
		case time.Time:
			if !v.IsZero() {
				detail[name] = v.UTC()
			}
		case int, int64:
			detail[name] = v
		default:
			panic(fmt.Sprintf("an act has a %T", v))
		}
	}
	a := durable.Act{At: now, By: cmp.Or(by, program), What: what, Object: cut(object, mostObject)}
	if len(detail) == 0 {
		return a
	}
	var err error
	a.Detail, err = json.Marshal(detail, json.Deterministic(true), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if err != nil {
		panic(fmt.Sprintf("texts, times and JSON cannot be written: %v", err))
	}
	return a
}

// actOf is a line of what programs do all day, and tell nobody: nil unless a person did it.
func actOf(now time.Time, person, what, object string, about facts) *durable.Act {
	if person == "" {
		return nil
	}
	a := newAct(now, person, what, object, about)
	return &a
}

// Acts reads the audit log; see store.Audit.
func (e *Engine) Acts(ctx context.Context, f store.ActFilter, p store.Page) ([]durable.Act, error) {
	return e.store.Acts(ctx, f, p)
}

// VoidKey forgets an idempotency key: the next request with it is a new one. It
// fails with store.ErrNotFound.
func (e *Engine) VoidKey(ctx context.Context, scope, key, by string) error {
	act := newAct(time.Now(), by, durable.ActVoidKey, durable.KeyObject(scope), facts{"key": key})
	return e.store.VoidKey(ctx, scope, key, act)
}

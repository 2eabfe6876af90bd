package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/internal/call"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// kept is what a store is to keep of a try that failed, with the entry that tells of
// it; nil when none does, as when an app is away for another time.
func kept(c durable.Change, x *call.Exchange) *store.Exchange {
	i := slices.IndexFunc(c.Entries, func(e durable.Entry) bool {
		switch e.Kind {
		case durable.Tried, durable.StepFailed, durable.BodyFailed, durable.Unreachable:
			return true
		default:
			return false
		}
	})
	if i < 0 {
		return nil
	}
	data := x.JSON()
	if data == nil {
		return nil
	}
	return &store.Exchange{Entry: i, Data: data}
}

// Exchange is what was sent to an app, and what it answered, in a try that failed.
type Exchange struct {
	call.Exchange
	// Body is that of the request, made again of what the run knew then; Exact says
	// that it is what was sent, byte by byte.
	Body  []byte
	Exact bool
}

// Exchange returns the exchange of the try that the n-th entry of a run's journal
// tells of. Errors: store.ErrNotFound, store.ErrDamaged.
func (e *Engine) Exchange(ctx context.Context, run string, n int) (Exchange, error) {
	data, err := e.store.Exchange(ctx, run, n)
	if err != nil {
		return Exchange{}, err
	}
	x, err := call.ReadExchange(data)
	if err != nil {
		return Exchange{}, fmt.Errorf("exchange %d of run %s: %w", n, run, store.ErrDamaged)
	}
	out := Exchange{Exchange: x}
	r, err := e.store.Run(ctx, run)
	if err != nil {
		return out, err
	}
	journal, err := e.store.Journal(ctx, run, 0)
	if err != nil {
		return out, err
	}
	f, ok := e.apps.Load().table.Function(r.Function)
	if !ok || len(journal) < x.Sent.Seq || slices.ContainsFunc(r.Events, func(ev durable.Event) bool { return ev.Body == nil }) {
		return out, nil // it cannot be made again
	}
	r.Steps, r.Items = map[string]*durable.Step{}, map[string]*durable.Item{}
	for _, en := range journal[:x.Sent.Seq] {
		r.Fold(en)
	}
	r.Plan, r.Protocol = x.Sent.Plan, x.Sent.Version
	req := e.request(r, f, store.Lease{Item: durable.Item{
		Run: run, Step: x.Sent.Step, Kind: durable.Call, Attempt: x.Sent.Attempt, Generation: x.Sent.Generation, Data: x.Sent.Input,
	}})
	out.Body = req.Body
	if req.Entry != nil {
		if entry, err := wire.ReadEndpoint(req.Entry); err == nil {
			out.Body = entry.Body
		}
	}
	hash := sha256.Sum256(out.Body)
	out.Exact = hex.EncodeToString(hash[:]) == x.Sent.Hash
	return out, nil
}

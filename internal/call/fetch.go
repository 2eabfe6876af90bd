package call

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/egress"
)

// Fetch is a request that a step asks the server to make, as an item in the
// queue keeps it until it is done.
type Fetch struct {
	Op   string         `json:"op"` // wire.OpGateway or wire.OpAIGateway
	Opts jsontext.Value `json:"opts"`
}

func (f Fetch) json() durable.JSON {
	if f.Opts == nil {
		f.Opts = jsontext.Value("{}")
	}
	b, err := json.Marshal(f, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(fmt.Sprintf("opts that were parsed are JSON: %v", err))
	}
	return b
}

// Do makes the request of an item's data, and says what it means for the step
// of claim. It fails only when ctx ends.
func Do(ctx context.Context, client *egress.Client, claim durable.Claim, data durable.JSON) (durable.Fetched, error) {
	out := durable.Fetched{Claim: claim}
	var f Fetch
	if err := json.Unmarshal(data, &f, jsontext.AllowDuplicateNames(true)); err != nil {
		return out, fmt.Errorf("the request cannot be read: %w", err)
	}
	req, err := egress.Parse(f.Op, f.Opts)
	if err == nil {
		out.Memo, err = client.Do(ctx, req)
	}
	if bad, ok := errors.AsType[*egress.Error](err); ok {
		out.Memo, out.Failed, out.NoRetry, out.RetryAt = bad.Memo(), true, bad.NoRetry, bad.RetryAt
		return out, nil
	}
	return out, err
}

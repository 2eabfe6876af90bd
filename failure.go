package pawl

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// failureHandler is the function that the server runs when a run of f has
// failed. Source: spec/02 §5.1.
func failureHandler(f *function) *function {
	return &function{
		name: f.name + "-failure", slug: f.slug + "-failure",
		config: funcConfig{
			policy: policy{retries: f.config.policy.retries},
			title:  f.name + " (failure)",
			triggers: []map[string]any{{
				"event":      "inngest/function.failed",
				"expression": "event.data.function_id == " + strconv.Quote(f.slug),
			}},
		},
		call: func(ctx context.Context, data []json.RawMessage) (json.RawMessage, error) {
			var body struct {
				RunID string `json:"run_id"`
				Error struct {
					Name    string `json:"name"`
					Message string `json:"message"`
				} `json:"error"`
				Event json.RawMessage `json:"event"`
			}
			if err := json.Unmarshal(data[0], &body); err != nil {
				return nil, fmt.Errorf("pawl: what failed cannot be read: %w", err)
			}
			event, err := received(body.Event)
			if err != nil {
				return nil, err
			}
			return null, f.config.onFail(ctx, Failure{
				RunID: body.RunID, Event: event, Name: body.Error.Name, Message: body.Error.Message,
			})
		},
	}
}

package server

import (
	"fmt"
	"net/http"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/wire"
)

// Handler is the API and the pages of an engine that runs inside another
// program, for that program to serve. Callers need the signing key, and who sends
// events one of the event keys. An empty signing key lets in whoever asks by a
// name of this machine, such as localhost, and nobody else: it is for
// development. The handler has to be at the root of its host.
func Handler(eng *engine.Engine, signingKey string, eventKeys ...string) (http.Handler, error) {
	if signingKey == "" {
		return New(eng, Config{Dev: true}), nil
	}
	key, err := wire.ParseKey(signingKey)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return New(eng, Config{Keys: wire.Keyring{Current: key}, EventKeys: eventKeys}), nil
}

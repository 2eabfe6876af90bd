package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/wire"
)

// Handler is the API and the pages of an engine that runs inside another
// program, for that program to serve. Callers need the signing key, and who sends
// events one of the event keys. An empty signing key lets in whoever asks by a
// name of this machine, such as localhost, and nobody else: it is for
// development. The handler has to be at the root of its host.
//
// People log in on the pages once the first admin is made, by [Server.SetupLink].
func Handler(eng *engine.Engine, signingKey string, eventKeys ...string) (*Server, error) {
	if signingKey == "" {
		return New(eng, Config{Dev: true}), nil
	}
	key, err := wire.ParseKey(signingKey)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return New(eng, Config{Keys: wire.Keyring{Current: key}, EventKeys: eventKeys}), nil
}

// SetupLink is where the first admin is made, for a program to print: it works
// once, and until the program ends. base is the URL at which browsers find s. The
// link is "" when there is somebody already who can log in.
func (s *Server) SetupLink(ctx context.Context, base string) (string, error) {
	people, err := s.eng.People().People(ctx)
	if err != nil || len(people) > 0 {
		return "", err
	}
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	if s.logins.setup == "" {
		s.logins.setup = rand.Text()
	}
	return strings.TrimSuffix(base, "/") + "/setup#" + s.logins.setup, nil
}

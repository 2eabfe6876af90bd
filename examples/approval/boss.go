package main

import (
	"context"
	"log"
)

// askBoss is a step that tells whoever decides. Here that is who reads the log.
func askBoss(id string) func(context.Context) error {
	return func(context.Context) error {
		log.Printf(`please decide about expense %q: curl localhost:3002/decisions -d expense=%q -d approved=yes -d by=you`, id, id) //nolint:gosec // quoted
		return nil
	}
}

package e2e

import (
	"encoding/json"
	"io"
	"sync"
)

// counter counts by name, from any goroutine.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func newCounter() *counter { return &counter{n: map[string]int{}} }

func (c *counter) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[name]++
}

func (c *counter) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

// decode reads one JSON value.
func decode(r io.Reader, out any) error { return json.NewDecoder(r).Decode(out) }

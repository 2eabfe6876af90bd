package expr

import (
	"container/list"
	"sync"
)

// Cache keeps the most recently used programs, so that an expression is
// compiled once and not for each event. It may be used from several goroutines.
type Cache struct {
	max     int
	mu      sync.Mutex
	entries map[cacheKey]*list.Element
	recent  *list.List // of *cached, the latest used first
}

type cacheKey struct {
	source string
	vars   Vars
}

type cached struct {
	key     cacheKey
	program *Program
}

// NewCache returns a cache of at most max programs, and at least one.
func NewCache(max int) *Cache {
	return &Cache{max: max, entries: map[cacheKey]*list.Element{}, recent: list.New()}
}

// Compile returns the program for src, compiled now or before. Errors are those
// of the function Compile and are not kept.
func (c *Cache) Compile(src string, vars Vars) (*Program, error) {
	key := cacheKey{src, vars}
	if p := c.get(key); p != nil {
		return p, nil
	}
	// Not under the lock: others need not wait. Two that compile the same
	// source at once both do the work, and one program stays.
	p, err := Compile(src, vars)
	if err != nil {
		return nil, err
	}
	return c.put(key, p), nil
}

func (c *Cache) get(key cacheKey) *Program {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*cached).program
}

// put returns the program that is kept for key: p, or an earlier one.
func (c *Cache) put(key cacheKey, p *Program) *Program {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		return e.Value.(*cached).program
	}
	c.entries[key] = c.recent.PushFront(&cached{key, p})
	for c.recent.Len() > max(c.max, 1) {
		oldest := c.recent.Remove(c.recent.Back()).(*cached)
		delete(c.entries, oldest.key)
	}
	return p
}

// Len returns how many programs are kept.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len()
}

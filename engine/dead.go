package engine

import "github.com/pawlhq/pawl/internal/store"

// Letters is for reading dead letters.
func (e *Engine) Letters() store.Letters { return e.store }

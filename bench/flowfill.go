package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

// flowFilling is a number of runs that wait, evenly over keys.
type flowFilling struct {
	n    int
	keys []string
}

// fillFlow writes runs that wait behind the limits of their keys into a database
// that nobody has open: what is on disk is the same as if events had been sent.
func fillFlow(ctx context.Context, dir string, fillings ...flowFilling) (err error) {
	st, err := sqlite.Open(ctx, filepath.Join(dir, databaseFile), sqlite.Options{Durability: sqlite.None, CacheBytes: 1 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, f := range fillings {
		batch := make([]store.Accepted, 0, fillGroup)
		for i := range f.n {
			batch = append(batch, flowRun(int64(i), f.keys[i%len(f.keys)], time.Now()))
			if len(batch) < fillGroup && i < f.n-1 {
				continue
			}
			if _, err := st.Accept(ctx, time.Now(), batch); err != nil {
				return fmt.Errorf("fill the database: %w", err)
			}
			batch = batch[:0]
		}
	}
	return nil
}

// flowRun is what the server would have written of an event.
func flowRun(n int64, key string, now time.Time) store.Accepted {
	id := ulid.Make().String()
	body := fmt.Sprintf(`{"data":{"n":%d,"k":%q,"pad":%q},"id":%q,"name":%q,"ts":%d,"user":{}}`, n, key, padding, id, flowEvent, now.UnixMilli())
	e := durable.Event{ID: id, Name: flowEvent, At: now, Received: now, Body: durable.JSON(body)}
	r := durable.NewRun(ulid.Make().String(), durable.Function{Slug: flowFunction, App: flowName, Version: 1}, e, now, now)
	r.Keys = flowHash(flowKey) + flowHash(key)
	r.Enqueue(now, now, 0)
	return store.Accepted{Event: e, Starts: []durable.Start{{Run: r}}}
}

// flowHash is how the engine writes an expression, and its value, in a run's keys.
func flowHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

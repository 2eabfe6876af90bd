// Package flow decides whether a run may start now, and whether a step may be
// called: concurrency, throttle, rate limit, debounce, batches, singletons,
// priority. It holds no rows and reads no clock: what it knows is given to it
// by a store, in whose transaction the decision is written.
//
// Two moments matter. When an event has matched a function, a Start says by
// which rules the run may be queued now, later, merged with others or not at
// all (admit.go). When an item is due, the Board says whether it may be claimed
// (board.go): each item stands in a lane, each lane behind gates.
package flow

// Package sqlite keeps a store in one SQLite file that one process opens.
//
// Who feeds whom:
//
//	Accept ──────────────┐                       ┌─▶ callers go on
//	Transition ─▶ head ──┴─▶ writer ─▶ commit ───┼─▶ queue (near future) ─▶ Claim
//	              (cache)    (group)  (one fsync) └─▶ Wake      ▲
//	View ──────▶ head            checkpointer ◀─ kick      read ahead
//	History ───▶ readers
//
// One goroutine writes. It takes what is waiting, writes it in one
// transaction and lets all who wait go on after one fsync. A run that is
// worked on has its head in memory, a cache of its rows: a transition decides
// on the head, hands the rows to the writer and applies them to the head at
// once, so that transitions of one run need not wait for each other's fsync.
// When a group cannot be written, the heads it came from die, and with them
// every write that was decided on them since; what is on disk counts.
//
// Leases and the near future of the queue are in memory too. They are rebuilt
// from the queue's rows at start: a lease belongs to this process and cannot
// outlive it, since a lock file keeps every other process out. Generations are
// unique over restarts because each start takes a new epoch. The rest of the queue
// is read ahead by a goroutine of its own. Of the lanes of keys, of which there may
// be any number, memory holds so many (apart.go).
package sqlite

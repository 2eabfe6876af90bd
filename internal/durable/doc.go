// Package durable is the centre of Pawl: the nouns that every other package
// speaks (Event, Function, Run, Step, Item, Entry) and the one pure rule that
// moves a run, Next.
//
// A run is its head (status, times, result) and its journal: a list of entries
// that is only ever appended to. Everything else that Next needs to know, such
// as the memoised steps, their order and how many are still open, is a fold
// over the journal (Run.fold). The same fold serves a run read from disk and a
// run in memory, so that what a crash leaves behind means the same as what was
// there before it.
//
//	news (an answer, a checkpoint, a timer, a cancel)
//	  └▶ Next(run, news, policy, now) ─▶ Change ─▶ one transaction ─▶ Run.Apply
//
// Next reads the run and changes nothing; it returns a Change that the store
// writes in one transaction and then applies. Returning the difference, not a
// new run, keeps the cost of a step independent of the steps before it.
//
// This package does no I/O, reads no clock, draws no random numbers and starts
// no goroutines.
package durable

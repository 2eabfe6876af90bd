// Package server puts HTTP in front of an engine: events in, app sync,
// checkpoints, the reading API and the dashboard's page.
//
// Every route stands in one table (routes) with who may call it; what is not
// there is not served. A request meets, in this order: the Host it names (dev),
// the table, the caller's credential, the limits of its body, and only then the
// code that works for it.
//
// The package starts no goroutines, keeps no durable fact and never writes a
// key or a payload into a log.
package server

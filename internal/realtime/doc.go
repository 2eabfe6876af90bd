// Package realtime hands on what apps publish to whoever is connected at that
// moment, and the streams of durable endpoints to whoever comes.
//
//	Publish ─▶ Broker: channel ─▶ topics ─▶ Subscriber (bounded) ─▶ WebSocket, SSE
//	                                            ▲
//	tee ─▶ events ─▶ Streams: run ──────────────┘ at once
//	                    │ what was committed
//	                    └─▶ store, in batches ─▶ who comes later
//
// Broker is for messages: whoever is connected gets them, at most once and in
// the order of each publisher; nobody else ever does. A message is encoded once,
// and all who get it share its bytes.
//
// Streams are for runs of durable endpoints. An app sends what it streams each
// time that it is entered: events that belong to a step, and marks that the step
// succeeded (commit) or that what it sent is void (rollback). They are forwarded
// as they are, one whole event after the other, also when several branches of a run
// stream at once. What was committed is kept with the run, so that whoever comes
// later, or again after a restart, gets it first. Nobody gets an event twice:
//
//   - A step that runs again, because its result never came home, begins with a
//     mark that what it sent before is void, and what was kept of it is removed.
//   - What an app streams outside of steps it streams again each time, in the same
//     order, as all code outside of steps is repeated. What was sent before is known
//     by its place and left out.
//   - A request that breaks off in the middle of an event or of a step has sent
//     nothing: the event is dropped, and the step's events are void.
//
// Publishing never waits for anybody. What a subscriber has not taken yet is
// bounded, and one that is slower than that is closed: it connects again, and gets
// from a stream what was committed. Nothing here starts a long-lived goroutine: the
// engine runs Streams.Run.
package realtime

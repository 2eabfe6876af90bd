// Package wire knows the bytes of the SDK protocol: keys and signatures, call
// bodies and answers, ops and memos, registrations, events. It turns bytes into
// values and back. It does no I/O, starts nothing, and never asks for the time
// or for randomness: whoever calls it hands those in.
//
// User payloads pass through as jsontext.Value, so that a number or a key order
// an app chose survives. Values returned by the parsers alias the body they were
// cut from; whoever changes that body afterwards changes them.
package wire

// Package proto is the part of the SDK protocol that a server and an app must
// do alike, byte for byte: signing keys and signatures, the ids of steps, the
// names of headers. It needs nothing but the standard library, so that package
// pawl can use it.
package proto

package cron

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// minJitter is the least delay of a tick that has any. Source: SDK protocol
// notes 11 §15.
const minJitter = time.Second

// Jitter is how long after its tick a run of the function starts: 1 s to most,
// to the millisecond, or 0 when most is 0. It depends on its arguments alone, so
// that every server, today's version or another, gives the same answer; ticks of
// one function and functions at one tick are spread evenly. A most below 1 s, which
// the sync refuses, is the delay itself.
func Jitter(function string, tick time.Time, most time.Duration) time.Duration {
	if most <= minJitter {
		return max(0, most)
	}
	text := function + "\x00" + Key(tick)
	sum := sha256.Sum256([]byte(text))
	choices := uint64((most-minJitter)/time.Millisecond) + 1
	return minJitter + time.Duration(binary.BigEndian.Uint64(sum[:8])%choices)*time.Millisecond
}

package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// While the heap is small, letting it grow to four times what is alive costs tens
// of megabytes and saves a fifteenth of the server's time. When more is alive, it
// may grow by gcRoom, or at least by gcLeast.
const (
	gcMost  = 300 // percent
	gcLeast = 75
	gcRoom  = 48 << 20
)

// gcPercent is by how much the heap may grow before it is collected again.
func gcPercent(alive uint64) int {
	return int(min(max(gcRoom*100/max(alive, 1), gcLeast), gcMost))
}

// steerGC sees to that after each collection, unless the environment says how it is
// to be.
func steerGC() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	set := 0
	var steer func()
	steer = func() {
		metrics.Read(alive)
		if percent := gcPercent(alive[0].Value.Uint64()); percent != set {
			set = percent
			debug.SetGCPercent(percent)
		}
		// What nobody holds is found by the next collection.
		runtime.SetFinalizer(&garbage{}, func(*garbage) { steer() })
	}
	steer()
}

// garbage is what nobody holds. It has a block of memory to itself.
type garbage struct{ _ [32]byte }

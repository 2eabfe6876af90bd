package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeapMayGrowByLessTheMoreIsAlive(t *testing.T) {
	t.Parallel()
	require.Equal(t, 300, gcPercent(0))
	require.Equal(t, 300, gcPercent(10<<20), "to 40 MiB")
	require.Equal(t, 120, gcPercent(40<<20), "to 88 MiB")
	require.Equal(t, 75, gcPercent(64<<20))
	require.Equal(t, 75, gcPercent(math.MaxUint64), "and never by less")
}

func TestGCIsSteeredAfterEachCollection(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	steerGC()
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	want := func(least, most uint64) {
		t.Helper()
		for range 1000 { // what is found is told by another goroutine
			runtime.GC()
			if metrics.Read(percent); percent[0].Value.Uint64() >= least && percent[0].Value.Uint64() <= most {
				return
			}
		}
		t.Fatalf("the heap may grow by %d %%, want %d to %d", percent[0].Value.Uint64(), least, most)
	}
	want(200, 300)
	alive := make([]byte, 80<<20)
	want(75, 75)
	runtime.KeepAlive(alive)
	want(200, 300)
}

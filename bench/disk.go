package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Disk is what one durable write costs on the disk under the database, alone.
type Disk struct {
	Syncs     int
	P50Micros int64
	P99Micros int64
}

// Bounds of measureDisk.
const (
	diskBlockBytes = 4096
	diskFileBlocks = 256
	maxDiskSyncs   = 2000
)

// measureDisk overwrites 4 KB blocks of a file in dir, with a data sync after
// each, for at most d: the way a log that is used again is written.
func measureDisk(ctx context.Context, dir string, d time.Duration) (Disk, error) {
	f, err := os.CreateTemp(dir, "disk-*")
	if err != nil {
		return Disk{}, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // its directory goes later anyway
	defer f.Close()
	block := make([]byte, diskBlockBytes)
	for i := range diskFileBlocks {
		if _, err := f.WriteAt(block, int64(i)*diskBlockBytes); err != nil {
			return Disk{}, fmt.Errorf("measure the disk: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return Disk{}, fmt.Errorf("measure the disk: %w", err)
	}
	h := hdrhistogram.New(1, (10 * time.Second).Microseconds(), latencyDigits)
	n := 0
	for end := time.Now().Add(d); n < maxDiskSyncs && time.Now().Before(end) && ctx.Err() == nil; n++ {
		block[0] = byte(n)
		start := time.Now()
		if _, err := f.WriteAt(block, int64(n%diskFileBlocks)*diskBlockBytes); err != nil {
			return Disk{}, fmt.Errorf("measure the disk: %w", err)
		}
		if err := dataSync(f); err != nil {
			return Disk{}, fmt.Errorf("measure the disk: %w", err)
		}
		if err := h.RecordValue(max(1, time.Since(start).Microseconds())); err != nil {
			return Disk{}, fmt.Errorf("measure the disk: %w", err)
		}
	}
	return Disk{Syncs: n, P50Micros: h.ValueAtQuantile(50), P99Micros: h.ValueAtQuantile(99)}, nil
}

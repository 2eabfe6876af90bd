//go:build !linux

package main

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
)

// errHost means that this system has no /proc; the figures that need it are n/a.
var errHost = errors.New("only known on Linux")

func cpuTime(int) (time.Duration, error) { return 0, errHost }
func writtenBytes(int) (int64, error)    { return 0, errHost }
func peakMemory(int) (int64, error)      { return 0, errHost }
func residentMemory(int) (int64, error)  { return 0, errHost }
func dataSync(f *os.File) error          { return f.Sync() }
func fileSystem(string) string           { return "unknown" }
func processor() string                  { return runtime.GOARCH }
func kernel() string                     { return runtime.GOOS }
func loadAverage() (float64, error)      { return 0, errHost }
func childAttr() *syscall.SysProcAttr    { return nil }

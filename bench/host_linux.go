package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is the unit of the times in /proc/PID/stat. It is 100 on every
// Linux that user programs see.
const ticksPerSecond = 100

// cpuTime is the processor time that a process has used, itself and in the kernel.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	ticks, err := parseStat(string(b))
	return time.Duration(ticks) * time.Second / ticksPerSecond, err
}

// writtenBytes is what a process has caused to be written to disk.
func writtenBytes(pid int) (int64, error) {
	return procField(fmt.Sprintf("/proc/%d/io", pid), "write_bytes:")
}

// peakMemory is the most that a process has had resident since it started or
// since resetPeakMemory, in bytes.
func peakMemory(pid int) (int64, error) {
	kb, err := procField(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	return kb << 10, err
}

// residentMemory is what a process has resident now, in bytes.
func residentMemory(pid int) (int64, error) {
	kb, err := procField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	return kb << 10, err
}

// procField reads the number behind name in a file of /proc.
func procField(path, name string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return parseField(string(b), name)
}

// dataSync makes what was written to f durable, as the server's log does.
func dataSync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// fileSystem names the type of the file system that holds path.
func fileSystem(path string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return "unknown"
	}
	names := map[int64]string{
		0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: "tmpfs",
		0x794C7630: "overlayfs", 0x2FC12FC1: "zfs", 0x6969: "nfs", 0xF2F52010: "f2fs",
	}
	if name, ok := names[s.Type]; ok {
		return name
	}
	return fmt.Sprintf("type %#x", s.Type)
}

// processor names the CPU model.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// kernel is the operating system and its release.
func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "Linux"
	}
	return "Linux " + strings.TrimSpace(string(b))
}

// loadAverage is the number of tasks that wanted to run in the last minute: how
// busy others made the machine.
func loadAverage() (float64, error) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), " ")
	return strconv.ParseFloat(first, 64)
}

// childAttr keeps a terminal's Ctrl-C from a child, which is told by us and in
// order, and has it told when we are killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

package main

import (
	"fmt"
	"strconv"
	"strings"
)

// parseStat sums utime and stime, in ticks, of a /proc/PID/stat line. The name in
// parentheses may hold anything, so fields are counted from its end.
// Source: proc_pid_stat(5), fields 14 and 15.
func parseStat(line string) (int64, error) {
	const utime, stime, afterName = 14, 15, 3
	at := strings.LastIndexByte(line, ')')
	fields := strings.Fields(line[at+1:])
	if at < 0 || len(fields) <= stime-afterName {
		return 0, fmt.Errorf("no times in %q", line)
	}
	user, err := strconv.ParseInt(fields[utime-afterName], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("utime: %w", err)
	}
	system, err := strconv.ParseInt(fields[stime-afterName], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stime: %w", err)
	}
	return user + system, nil
}

// parseField returns the number behind name at the start of a line.
func parseField(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				return strconv.ParseInt(fields[0], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("no %s", name)
}

// parseFsyncs sums the server's own counters of fsyncs in a Prometheus page: each
// whose name has "fsync" in it and ends in "_total". ok is false when there is none.
func parseFsyncs(page string) (n float64, ok bool) {
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		if end < 0 {
			continue
		}
		name, _, _ := strings.Cut(line[:end], "{")
		if !strings.Contains(name, "fsync") || !strings.HasSuffix(name, "_total") {
			continue
		}
		if v, err := strconv.ParseFloat(line[end+1:], 64); err == nil {
			n, ok = n+v, true
		}
	}
	return n, ok
}

// parseStrace sums the calls of fsync and fdatasync in a table of strace -c:
//
//	% time     seconds  usecs/call     calls    errors syscall
//	100.00    0.004321          12       345           fdatasync
func parseStrace(table string) (n int64) {
	const calls = 3
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) <= calls {
			continue
		}
		if name := fields[len(fields)-1]; name != "fsync" && name != "fdatasync" {
			continue
		}
		if v, err := strconv.ParseInt(fields[calls], 10, 64); err == nil {
			n += v
		}
	}
	return n
}

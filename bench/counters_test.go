package main

import "testing"

func TestParseStat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     int64
		bad      bool
	}{
		{"user and system", "12 (pawl) S 1 1 1 0 -1 4194560 900 0 0 0 150 25 0 0 20 0", 175, false},
		{"a name with blanks and parentheses", "12 (a ) 9 (b) S 1 1 1 0 -1 4194560 900 0 0 0 7 1 0 0 20 0", 8, false},
		{"too short", "12 (pawl) S 1 1", 0, true},
		{"not a stat line", "nothing", 0, true},
		{"no number", "12 (pawl) S 1 1 1 0 -1 4194560 900 0 0 0 x 25 0 0 20 0", 0, true},
	} {
		got, err := parseStat(c.in)
		if (err != nil) != c.bad || (!c.bad && got != c.want) {
			t.Errorf("%s: %d, %v; want %d, bad %v", c.name, got, err, c.want, c.bad)
		}
	}
}

func TestParseField(t *testing.T) {
	t.Parallel()
	const status = "Name:\tpawl\nVmPeak:\t  900 kB\nVmHWM:\t  51200 kB\n"
	if got, err := parseField(status, "VmHWM:"); got != 51200 || err != nil {
		t.Errorf("VmHWM is %d, %v; want 51200", got, err)
	}
	if _, err := parseField(status, "VmSwap:"); err == nil {
		t.Error("a missing field was found")
	}
}

func TestParseFsyncs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     float64
		ok       bool
	}{
		{"a counter", "# HELP pawl_store_fsyncs_total x\npawl_store_fsyncs_total 12\n", 12, true},
		{"one for each label", "pawl_fsyncs_total{file=\"log\"} 12\npawl_fsyncs_total{file=\"db\"} 3\n", 15, true},
		{"a large number", "pawl_fsyncs_total 1.5e+06\n", 1.5e6, true},
		{"a duration is no counter", "pawl_fsync_seconds_sum 3\n", 0, false},
		{"others only", "go_goroutines 7\n", 0, false},
		{"nothing", "", 0, false},
	} {
		if got, ok := parseFsyncs(c.in); got != c.want || ok != c.ok {
			t.Errorf("%s: %v %v, want %v %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestParseStrace(t *testing.T) {
	t.Parallel()
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.00    0.400000        1159       345           fdatasync
  1.00    0.001000         500         2         1 fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.401000        1155       347         1 total
`
	if got := parseStrace(table); got != 347 {
		t.Errorf("%d, want 347", got)
	}
	if got := parseStrace(""); got != 0 {
		t.Errorf("an empty table has %d", got)
	}
}

func FuzzCounters(f *testing.F) {
	f.Add("12 (pawl) S 1 1 1 0 -1 4194560 900 0 0 0 150 25 0 0 20 0")
	f.Add("pawl_fsyncs_total{a=\"b\"} 12")
	f.Add("99.00 0.4 1159 345 fdatasync")
	f.Fuzz(func(_ *testing.T, in string) { // none may panic
		parseStat(in)
		parseField(in, "VmHWM:")
		parseFsyncs(in)
		parseStrace(in)
	})
}

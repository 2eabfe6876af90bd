package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseCases(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		which, inFlight string
		want            []Case
		bad             bool
	}{
		{"steps,accept", "2,3", []Case{{Accept, 2}, {Accept, 3}, {Steps, 2}, {Steps, 3}}, false},
		{"plain", "", []Case{{Plain, 1}, {Plain, 16}, {Plain, 128}}, false},
		{"plain", "0", nil, true},
		{"plain", "9999", nil, true},
		{"plain", "x", nil, true},
		{"plian", "", nil, true},
		{"", "", nil, true},
	} {
		got, err := parseCases(c.which, c.inFlight)
		if !reflect.DeepEqual(got, c.want) || (err != nil) != c.bad {
			t.Errorf("%q %q: %v, %v; want %v, bad %v", c.which, c.inFlight, got, err, c.want, c.bad)
		}
	}
}

func TestParseFlagsReportsAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := parseFlags([]string{"-mode", "x", "-duration", "1h", "-warmup", "-1s", "-cases", "y", "z"}, io.Discard)
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"-mode", "-duration", "-warmup", "-cases", `"z"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q says nothing of %s", err, want)
		}
	}
	if _, err := parseFlags([]string{"-mode", "app"}, io.Discard); err == nil {
		t.Error("-mode app was taken without -server")
	}
	if s, err := parseFlags(nil, io.Discard); err != nil || len(s.cases) != 12 || s.durability != "full" {
		t.Errorf("without flags: %+v, %v", s, err)
	}
}

func testReport() Report {
	cpu, peak, none := 0.5, int64(40<<20), 0.25
	return Report{
		Time: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Command: "go run ./bench", Cores: 2, CPU: "some", Kernel: "Linux 6",
		FileSystem: "ext4", Go: "go1.26", Commit: "abc", Durability: "full", Duration: 10 * time.Second, Disk: Disk{100, 250, 900},
		Results: []Result{
			{Case: Case{Steps, 16}, Seconds: 10, Events: 1000, Steps: 3000, P50Micros: 1500, P99Micros: 9000, MaxMicros: 9999, ServerCPU: &cpu, DriverCPU: &none, AppCPU: &none, PeakBytes: &peak, Checked: 7},
			{Case: Case{Accept, 1}, Seconds: 10, Events: 5000, Problems: []string{"the app is wrong"}},
		},
	}
}

func TestReportSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	r := testReport()
	var text, page strings.Builder
	if err := r.writeText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.writeMarkdown(&page); err != nil {
		t.Fatal(err)
	}
	steps := "| steps | 16 | 100 | 300 | 1.50 | 9.00 | 10.00 | n/a | 1.667 | 0.50 | 0.50 | n/a | 40 | n/a | 7 |"
	accept := "| accept | 1 | 500 | – | 0.00 | 0.00 | 0.00 | n/a | n/a | n/a | n/a | n/a | n/a | n/a | WRONG |"
	for _, want := range []string{steps, accept, "- accept/1: the app is wrong", "| fdatasync of 4 KB alone | p50 0.25, p99 0.90 ms (100 of them) |", "| commit | abc |"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, page.String())
		}
	}
	for _, want := range []string{"1.667", "WRONG: accept/1: the app is wrong", "ext4"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
}

func TestPublishWritesAndFailsOnProblems(t *testing.T) {
	t.Parallel()
	r := testReport()
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	var out bytes.Buffer
	if err := r.publish(settings{json: true, write: path}, &out); !errors.Is(err, errProblems) {
		t.Errorf("err is %v, want errProblems", err)
	}
	var back Report
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("the JSON says %+v, %v", back, err)
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(b, []byte("# Results")) {
		t.Errorf("the page: %.40q, %v", b, err)
	}
	r.Results = r.Results[:1]
	if err := r.publish(settings{}, io.Discard); err != nil {
		t.Errorf("without problems: %v", err)
	}
}

func TestCommandNamesNoPathOfThisMachine(t *testing.T) {
	t.Parallel()
	s, err := parseFlags([]string{"-write", "/some/where/R.md", "-dir", "/a/b", "-cases", "batch"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	got := s.command()
	if strings.Contains(got, "/some") || strings.Contains(got, "/a/b") || !strings.Contains(got, "-write R.md") {
		t.Errorf("command is %q", got)
	}
}

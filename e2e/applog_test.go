package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// line is one line of an app log. The app writes what happens in step bodies;
// the recorder in front of it writes what pawl and the app told each other. All
// of them append to one file, so the order of lines is the order of facts.
type line struct {
	Run     string   `json:"run"`
	Key     string   `json:"key,omitempty"`     // start, end, enter: of the request to an endpoint
	What    string   `json:"what"`              // start, end, broken, enter, memo, ack, refused, answer or cut; killed, of no run: the server is dead
	Step    string   `json:"step,omitempty"`    // start, end: step id, with ":n" for a repeat; cut: why
	Attempt int      `json:"attempt,omitempty"` // start, end
	IDs     []string `json:"ids,omitempty"`     // memo, ack, refused: hashed step ids; answer: the ops, as "op id", or of a raw app the status
	Gen     int      `json:"gen,omitempty"`     // memo, ack, refused, cut, answer: generation of the dispatch
	T       int64    `json:"t"`                 // Unix milliseconds

	// Of functions under flow control, start and end also say:
	Fn   string    `json:"fn,omitempty"`
	Data []payload `json:"data,omitempty"` // of the run's events
}

// payload is what the events of functions under flow control carry, as far as
// the tests want to know it again.
type payload struct {
	N   int    `json:"n"`
	Key string `json:"key,omitempty"`
}

// appLog is the file that an app and its recorder append to.
type appLog struct {
	path string
	mu   sync.Mutex
	file *os.File
}

func newAppLog(t *testing.T, path string) *appLog {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return &appLog{path: path, file: f}
}

func (l *appLog) append(ln line) {
	ln.T = time.Now().UnixMilli()
	b, err := json.Marshal(ln)
	if err != nil {
		panic(err) // a line always encodes
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.Write(append(b, '\n'))
}

// lines returns the lines of one run in order, or of all runs if run is "".
func (l *appLog) lines(t *testing.T, run string) []line {
	t.Helper()
	b, err := os.ReadFile(l.path)
	require.NoError(t, err)
	var lines []line
	scan := bufio.NewScanner(bytes.NewReader(b))
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var ln line
		require.NoError(t, json.Unmarshal(scan.Bytes(), &ln), "app log line %q", scan.Text())
		if run == "" || ln.Run == run {
			lines = append(lines, ln)
		}
	}
	require.NoError(t, scan.Err())
	return lines
}

// await waits for a line that match accepts.
func (l *appLog) await(t *testing.T, match func(line) bool) line {
	t.Helper()
	var found line
	eventually(t, patience, func() error {
		lines := l.lines(t, "")
		i := slices.IndexFunc(lines, match)
		if i < 0 {
			return fmt.Errorf("no such line among %d of the app log", len(lines))
		}
		found = lines[i]
		return nil
	})
	return found
}

// attempts returns the attempt number of each start of a step's body.
func attempts(lines []line, step string) []int {
	got := []int{}
	for _, ln := range lines {
		if ln.What == "start" && ln.Step == step {
			got = append(got, ln.Attempt)
		}
	}
	return got
}

// times returns when the bodies of a step started or ended.
func times(lines []line, step, what string) []int64 {
	var got []int64
	for _, ln := range lines {
		if ln.What == what && ln.Step == step {
			got = append(got, ln.T)
		}
	}
	return got
}

// stepHash is the id of a step on the wire.
func stepHash(name string) string {
	sum := sha1.Sum([]byte(name))
	return hex.EncodeToString(sum[:])
}

// repeated returns the starts of a step's body that nothing excuses: the app
// could know that the step's result was saved, because its checkpoint had been
// answered with 200 or a request had carried it, and the start does not belong
// to an earlier request. Such a request was cut by a crash, but an app that is
// busy reads it late and goes on with what it was told then; each request can
// excuse one start.
func repeated(lines []line) []line {
	type key struct{ run, id string }
	known, excuses := map[key]bool{}, map[key]int{}
	cut := map[string]map[int]bool{} // generations by run
	for _, ln := range lines {
		if ln.What == "cut" {
			if cut[ln.Run] == nil {
				cut[ln.Run] = map[int]bool{}
			}
			cut[ln.Run][ln.Gen] = true
		}
	}
	excused := func(k key, told []line) int {
		n := 0
		for _, ln := range told {
			if cut[k.run][ln.Gen] && !slices.Contains(ln.IDs, k.id) {
				n++
			}
		}
		return n
	}
	told := map[string][]line{} // requests by run
	var bad []line
	for _, ln := range lines {
		switch ln.What {
		case "memo":
			told[ln.Run] = append(told[ln.Run], ln)
			fallthrough
		case "ack":
			for _, id := range ln.IDs {
				known[key{ln.Run, id}] = true
			}
		case "start":
			k := key{ln.Run, stepHash(ln.Step)}
			if !known[k] {
				continue
			}
			if excuses[k]++; excuses[k] > excused(k, told[ln.Run]) {
				bad = append(bad, ln)
			}
		}
	}
	return bad
}

// overtaken returns every acknowledged checkpoint of a dispatch after the server
// had sent the run's next one: the fence let it through.
func overtaken(lines []line) []line {
	newest := map[string]int{}
	var bad []line
	for _, ln := range lines {
		switch {
		case ln.What == "ack" && ln.Gen > 0 && ln.Gen < newest[ln.Run]:
			bad = append(bad, ln)
		case ln.What == "memo" || ln.What == "ack":
			newest[ln.Run] = max(newest[ln.Run], ln.Gen)
		}
	}
	return bad
}

// forgotten returns every request that lacked a step which an earlier
// acknowledgement or request of the same run had shown to be saved.
func forgotten(lines []line) []line {
	known := map[string]map[string]bool{}
	var bad []line
	for _, ln := range lines {
		if ln.What != "memo" && ln.What != "ack" {
			continue
		}
		if known[ln.Run] == nil {
			known[ln.Run] = map[string]bool{}
		}
		if ln.What == "memo" {
			for id := range known[ln.Run] {
				if !slices.Contains(ln.IDs, id) {
					bad = append(bad, ln)
					break
				}
			}
		}
		for _, id := range ln.IDs {
			known[ln.Run][id] = true
		}
	}
	return bad
}

// TestLogCheck shows that the checks of the app log find what they look for.
func TestLogCheck(t *testing.T) {
	a, b := stepHash("a"), stepHash("b")
	for _, tt := range []struct {
		name                string
		lines               []line
		repeated, forgotten int
		overtaken           int
	}{
		{"a step repeated before anybody saved it", []line{
			{Run: "r", What: "start", Step: "a"}, {Run: "r", What: "memo"}, {Run: "r", What: "start", Step: "a"},
		}, 0, 0, 0},
		{"a step repeated after its checkpoint", []line{
			{Run: "r", What: "start", Step: "a"}, {Run: "r", What: "ack", IDs: []string{a}}, {Run: "r", What: "start", Step: "a"},
		}, 1, 0, 0},
		{"a step repeated after a request carried it", []line{
			{Run: "r", What: "memo", IDs: []string{a}}, {Run: "r", What: "start", Step: "a"},
		}, 1, 0, 0},
		{"the same step of another run", []line{
			{Run: "r", What: "ack", IDs: []string{a}}, {Run: "s", What: "start", Step: "a"},
		}, 0, 0, 0},
		{"a request without an acknowledged step", []line{
			{Run: "r", What: "ack", IDs: []string{a, b}}, {Run: "r", What: "memo", IDs: []string{b}},
		}, 0, 1, 0},
		{"a late start of a request that was cut", []line{
			{Run: "r", What: "memo", Gen: 1},
			{Run: "r", What: "cut", Gen: 1},
			{Run: "r", What: "memo", Gen: 2},
			{Run: "r", What: "ack", IDs: []string{a}, Gen: 2},
			{Run: "r", What: "start", Step: "a"},
			{Run: "r", What: "start", Step: "a"},
		}, 1, 0, 0},
		{"a request that was cut but knew the step", []line{
			{Run: "r", What: "memo", IDs: []string{a}, Gen: 1}, {Run: "r", What: "cut", Gen: 1}, {Run: "r", What: "start", Step: "a"},
		}, 1, 0, 0},
		{"a checkpoint of a dispatch that was followed by another", []line{
			{Run: "r", What: "memo", Gen: 1}, {Run: "r", What: "memo", Gen: 2}, {Run: "r", What: "ack", Gen: 1}, {Run: "s", What: "ack", Gen: 1},
		}, 0, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Len(t, repeated(tt.lines), tt.repeated, "repeated")
			require.Len(t, forgotten(tt.lines), tt.forgotten, "forgotten")
			require.Len(t, overtaken(tt.lines), tt.overtaken, "overtaken")
		})
	}
}

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// deepResearch is the example app, installed like an SDK's.
var deepResearch = sdk{name: "deep-research", dir: "../examples/deep-research", lock: "package-lock.json"}

// researchers is the example with its library in a process of its own, and the server.
type researchers struct {
	*pawl
	t              *testing.T
	argv, env      []string
	app            *process
	front, library string
}

func startResearch(t *testing.T) *researchers {
	t.Helper()
	p := newPawl(t, serve, "--endpoint-lease", "3s", "--retry-interval", "300ms", "--durability", "full")
	p.start()
	argv := deepResearch.command(t)
	port, library := freePort(t), freePort(t)
	r := &researchers{
		pawl: p, t: t, argv: argv, front: fmt.Sprintf("http://127.0.0.1:%d", port), library: fmt.Sprintf("http://127.0.0.1:%d", library),
		env: []string{
			fmt.Sprintf("PORT=%d", port), "INNGEST_DEV=0", "INNGEST_BASE_URL=" + p.url, "INNGEST_SIGNING_KEY=" + signingKey, "INNGEST_EVENT_KEY=" + eventKey,
			"APPROVAL_TIME=3s", "PACE=10",
		},
	}
	startProcess(t, "library", []string{fmt.Sprintf("LIBRARY_PORT=%d", library), "LIBRARY_DELAY=20"}, "node", strings.TrimSuffix(argv[1], "main.mjs")+"library.mjs")
	r.env = append(r.env, "LIBRARY_URL="+r.library)
	eventually(t, 30*time.Second, func() error { _, err := fetch(t.Context(), "GET", r.library+"/", "", nil); return err })
	r.start()
	return r
}

func (r *researchers) start() {
	r.t.Helper()
	r.app = startProcess(r.t, deepResearch.name, r.env, r.argv...)
	eventually(r.t, 30*time.Second, func() error {
		if r.app.ended() {
			r.t.Fatalf("the example ended while starting:\n%s", r.app.tail(4<<10))
		}
		_, err := fetch(r.t.Context(), "GET", r.front+"/", "", nil)
		return err
	})
}

// behave makes the library behave, and forget who has asked it.
func (r *researchers) behave(t *testing.T, how op) {
	t.Helper()
	_, err := fetch(t.Context(), "DELETE", r.library+"/", "", nil)
	require.NoError(t, err)
	got, err := fetch(t.Context(), "POST", r.library+"/behaviour", string(encoded(how)), nil)
	require.NoError(t, err)
	require.Equal(t, 200, got.status, got.body)
}

// asked is how often each step has searched the library for a question.
func (r *researchers) asked(t *testing.T, id string) map[string]int {
	t.Helper()
	got, err := fetch(t.Context(), "GET", r.library+"/", "", nil)
	require.NoError(t, err)
	var all map[string]struct{ Searches int }
	require.NoError(t, json.Unmarshal([]byte(got.body), &all))
	of := map[string]int{}
	for who, n := range all {
		if at, step, _ := strings.Cut(who, "/"); at == id {
			of[step] = n.Searches
		}
	}
	return of
}

// streamed is one event of a stream; from says who sent it: app or pawl.
type streamed struct {
	from, name string
	Data       json.RawMessage
	Step       string `json:"hashedStepId"`
	Status     string
	Response   struct {
		Body       string
		StatusCode int
	}
	URL string
}

// report is the endpoint's answer.
type report struct {
	ID, Question, Reason string
	Errors               []string
	Sections             []struct{ Heading, Text string }
	Sources              []struct{ Title, At string }
}

// streamClient reads a stream as a browser does that comes again when its connection
// breaks, from the beginning of what Pawl has.
type streamClient struct {
	mu     sync.Mutex
	events []streamed // since it connected last
	marks  map[string]int
	next   string // where the stream goes on
	last   *streamed
	done   chan struct{}
}

// research asks the endpoint and follows its stream until ctx ends.
func (r *researchers) research(ctx context.Context, ask op) *streamClient {
	c := &streamClient{marks: map[string]int{}, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		req, err := http.NewRequestWithContext(ctx, "POST", r.front+"/research", strings.NewReader(string(encoded(ask))))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		c.read(req, "app")
		c.follow(ctx)
	}()
	return c
}

// join reads the stream of a run that began before.
func join(ctx context.Context, at string) *streamClient {
	c := &streamClient{marks: map[string]int{}, done: make(chan struct{}), next: at}
	go func() {
		defer close(c.done)
		c.follow(ctx)
	}()
	return c
}

// follow reads on at Pawl until there is an answer.
func (c *streamClient) follow(ctx context.Context) {
	for ctx.Err() == nil && c.answer() == nil && c.where() != "" {
		req, err := http.NewRequestWithContext(ctx, "GET", c.where(), nil)
		if err != nil {
			return
		}
		c.read(req, "pawl")
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// read takes the events of one connection.
func (c *streamClient) read(req *http.Request, from string) {
	req.Header.Set("Accept", "text/event-stream")
	res, err := streamHTTP.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if from == "pawl" {
		c.mu.Lock()
		kept := c.events[:0]
		for _, e := range c.events {
			if e.from == "app" { // which Pawl does not know of
				kept = append(kept, e)
			}
		}
		c.events = kept
		c.mu.Unlock()
	}
	scan := bufio.NewScanner(res.Body)
	scan.Buffer(nil, 1<<20)
	name := ""
	for scan.Scan() {
		if v, ok := strings.CutPrefix(scan.Text(), "event: "); ok {
			name = v
		} else if v, ok := strings.CutPrefix(scan.Text(), "data: "); ok {
			e := streamed{from: from, name: name}
			if json.Unmarshal([]byte(v), &e) == nil {
				c.take(e)
			}
		}
	}
}

func (c *streamClient) take(e streamed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	drop := func(which func(streamed) bool) {
		kept := c.events[:0]
		for _, old := range c.events {
			if !which(old) {
				kept = append(kept, old)
			}
		}
		c.events = kept
	}
	switch e.name {
	case "inngest.redirect_info":
		c.next = e.URL
	case "inngest.stream":
		if e.from == "pawl" {
			drop(func(old streamed) bool { return old.Step == e.Step && old.from == "app" })
		}
		c.events = append(c.events, e)
	case "inngest.commit":
		c.marks["commit "+e.Step]++
	case "inngest.rollback":
		c.marks["rollback "+e.Step]++
		drop(func(old streamed) bool { return old.Step == e.Step })
	case "inngest.response":
		c.last = &e
	}
}

func (c *streamClient) answer() *streamed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *streamClient) where() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func (c *streamClient) mark(what, step string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.marks[what+" "+stepHash(step)]
}

// shows returns what is on the screen of a step, or outside of steps.
func (c *streamClient) shows(step string) (texts []string) {
	id := ""
	if step != "" {
		id = stepHash(step)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Step == id {
			texts = append(texts, string(e.Data))
		}
	}
	return texts
}

// written is the text that a step of writing has streamed.
func (c *streamClient) written(t *testing.T, step string) string {
	t.Helper()
	var text strings.Builder
	for _, data := range c.shows(step) {
		var word string
		if json.Unmarshal([]byte(data), &word) == nil {
			text.WriteString(word)
		}
	}
	return text.String()
}

// await waits until a step has streamed at least n pieces.
func (c *streamClient) await(t *testing.T, step string, n int) {
	t.Helper()
	eventually(t, patience, func() error {
		if got := c.shows(step); len(got) < n {
			return fmt.Errorf("%s has streamed %q", step, got)
		}
		return nil
	})
}

// result waits for the answer, and wants the report that was streamed to be that of
// the answer.
func (c *streamClient) result(t *testing.T) (status int, got report) {
	t.Helper()
	eventually(t, patience, func() error {
		if c.answer() == nil {
			return fmt.Errorf("no answer; outside of steps: %q", c.shows(""))
		}
		return nil
	})
	last := c.answer()
	require.NoError(t, json.Unmarshal([]byte(last.Response.Body), &got), last.Response.Body)
	for i, s := range got.Sections {
		require.Equal(t, s.Text, c.written(t, fmt.Sprintf("write-%d", i+1)), "what was streamed of %q", s.Heading)
	}
	return last.Response.StatusCode, got
}

// plan waits for the plan that is to be approved, and returns its id.
func (c *streamClient) plan(t *testing.T) (id string, questions []string) {
	t.Helper()
	eventually(t, patience, func() error {
		for _, data := range c.shows("") {
			var got struct {
				Plan struct {
					ID        string
					Questions []string
				}
			}
			if json.Unmarshal([]byte(data), &got) == nil && got.Plan.ID != "" {
				id, questions = got.Plan.ID, got.Plan.Questions
				return nil
			}
		}
		return errNotYet
	})
	return id, questions
}

// say answers the plan as the page does: until the stream says that it was heard.
func (r *researchers) say(t *testing.T, c *streamClient, body op) {
	t.Helper()
	eventually(t, patience, func() error {
		for _, data := range c.shows("") {
			if strings.Contains(data, `"approved"`) {
				return nil
			}
		}
		got, err := fetch(t.Context(), "POST", r.front+"/answer", string(encoded(body)), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, got.status, got.body)
		time.Sleep(200 * time.Millisecond) // for the next look; nothing is decided by it
		return errNotYet
	})
}

// streamHTTP is for answers that take their time.
var streamHTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// TestDeepResearch plays the example's README, with a reader of its streams.
func TestDeepResearch(t *testing.T) {
	guard(t)
	t.Parallel()
	r := startResearch(t)
	const question = "How did ships find their longitude, and what did it cost when they could not?"

	t.Run("a quick question is answered in the same request", func(t *testing.T) {
		r.behave(t, op{})
		c := r.research(t.Context(), op{"question": question, "depth": "quick"})
		status, got := c.result(t)
		require.Equal(t, 200, status)
		require.Equal(t, "app", c.answer().from)
		require.NotEmpty(t, got.Sections)
		require.NotEmpty(t, got.Sources)
		require.Equal(t, map[string]int{"understand": 1, "search-1": 1}, r.asked(t, got.ID))
		for _, step := range []string{"understand", "plan", "search-1", "compare", "write-1"} {
			require.Equal(t, 1, c.mark("commit", step), step)
			require.Zero(t, c.mark("rollback", step), step)
		}
	})
	t.Run("a client that does not read streams gets the answer too", func(t *testing.T) {
		r.behave(t, op{})
		got, err := fetch(t.Context(), "POST", r.front+"/research", string(encoded(op{"question": question})), nil)
		require.NoError(t, err)
		at, moved := got.redirects(r.pawl)
		require.True(t, moved, "%d %s", got.status, got.body)
		got, err = follow(t.Context(), at)
		require.NoError(t, err)
		var text string
		require.NoError(t, json.Unmarshal([]byte(got.body), &text), got.body)
		var answer report
		require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
		require.NotEmpty(t, answer.Sections)
	})
	t.Run("bad input is refused", func(t *testing.T) {
		for _, ask := range []op{{"question": " "}, {"question": "compass", "depth": "endless"}, {"question": strings.Repeat("sea ", 100)}} {
			status, got := r.research(t.Context(), ask).result(t)
			require.Equal(t, 400, status)
			require.NotEmpty(t, got.Errors)
		}
	})
	t.Run("a question that the library has nothing on", func(t *testing.T) {
		_, got := r.research(t.Context(), op{"question": "xylophone"}).result(t)
		require.Empty(t, got.Sections)
		require.Contains(t, got.Reason, "nothing")
	})
	t.Run("a reading fails: what its step has streamed is void, and no other step runs again", func(t *testing.T) {
		r.behave(t, op{"after": 3, "down": 1})
		c := r.research(t.Context(), op{"question": question, "approve": true})
		id, questions := c.plan(t)
		require.Len(t, questions, 4)
		r.say(t, c, op{"id": id, "approved": true, "keep": []int{0, 1, 3}})
		status, got := c.result(t)
		require.Equal(t, 200, status)
		require.Equal(t, "pawl", c.answer().from, "it has left its request")
		failed := 0
		for i := 1; i <= 3; i++ {
			step := fmt.Sprintf("search-%d", i)
			n := c.mark("rollback", step)
			failed += n
			require.Equal(t, 1, c.mark("commit", step), step)
			require.Equal(t, 1+n, r.asked(t, id)[step], step)
		}
		require.Equal(t, 1, failed)
		require.Empty(t, c.shows("search-4"), "that part of the plan was not approved")

		late := join(t.Context(), c.where())
		_, again := late.result(t)
		require.Equal(t, got, again, "who comes late gets the same, and all that was streamed")
		require.Equal(t, c.shows(""), late.shows(""))
		for _, step := range []string{"search-1", "search-2", "search-3"} {
			require.Equal(t, c.shows(step), late.shows(step))
		}
	})
	t.Run("the plan is turned down, or nobody looks at it", func(t *testing.T) {
		r.behave(t, op{})
		c := r.research(t.Context(), op{"question": question, "approve": true})
		id, _ := c.plan(t)
		r.say(t, c, op{"id": id, "approved": false})
		_, got := c.result(t)
		require.Contains(t, got.Reason, "not approved")
		_, got = r.research(t.Context(), op{"question": question, "approve": true}).result(t)
		require.Contains(t, got.Reason, "in time")
	})
	t.Run("the app dies in its request, then while it searches; the server dies while it writes", func(t *testing.T) {
		r.behave(t, op{"delay": 300})
		c := r.research(t.Context(), op{"question": question, "depth": "quick"})
		c.await(t, "search-1", 2)
		require.NoError(t, r.app.signal(syscall.SIGKILL)) // in the request: Pawl notices when its lease is over
		r.start()
		status, got := c.result(t)
		require.Equal(t, 200, status)
		require.Equal(t, "pawl", c.answer().from)
		require.NotEmpty(t, got.Sections)
		of := r.asked(t, got.ID)
		require.Equal(t, 1, of["understand"], "it was saved")
		require.Equal(t, 2, of["search-1"], "it was under way")

		r.behave(t, op{"delay": 300})
		c = r.research(t.Context(), op{"question": question})
		id, _ := c.plan(t)
		c.await(t, "search-2", 2)
		require.NoError(t, r.app.signal(syscall.SIGKILL))
		r.start()
		c.await(t, "write-1", 5)
		before := r.asked(t, id)
		r.kill()
		r.wantSound()
		r.pawl.start()
		status, got = c.result(t)
		require.Equal(t, 200, status)
		require.GreaterOrEqual(t, len(got.Sections), 2)
		require.Equal(t, before, r.asked(t, id), "no search runs again for what happens while it writes")
		require.Equal(t, 1, before["understand"])
		for step, n := range before {
			require.LessOrEqual(t, n, 2, step)
		}
	})
	t.Run("the page and what it needs", func(t *testing.T) {
		for _, path := range []string{"/", "/page.css", "/page.js", "/stream.js"} {
			got, err := fetch(t.Context(), "GET", r.front+path, "", nil)
			require.NoError(t, err)
			require.Equal(t, 200, got.status)
			u, err := url.Parse(r.url)
			require.NoError(t, err)
			require.Contains(t, got.header.Get("Content-Security-Policy"), "connect-src 'self' http://"+u.Host+";")
			for _, markup := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "unsafe-inline"} {
				require.NotContains(t, got.body, markup, path)
			}
		}
	})
}

package pawl_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

const victimVariable = "PAWL_TEST_VICTIM" // the directory of a process that is to be killed

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimVariable); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// diary is what the victim has done, one line a thing. What was written outlives
// the process.
type diary struct {
	mu   sync.Mutex
	file *os.File
}

// note is a line of the diary.
type note struct {
	At    int64  `json:"at"` // unix µs
	What  string `json:"what"`
	Run   string `json:"run"`
	Order string `json:"order"`
	Step  string `json:"step,omitempty"`
	Token string `json:"token,omitempty"`
	Due   int64  `json:"due,omitempty"` // unix µs: no sooner may it come
}

func (d *diary) write(n note) {
	n.At = time.Now().UnixMicro()
	line, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// victim embeds an engine and serves whoever gives it work, until it is told to
// stop, or killed.
func victim(dir string) error {
	ctx := context.Background()
	file, err := os.OpenFile(filepath.Join(dir, "diary"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	d := &diary{file: file}
	app := pawl.New("victim", pawl.Logger(slog.New(slog.DiscardHandler)))
	work := pawl.Func(app, "work", d.work, pawl.On(placed), pawl.Retries(3))
	pawl.Func(app, "hears", func(ctx context.Context, in struct {
		RunID    string `json:"run_id"`
		Function string `json:"function_id"`
	},
	) (any, error) {
		if in.Function == work.Slug() {
			d.write(note{What: "heard", Run: in.RunID, Token: pawl.RunID(ctx)})
		}
		return nil, nil
	}, pawl.OnName("inngest/function.finished"))
	mux := http.NewServeMux()
	mux.Handle("/api/inngest", app) // where clients of endpoints wait
	mux.Handle("POST /book", app.Endpoint("book", d.book("book"), pawl.AckEachStep, pawl.Retries(3)))
	mux.Handle("POST /quick", app.Endpoint("quick", d.book("quick"), pawl.Retries(3)))
	e, err := engine.Open(ctx, filepath.Join(dir, "victim.db"), app, engine.WithLogger(slog.New(slog.DiscardHandler)), engine.WithDrain(100*time.Millisecond))
	if err != nil {
		return err
	}
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		o := order{ID: r.FormValue("id"), Cents: 1}
		run, err := work.Start(r.Context(), o, o.ID)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, run)
	})
	mux.HandleFunc("POST /cancel", func(w http.ResponseWriter, r *http.Request) {
		if err := e.Cancel(r.Context(), r.FormValue("run"), ""); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		d.write(note{What: "cancelled", Run: r.FormValue("run")})
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		info, err := app.Run(r.Context(), r.FormValue("run"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, string(info.Status))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	fmt.Println(listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent closes it
	return errors.Join(server.Close(), e.Close(ctx), file.Close())
}

// work is three steps, two of them side by side, a rest and a failure now and
// then. An order whose number ends in 7 fails for good.
func (d *diary) work(ctx context.Context, o order) (string, error) {
	run := pawl.RunID(ctx)
	step := func(ctx context.Context, name string) error {
		err := pawl.Do(ctx, name, func(ctx context.Context) error {
			d.write(note{What: "began", Run: run, Order: o.ID, Step: name, Token: pawl.Token(ctx)})
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			if pawl.Attempt(ctx) == 1 && rand.IntN(20) == 0 {
				return errors.New("bad luck")
			}
			return nil
		}, pawl.Constant(time.Second))
		if err == nil {
			d.write(note{What: "saved", Run: run, Order: o.ID, Step: name})
		}
		return err
	}
	if err := step(ctx, "first"); err != nil {
		return "", err
	}
	rest := 50 * time.Millisecond
	due := time.Now().Add(rest)
	if err := pawl.Sleep(ctx, "rest", rest); err != nil {
		d.write(note{What: "rests", Run: run, Order: o.ID, Due: due.UnixMicro()})
		return "", err
	}
	d.write(note{What: "woke", Run: run, Order: o.ID})
	if err := pawl.Parallel(ctx,
		func(ctx context.Context) error { return step(ctx, "left") },
		func(ctx context.Context) error { return step(ctx, "right") },
	); err != nil {
		return "", err
	}
	if strings.HasSuffix(o.ID, "7") {
		return "", pawl.Permanent(errors.New("an order that nobody can serve"))
	}
	return o.ID, nil
}

// book is an endpoint of two steps, and of a rest between them now and then. With
// its usual barrier a step that has returned may run again until the client has its
// answer.
func (d *diary) book(endpoint string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, id := r.Context(), endpoint+" "+r.URL.Query().Get("id")
		run := pawl.RunID(ctx)
		step := func(name string) error {
			err := pawl.Do(ctx, name, func(ctx context.Context) error {
				d.write(note{What: "began", Run: run, Order: id, Step: name, Token: pawl.Token(ctx)})
				time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
				if pawl.Attempt(ctx) == 1 && rand.IntN(20) == 0 {
					return errors.New("bad luck")
				}
				return nil
			}, pawl.Constant(time.Second))
			if err == nil && endpoint == "book" {
				d.write(note{What: "saved", Run: run, Order: id, Step: name})
			}
			return err
		}
		if err := step("reserve"); err != nil {
			pawl.Error(w, err)
			return
		}
		if strings.HasSuffix(id, "4") {
			if err := pawl.Sleep(ctx, "rest", 20*time.Millisecond); err != nil {
				pawl.Error(w, err)
				return
			}
		}
		if err := step("confirm"); err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "booked "+id+" in "+run)
	}
}

// life is one process of the victim.
type life struct {
	cmd   *exec.Cmd
	stdin io.Closer
	url   string
}

func live(t *testing.T, dir string) *life {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), victimVariable+"="+dir)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("the process did not begin: %s", trouble.String())
	}
	return &life{cmd, stdin, "http://" + strings.TrimSpace(address)}
}

func (l *life) kill() {
	_ = l.cmd.Process.Signal(syscall.SIGKILL)
	_ = l.cmd.Wait()
}

// ask returns the answer, or false when there is none.
func (l *life) ask(method, path string) (string, bool) {
	return l.askWith("", method, path)
}

// askWith is ask with an idempotency key, unless that is "".
func (l *life) askWith(key, method, path string) (string, bool) {
	req, err := http.NewRequest(method, l.url+path, nil)
	if err != nil {
		return "", false
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return "", false
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err == nil && res.StatusCode == http.StatusOK
}

// TestKillEmbedded: a process that embeds an engine is killed at random moments.
// PAWL_TEST_KILLS says how often; 30 if it is not set.
func TestKillEmbedded(t *testing.T) {
	t.Parallel()
	kills := 30
	if n, err := strconv.Atoi(os.Getenv("PAWL_TEST_KILLS")); err == nil {
		kills = n
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %d kills", seed, kills)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	acked := map[string]string{} // runs by order
	cancelled := map[string]bool{}
	booked := map[string]booking{} // by path
	n := 0
	for range kills {
		l := live(t, dir)
		doom := func() {
			time.AfterFunc(time.Duration(rnd.IntN(150))*time.Millisecond, func() { _ = l.cmd.Process.Signal(syscall.SIGKILL) })
		}
		early := rnd.IntN(5) == 0 // it may die before anything is acknowledged
		if early {
			doom()
		}
		for first := true; ; first = false {
			n++
			id := strconv.Itoa(n)
			run, ok := l.ask(http.MethodPost, "/orders?id="+id)
			if !ok {
				break
			}
			acked[id] = run
			if first && !early {
				doom()
			}
			endpoint := []string{"book", "quick"}[rnd.IntN(2)]
			b, path := booking{order: endpoint + " " + id}, "/"+endpoint+"?id="+id
			if answer, ok := l.askWith(path, http.MethodPost, path); ok {
				b.answer, b.at = answer, time.Now()
			}
			booked[path] = b
			if rnd.IntN(8) == 0 {
				cancelled[run] = true // or not, if it is killed just then
				_, _ = l.ask(http.MethodPost, "/cancel?run="+run)
			}
		}
		l.kill()
	}
	l := live(t, dir)
	for path, b := range booked { // G11, G12: whatever was answered stays the answer
		answer, ok := l.askWith(path, http.MethodPost, path)
		require.True(t, ok, "%s: %s", path, answer)
		require.True(t, strings.HasPrefix(answer, "booked "+b.order+" in "), answer)
		if b.answer == "" { // it died before it had answered
			b.answer, b.at = answer, time.Now()
			booked[path] = b
		}
		require.Equal(t, b.answer, answer)
	}
	for id, run := range acked {
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
			status, ok := l.ask(http.MethodGet, "/status?run="+run)
			require.True(t, ok, "order %s, run %s: %s", id, run, status)
			if pawl.RunStatus(status).Final() {
				require.Contains(t, []string{"Completed", "Failed", "Cancelled"}, status)
				require.True(t, status != "Cancelled" || cancelled[run], "nobody has cancelled order %s", id)
				require.Equal(t, strings.HasSuffix(id, "7") && status != "Cancelled", status == "Failed", "order %s: %s", id, status)
				break
			}
			require.True(t, time.Now().Before(deadline), "order %s, run %s: %s", id, run, status)
		}
		again, ok := l.ask(http.MethodPost, "/orders?id="+id) // G12: the same key, the same run
		require.True(t, ok)
		require.Equal(t, run, again)
	}
	time.Sleep(200 * time.Millisecond) // what follows from the ends of runs
	require.NoError(t, l.stdin.Close())
	require.NoError(t, l.cmd.Wait())
	require.Greater(t, len(acked), kills/2, "hardly anything happened")
	readDiary(t, dir, acked, cancelled, booked)
	_, err := sqlite.Examine(t.Context(), filepath.Join(dir, "victim.db"), time.Now(), func(f store.Finding) { t.Errorf("the doctor finds: %+v", f) })
	require.NoError(t, err)
	t.Logf("%d orders acknowledged, %d cancelled, %d requests to endpoints", len(acked), len(cancelled), len(booked))
}

// booking is a request to an endpoint.
type booking struct {
	order  string
	answer string // "" before there is one
	at     time.Time
}

// readDiary holds what the victim has done against what is promised.
func readDiary(t *testing.T, dir string, acked map[string]string, cancelled map[string]bool, booked map[string]booking) {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, "diary"))
	require.NoError(t, err)
	defer file.Close()
	saved, tokens, runs, heard, due, ended := map[string]bool{}, map[string]string{}, map[string]string{}, map[string]map[string]bool{}, map[string]int64{}, map[string]bool{}
	answered := map[string]int64{} // runs of endpoints
	for _, b := range booked {
		_, run, _ := strings.Cut(b.answer, " in ")
		answered[run] = b.at.UnixMicro()
	}
	again := 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var n note
		if json.Unmarshal(lines.Bytes(), &n) != nil {
			continue // the process died while it wrote
		}
		key := n.Run + "/" + n.Step
		switch n.What {
		case "began":
			require.False(t, saved[key], "G3: step %s of run %s was saved, and runs again", n.Step, n.Run)
			require.False(t, ended[n.Run], "G9: run %s was cancelled, and begins step %s", n.Run, n.Step)
			if at, ok := answered[n.Run]; ok {
				require.Less(t, n.At, at, "G11: run %s was answered for, and begins step %s", n.Run, n.Step)
			}
			if was, ok := tokens[key]; ok {
				require.Equal(t, was, n.Token, "G4")
				again++
			}
			tokens[key] = n.Token
			if was, ok := runs[n.Order]; ok {
				require.Equal(t, was, n.Run, "G2: order %s has two runs", n.Order)
			}
			runs[n.Order] = n.Run
		case "saved":
			saved[key] = true
		case "rests":
			if due[n.Run] == 0 {
				due[n.Run] = n.Due
			}
		case "woke":
			require.GreaterOrEqual(t, n.At, due[n.Run], "G6: run %s woke early", n.Run)
		case "cancelled":
			ended[n.Run] = true
		case "heard":
			if heard[n.Run] == nil {
				heard[n.Run] = map[string]bool{}
			}
			heard[n.Run][n.Token] = true
		}
	}
	require.NoError(t, lines.Err())
	for path, b := range booked {
		_, run, _ := strings.Cut(b.answer, " in ")
		require.Equal(t, run, runs[b.order], "G12: %s", path)
	}
	for order, run := range acked {
		if was, ok := runs[order]; ok {
			require.Equal(t, run, was, "G1, G2: order %s", order)
		} else {
			require.True(t, cancelled[run], "G1: order %s was acknowledged, and nothing happened", order)
		}
		if !cancelled[run] {
			require.Len(t, heard[run], 1, "G5: the end of run %s", run)
		}
	}
	t.Logf("%d steps ran again after a failure or a death", again)
}

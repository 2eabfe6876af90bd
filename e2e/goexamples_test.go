package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// goExample is one of the example programs of package pawl, running.
type goExample struct {
	t    *testing.T
	dir  string // where it keeps its file
	bin  string
	env  []string
	url  string
	proc *process
}

// opens is the line of an example that opens an engine, with the line that uses a
// server in its place as its comment.
var opens = regexp.MustCompile(`(?m)^\tp, err := engine\.Open\(.*\) // on a server: (pawl\.Attach\(ctx, )"http://localhost:8288"(, app\))$`)

// buildExample builds an example as it is, or with that one line changed so that
// it uses the server at url (and with the import that nobody uses any more left
// out).
func buildExample(t *testing.T, name, server string) (bin string) {
	t.Helper()
	dir, err := filepath.Abs("../examples/" + name)
	require.NoError(t, err)
	bin = filepath.Join(t.TempDir(), name)
	args := []string{"build", "-o", bin}
	if server != "" {
		source, err := os.ReadFile(filepath.Join(dir, "main.go"))
		require.NoError(t, err)
		require.Len(t, opens.FindAll(source, -1), 1, "the example has one line to change")
		source = opens.ReplaceAll(source, []byte("\tp, err := ${1}"+fmt.Sprintf("%q", server)+"${2}"))
		source = []byte(strings.Replace(string(source), "\t\"github.com/pawlhq/pawl/engine\"\n", "", 1))
		changed := filepath.Join(t.TempDir(), "main.go")
		require.NoError(t, os.WriteFile(changed, source, 0o600))
		overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(dir, "main.go"): changed}})
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "overlay.json")
		require.NoError(t, os.WriteFile(path, overlay, 0o600))
		args = append(args, "-overlay", path)
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

func (x *goExample) start() {
	x.t.Helper()
	x.proc = startProcess(x.t, filepath.Base(x.bin), x.env, "sh", "-c", "cd '"+x.dir+"' && exec '"+x.bin+"'")
	eventually(x.t, patience, func() error {
		if x.proc.ended() {
			x.t.Fatalf("the example ended while starting:\n%s", x.proc.tail(4<<10))
		}
		res, err := httpClient.Get(x.url + "/api/inngest")
		if err == nil {
			res.Body.Close()
		}
		return err
	})
}

func (x *goExample) kill() {
	x.t.Helper()
	require.NoError(x.t, x.proc.signal(syscall.SIGKILL))
}

// bothWays runs a test of an example in its own process, and on a server.
func bothWays[Fake any](t *testing.T, name string, functions int, fake func(t *testing.T) (f Fake, env string), test func(t *testing.T, x *goExample, f Fake)) {
	t.Helper()
	guard(t)
	start := func(t *testing.T, server string, more ...string) {
		f, env := fake(t)
		address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		if server == "" {
			x := &goExample{t: t, dir: t.TempDir(), bin: buildExample(t, name, ""), url: "http://" + address}
			x.env = append([]string{"LISTEN=" + address, env}, more...)
			x.start()
			test(t, x, f)
			return
		}
		m := mode(server)
		p := newPawl(t, m, "--app", "http://"+address+"/api/inngest")
		x := &goExample{t: t, dir: t.TempDir(), bin: buildExample(t, name, p.url), url: "http://" + address}
		x.env = append([]string{"LISTEN=" + address, env}, more...)
		x.start()
		p.start()
		p.awaitApp(name, functions)
		test(t, x, f)
		require.NoError(t, p.proc.signal(syscall.SIGTERM))
		p.wantSound()
	}
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		start(t, "")
	})
	t.Run("on pawl dev", func(t *testing.T) {
		t.Parallel()
		start(t, string(dev), "INNGEST_DEV=1")
	})
	t.Run("on pawl serve", func(t *testing.T) {
		t.Parallel()
		start(t, string(serve), "INNGEST_SIGNING_KEY="+signingKey, "INNGEST_EVENT_KEY="+eventKey)
	})
}

// TestGoContact (F-01 to F-03): the visitor is answered, and each mail comes once,
// though the mail server is down at first and the app dies.
func TestGoContact(t *testing.T) {
	t.Parallel()
	fake := func(t *testing.T) (*mailSink, string) {
		s := newMailSink(t)
		return s, "SMTP=" + s.address
	}
	bothWays(t, "contact", 1, fake, func(t *testing.T, x *goExample, sink *mailSink) {
		res, err := httpClient.PostForm(x.url+"/contact", url.Values{"email": {"nobody"}, "text": {"hi"}})
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusBadRequest, res.StatusCode)
		for i := range 20 {
			eventually(t, patience, func() error { // the server may not be there yet
				res, err := httpClient.PostForm(x.url+"/contact", url.Values{"email": {fmt.Sprintf("v%d@example.com", i)}, "text": {fmt.Sprint("message ", i, ".")}})
				if err != nil {
					return err
				}
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					return fmt.Errorf("%s", res.Status)
				}
				return nil
			})
			if i == 10 {
				x.kill()
				x.start()
			}
		}
		eventually(t, 2*patience, func() error {
			for i := range 20 {
				if sink.got(fmt.Sprint("message ", i, ".")) == 0 {
					return fmt.Errorf("message %d has not come", i)
				}
			}
			return nil
		})
		require.Zero(t, sink.got("Did we help?"), "that is for tomorrow")
	})
}

// TestGoPayment (F-40): each card is charged once, though answers are lost and
// the app is killed.
func TestGoPayment(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	fake := func(t *testing.T) (*unsureBank, string) {
		b := newUnsureBank(t, seed)
		return b, "BANK=" + b.url
	}
	bothWays(t, "payment", 1, fake, func(t *testing.T, x *goExample, bank *unsureBank) {
		const orders = 30
		for i := range orders {
			eventually(t, patience, func() error {
				res, err := httpClient.Post(x.url+"/orders", "application/json", strings.NewReader(fmt.Sprintf(`{"id":"o%d","cents":%d}`, i, 1000+i)))
				if err != nil {
					return err
				}
				res.Body.Close()
				if res.StatusCode != http.StatusAccepted {
					return fmt.Errorf("%s", res.Status)
				}
				return nil
			})
			if i%10 == 9 {
				x.kill()
				x.start()
			}
		}
		eventually(t, 2*patience, func() error {
			for i := range orders {
				if bank.of(1000+i) == 0 {
					return fmt.Errorf("order %d is not paid yet", i)
				}
			}
			return nil
		})
		time.Sleep(2 * time.Second) // a second charge would come now
		for i := range orders {
			require.Equal(t, 1, bank.of(1000+i), "charges of order %d", i)
		}
	})
}

// TestGoApproval (F-26 to F-28, F-32): a request is answered when somebody has
// decided, though the app is killed meanwhile, and its boss is asked once.
func TestGoApproval(t *testing.T) {
	t.Parallel()
	fake := func(*testing.T) (any, string) { return nil, "NOTHING=" }
	bothWays(t, "approval", 0, fake, func(t *testing.T, x *goExample, _ any) {
		patient := &http.Client{Timeout: 2 * patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		res, err := patient.PostForm(x.url+"/expenses", url.Values{"id": {"taxi'1"}})
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusSeeOther, res.StatusCode)
		where, err := res.Location()
		require.NoError(t, err)
		asked := strings.Count(x.proc.tail(1<<20), "please decide")
		require.Equal(t, 1, asked)
		x.kill()
		x.start()
		patient.CheckRedirect = nil
		answers := make(chan string, 2)
		for range cap(answers) { // F-27: for several readers
			go func() {
				res, err := patient.Get(where.String())
				if err != nil {
					answers <- err.Error()
					return
				}
				defer res.Body.Close()
				b, err := io.ReadAll(res.Body)
				answers <- fmt.Sprint(res.StatusCode, " ", string(b), err)
			}()
		}
		for _, id := range []string{"bus", "taxi'1"} {
			res, err = httpClient.PostForm(x.url+"/decisions", url.Values{"expense": {id}, "approved": {"yes"}, "by": {"Ann of " + id}})
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, http.StatusOK, res.StatusCode)
		}
		for range cap(answers) {
			require.Equal(t, "200 approved: true, by Ann of taxi'1\n<nil>", <-answers)
		}
		require.Zero(t, strings.Count(x.proc.tail(1<<20), "please decide"), "the boss was asked again")
	})
}

// unsureBank charges cards, and loses one request in five and one answer in five.
type unsureBank struct {
	url     string
	mu      sync.Mutex
	rnd     *rand.Rand
	charges map[int]int // by amount, which differs for each order
	tokens  map[string]int
}

func newUnsureBank(t *testing.T, seed uint64) *unsureBank {
	b := &unsureBank{rnd: rand.New(rand.NewPCG(seed, 0)), charges: map[int]int{}, tokens: map[string]int{}}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	b.url = s.URL
	return b
}

func (b *unsureBank) of(cents int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.charges[cents]
}

func (b *unsureBank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	token := strings.TrimPrefix(r.URL.Path, "/charges/")
	cents, known := b.tokens[token]
	lost := b.rnd.IntN(5)
	if r.Method == http.MethodPost {
		var in struct{ Cents int }
		if json.NewDecoder(r.Body).Decode(&in) != nil || lost == 0 {
			panic(http.ErrAbortHandler)
		}
		b.tokens[token], cents, known = in.Cents, in.Cents, true
		b.charges[in.Cents]++
	}
	if lost == 1 {
		panic(http.ErrAbortHandler)
	}
	if !known {
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "cents": cents})
}

// mailSink is an SMTP server that keeps what it is sent, after it has been out of
// order for the first mails.
type mailSink struct {
	address string
	broken  atomic.Int32
	mu      sync.Mutex
	mails   []string
}

func newMailSink(t *testing.T) *mailSink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	s := &mailSink{address: l.Addr().String()}
	s.broken.Store(3)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *mailSink) got(text string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.mails {
		if strings.Contains(m, text) {
			n++
		}
	}
	return n
}

func (s *mailSink) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	fmt.Fprint(c, "220 sink\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(line)); {
		case strings.HasPrefix(verb, "DATA"):
			fmt.Fprint(c, "354 go on\r\n")
			var body strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				body.WriteString(line)
			}
			if s.broken.Add(-1) >= 0 {
				fmt.Fprint(c, "451 try again later\r\n")
				continue
			}
			s.mu.Lock()
			s.mails = append(s.mails, body.String())
			s.mu.Unlock()
			fmt.Fprint(c, "250 kept\r\n")
		case strings.HasPrefix(verb, "QUIT"):
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, "250 ok\r\n")
		}
	}
}

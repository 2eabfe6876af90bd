package main

import (
	"bufio"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/pawlhq/pawl/internal/wire"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"pawl": main}) }

// TestScripts runs testdata/script. They have these commands besides the usual:
//
//	app             serves an app; $APP is its URL, $APP_BY_NAME the same with
//	                localhost for a host
//	later           sets $APP; the next app is served there
//	asked N         waits until the app has been asked for its functions N times
//	                more
//	start NAME ...  starts pawl NAME ... on a free port and waits until it
//	                listens; $PAWL_URL is where
//	await REGEXP    waits for a line of that pawl's output
//	end             sends SIGTERM, waits, and puts the output into end.out and
//	                end.err; "! end" wants a failure
//	letter          puts the first run_id of the last output into $RUN
//	hook            serves a webhook; $HOOK is its URL. With $PAWL_ALERT_SECRET it takes
//	                what is signed with that alone
//	mailbox         serves a mail server; $MAILBOX is its address
//	hooked REGEXP   waits for a message to come to one of them, which must match
//	port            takes a port; $TAKEN is its address
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Values["running"] = new(*running)
			e.Values["asked"] = make(chan struct{})
			e.Values["hooked"] = make(chan string, 100)
			// Scripts must not see the settings of whoever runs them.
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"app": serveApp, "start": start, "await": await, "end": end, "port": takePort, "letter": firstLetter,
			"later": later, "asked": asked, "hook": serveHook, "mailbox": serveMailbox, "hooked": hooked,
		},
	})
}

// running is the pawl of a script.
type running struct {
	cmd      *exec.Cmd
	out, err lockedText
	read     sync.WaitGroup
}

// lockedText is written by one goroutine and read by another.
type lockedText struct {
	mu    sync.Mutex
	grown chan struct{} // closed when there is more, or all
	all   bool
	strings.Builder
}

func (l *lockedText) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.WriteString(s + "\n")
	l.wake()
}

// end says that nothing more will come.
func (l *lockedText) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = true
	l.wake()
}

func (l *lockedText) wake() {
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
}

// find waits until a line matches, or there will be no more.
func (l *lockedText) find(want *regexp.Regexp) bool {
	for {
		l.mu.Lock()
		found, all := want.MatchString(l.String()), l.all
		if l.grown == nil {
			l.grown = make(chan struct{})
		}
		more := l.grown
		l.mu.Unlock()
		if found || all {
			return found
		}
		<-more
	}
}

func (l *lockedText) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: start dev|serve ...")
	}
	exe, err := lookIn(ts.Getenv("PATH"))
	ts.Check(err)
	r := &running{}
	*ts.Value("running").(**running) = r
	args = append(args, "--listen", "127.0.0.1:0")
	r.cmd = exec.Command(exe, args...)
	r.cmd.Dir, r.cmd.Env = ts.Getenv("WORK"), environ(ts)
	stdout, err := r.cmd.StdoutPipe()
	ts.Check(err)
	stderr, err := r.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(r.cmd.Start())
	ts.Defer(func() { _ = r.cmd.Process.Kill() })
	listens := make(chan string, 2)
	r.read.Go(func() { follow(stdout, &r.out, listens) })
	r.read.Go(func() { follow(stderr, &r.err, listens) })
	ended := make(chan struct{})
	go func() { r.read.Wait(); close(ended) }()
	select {
	case addr := <-listens:
		ts.Setenv("PAWL_URL", "http://"+addr)
	case <-ended:
		ts.Fatalf("pawl ended before it listened:\n%s%s", r.out.text(), r.err.text())
	}
}

func lookIn(path string) (string, error) {
	for dir := range strings.SplitSeq(path, string(os.PathListSeparator)) {
		if exe, err := exec.LookPath(dir + "/pawl"); err == nil {
			return exe, nil
		}
	}
	return "", fmt.Errorf("there is no pawl in %s", path)
}

func environ(ts *testscript.TestScript) (list []string) {
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR", "PAWL_SIGNING_KEY", "PAWL_EVENT_KEY", "PAWL_ALERT_WEBHOOK", "PAWL_ALERT_MAIL", "PAWL_ALERT_SECRET"} {
		if v := ts.Getenv(name); v != "" {
			list = append(list, name+"="+v)
		}
	}
	return list
}

// follow copies lines and finds the address in the one that announces it.
func follow(r io.Reader, into *lockedText, listens chan<- string) {
	defer into.end()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		into.add(line)
		if _, addr, ok := strings.Cut(line, " listens on http://"); ok {
			listens <- addr
		}
		if _, rest, ok := strings.Cut(line, "msg=serving address="); ok {
			addr, _, _ := strings.Cut(rest, " ")
			listens <- addr
		}
	}
}

func await(ts *testscript.TestScript, _ bool, args []string) {
	r := *ts.Value("running").(**running)
	want := regexp.MustCompile("(?m)" + args[0])
	found := make(chan bool, 2)
	for _, out := range []*lockedText{&r.out, &r.err} {
		go func() { found <- out.find(want) }()
	}
	first := <-found // the second only counts if the first found nothing
	if !first && !<-found {
		ts.Fatalf("no line of pawl's output matches %s:\n%s%s", args[0], r.out.text(), r.err.text())
	}
}

func end(ts *testscript.TestScript, neg bool, _ []string) {
	r := *ts.Value("running").(**running)
	ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
	r.read.Wait() // to the end of its output, which is its own
	err := r.cmd.Wait()
	if (err != nil) != neg {
		ts.Fatalf("pawl ended with %v:\n%s", err, r.err.text())
	}
	ts.Check(os.WriteFile(ts.MkAbs("end.out"), []byte(r.out.text()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("end.err"), []byte(r.err.text()), 0o600))
}

func firstLetter(ts *testscript.TestScript, _ bool, _ []string) {
	found := regexp.MustCompile(`"run_id": "(\w+)"`).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("there is no run_id in the last output")
	}
	ts.Setenv("RUN", found[1])
}

func takePort(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv("TAKEN", l.Addr().String())
}

// serveApp serves an app with two functions: demo-good returns the data of its
// event, demo-bad fails for good unless its event says {"good": true}. It answers a PUT in band, signed with the key
// of the script if there is one.
func serveApp(ts *testscript.TestScript, _ bool, _ []string) {
	var key wire.Key // the zero key signs with nothing
	if raw := ts.Getenv("PAWL_SIGNING_KEY"); raw != "" {
		var err error
		key, err = wire.ParseKey(raw)
		ts.Check(err)
	}
	done := make(chan struct{})
	told := ts.Value("asked").(chan struct{})
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := "http://" + r.Host
		w.Header().Set("X-Inngest-SDK", "inngest-js:v4.24.0")
		w.Header().Set("X-Inngest-Req-Version", "2")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodPut:
			go func() {
				select {
				case told <- struct{}{}:
				case <-done:
				}
			}()
			w.Header().Set("X-Inngest-Sync-Kind", "in_band")
			body := fmt.Appendf(nil, `{"app_id":"demo","functions":[%s,%s],"sdk":"js:v4.24.0","url":"%s/api/inngest","framework":"nodejs"}`,
				demo(base, "good"), demo(base, "bad"), base)
			w.Header().Set("X-Inngest-Signature", key.Sign(time.Now(), body))
			_, _ = w.Write(body)
		case r.Method == http.MethodPost && r.URL.Query().Get("fnId") == "demo-bad" && !says(r.Body, `"good":true`):
			w.Header().Set("X-Inngest-No-Retry", "true")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"name":"PaymentError","message":"card refused","stack":"at x"}`)
		case r.Method == http.MethodPost:
			_, _ = io.WriteString(w, `{"fine":true}`)
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	if address := ts.Getenv("LATER"); address != "" {
		_ = front.Listener.Close()
		var err error
		front.Listener, err = net.Listen("tcp", address)
		ts.Check(err)
	}
	front.Start()
	ts.Defer(front.Close)
	ts.Defer(func() { close(done) })
	ts.Setenv("APP", front.URL+"/api/inngest")
	_, port, err := net.SplitHostPort(front.Listener.Addr().String())
	ts.Check(err)
	ts.Setenv("APP_BY_NAME", "http://localhost:"+port+"/api/inngest")
}

func later(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("LATER", l.Addr().String())
	ts.Setenv("APP", "http://"+l.Addr().String()+"/api/inngest")
	ts.Check(l.Close())
}

func asked(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range n {
		<-ts.Value("asked").(chan struct{})
	}
}

func serveHook(ts *testscript.TestScript, _ bool, _ []string) {
	messages := ts.Value("hooked").(chan string)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if secret := ts.Getenv("PAWL_ALERT_SECRET"); secret != "" {
			receiver, err := standardwebhooks.NewWebhook(secret)
			if err == nil {
				err = receiver.Verify(b, r.Header)
			}
			if err != nil {
				b = []byte(err.Error())
			}
		}
		messages <- string(b)
	}))
	ts.Defer(hook.Close)
	ts.Setenv("HOOK", hook.URL+"/SECRET")
}

// mailbox is where mail comes to, on one connection.
type mailbox chan string

func (m mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (mailbox) Mail(string, *smtp.MailOptions) error          { return nil }
func (mailbox) Rcpt(string, *smtp.RcptOptions) error          { return nil }
func (mailbox) Reset()                                        {}
func (mailbox) Logout() error                                 { return nil }

func (m mailbox) Data(r io.Reader) error {
	letter, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(quotedprintable.NewReader(letter.Body))
	m <- "To: " + letter.Header.Get("To") + "\n" + string(b)
	return err
}

func serveMailbox(ts *testscript.TestScript, _ bool, _ []string) {
	server := smtp.NewServer(mailbox(ts.Value("hooked").(chan string)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	go func() { _ = server.Serve(listener) }()
	ts.Defer(func() { _ = server.Close() })
	ts.Setenv("MAILBOX", listener.Addr().String())
}

func hooked(ts *testscript.TestScript, _ bool, args []string) {
	if message := <-ts.Value("hooked").(chan string); !regexp.MustCompile(args[0]).MatchString(message) {
		ts.Fatalf("the message does not match %s:\n%s", args[0], message)
	}
}

func says(body io.Reader, text string) bool {
	b, _ := io.ReadAll(body)
	return strings.Contains(string(b), text)
}

func demo(base, name string) string {
	return fmt.Sprintf(`{"id":"demo-%[2]s","name":"%[2]s","triggers":[{"event":"demo/%[2]s"}],"steps":{"step":{"id":"step","name":"step",
"runtime":{"type":"http","url":"%[1]s/api/inngest?fnId=demo-%[2]s&stepId=step"},"retries":{"attempts":3}}}}`, base, name)
}

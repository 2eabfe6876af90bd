package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxied is a server behind nginx, which gives up on an answer after 2 s of
// silence; the server is told to keep connections alive accordingly. It stands for
// the 60 s of nginx and the 15 s of Pawl.
type proxied struct {
	*pawl
	front string // nginx, which asks in HTTP/1.0
	below string // the same, with Pawl below a path
	newer string // the same, which asks in HTTP/1.1
}

const proxyBears = "2s"

func startProxied(t *testing.T) (*proxied, *app, *app) {
	t.Helper()
	p := newPawl(t, serve, "--endpoint-lease", "5s", "--keep-alive", "400ms", "--retry-interval", "300ms")
	ts := newApp(t, node, p)
	ts.start()
	gos := newApp(t, goapp, p)
	gos.start()
	p.start()
	front := startNginx(t, p.url)
	return &proxied{p, front, front + "/pawl", front + "/newer"}, ts, gos
}

// startNginx starts Debian's nginx in front of a server, as its packages set it up
// but for the time that it bears. It returns its address.
func startNginx(t *testing.T, behind string) string {
	t.Helper()
	bin, err := exec.LookPath("nginx")
	if err != nil {
		bin = "/usr/sbin/nginx" // which is not on everybody's path
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	conf := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_read_timeout %[4]s;
	server {
		listen %[2]s;
		location / { proxy_pass %[3]s; }
		location /pawl/ { proxy_pass %[3]s/; }
		location /newer/ { proxy_pass %[3]s/; proxy_http_version 1.1; proxy_set_header Connection ""; }
	}
}
`, dir, addr, behind, proxyBears), 0o644))
	proc := startProcess(t, "nginx", nil, bin, "-p", dir, "-e", "stderr", "-c", conf)
	front := "http://" + addr
	eventually(t, 20*time.Second, func() error {
		if proc.ended() {
			t.Fatalf("nginx ended while starting:\n%s", proc.tail(4<<10))
		}
		res, err := httpClient.Get(front + "/health")
		if err == nil {
			res.Body.Close()
		}
		return err
	})
	return front
}

// sleeping asks an endpoint that sleeps for longer than nginx bears, and returns the
// path of its result URL.
func sleeping(t *testing.T, p *pawl, a *app, key string) string {
	t.Helper()
	got, err := a.ask(t.Context(), "nap?for=4s&key="+key)
	require.NoError(t, err)
	at, ok := got.redirects(p)
	require.True(t, ok, "%d %s", got.status, got.body)
	return strings.TrimPrefix(at, p.url)
}

// Results of the endpoint nap.
func napTS(key string) string { return fmt.Sprintf(`"{\"key\":\"%s\",\"b\":2}"`, key) }
func napGo(key string) string { return fmt.Sprintf(`{"b":2,"key":"%s"}`, key) }

func curl(args ...string) (string, error) {
	out, err := exec.Command("curl", append([]string{"--silent", "--show-error", "--max-time", "40"}, args...)...).CombinedOutput()
	return string(out), err
}

// TestResultThroughProxy waits behind nginx for results that come later than nginx
// has patience, with the clients that people use.
func TestResultThroughProxy(t *testing.T) {
	guard(t)
	t.Parallel()
	p, ts, gos := startProxied(t)

	t.Run("nginx does give up on silence", func(t *testing.T) {
		t.Parallel()
		at := p.front + sleeping(t, p.pawl, ts, "silent") + "&wait=10s"
		got, err := fetch(t.Context(), "GET", at, "", nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusGatewayTimeout, got.status)
	})
	t.Run("curl, white space", func(t *testing.T) {
		t.Parallel()
		out, err := curl("--location", p.newer+sleeping(t, p.pawl, ts, "curl"))
		require.NoError(t, err, out)
		require.Equal(t, napTS("curl"), strings.TrimLeft(out, " "))
		require.NotEqual(t, napTS("curl"), out, "something was sent before")
	})
	for _, tt := range []struct {
		name, front string
		a           *app
		want        string
	}{
		{"curl, redirects", p.front, gos, napGo("hops")},
		{"curl, redirects below a path", p.below, gos, napGo("hops")},
		{"curl, redirects in place of white space", p.front, ts, napTS("hops")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := curl("--location", "--write-out", " %{num_redirects}", tt.front+sleeping(t, p.pawl, tt.a, "hops"))
			require.NoError(t, err, out)
			body, hops, ok := strings.Cut(out, " ")
			require.True(t, ok)
			require.Equal(t, tt.want, body)
			require.NotEqual(t, "0", hops)
		})
	}
	t.Run("curl, server-sent events", func(t *testing.T) {
		t.Parallel()
		out, err := curl("--no-buffer", "--header", "Accept: text/event-stream", p.below+sleeping(t, p.pawl, gos, "stream"))
		require.NoError(t, err, out)
		require.Regexp(t, `^(:\n\n){5,}event: result\ndata: \{"status":"completed","response":\{.*"status":201\}\}\n\n$`, out)
	})
	t.Run("curl, which asks again when the server was killed", func(t *testing.T) {
		t.Parallel()
		q, ts, _ := startProxied(t)
		var clients sync.WaitGroup
		for _, front := range []string{q.front, q.newer} {
			at := front + sleeping(t, q.pawl, ts, "killed")
			clients.Go(func() {
				out, err := curl("--location", "--retry", "50", "--retry-all-errors", "--retry-delay", "1", at)
				if err != nil || !strings.HasSuffix(out, napTS("killed")) {
					t.Errorf("%v %s", err, out)
				}
			})
		}
		<-time.After(1500 * time.Millisecond) // they wait by now, or soon: both are right
		q.kill()
		q.start()
		clients.Wait()
	})
	const program = `
const [url] = process.argv.slice(1);
const res = await fetch(url);
console.log(JSON.stringify({ status: res.status, trip: res.headers.get("x-trip"), body: await res.json() }));`
	for _, tt := range []struct {
		name, front string
		a           *app
		want        string
	}{
		{"fetch of Node, white space", p.newer, ts, `{"status":200,"trip":null,"body":"{\"key\":\"fetch\",\"b\":2}"}`},
		{"fetch of Node, redirects", p.front, gos, `{"status":201,"trip":"there and back","body":{"b":2,"key":"fetch"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command("node", "--input-type=module", "--eval", program, tt.front+sleeping(t, p.pawl, tt.a, "fetch")).CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.JSONEq(t, tt.want, string(out))
		})
	}
	t.Run("Chromium", func(t *testing.T) {
		t.Parallel()
		inBrowser(t, p, ts, gos)
	})
}

// browserPage waits for results in the three ways that a page can, from an origin
// that is not Pawl's, and tells the test.
const browserPage = `<!doctype html><title>waiting</title><script>
const q = new URLSearchParams(location.search);
const tell = (what, got) => fetch("/told?what=" + what, { method: "POST", body: JSON.stringify(got) });
for (const what of ["white", "hops"]) {
  fetch(q.get(what)).then(async (res) => tell(what, { status: res.status, body: await res.json() }), (err) => tell(what, String(err)));
}
const events = new EventSource(q.get("events"));
events.addEventListener("result", (e) => { events.close(); tell("events", JSON.parse(e.data)); });
</script>`

func inBrowser(t *testing.T, p *proxied, ts, gos *app) {
	bin, err := exec.LookPath("chromium")
	require.NoError(t, err, "the tests need Debian's chromium")
	told := make(chan [2]string, 10)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/told" {
			b, _ := io.ReadAll(r.Body)
			told <- [2]string{r.URL.Query().Get("what"), string(b)}
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, browserPage)
	}))
	defer pages.Close()
	profile, err := os.MkdirTemp("", "pawl-chromium-")
	require.NoError(t, err)
	defer os.RemoveAll(profile) // what its children still write may be in the way
	at := url.Values{}
	at.Set("white", p.newer+sleeping(t, p.pawl, ts, "white"))
	at.Set("hops", p.front+sleeping(t, p.pawl, gos, "hops"))
	at.Set("events", p.front+sleeping(t, p.pawl, gos, "events"))
	chromium := []string{
		bin, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--no-first-run", "--user-data-dir=" + profile, "--remote-debugging-port=0", pages.URL + "/?" + at.Encode(),
	}
	proc := startProcess(t, "chromium", nil, chromium...)
	defer proc.signal(syscall.SIGTERM)
	want := map[string]string{
		"white":  `{"status":200,"body":"{\"key\":\"white\",\"b\":2}"}`,
		"hops":   `{"status":201,"body":{"b":2,"key":"hops"}}`,
		"events": `{"status":"completed","response":{"status":201,"body":"{\"b\":2,\"key\":\"events\"}","headers":{"Content-Type":"application/json","X-Trip":"there and back"}}}`,
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for len(want) > 0 {
		select {
		case got := <-told:
			require.Contains(t, want, got[0])
			require.JSONEq(t, want[got[0]], got[1], got[0])
			delete(want, got[0])
		case <-ctx.Done():
			t.Fatalf("the page did not tell of %v", want)
		}
	}

	// A page that is navigated to the result URL, as by a link or a form.
	out, err := exec.CommandContext(ctx, bin, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+profile+"/page",
		"--dump-dom", p.front+sleeping(t, p.pawl, gos, "page")).Output()
	require.NoError(t, err)
	require.Contains(t, string(out), napGo("page"))
}

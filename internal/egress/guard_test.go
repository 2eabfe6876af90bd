package egress

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/wire"
)

func TestAddressesThatAreNotPublicAreRefused(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/addresses.txt")
	require.NoError(t, err)
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		n++
		text, want, _ := strings.Cut(line, " ")
		want = strings.TrimSpace(want)
		addr := netip.MustParseAddr(text)
		err := CheckAddr(addr)
		if want == "public" {
			require.NoError(t, err, text)
			continue
		}
		var private *PrivateError
		require.ErrorAs(t, err, &private, text)
		require.Equal(t, want, private.Kind, text)
		require.Equal(t, addr, private.Addr)
		require.ErrorContains(t, err, "private")
		require.ErrorContains(t, err, "--"+Setting)
		// The way in for the dialer is the same check.
		require.ErrorAs(t, guard("tcp", net.JoinHostPort(text, "443"), nil), &private, text)
	}
	require.GreaterOrEqual(t, n, 120)
}

func TestWhatIsNoAddressIsRefused(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "/run/docker.sock", "@abstract", "example.com:80", "8.8.8.8", "8.8.8.8:99999", "[::1]"} {
		require.Error(t, guard("unix", address, nil), address)
	}
	require.Error(t, CheckAddr(netip.Addr{}))
}

// Every spelling of this machine is refused, whoever reads the spelling: the
// dialer, the resolver (which here says 127.0.0.1 to every name) or IDNA.
func TestNoSpellingReachesThisMachine(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":")+1:]
	client := New(Options{Resolver: names(func(string) []string { return []string{"127.0.0.1"} })})
	defer client.Close()
	for _, host := range []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.000.000.001",
		"0", "0.0.0.0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::7f00:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
		"[0:0:0:0:0:ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]", "[::1%25lo]",
		"localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "127.0.0.1.nip.io", "public.example", "a.localhost", "①②⑦.⓪.⓪.①", "127。0。0。1",
	} {
		for _, scheme := range []string{"http", "HTTP", "https"} {
			r, err := Parse(wire.OpGateway, []byte(`{"url":"`+scheme+`://`+host+`:`+port+`/"}`))
			if err == nil {
				_, err = client.Do(t.Context(), r)
			}
			var failed *Error
			require.ErrorAs(t, err, &failed, host)
			if failed.Err != nil { // else it is no address and no name
				var private *PrivateError
				require.ErrorAs(t, err, &private, host)
				require.ErrorContains(t, err, "--"+Setting)
				require.True(t, failed.NoRetry)
			}
		}
	}
	require.Zero(t, hits.Load())
}

// A name that is public when it is looked at and private when it is connected
// is refused, since nothing but the connected address is looked at.
func TestRebindingNameIsRefusedWhenItIsConnected(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":")+1:]

	answers := [][]string{{"93.184.216.34"}, {"127.0.0.1"}, {"93.184.216.34", "127.0.0.1"}, {"127.0.0.1", "93.184.216.34"}}
	var turn atomic.Int64
	var mu sync.Mutex
	var connected []string
	errStop := errors.New("stop: this test sends nothing to the internet")
	client := newClient(Options{Resolver: names(func(string) []string { return answers[turn.Load()] })},
		func(network, address string, c syscall.RawConn) error {
			if err := guard(network, address, c); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			connected = append(connected, address)
			return errStop
		})
	defer client.Close()
	r := parsed(t, wire.OpGateway, `{"url":"http://rebind.example:`+port+`/"}`)
	for i := range answers {
		turn.Store(int64(i))
		_, err := client.Do(t.Context(), r)
		require.Error(t, err)
		var private *PrivateError
		switch i {
		case 0:
			require.NotErrorAs(t, err, &private)
			require.ErrorContains(t, err, errStop.Error())
		case 1:
			require.ErrorAs(t, err, &private)
			require.Equal(t, "127.0.0.1", private.Addr.String())
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, address := range connected {
		require.Equal(t, "93.184.216.34:"+port, address)
	}
	require.Len(t, connected, 3) // each time that a public address was among them
	require.Zero(t, hits.Load())
}

func TestPrivateAddressesAreReachedWhenAllowed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":")+1:]
	client := New(Options{AllowPrivate: true, Resolver: names(func(string) []string { return []string{"127.0.0.1"} })})
	defer client.Close()
	memo, err := client.Do(t.Context(), parsed(t, wire.OpGateway, `{"url":"http://app.internal.example:`+port+`/"}`))
	require.NoError(t, err)
	require.Equal(t, "app.internal.example:"+port, fetched(t, memo).Body)
}

func TestPublicAddressDoesNotRedirectToPrivate(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer inside.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{inside.URL, "//127.0.0.1/", "file:///etc/passwd", "http://%zz", ""} {
			outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			}))
			client := New(Options{AllowPrivate: true})
			memo, err := client.Do(t.Context(), parsed(t, wire.OpGateway, `{"url":"`+outside.URL+`"}`))
			require.NoError(t, err)
			require.Equal(t, status, fetched(t, memo).Status)
			require.Equal(t, location, fetched(t, memo).Headers["location"])
			client.Close()
			outside.Close()
		}
	}
	require.Zero(t, hits.Load())
}

func TestProxiesAreUsedOnlyWhenAskedFor(t *testing.T) {
	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		_, _ = io.WriteString(w, "by proxy to "+r.URL.Host)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	nowhere := names(func(string) []string { return nil })
	r := parsed(t, wire.OpGateway, `{"url":"http://public.example/"}`)

	plain := New(Options{Resolver: nowhere})
	defer plain.Close()
	_, err := plain.Do(t.Context(), r)
	require.ErrorContains(t, err, "there is no host")
	require.Zero(t, proxied.Load())

	at, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	asked := New(Options{Resolver: nowhere, Proxy: http.ProxyURL(at)})
	defer asked.Close()
	memo, err := asked.Do(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "by proxy to public.example", fetched(t, memo).Body)

	_, err = asked.Do(t.Context(), parsed(t, wire.OpGateway, `{"url":"http://169.254.169.254/latest/meta-data"}`))
	var private *PrivateError
	require.ErrorAs(t, err, &private)
	require.EqualValues(t, 1, proxied.Load())

	// What the proxy's settings exempt goes straight, and is checked.
	exempt := New(Options{Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
	defer exempt.Close()
	_, err = exempt.Do(t.Context(), parsed(t, wire.OpGateway, `{"url":"`+proxy.URL+`"}`))
	require.ErrorAs(t, err, &private)

	broken := New(Options{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("bad http://u:" + canary + "@proxy") }})
	defer broken.Close()
	_, err = broken.Do(t.Context(), r)
	require.ErrorContains(t, err, "proxy's address")
	require.NotContains(t, err.Error(), canary)
}

// names is a resolver that asks a name server in this process. An empty list
// is a name that does not exist.
func names(ipv4 func(name string) []string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go serveNames(server, ipv4) // ends with the connection
		return client, nil
	}}
}

// serveNames speaks DNS over a stream. Source: RFC 1035 §4.
func serveNames(c net.Conn, ipv4 func(name string) []string) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		var labels []string
		end := 12
		for q[end] != 0 {
			labels = append(labels, string(q[end+1:end+1+int(q[end])]))
			end += 1 + int(q[end])
		}
		kind := binary.BigEndian.Uint16(q[end+1:])
		question := q[12 : end+5]
		addrs := ipv4(strings.Join(labels, "."))
		code := byte(0)
		if len(addrs) == 0 {
			code = 3 // no such name
		}
		if kind != 1 {
			addrs = nil
		}
		a := append([]byte{q[0], q[1], 0x81, 0x80 | code, 0, 1, 0, byte(len(addrs)), 0, 0, 0, 0}, question...)
		for _, addr := range addrs {
			ip := netip.MustParseAddr(addr).As4()
			a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
			a = append(a, ip[:]...)
		}
		if _, err := c.Write(binary.BigEndian.AppendUint16(nil, uint16(len(a)))); err != nil {
			return
		}
		if _, err := c.Write(a); err != nil {
			return
		}
	}
}

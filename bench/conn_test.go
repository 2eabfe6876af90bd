package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		in     string
		status int
		body   string
		last   bool
		bad    bool
	}{
		{"a stated length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest", 200, "{}", false, false},
		{"a header in other letters", "HTTP/1.1 200 OK\r\ncontent-LENGTH:2\r\n\r\n{}", 200, "{}", false, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200, "{}", false, false},
		{"to the end", "HTTP/1.0 500 No\r\n\r\nsorry", 500, "sorry", true, false},
		{"the server closes", "HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 429, "", true, false},
		{"an early answer comes before", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, false},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false, false},
		{"cut off", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", 0, "", true, true},
		{"not HTTP", "SSH-2.0-x\r\n\r\n", 0, "", true, true},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 0, "", true, true},
		{"a huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", 0, "", true, true},
		{"a header without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 100), 0, "", true, true},
		{"nothing", "", 0, "", true, true},
	} {
		status, body, last, err := readAnswer(bufio.NewReader(strings.NewReader(c.in)), nil)
		if status != c.status || string(body) != c.body || last != c.last || (err != nil) != c.bad {
			t.Errorf("%s: %d %q last %v err %v; want %d %q last %v bad %v", c.name, status, body, last, err, c.status, c.body, c.last, c.bad)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		status, body, _, err := readAnswer(bufio.NewReader(strings.NewReader(in)), nil)
		switch {
		case err == nil && (status < 200 || status > 999 || len(body) > len(in)):
			t.Errorf("%q: status %d, %d bytes", in, status, len(body))
		case err != nil && status != 0:
			t.Errorf("%q: status %d with %v", in, status, err)
		}
	})
}

func TestConnStaysOpenAndDialsAgain(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen[r.RemoteAddr]++
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
		b, _ := io.ReadAll(r.Body)
		w.Write(append(b, r.Header.Get("Authorization")...))
	}))
	c := newConn(strings.TrimPrefix(srv.URL, "http://"), "key")
	defer c.close()
	for _, path := range []string{"/", "/", "/close", "/"} {
		status, body, err := c.do(context.Background(), "POST", path, []byte("hi "))
		if err != nil || status != 200 || string(body) != "hi Bearer key" {
			t.Fatalf("%s: %d %q %v", path, status, body, err)
		}
	}
	if len(seen) != 2 {
		t.Errorf("%d connections, want 2: %v", len(seen), seen)
	}
	srv.Close()
	if _, _, err := c.do(context.Background(), "POST", "/", nil); err == nil {
		t.Error("a server that is gone answered")
	}
	if _, _, err := c.do(context.Background(), "POST", "/", nil); err == nil || errors.Is(err, errAnswer) {
		t.Errorf("dial a server that is gone: %v", err)
	}
}

// BenchmarkClient compares conn with net/http's client on one server.
func BenchmarkClient(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"ids":["01M80FAZ3WD1V6RQRFAV9R52Z2"],"status":200}`)
	}))
	defer srv.Close()
	l := newLoad("bench/unwanted", 1, 1, false)
	body := l.body(nil, 1)
	b.Run("conn", func(b *testing.B) {
		c := newConn(strings.TrimPrefix(srv.URL, "http://"), "key")
		defer c.close()
		b.ReportAllocs()
		for b.Loop() {
			if status, _, err := c.do(b.Context(), "POST", "/e/key", body); err != nil || status != 200 {
				b.Fatal(status, err)
			}
		}
	})
	b.Run("nethttp", func(b *testing.B) {
		client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
		b.ReportAllocs()
		for b.Loop() {
			req, err := http.NewRequestWithContext(b.Context(), "POST", srv.URL+"/e/key", strings.NewReader(string(body)))
			if err != nil {
				b.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// The app process speaks to the driver in lines on its stdout:
//
//	url http://127.0.0.1:40123/api/inngest   it listens
//	synced                                   the server took its registration
//	done 17                                  the run of event 17 has ended
//
// It ends when its stdin does, so it cannot outlive the driver.
const (
	wordURL    = "url "
	wordSynced = "synced"
	wordDone   = "done "
)

// keyVariable hands the signing key to the app, out of sight of ps.
const keyVariable = "PAWL_BENCH_SIGNING_KEY"

// newsBuffer is how many lines may wait for the driver to read them.
const newsBuffer = 8192

// syncedNews stands for wordSynced among the numbers of ended runs.
const syncedNews = -1

// serveApp runs the app until ctx or in ends, and tells its news on out.
func serveApp(ctx context.Context, server string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	news := make(chan int64, newsBuffer)
	tell := func(n int64) {
		select {
		case news <- n:
		case <-ctx.Done():
		}
	}
	self := "http://" + l.Addr().String() + appPath
	a := newApp(server, os.Getenv(keyVariable), self, func() { tell(syncedNews) }, tell)
	srv := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}

	go func() { // ends with the process: nothing can interrupt a read of stdin
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	told := make(chan error, 1)
	go func() {
		defer cancel()
		told <- tellNews(ctx, out, wordURL+self, news)
	}()
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-told
}

// tellNews writes first and then the news, several lines in one write when they
// come fast, until ctx ends.
func tellNews(ctx context.Context, out io.Writer, first string, news <-chan int64) error {
	w := bufio.NewWriterSize(out, 32<<10)
	if _, err := w.WriteString(first + "\n"); err != nil {
		return fmt.Errorf("tell the driver: %w", err)
	}
	var line []byte
	for {
		if len(news) == 0 {
			if err := w.Flush(); err != nil {
				return fmt.Errorf("tell the driver: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case n := <-news:
			if line = append(line[:0], wordSynced...); n != syncedNews {
				line = strconv.AppendInt(append(line[:0], wordDone...), n, 10)
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return fmt.Errorf("tell the driver: %w", err)
			}
		}
	}
}

// appNews is what the driver does with the app's lines; each may be nil.
type appNews struct {
	url    func(string)
	synced func()
	done   func(n int64)
}

// hear reads the app's lines until they end; a line it does not know is an error.
func (h appNews) hear(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, wordURL):
			h.url(line[len(wordURL):])
		case line == wordSynced:
			h.synced()
		case strings.HasPrefix(line, wordDone):
			n, err := strconv.ParseInt(line[len(wordDone):], 10, 64)
			if err != nil {
				return fmt.Errorf("app said %q: %w", line, err)
			}
			h.done(n)
		default:
			return fmt.Errorf("app said %q", line)
		}
	}
	return lines.Err()
}

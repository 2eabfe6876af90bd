package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to stop before it is killed.
const stopTimeout = 15 * time.Second

// child is a process that the bench started.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.Closer
	gone chan struct{} // closed when it has been waited for
	err  error         // how it ended; read it after gone
	tail *tail
}

// startChild starts a process with its stdout read by read and the end of its
// stderr kept. It is told to stop when ctx ends, and is in its own process
// group, so that a Ctrl-C reaches it through us and in order.
func startChild(ctx context.Context, name string, env []string, read func(io.Reader) error, path string, args ...string) (*child, error) {
	c := &child{name: name, gone: make(chan struct{}), tail: &tail{}}
	c.cmd = exec.CommandContext(ctx, path, args...)
	c.cmd.Env = append(c.cmd.Environ(), env...)
	c.cmd.Stderr = c.tail
	c.cmd.SysProcAttr = childAttr()
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = stopTimeout
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.in = in
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		readErr := read(out)
		_, _ = io.Copy(io.Discard, out) // it must not block on what nobody reads
		if c.err = c.cmd.Wait(); c.err == nil {
			c.err = readErr
		}
		close(c.gone)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// errEnded means that a process ended by itself, with success.
var errEnded = errors.New("exit status 0")

// ended is how the process ended, never nil.
func (c *child) ended() error {
	if c.err == nil {
		return errEnded
	}
	return c.err
}

// failure describes a process that ended by itself.
func (c *child) failure() error {
	return fmt.Errorf("%s has ended; it said last: %s (%w)", c.name, c.tail, c.ended())
}

// stop asks the process to end, waits, and kills it when it does not.
func (c *child) stop() error {
	c.in.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended already
	select {
	case <-c.gone:
		return nil
	case <-time.After(stopTimeout):
		_ = c.cmd.Process.Kill()
		<-c.gone
		return fmt.Errorf("stop %s: it did not end in %v and was killed", c.name, stopTimeout)
	}
}

// tail keeps the last part of what is written to it, for an error text.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailBytes = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - tailBytes; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) == 0 {
		return "nothing"
	}
	return strings.TrimSpace(string(t.kept))
}

// freeAddr is a loopback address that nobody listened on a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a child of the test with its output in a file. It is killed when
// the test ends, and its last output is printed if the test failed.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed once the process has ended
	log  string        // path of its output
}

// startProcess starts argv with only env, PATH and HOME in its environment.
func startProcess(t *testing.T, name string, env []string, argv ...string) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".log")
	out, err := os.Create(path)
	require.NoError(t, err)
	defer out.Close()

	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	cmd.Dir = filepath.Dir(path)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start(), "start %s", name)

	p := &process{name: name, cmd: cmd, done: make(chan struct{}), log: path}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("output of %s (pid %d, %v):\n%s", name, cmd.Process.Pid, cmd.ProcessState, p.tail(8<<10))
		}
	})
	return p
}

// signal sends sig to this one process and waits until it has ended.
func (p *process) signal(sig os.Signal) error {
	p.cmd.Process.Signal(sig) // fails only when it has ended already
	select {
	case <-p.done:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("%s (pid %d) is alive 30 s after %v", p.name, p.cmd.Process.Pid, sig)
	}
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// tail returns the last bytes of the output.
func (p *process) tail(limit int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-limit):])
}

// freePort returns a loopback port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	// A connection that this side has closed first keeps the port for a minute from
	// those whom the system gives any port, and from nobody who asks for this one.
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	conn, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	return l.Addr().(*net.TCPAddr).Port
}

// eventually polls check until it returns nil. It fails the test with check's
// last error after limit.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %v: %v", limit, err)
		}
	}
}

// errNotYet is for conditions that have nothing more to say.
var errNotYet = errors.New("not yet")

package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if os.Getenv(goEndpointsEnv) != "" {
		fmt.Fprintln(os.Stderr, serveGoEndpoints())
		os.Exit(1)
	}
	code := m.Run()
	if dir, err := buildDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// guard skips the test unless the end-to-end tests were asked for. Once they
// are, a missing tool is a failure.
func guard(t *testing.T) {
	t.Helper()
	if os.Getenv("PAWL_E2E") != "1" && os.Getenv("CI") != "true" {
		t.Skip("end-to-end tests need Node, Python and a package registry; set PAWL_E2E=1 to run them")
	}
}

// buildDir is where this run's binary lives; TestMain removes it.
var buildDir = sync.OnceValues(func() (string, error) {
	return os.MkdirTemp("", "pawl-e2e-")
})

// binary builds pawl once and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("PAWL_E2E_BIN"); given != "" {
		return filepath.Abs(given)
	}
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "pawl")
	cmd := exec.Command("go", "build", "-o", path, "../cmd/pawl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build pawl: %w\n%s", err, out)
	}
	return path, nil
})

// sdk is one of the SDKs that the scenarios run with.
type sdk struct {
	name string // app id, and prefix of its functions and events
	dir  string
	lock string // the file whose hash says whether an installation is current
}

var (
	ts4 = sdk{name: "ts4", dir: "apps/ts4", lock: "package-lock.json"}
	ts3 = sdk{name: "ts3", dir: "apps/ts3", lock: "package-lock.json"}
	py  = sdk{name: "py", dir: "apps/py", lock: "requirements.txt"}

	// Apps of durable endpoints.
	node = sdk{name: "node", dir: "apps/ts4", lock: "package-lock.json"}
	next = sdk{name: "next", dir: "apps/next", lock: "package-lock.json"}
)

// contactForm is the example app, installed like an SDK's.
var contactForm = sdk{name: "contact-form", dir: "../examples/contact-form", lock: "package-lock.json"}

// command installs what the app needs, and returns the command that starts it.
func (s sdk) command(t *testing.T) []string {
	t.Helper()
	install, ok := installs[s.name]
	require.True(t, ok, "no installation for %s", s.name)
	require.NoError(t, install(), "install %s", s.name)
	dir, err := filepath.Abs(s.dir)
	require.NoError(t, err)
	switch s.name {
	case "py":
		return []string{filepath.Join(dir, ".venv/bin/python"), "-B", filepath.Join(dir, "app.py")}
	case "contact-form", "trip-booking", "deep-research":
		return []string{"node", filepath.Join(dir, "main.mjs")}
	case "go":
		return []string{"env", goEndpointsEnv + "=1", must(os.Executable())}
	case "node":
		return []string{"node", filepath.Join(dir, "endpoints.mjs")}
	case "next": // takes its port from the environment
		return []string{"node", filepath.Join(dir, "node_modules/next/dist/bin/next"), "start", dir, "-H", "127.0.0.1"}
	default:
		return []string{"node", filepath.Join(dir, "app.mjs")}
	}
}

// installs holds for each app a function that installs it once.
var installs = map[string]func() error{
	ts4.name:          installTS4,
	node.name:         installTS4, // it lives in the same directory
	goapp.name:        func() error { return nil },
	next.name:         sync.OnceValue(next.installNext),
	ts3.name:          sync.OnceValue(ts3.installNode),
	contactForm.name:  sync.OnceValue(contactForm.installNode),
	tripBooking.name:  sync.OnceValue(tripBooking.installNode),
	deepResearch.name: sync.OnceValue(deepResearch.installNode),
	py.name:           sync.OnceValue(py.installPython),
}

var installTS4 = sync.OnceValue(ts4.installNode)

func (s sdk) installNode() error {
	return s.installed(func() error {
		return run(s.dir, "npm", "ci", "--silent")
	})
}

// installNext also builds the app, unless it was built from the same files.
func (s sdk) installNext() error {
	if err := s.installNode(); err != nil {
		return err
	}
	files := []string{s.lock, "tsconfig.json", "next.config.mjs", "../ts/endpoints.mjs", "../ts/server.mjs"}
	for _, pattern := range []string{"lib/*.ts", "app/*/*.ts", "app/*/*/*.ts"} {
		found, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			rel, err := filepath.Rel(s.dir, path)
			if err != nil {
				return err
			}
			files = append(files, rel)
		}
	}
	return s.upToDate(".built", files, func() error {
		return run(s.dir, "env", "NEXT_TELEMETRY_DISABLED=1", "npm", "run", "--silent", "build")
	})
}

func (s sdk) installPython() error {
	return s.installed(func() error {
		if err := run(s.dir, "python3", "-c", "import sys; assert sys.version_info >= (3, 11), sys.version"); err != nil {
			return err
		}
		if err := run(s.dir, "python3", "-m", "venv", "--clear", ".venv"); err != nil {
			return err
		}
		return run(s.dir, ".venv/bin/pip", "install", "--quiet", "--requirement", "requirements.txt")
	})
}

// installed runs install unless the last successful installation in this
// checkout had the same lock file.
func (s sdk) installed(install func() error) error {
	return s.upToDate(".installed", []string{s.lock}, install)
}

// upToDate runs work unless its last success, which the marker tells of, was with
// the same content of these files.
func (s sdk) upToDate(marker string, files []string, work func() error) error {
	sum := sha256.New()
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(b))
		sum.Write(b)
	}
	marker = filepath.Join(s.dir, marker)
	want := fmt.Sprintf("%x\n", sum.Sum(nil))
	got, err := os.ReadFile(marker)
	if err == nil && string(got) == want {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	return os.WriteFile(marker, []byte(want), 0o644)
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s in %s: %w\n%s", name, strings.Join(args, " "), dir, err, out)
	}
	return nil
}

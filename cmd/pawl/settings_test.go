package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

const (
	goodKey  = "signkey-test-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	otherKey = "signkey-test-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// loading is one way to start pawl.
type loading struct {
	mode    string
	args    []string
	environ []string
	file    string // content of pawl.yaml; "" for none
}

func (l loading) load(t *testing.T) (settings, error) {
	t.Helper()
	dir := t.TempDir()
	if l.file != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, fileName), []byte(l.file), 0o600))
	}
	flags := pflag.NewFlagSet(l.mode, pflag.ContinueOnError)
	addFlags(flags, l.mode)
	require.NoError(t, flags.Parse(l.args))
	ld := loader{mode: l.mode, flags: flags, environ: l.environ, dir: dir}
	return ld.load()
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const file = "drain: 2s\napp: [http://file:1/x, http://file:2/x]\nmax-calls: 7\nno-discovery: true\n"
	environ := []string{"PAWL_DRAIN=3s", "PAWL_APP=http://env:1/x,http://env:2/x", "PAWL_MAX_CALLS=8", "PAWL_PORT=tcp://10.0.0.1:80", "PAWL_LISTEN="}
	for _, tt := range []struct {
		name string
		loading
		drain    time.Duration
		app      []string
		maxCalls int
	}{
		{"default", loading{}, 30 * time.Second, nil, 1024},
		{"file over default", loading{file: file}, 2 * time.Second, []string{"http://file:1/x", "http://file:2/x"}, 7},
		{"environment over file", loading{file: file, environ: environ}, 3 * time.Second, []string{"http://env:1/x", "http://env:2/x"}, 8},
		{"flag over environment", loading{file: file, environ: environ, args: []string{"--drain=4s", "--app=http://flag/x", "--max-calls", "9"}}, 4 * time.Second, []string{"http://flag/x"}, 9},
		{"flag over environment, even the default", loading{environ: environ, args: []string{"--drain=30s", "--max-calls=1024"}}, 30 * time.Second, []string{"http://env:1/x", "http://env:2/x"}, 1024},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.mode = modeDev
			s, err := tt.load(t)
			require.NoError(t, err)
			require.Equal(t, tt.drain, s.Drain)
			require.Equal(t, tt.app, s.App)
			require.Equal(t, tt.maxCalls, s.MaxCalls)
			require.Equal(t, "127.0.0.1:8288", s.Listen)
			require.Equal(t, tt.file != "", s.NoDiscovery)
		})
	}
}

func TestKeysFromWhatSDKsRead(t *testing.T) {
	t.Parallel()
	s, err := loading{mode: modeServe, environ: []string{"INNGEST_SIGNING_KEY=" + goodKey, "INNGEST_EVENT_KEY=a,b"}}.load(t)
	require.NoError(t, err)
	require.Equal(t, goodKey, s.SigningKey)
	require.Equal(t, []string{"a", "b"}, s.EventKey)

	for _, environ := range [][]string{
		{"INNGEST_SIGNING_KEY=" + goodKey, "PAWL_SIGNING_KEY=" + otherKey, "PAWL_EVENT_KEY=c", "INNGEST_EVENT_KEY=a"},
		{"PAWL_SIGNING_KEY=" + otherKey, "INNGEST_SIGNING_KEY=" + goodKey, "INNGEST_EVENT_KEY=a", "PAWL_EVENT_KEY=c"},
	} {
		s, err = loading{mode: modeServe, environ: environ}.load(t)
		require.NoError(t, err)
		require.Equal(t, otherKey, s.SigningKey, "Pawl's own name wins")
		require.Equal(t, []string{"c"}, s.EventKey)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	keys := []string{"PAWL_SIGNING_KEY=" + goodKey, "PAWL_EVENT_KEY=e"}
	for _, tt := range []struct {
		name string
		loading
		db, durability string
	}{
		{"dev forgets", loading{mode: modeDev}, "", "none"},
		{"dev with a file keeps", loading{mode: modeDev, args: []string{"--db=sqlite:x.db"}}, "sqlite:x.db", "full"},
		{"serve keeps", loading{mode: modeServe, environ: keys}, "sqlite:pawl.db", "full"},
		{"what was asked for", loading{mode: modeServe, environ: keys, args: []string{"--durability=relaxed"}}, "sqlite:pawl.db", "relaxed"},
	} {
		s, err := tt.load(t)
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.db, s.DB, tt.name)
		require.Equal(t, tt.durability, s.Durability, tt.name)
	}
	s, err := loading{mode: modeServe, environ: keys, args: []string{"--listen=0.0.0.0:8288", "--app", "shop:3000/api/inngest"}}.load(t)
	require.NoError(t, err, "serve has keys, so it may listen anywhere")
	require.Equal(t, []string{"http://shop:3000/api/inngest"}, s.App)
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		loading
		want []string
	}{
		{"no keys", loading{mode: modeServe}, []string{"2 settings are wrong", "signing key is required", "event key is required", "openssl rand -hex 32"}},
		{"a bad key, which is not repeated", loading{mode: modeServe, environ: []string{"PAWL_SIGNING_KEY=signkey-test-SECRET", "PAWL_EVENT_KEY=a/SECRET"}}, []string{"--signing-key", "--event-key"}},
		{"dev on a network", loading{mode: modeDev, args: []string{"--listen=0.0.0.0:8288"}}, []string{"this machine only"}},
		{"dev on all addresses", loading{mode: modeDev, args: []string{"--listen=:8288"}}, []string{"this machine only"}},
		{"profiles on a network", loading{mode: modeDev, args: []string{"--debug-listen=:6060"}}, []string{"--debug-listen", "loopback"}},
		{"no port", loading{mode: modeDev, args: []string{"--listen=localhost"}}, []string{"host:port"}},
		{"another database", loading{mode: modeDev, args: []string{"--db=postgres://u:SECRET@h/d"}}, []string{"want sqlite:PATH"}},
		{"an unknown key in the file", loading{mode: modeDev, file: "drain: 1s\ndrian: 2s\n"}, []string{`pawl.yaml: there is no setting "drian"`}},
		{"a file that is no YAML", loading{mode: modeDev, file: "a: [\n"}, []string{"pawl.yaml cannot be read"}},
		{"a file that is missing", loading{mode: modeDev, args: []string{"--config=/nowhere.yaml"}}, []string{"/nowhere.yaml cannot be read"}},
		{
			"everything at once, each with where it came from",
			loading{mode: modeDev, args: []string{"--drain=x", "--log-format=xml"}, environ: []string{"PAWL_MAX_CALLS=many", "PAWL_LOG_LEVEL=loud"}, file: "poll-interval: 5\nno-discovery: maybe\napp: ftp://x\n"},
			[]string{"7 settings are wrong", "--drain: ", "PAWL_MAX_CALLS: ", "pawl.yaml: poll-interval: ", "pawl.yaml: no-discovery: ", "--app ftp://x", "--log-format xml", "--log-level loud"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := tt.load(t)
			var usage usageError
			require.ErrorAs(t, err, &usage)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "SECRET")
		})
	}
}

func TestEverySettingIsExplained(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{modeDev, modeServe} {
		for _, s := range allSettings(mode) {
			require.NotEmpty(t, s.help, s.key)
			require.NotEmpty(t, s.modes, s.key)
			require.Equal(t, strings.ToLower(s.key), s.key)
		}
	}
}

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

func TestRetentionSettings(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name                 string
		args                 []string
		runs, failed, events time.Duration
		acts                 time.Duration
		wrong                string
	}{
		{name: "default", runs: 30 * day, events: 30 * day, acts: 365 * day},
		{
			name: "given", args: []string{"--retention=12h", "--retention-failed=1w", "--retention-events=1d", "--retention-audit=90d"},
			runs: 12 * time.Hour, failed: 7 * day, events: day, acts: 90 * day,
		},
		{name: "for ever", args: []string{"--retention=0", "--retention-events=0s", "--retention-audit=0s"}},
		{name: "too short", args: []string{"--retention-events=1h"}, wrong: "--retention-events 1h0m0s: must be 0s or at least 24h0m0s"},
		{name: "not a duration", args: []string{"--retention=month"}, wrong: `--retention: "month" is not a duration; write it as 30s, 5m or 30d`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := loading{mode: modeDev, args: tt.args}.load(t)
			if tt.wrong != "" {
				require.ErrorContains(t, err, tt.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []time.Duration{tt.runs, tt.failed, tt.events, tt.acts},
				[]time.Duration{s.Retention, s.RetentionFailed, s.RetentionEvents, s.RetentionAudit})
		})
	}
}

func TestSizesOfTheBacklog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		loading
		want  size
		wrong string
	}{
		{name: "default", want: 4 << 30},
		{name: "a flag", loading: loading{args: []string{"--max-backlog-bytes=512MiB"}}, want: 512 << 20},
		{name: "the environment", loading: loading{environ: []string{"PAWL_MAX_BACKLOG_BYTES=5000000"}}, want: 5_000_000},
		{name: "the file", loading: loading{file: "max-backlog-bytes: 1.5 GB\n"}, want: 1_500_000_000},
		{name: "not a size", loading: loading{args: []string{"--max-backlog-bytes=lots"}}, wrong: `--max-backlog-bytes: "lots" is not a number of bytes; write it as 1000000, 512MiB or 4GiB`},
		{name: "negative", loading: loading{args: []string{"--max-backlog-bytes=-1"}}, wrong: `"-1" is not a number of bytes`},
		{name: "more than there is", loading: loading{args: []string{"--max-backlog-bytes=9EB"}}, want: 9e18},
		{name: "more than can be counted", loading: loading{args: []string{"--max-backlog-bytes=10EB"}}, wrong: "is not a number of bytes"},
		{name: "less than an event", loading: loading{environ: []string{"PAWL_MAX_BACKLOG_BYTES=1MiB"}}, wrong: "PAWL_MAX_BACKLOG_BYTES 1048576: must be at least 4MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.mode = modeDev
			s, err := tt.load(t)
			if tt.wrong != "" {
				require.ErrorContains(t, err, tt.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, s.MaxBacklogBytes)
		})
	}
}

// A value may end as secrets in base64 do.
func TestAValueMayEndInAnEqualsSign(t *testing.T) {
	t.Parallel()
	const secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	s, err := loading{mode: modeDev, environ: []string{"PAWL_ALERT_SECRET=" + secret, "PAWL_ALERT_WEBHOOK=https://example.com/?key=", "PAWL_LISTEN="}}.load(t)
	require.NoError(t, err)
	require.Equal(t, secret, s.AlertSecret)
	require.Equal(t, "https://example.com/?key=", s.AlertWebhook)
	require.Equal(t, "127.0.0.1:8288", s.Listen, "what is empty is not there")
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
	s, err := loading{mode: modeServe, environ: []string{"INNGEST_SIGNING_KEY=" + goodKey, "INNGEST_EVENT_KEY=first-key,second-key"}}.load(t)
	require.NoError(t, err)
	require.Equal(t, goodKey, s.SigningKey)
	require.Equal(t, []string{"first-key", "second-key"}, s.EventKey)

	for _, environ := range [][]string{
		{"INNGEST_SIGNING_KEY=" + goodKey, "PAWL_SIGNING_KEY=" + otherKey, "PAWL_EVENT_KEY=third-key", "INNGEST_EVENT_KEY=first-key"},
		{"PAWL_SIGNING_KEY=" + otherKey, "INNGEST_SIGNING_KEY=" + goodKey, "INNGEST_EVENT_KEY=first-key", "PAWL_EVENT_KEY=third-key"},
	} {
		s, err = loading{mode: modeServe, environ: environ}.load(t)
		require.NoError(t, err)
		require.Equal(t, otherKey, s.SigningKey, "Pawl's own name wins")
		require.Equal(t, []string{"third-key"}, s.EventKey)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	keys := []string{"PAWL_SIGNING_KEY=" + goodKey, "PAWL_EVENT_KEY=an-event-key"}
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
		{"no keys", loading{mode: modeServe}, []string{"2 settings are wrong", "PAWL_SIGNING_KEY=signkey-prod-$(openssl rand -hex 32)", "PAWL_EVENT_KEY=$(openssl rand -hex 16)"}},
		{"a bad key, which is not repeated", loading{mode: modeServe, environ: []string{"PAWL_SIGNING_KEY=signkey-test-SECRET", "PAWL_EVENT_KEY=a/SECRET"}}, []string{"PAWL_SIGNING_KEY: ", "PAWL_EVENT_KEY: "}},
		{"bad keys under the names of the SDKs", loading{mode: modeServe, environ: []string{"INNGEST_SIGNING_KEY=signkey-test-SECRET", "INNGEST_EVENT_KEY=a/SECRET"}}, []string{"INNGEST_SIGNING_KEY: ", "INNGEST_EVENT_KEY: "}},
		{"bad keys as flags", loading{mode: modeServe, args: []string{"--signing-key=SECRET", "--signing-key-previous=SECRET", "--event-key=a/SECRET"}}, []string{"3 settings", "--signing-key: ", "--signing-key-previous: ", "--event-key: "}},
		{
			"keys that are soon guessed",
			loading{mode: modeServe, args: []string{"--signing-key=signkey-prod-ab", "--signing-key-previous=abcd", "--event-key=a", "--event-key=abcdefg"}},
			[]string{"4 settings", "--signing-key: a key of 1 byte is soon guessed", "--signing-key-previous: a key of 2 bytes", "--event-key: a key of 1 character is", "--event-key: a key of 7 characters is"},
		},
		{"one key for both", loading{mode: modeServe, args: []string{"--signing-key", goodKey, "--event-key", goodKey}}, []string{"--event-key: this is the signing key"}},
		{"one key for both, without its prefix", loading{mode: modeServe, args: []string{"--signing-key", goodKey, "--event-key", goodKey[len("signkey-test-"):]}}, []string{"--event-key: this is the signing key"}},
		{"the old key for both", loading{mode: modeServe, args: []string{"--signing-key", goodKey, "--signing-key-previous", otherKey, "--event-key", otherKey}}, []string{"--event-key: this is the signing key"}},
		{"signs of life all the time", loading{mode: modeDev, args: []string{"--keep-alive", "1ms"}}, []string{"--keep-alive 1ms: must be at least 100ms"}},
		{"a negative pause", loading{mode: modeDev, args: []string{"--poll-interval", "-1s"}}, []string{"--poll-interval: -1s is less than nothing"}},
		{"alerts that nobody gets", loading{mode: modeDev, environ: []string{"PAWL_ALERT_WEBHOOK=ftp://x/SECRET"}, args: []string{"--alert-failures=-1", "--alert-interval=0s"}}, []string{
			"3 settings", "PAWL_ALERT_WEBHOOK: the url has to begin with http:// or https://", "--alert-failures -1: must be from 0 to 1000000", "--alert-interval: must be more than 0s",
		}},
		{"alerts that nobody can sign", loading{mode: modeDev, args: []string{"--alert-secret=SECRET"}}, []string{
			"2 settings", "--alert-secret: want whsec_ and 24 to 64 random bytes in base64; make one with", "--alert-secret: there is nothing to sign without --alert-webhook",
		}},
		{"a proxy", loading{mode: modeServe, args: []string{"--trusted-proxy=proxy.example.com"}}, []string{`--trusted-proxy: "proxy.example.com" is no address, as 10.0.0.7, and no network, as 10.0.0.0/8`}},
		{"alerts by mail", loading{mode: modeServe, args: []string{"--alert-mail=smtp://x:SECRET@x", "--alert-webhook=https://x"}}, []string{
			"--alert-mail: want a URL such as smtp://", "--alert-mail: alerts are mailed or posted; leave out this or --alert-webhook",
		}},
		{"a word for an app", loading{mode: modeDev, args: []string{"--app", "notaurl"}}, []string{"--app notaurl: want a URL such as"}},
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
			[]string{"7 settings are wrong", "--drain: ", "PAWL_MAX_CALLS: ", "pawl.yaml: poll-interval: ", "pawl.yaml: no-discovery: ", "pawl.yaml: app ftp://x", "--log-format xml", "PAWL_LOG_LEVEL loud"},
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
			// The first word is written with a capital in the help, so it must be one
			// that may be: neither a value nor an abbreviation.
			first, _, _ := strings.Cut(s.help, " ")
			require.Equal(t, strings.ToUpper(first[:1])+strings.ToLower(first[1:]), first, s.key)
			require.NotContains(t, s.help, "full (default)")
		}
	}
}

func TestStepLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		loading
		want  int
		wrong string
	}{
		{want: 1000},
		{loading: loading{args: []string{"--max-steps=10000"}}, want: 10_000},
		{loading: loading{environ: []string{"PAWL_MAX_STEPS=1"}}, want: 1},
		{loading: loading{file: "max-steps: 2000\n"}, want: 2000},
		{loading: loading{args: []string{"--max-steps=10001"}}, wrong: "--max-steps 10001: must be from 1 to 10000"},
		{loading: loading{environ: []string{"PAWL_MAX_STEPS=0"}}, wrong: "PAWL_MAX_STEPS 0: must be from 1 to 10000"},
	} {
		tt.mode = modeDev
		s, err := tt.load(t)
		if tt.wrong != "" {
			require.ErrorContains(t, err, tt.wrong)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tt.want, s.MaxSteps)
	}
}

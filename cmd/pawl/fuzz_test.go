package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// FuzzSettingsFile reads settings files: each is taken or refused with a usage
// error, and what is taken passes the same checks again.
func FuzzSettingsFile(f *testing.F) {
	f.Add("drain: 2s\napp: [http://file:1/x]\nmax-calls: 7\nno-discovery: true\n", "PAWL_DRAIN=3s")
	f.Add("signing-key: "+goodKey+"\nevent-key: [a, b]\n", "PAWL_EVENT_KEY=,")
	f.Add("a: [\n", "PAWL_MAX_CALLS=99999999999999999999")
	f.Add("app: {a: {b: [c]}}\nlisten: [::1]:80\ndb: sqlite:\n", "=")
	f.Add("&a [*a, *a]", "PAWL_APP=http://[::1%25x]/")
	f.Fuzz(func(t *testing.T, file, environ string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []string{modeDev, modeServe} {
			flags := pflag.NewFlagSet(mode, pflag.ContinueOnError)
			addFlags(flags, mode)
			l := loader{mode: mode, flags: flags, environ: []string{environ}, dir: dir}
			s, err := l.load()
			if _, usage := errors.AsType[usageError](err); err != nil && !usage {
				t.Fatalf("%v is no usage error", err)
			}
			if err != nil {
				continue
			}
			if s.MaxCalls < 1 || s.Drain < 0 || s.PollInterval <= 0 {
				t.Fatalf("%+v", s)
			}
			if mode == modeServe && (s.SigningKey == "" || len(s.EventKey) == 0) {
				t.Fatal("serves without keys")
			}
			if _, err := s.keyring(); err != nil {
				t.Fatal(err)
			}
			if mode == modeDev && !strings.HasPrefix(s.Listen, "127.") && !strings.Contains(s.Listen, "localhost") && !strings.HasPrefix(s.Listen, "[") {
				t.Fatalf("dev listens on %s", s.Listen)
			}
		}
	})
}

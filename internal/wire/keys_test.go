package wire

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const testKey = "signkey-test-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func mustKey(tb testing.TB, raw string) Key {
	tb.Helper()
	k, err := ParseKey(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// bareHash is what is sent for the key of a test by who leaves out its prefix.
func bareHash(k Key) string { return strings.TrimPrefix(k.Hashed(), "signkey-test-") }

func TestParseKeyRefuses(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"nothing":           "",
		"upper case":        "signkey-test-ABCDEF",
		"odd length":        "signkey-test-abc",
		"no hex":            "signkey-test-",
		"not hex":           "signkey-test-zz",
		"no environment":    "signkey--abcd",
		"wrong environment": "signkey-te.st-abcd",
		"space":             " abcd",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseKey(raw)
			if err == nil {
				t.Fatal("accepted")
			}
			if len(raw) > 8 && strings.Contains(err.Error(), raw) {
				t.Errorf("the error repeats the key: %v", err)
			}
		})
	}
}

// The hash and the signature are vectors of the protocol notes 01 §4.3 and §4.4.
func TestKeyGolden(t *testing.T) {
	t.Parallel()
	k := mustKey(t, testKey)
	const hashed = "signkey-test-4884fdaafea47c29fea7159d0daddd9c085d6200e1359e85bb81736af6b7c837"
	if got := k.Hashed(); got != hashed {
		t.Errorf("Hashed() = %s, want %s", got, hashed)
	}
	body, err := Canonical([]byte(`{"version":-1,"steps":{},"events":[],"event":{"name":"a","ts":1700000000000,` +
		`"data":{"z":1.0,"a":1e21,"\u00e9":"\u00fc"}},"ctx":{"run_id":"r","attempt":0}}`))
	if err != nil {
		t.Fatal(err)
	}
	const canonical = `{"ctx":{"attempt":0,"run_id":"r"},"event":{"data":{"a":1e+21,"z":1,"é":"ü"},` +
		`"name":"a","ts":1700000000000},"events":[],"steps":{},"version":-1}`
	if string(body) != canonical {
		t.Errorf("Canonical = %s, want %s", body, canonical)
	}
	const sig = "t=1700000000&s=0eec77c0bb5a396c5a006b14925fcb815526833f0c163eba6b0564d776d013f5"
	if got := k.Sign(time.Unix(1700000000, 0), body); got != sig {
		t.Errorf("Sign = %s, want %s", got, sig)
	}
	if got := (Key{}).Sign(time.Unix(1700000000, 0), body); got != "" {
		t.Errorf("the zero key signs %q", got)
	}
}

func TestKeyNeverPrintsItself(t *testing.T) {
	t.Parallel()
	k := mustKey(t, testKey)
	hidden := struct{ k Key }{k}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "ring", Keyring{Current: k, Previous: []Key{k}})
	for _, s := range []string{
		k.String(), fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %q %x %s %d", k, k, k, k, k, k, k),
		fmt.Sprintf("%v %+v %#v", Keyring{Current: k, Previous: []Key{k}}, hidden, &hidden), log.String(),
	} {
		if strings.Contains(s, "0123456789abcdef") || strings.Contains(s, bareHash(k)) {
			t.Errorf("the key shows in %q", s)
		}
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	k, old := mustKey(t, testKey), mustKey(t, "signkey-prod-00ff")
	bare := mustKey(t, "aabbcc")
	ring := Keyring{Current: k, Previous: []Key{old, bare}}
	secret := strings.TrimPrefix(testKey, "signkey-test-")
	for _, tt := range []struct {
		name, header string
		ok           bool
	}{
		{"hashed", "Bearer " + k.Hashed(), true},
		{"hash without prefix", "Bearer " + bareHash(k), true},
		{"raw", "Bearer " + testKey, true},
		{"scheme in lower case", "bearer " + k.Hashed(), true},
		{"previous hashed", "Bearer " + old.Hashed(), true},
		{"previous raw", "Bearer signkey-prod-00ff", true},
		{"bare key hashed", "Bearer " + bare.Hashed(), true},
		{"bare key hashed by an app that knows its environment", "Bearer signkey-x-" + bareHash(bare), true},
		{"bare key raw", "Bearer aabbcc", true},
		{"other environment", "Bearer signkey-prod-" + bareHash(k), false},
		{"raw without prefix", "Bearer " + secret, false},
		{"no header", "", false},
		{"nothing after Bearer", "Bearer", false},
		{"Bearer and a space", "Bearer ", false},
		{"undefined", "Bearer undefined", false},
		{"other scheme", "Basic " + k.Hashed(), false},
		{"one character off", "Bearer " + k.Hashed()[:len(k.Hashed())-1] + "0", false},
		{"more behind it", "Bearer " + k.Hashed() + "0", false},
		{"prefix only", "Bearer signkey-test-", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := ring.Authorize(tt.header)
			if (err == nil) != tt.ok {
				t.Errorf("Authorize(%q) = %v, want ok %v", tt.header, err, tt.ok)
			}
			if err != nil && !errors.Is(err, ErrUnauthorized) {
				t.Errorf("error is %v, want ErrUnauthorized", err)
			}
			if (Keyring{}).Authorize(tt.header) == nil {
				t.Error("an empty ring lets it in")
			}
		})
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000000, 0)
	k, old, other := mustKey(t, testKey), mustKey(t, "signkey-test-00ff"), mustKey(t, "signkey-test-ffff")
	ring := Keyring{Current: k, Previous: []Key{old}}
	msg := []byte(`{"a":1}`)
	at := func(k Key, d time.Duration) string { return k.Sign(now.Add(d), msg) }
	good := at(k, 0)
	for _, tt := range []struct {
		name, header string
		ok           bool
	}{
		{"current key", good, true},
		{"previous key", at(old, 0), true},
		{"299 s ago", at(k, -299*time.Second), true},
		{"300 s ago", at(k, -300*time.Second), true},
		{"301 s ago", at(k, -301*time.Second), false},
		{"300 s ahead", at(k, 300*time.Second), true},
		{"301 s ahead", at(k, 301*time.Second), false},
		{"unknown key", at(other, 0), false},
		{"missing", "", false},
		{"no time", "s=" + good[len("t=1700000000&s="):], false},
		{"no mac", "t=1700000000", false},
		{"other order", good[len("t=1700000000&"):] + "&t=1700000000", false},
		{"twice", good + "&" + good, false},
		{"space", good + " ", false},
		{"upper-case mac", strings.ToUpper(good[len("t=1700000000&s="):]), false},
		{"zero in front", "t=01700000000&s=" + good[len("t=1700000000&s="):], false},
		{"negative time", "t=-1&s=" + good[len("t=1700000000&s="):], false},
		{"time beyond int64", "t=99999999999999999999&s=" + good[len("t=1700000000&s="):], false},
		{"time of year 33658", "t=999999999999&s=" + good[len("t=1700000000&s="):], false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := ring.Verify(tt.header, msg, now)
			if (err == nil) != tt.ok {
				t.Errorf("Verify(%q) = %v, want ok %v", tt.header, err, tt.ok)
			}
			if err != nil && !errors.Is(err, ErrSignature) {
				t.Errorf("error is %v, want ErrSignature", err)
			}
			if (Keyring{}).Verify(tt.header, msg, now) == nil {
				t.Error("an empty ring lets it in")
			}
		})
	}
	for i := range good {
		flipped := []byte(good)
		flipped[i] ^= 1
		if ring.Verify(string(flipped), msg, now) == nil {
			t.Errorf("accepted with byte %d of the header changed", i)
		}
	}
	if ring.Verify(good, []byte(`{"a":2}`), now) == nil {
		t.Error("accepted for another body")
	}
}

func FuzzVerify(f *testing.F) {
	k := mustKey(f, testKey)
	now := time.Unix(1700000000, 0)
	f.Add(k.Sign(now, []byte("x")), []byte("x"))
	f.Add("t=1&s=", []byte(""))
	f.Add("t=&s=00", []byte("{}"))
	f.Fuzz(func(t *testing.T, header string, msg []byte) {
		ring := Keyring{Current: k}
		if ring.Verify(header, msg, now) == nil {
			at, _, _ := strings.Cut(strings.TrimPrefix(header, "t="), "&")
			for off := -SignatureWindow; off <= SignatureWindow; off += time.Second {
				if s := k.Sign(now.Add(off), msg); s == header {
					return
				}
			}
			t.Fatalf("accepted a header nobody signed, t=%s", at)
		}
	})
}

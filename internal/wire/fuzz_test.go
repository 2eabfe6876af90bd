package wire

import (
	"strings"
	"testing"
)

// FuzzAuthorize: nobody gets in but with one of the forms of a key.
func FuzzAuthorize(f *testing.F) {
	k := mustKey(f, testKey)
	f.Add("Bearer " + k.Hashed())
	f.Add("Bearer " + testKey)
	f.Add("bearer  " + bareHash(k))
	f.Add("Basic x")
	f.Add("Bearer signkey-test-")
	f.Fuzz(func(t *testing.T, header string) {
		if (Keyring{Current: k}).Authorize(header) != nil {
			return
		}
		_, given, _ := strings.Cut(header, " ")
		switch strings.TrimSpace(given) {
		case k.Hashed(), bareHash(k), testKey:
		default:
			t.Fatalf("%q was let in", header)
		}
	})
}

// FuzzParseKey: a key that is taken signs, and never stands in an error.
func FuzzParseKey(f *testing.F) {
	f.Add(testKey)
	f.Add("signkey-prod-00ff")
	f.Add("signkey--")
	f.Add("aabbcc")
	f.Fuzz(func(t *testing.T, raw string) {
		k, err := ParseKey(raw)
		if err != nil {
			if len(raw) > 12 && strings.Contains(err.Error(), raw) {
				t.Fatalf("the error repeats the key: %v", err)
			}
			return
		}
		msg := []byte("x")
		if err := (Keyring{Current: k}).Verify(k.Sign(noon, msg), msg, noon); err != nil {
			t.Fatal(err)
		}
		if err := (Keyring{Current: k}).Authorize("Bearer " + k.Hashed()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzURLs: a URL that can be called keeps its function, is known by one name,
// and shows no secret.
func FuzzURLs(f *testing.F) {
	f.Add("http://localhost:3000/api/inngest?fnId=a&stepId=step", "86f7")
	f.Add("https://u:p@h/%2f;x?a=1&&stepId=x#f", "")
	f.Add("ws://[::1]:80", "a b&c")
	f.Add("http://h:%zz", "x")
	f.Fuzz(func(t *testing.T, raw, step string) {
		if shown := PublicURL(raw); strings.ContainsAny(shown, "?#") {
			t.Fatalf("PublicURL(%q) = %q", raw, shown)
		}
		called, err := CallURL(raw, step)
		if err != nil {
			return
		}
		if again, err := CallURL(called, step); err != nil || again != called {
			t.Fatalf("CallURL(%q) = %q, and again %q, %v", raw, called, again, err)
		}
		known, err := NormalizeURL(raw)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := NormalizeURL(known); err != nil || again != known {
			t.Fatalf("NormalizeURL(%q) = %q, and again %q, %v", raw, known, again, err)
		}
	})
}

// FuzzParseInBand: a registration in band is taken or refused as one that an app
// sends by itself.
func FuzzParseInBand(f *testing.F) {
	f.Add([]byte(`{"app_id":"shop","functions":[],"sdk":"js:v4.24.0","url":"http://localhost:3000/api/inngest"}`), "inngest-js:v4.24.0")
	f.Add([]byte(`{"app_id":5,"functions":{}}`), "")
	f.Fuzz(func(t *testing.T, body []byte, sdk string) {
		r, err := ParseInBand(body, sdk)
		own, ownErr := ParseRegistration(body)
		if (err == nil) != (ownErr == nil) || err == nil && (r.App != own.App || len(r.Functions) != len(own.Functions)) {
			t.Fatalf("in band %+v, %v; by itself %+v, %v", r, err, own, ownErr)
		}
	})
}

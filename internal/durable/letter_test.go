package durable

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestLetter(t *testing.T) {
	t.Parallel()
	again := func(n int, err Failure) func(*world) {
		return func(w *world) {
			for range n {
				c := w.claim(Discovery)
				w.feed(Dispatch{c})
				w.feed(Refusal{Claim: c, Err: err})
			}
		}
	}
	once := func(in func(Claim) Input) func(*world) {
		return func(w *world) {
			c := w.claim(Discovery)
			w.feed(Dispatch{c})
			w.feed(in(c))
		}
	}
	then := func(parts ...func(*world)) func(*world) {
		return func(w *world) {
			for _, p := range parts {
				p(w)
			}
		}
	}
	stripe := Failure{Name: "StripeError", Message: "stripe: 503"}
	cut := Failure{Name: "connection_lost", Message: "http://app hung up before it answered: EOF", Class: ClassCrash}
	slow := Failure{Name: "request_duration_too_long", Message: "no answer within 2h", Class: ClassTimeout}
	stepBroke := func(attempt int) func(*world) {
		return func(w *world) {
			for range attempt {
				once(func(c Claim) Input {
					return Answer{Claim: c, Ops: []Op{{Kind: OpError, Step: "a", Name: "charge", Err: stripe, Memo: ErrorMemo(stripe)}}}
				})(w)
			}
			once(func(c Claim) Input {
				return Answer{Claim: c, Ops: []Op{{Kind: OpFailed, Step: "a", Name: "charge", Err: stripe, Memo: ErrorMemo(stripe)}}}
			})(w)
		}
	}
	tries := func(n int) func(*world) { return func(w *world) { w.policy.MaxAttempts = n } }
	thrown := once(func(c Claim) Input { return Refusal{Claim: c, Err: stripe, NoRetry: true} })

	for _, tt := range []struct {
		name  string
		end   func(*world)
		class Class
		title string
		step  string
		tries int
		why   string
	}{
		{"a function out of tries", again(5, stripe), ClassError, "StripeError: stripe: 503", "", 5, "all 5 tries failed"},
		{
			"an error that is not to be tried again", once(func(c Claim) Input { return Refusal{Claim: c, Err: stripe, NoRetry: true} }),
			ClassNonRetriable, "StripeError: stripe: 503", "", 1, "the function said that trying again is useless",
		},
		{
			"a step out of tries whose error nobody caught", then(stepBroke(4), thrown),
			ClassError, "StripeError: stripe: 503", "charge", 5, "all 5 tries failed",
		},
		{
			"a step's error that is not to be tried again", then(stepBroke(0), thrown),
			ClassNonRetriable, "StripeError: stripe: 503", "charge", 1, "the function said that trying again is useless",
		},
		{
			"another error than the step's, which was caught",
			then(stepBroke(4), once(func(c Claim) Input {
				return Refusal{Claim: c, Err: Failure{Name: "Error", Message: "no money"}, NoRetry: true}
			})),
			ClassNonRetriable, "no money", "", 1, "the function said that trying again is useless",
		},
		// An SDK says of the error of a last try, too, that it is not to be tried again.
		{
			"the error of a function that is tried once", then(tries(1), thrown),
			ClassError, "StripeError: stripe: 503", "", 1, "its only try failed",
		},
		{
			"the error of a last try", then(tries(2), again(1, stripe), thrown),
			ClassError, "StripeError: stripe: 503", "", 2, "all 2 tries failed",
		},
		{
			"the error of a try before the last", then(tries(3), again(1, stripe), thrown),
			ClassNonRetriable, "StripeError: stripe: 503", "", 2, "the function said that trying again is useless",
		},
		{
			"the error of a step that is tried once", then(tries(1), stepBroke(0), thrown),
			ClassError, "StripeError: stripe: 503", "charge", 1, "its only try failed",
		},
		{
			"a poison run", again(5, cut), ClassCrash, cut.Message, "", 5,
			"the app died or hung up on each of 5 tries: this run may be what kills it",
		},
		{
			"an app that died in the end", then(again(4, stripe), again(1, cut)), ClassCrash, cut.Message, "", 5,
			"the app died or hung up on the last of 5 tries",
		},
		{
			"an app that died before it failed", then(again(1, cut), again(4, stripe)), ClassError, "StripeError: stripe: 503", "", 5,
			"all 5 tries failed",
		},
		{"an app that is slow", again(5, slow), ClassTimeout, slow.Message, "", 5, "the app did not answer in time, on each of 5 tries"},
		{"an app that is away for too long", func(w *world) {
			for !w.r.Status.Final() {
				once(func(c Claim) Input {
					return Refusal{Claim: c, Err: Failure{Name: "http_unreachable", Message: "cannot reach http://app"}, Away: true}
				})(w)
				w.now = w.now.Add(12 * time.Hour)
			}
		}, ClassUnreachable, "cannot reach http://app; it has been away for 24h0m0s", "", 1, "the app was away for 24h0m0s"},
		{
			"a result that is too large", once(func(c Claim) Input {
				return Return{Claim: c, Output: JSON(`"` + strings.Repeat("x", DefaultPolicy.MaxOutput) + `"`)}
			}), ClassLimit, "OutputTooLarge: the function's result has 4194306 bytes; the limit is 4194304", "", 1,
			"the run went over a limit, which another try would do as well",
		},
		{
			"an op that nobody knows", once(func(c Claim) Input { return Answer{Claim: c, Ops: []Op{{Kind: OpRefused, Op: "Dance", Name: "d"}}} }),
			ClassProtocol, `step "d" asks for Dance, which this version of Pawl cannot do`, "d", 1, "what answered could not be understood, on its only try",
		},
		{
			"an error of many lines", once(func(c Claim) Input {
				return Refusal{Claim: c, NoRetry: true, Err: Failure{Name: "Error", Message: "  a\x1b[2J\xff" + strings.Repeat("ä", 200) + "\nand more"}}
			}), ClassNonRetriable, "a\uFFFD" + strings.Repeat("ä", 117) + "…", "", 1, "the function said that trying again is useless",
		},
		{
			"an error without a message", once(func(c Claim) Input { return Refusal{Claim: c, NoRetry: true, Err: Failure{}} }),
			ClassNonRetriable, "unknown error", "", 1, "the function said that trying again is useless",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, order)
			tt.end(w)
			if len(w.letters) != 1 {
				t.Fatalf("%d dead letters of %s", len(w.letters), w)
			}
			got := w.letters[0]
			want := DeadLetter{
				Run: runID, Function: "shop-pay", App: "shop", Class: tt.class, Fingerprint: got.Fingerprint, Group: got.Group,
				Title: tt.title, Reason: tt.why, Step: tt.step, Attempts: tt.tries, Failed: w.r.Ended,
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(got.Fingerprint) != 16 {
				t.Errorf("fingerprint %q", got.Fingerprint)
			}
		})
	}
}

func TestNoLetterOfARunThatDidNotFail(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]func(Claim) Input{
		"completed": func(c Claim) Input { return Return{Claim: c, Output: JSON(`1`)} },
		"cancelled": func(Claim) Input { return Cancel{} },
		"retried":   func(c Claim) Input { return Refusal{Claim: c, Err: boom} },
		"a step failed": func(c Claim) Input {
			return Answer{Claim: c, Ops: []Op{{Kind: OpFailed, Step: "a", Err: boom, Memo: ErrorMemo(boom)}}}
		},
	} {
		w := newWorld(t, order)
		c := w.claim(Discovery)
		w.feed(Dispatch{c})
		w.feed(in(c))
		if len(w.letters) != 0 {
			t.Errorf("%s: %+v", name, w.letters)
		}
	}
}

func TestAlike(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"order 17 is gone", "order 4711 is gone", true},
		{"order 17 is gone", "order 17 is here", false},
		{"stripe: 503", "stripe: 503", true},
		{"stripe: 503", "stripe: 402", false},
		{"answered (status 502)", "answered (status 504)", false},
		{"took 503ms", "took 7ms", true},
		{"user 503a", "user 404b", true},
		{`no customer "ann"`, `no customer "bob"`, true},
		{"no customer 'ann'", "no customer 'bob b'", true},
		{"can't pay ann, won't try", "can't pay bob, won't try", false},
		{"connect ECONNREFUSED 127.0.0.1:3000", "connect ECONNREFUSED 10.0.0.7:80", true},
		{"connect ECONNREFUSED ::1:3000", "connect ECONNREFUSED [fe80::1:2:3]:80", true},
		{"connect ECONNREFUSED 127.0.0.1:3000", "connect ECONNRESET 127.0.0.1:3000", false},
		{"no cus_9s6XKzkNRiz8i3", "no cus_9s6XGDTHzA66Po", true},
		{"run 01JQDAE4RQF8MBCR55T5AK4KXS", "run 01JQDAE4RQF8MBCR55T5AK4KXT", true},
		{"3f2504e0-4f89-11d3-9a0c-0305e82c3301 is taken", "6fa459ea-ee8a-3ca4-894e-db77e160355e is taken", true},
		{"at 0xc000123456", "at 0xdeadbeefcafe", true},
		{"blob deadbeefcafebabe", "blob cafebabedeadbeef", true},
		{"took 1.5s", "took 12.25s", true},
		{"at 2026-03-01T12:00:00Z", "at 2027-11-30T01:59:59.123Z", true},
		{"mail to ann@example.com", "mail to bob.b@mail.example.org", true},
		{"GET https://a.example/x?y=1", "GET https://b.example/z", true},
		{"a  b\n c", "a b c", true},
		{"\x1b[31mred\x1b[0m \x1b[1;38;5;9mand bold\x1b[m", "red and bold", true},
		{strings.Repeat("x ", 2000) + "a", strings.Repeat("x ", 2000) + "b", true},
	} {
		a, b := alike(tt.a), alike(tt.b)
		if (a == b) != tt.same {
			t.Errorf("%.50q and %.50q: %.80q and %.80q, want the same: %v", tt.a, tt.b, a, b, tt.same)
		}
	}
	f := Failure{Name: "A", Message: "m"}
	prints := map[string]bool{}
	for _, p := range []string{
		fingerprint("f", ClassError, f), fingerprint("g", ClassError, f), fingerprint("f", ClassCrash, f),
		fingerprint("f", ClassError, Failure{Name: "B", Message: "m"}), fingerprint("f", ClassError, Failure{Name: "A", Message: "n"}),
	} {
		prints[p] = true
	}
	if len(prints) != 5 {
		t.Errorf("function, class, name and message each count: %v", prints)
	}
}

// TestCrashesLookAlike: whether a dying app's system says EOF or sends a reset
// is chance.
func TestCrashesLookAlike(t *testing.T) {
	t.Parallel()
	crash := func(how string) string {
		return fingerprint("f", ClassCrash, Failure{Name: "connection_lost", Message: "http://localhost:3000 hung up before it answered: " + how})
	}
	if eof, reset := crash("EOF"), crash("read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer"); eof != reset {
		t.Errorf("fingerprints %s and %s", eof, reset)
	}
}

// TestGroupTitle: a group has one name, whichever of its failures came last.
func TestGroupTitle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, message string
		class         Class
		want          string
	}{
		{"Error", "account 52 is closed", ClassError, "account … is closed"},
		{"Error", "account 0 is closed", ClassError, "account … is closed"},
		{"StripeError", "stripe: 503 for cus_9s6", ClassError, "StripeError: stripe: 503 for …"},
		{"Error", "stripe: 402", ClassError, "stripe: 402"},
		{"Error", `no customer "ann" (ann@example.com)`, ClassError, "no customer … (…)"},
		{"Error", "Invalid URL at 2026-03-01 12:00:00", ClassError, "Invalid URL at …"},
		{"Error", "one is zero", ClassError, "one is zero"},
		{"Error", "4711", ClassError, "Error: …"},
		{"Error", "", ClassError, "unknown error"},
		{"Error", "\n  first 1\n  second", ClassError, "first …"},
		{"http_unreachable", "cannot reach http://127.0.0.1:8433: dial tcp 127.0.0.1:8433: connect: connection refused", ClassUnreachable, "cannot reach … dial tcp …: connect: connection refused"},
		{"connection_lost", "http://127.0.0.1:8433 hung up before it answered: read tcp 127.0.0.1:55948->127.0.0.1:8433: EOF", ClassCrash, "the app hung up before it answered"},
	} {
		if got := groupTitle(Failure{Name: tt.name, Message: tt.message}, tt.class); got != tt.want {
			t.Errorf("%q: title %q, want %q", tt.message, got, tt.want)
		}
	}
}

// compared is a message as it has always been compared: the groups that there are
// go by it.
func compared(message string) string {
	if len(message) > maxAlike {
		message = message[:maxAlike]
	}
	message = Unstyled(strings.ToValidUTF8(message, ""))
	for _, v := range varying[:4] {
		message = v.what.ReplaceAllString(message, v.as)
	}
	message = status.ReplaceAllStringFunc(message, digits.Replace)
	for _, v := range varying[4:] {
		message = v.what.ReplaceAllString(message, v.as)
	}
	return strings.TrimSpace(message)
}

func FuzzAlike(f *testing.F) {
	f.Add("order 17 \"is\" gone at 127.0.0.1:80, 503 http://x")
	f.Fuzz(func(t *testing.T, message string) {
		once := alike(message)
		if want := compared(message); once != want {
			t.Errorf("%q is compared as %q, and was as %q", message, once, want)
		}
		if len(once) > 4*len(message)+len("URL") {
			t.Errorf("%d bytes became %d", len(message), len(once))
		}
		if s := title(Failure{Name: message, Message: message}, ClassError); s == "" || strings.ContainsAny(s, "\n\x1b") {
			t.Errorf("title %q", s)
		}
	})
}

// TestTitlesAreCleanedBeforeTheyAreCut: of what was taken apart by then nobody could
// tell what it was. Letters are alike by what was really said.
func TestTitlesAreCleanedBeforeTheyAreCut(t *testing.T) {
	t.Parallel()
	letter := func(clean func(string) string) *DeadLetter {
		p := DefaultPolicy
		p.Clean = clean
		x := turn{r: &Run{ID: "r", Function: "f"}, p: p}
		return x.letter(Failure{Name: "Error", Message: strings.Repeat("y ", 40) + `said "x: {"holder":"` + strings.Repeat("Ann Lee ", 10) + `"}`})
	}
	plain := letter(nil)
	if !strings.Contains(plain.Title, "Ann") {
		t.Fatalf("the title %q has not what is to be taken out", plain.Title)
	}
	clean := letter(func(text string) string { return strings.ReplaceAll(text, "Ann Lee ", "-") })
	for _, title := range []string{clean.Title, clean.Group} {
		if strings.Contains(title, "Ann") {
			t.Errorf("the title %q has what was to be taken out", title)
		}
	}
	if clean.Fingerprint != plain.Fingerprint {
		t.Error("the letter is of another group")
	}
}

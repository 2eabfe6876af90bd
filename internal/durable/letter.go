package durable

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Class says what kind of failure ended a run.
type Class string

// The classes. The words are stored; they never change.
const (
	ClassError        Class = "error"         // the function, or a step of it, threw until it was out of tries
	ClassNonRetriable Class = "non_retriable" // the function said, with tries left, that trying again is useless
	ClassUnreachable  Class = "unreachable"   // the app was away for too long, or cannot be called at all
	ClassCrash        Class = "crash"         // the connection broke while the app worked on the run
	ClassTimeout      Class = "timeout"       // the app did not answer in time
	ClassProtocol     Class = "protocol"      // what answered is no app, or its answer cannot be understood
	ClassLimit        Class = "limit"         // too many steps, too much state, too large a result
)

// Classes are all of them, for people to choose from.
var Classes = []Class{
	ClassError, ClassNonRetriable, ClassUnreachable, ClassCrash, ClassTimeout, ClassProtocol, ClassLimit,
}

// DeadLetter is what a run leaves that failed for good, for a person to find:
// what it was, in one line, and which others look like it. The whole story is
// the run's journal.
type DeadLetter struct {
	Run      string
	Function string // slug
	App      string
	Class    Class
	// Fingerprint is the same for failures that look alike: those of one
	// function and class whose error has the same name and, but for numbers,
	// ids, addresses and what stands in quotes, the same message. Crashes of one
	// function all look alike.
	Fingerprint string
	Title       string // the error in one line
	// Group is the title of all that look alike, with "…" for what differs between
	// them. It is kept with the group alone: a letter that is read has none.
	Group    string
	Reason   string // why there was no further try, as a sentence
	Step     string // name of the step that broke; "" when it was the function's body
	Attempts int    // tries of what broke
	Failed   time.Time
}

// letter is the dead letter of a run that ends with f.
func (t *turn) letter(f Failure) *DeadLetter {
	l := &DeadLetter{
		Run: t.r.ID, Function: t.r.Function, App: t.r.App, Class: f.Class,
		Step: t.where, Attempts: max(t.tries, 1), Failed: t.now,
	}
	if l.Class == "" {
		l.Class = ClassError
	}
	if t.noRetry && l.Class == ClassError {
		// An SDK also says so of the error of a step that the function did not
		// catch: the step's tries count then.
		if b := t.broken(f); b != nil {
			l.Step, l.Attempts = b.Name, b.Attempt+1
		}
		// And of any error of the last try: it tells something only while tries
		// are left.
		if l.Attempts < t.p.MaxAttempts {
			l.Class = ClassNonRetriable
		}
	}
	shown := f
	if t.p.Clean != nil {
		shown.Message = t.p.Clean(f.Message)
	}
	l.Title = title(shown, l.Class)
	if l.Reason = t.reason; l.Reason == "" {
		l.Reason = l.reason(t.cuts)
	}
	l.Fingerprint, l.Group = fingerprint(t.r.Function, l.Class, f), groupTitle(shown, l.Class)
	return l
}

// Broken is a step that failed for good.
type Broken struct {
	Step    string // hashed id
	Name    string
	Attempt int // the last, from 0
}

// broken is the step whose error f is, if it is one's.
func (t *turn) broken(f Failure) *Broken {
	b := t.r.Broken
	for _, e := range t.c.Entries { // in this very answer
		if e.Kind == StepFailed {
			b = &Broken{e.Step, e.Name, e.Attempt}
			if bytes.Contains(e.Data, []byte(quote(f.Message))) {
				return b
			}
		}
	}
	if b == nil || t.r.Steps[b.Step] == nil || !bytes.Contains(t.r.Steps[b.Step].Memo, []byte(quote(f.Message))) {
		return nil
	}
	return b
}

// reason says why there was no further try; cuts is how many of the tries
// ended with a broken connection.
func (l *DeadLetter) reason(cuts int) string {
	tries := "its only try"
	if l.Attempts > 1 {
		tries = fmt.Sprintf("each of %d tries", l.Attempts)
	}
	switch l.Class {
	case ClassNonRetriable:
		return "the function said that trying again is useless"
	case ClassUnreachable:
		return "the app could not be called, on " + tries
	case ClassCrash:
		switch {
		case l.Attempts > 1 && cuts >= l.Attempts:
			return fmt.Sprintf("the app died or hung up on each of %d tries: this run may be what kills it", l.Attempts)
		case l.Attempts > 1:
			return fmt.Sprintf("the app died or hung up on the last of %d tries", l.Attempts)
		}
		return "the app died or hung up on its only try"
	case ClassTimeout:
		return "the app did not answer in time, on " + tries
	case ClassProtocol:
		return "what answered could not be understood, on " + tries
	case ClassLimit:
		return "the run went over a limit, which another try would do as well"
	default:
		if l.Attempts > 1 {
			return fmt.Sprintf("all %d tries failed", l.Attempts)
		}
		return "its only try failed"
	}
}

// styling is what programs that write to a terminal put into their text.
var styling = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// Unstyled is s without the sequences that colour text on a terminal or move
// its cursor. Other control characters stay.
func Unstyled(s string) string {
	if !strings.Contains(s, "\x1b") {
		return s
	}
	return styling.ReplaceAllString(s, "")
}

// maxTitle bounds a title, in characters.
const maxTitle = 120

// title is a failure in one line. Names that say nothing, such as "Error" or
// the server's own codes, are left out.
func title(f Failure, c Class) string {
	text := f.Message
	switch c {
	case ClassUnreachable, ClassCrash, ClassTimeout, ClassProtocol:
	default:
		if f.Name != "" && f.Name != "Error" && !strings.HasPrefix(text, f.Name) {
			text = f.Name + ": " + text
		}
	}
	for line := range strings.Lines(Unstyled(strings.ToValidUTF8(text, "\uFFFD"))) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, line))
		if runes := []rune(line); len(runes) > maxTitle {
			return string(runes[:maxTitle-1]) + "…"
		}
		if line != "" {
			return line
		}
	}
	return "unknown error"
}

// maxAlike is how much of a message counts when two are compared, in bytes.
const maxAlike = 2 << 10

// varying is what differs between two messages that say the same, with what
// stands for it.
var varying = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`), "URL"},
	{regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]+`), "MAIL"},
	{regexp.MustCompile(`"[^"]*"|` + "`[^`]*`" + `|\B'[^']*'\B`), "…"},
	{regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b|\[?[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){3,7}\]?(:\d+)?`), "ADDR"},
	// What only an id or a number looks like: a word with a digit in it.
	{regexp.MustCompile(`[\w-]*\d[\w-]*([.,:/][\w-]*\d[\w-]*)*`), "#"},
	{regexp.MustCompile(`\b[0-9a-fA-F]{12,}\b`), "#"},
	{regexp.MustCompile(`\s+`), " "},
}

// status finds an error status of HTTP that stands alone.
var status = regexp.MustCompile(`(^|[\s:(=])(4[0-2]\d|451|50\d|51[01])($|[\s:;,.)])`)

// digits keep a status from being taken for a number like any other: "stripe:
// 503" and "stripe: 402" are two troubles.
var digits = strings.NewReplacer("0", "zero", "1", "one", "2", "two", "3", "three", "4", "four",
	"5", "five", "6", "six", "7", "seven", "8", "eight", "9", "nine")

// numbers undoes it.
var numbers = strings.NewReplacer("zero", "0", "one", "1", "two", "2", "three", "3", "four", "4",
	"five", "5", "six", "6", "seven", "7", "eight", "8", "nine", "9")

// What a byte of a pattern stands for.
const (
	itself  byte = iota
	varies       // a part that differs between messages that say the same
	spelled      // a status in words
	line         // an end of a line
)

// pattern is what messages that say the same have in common: its text is what is
// compared, and kinds says of each byte of it what it stands for.
type pattern struct {
	text  string
	kinds []byte
}

func newPattern(message string) *pattern {
	if len(message) > maxAlike {
		message = message[:maxAlike]
	}
	message = Unstyled(strings.ToValidUTF8(message, ""))
	p := &pattern{message, make([]byte, len(message))}
	for _, v := range varying[:4] {
		p.replace(v.what, 0, varies, v.as)
	}
	p.replace(status, 2, spelled, "")
	for _, v := range varying[4:] {
		kind := varies
		if v.as == " " {
			kind = itself
		}
		p.replace(v.what, 0, kind, v.as)
	}
	return p
}

// replace puts something in the place of a group of what an expression finds: a
// word, or, for the kind spelled, what is there in words.
func (p *pattern) replace(what *regexp.Regexp, group int, kind byte, as string) {
	found := what.FindAllStringSubmatchIndex(p.text, -1)
	if found == nil {
		return
	}
	var text strings.Builder
	var kinds []byte
	at := 0
	for _, m := range found {
		from, to := m[2*group], m[2*group+1]
		text.WriteString(p.text[at:from])
		kinds = append(kinds, p.kinds[at:from]...)
		word, of := as, kind
		switch {
		case kind == spelled:
			word = digits.Replace(p.text[from:to])
		case kind == itself && strings.Contains(p.text[from:to], "\n"):
			of = line
		}
		text.WriteString(word)
		kinds = append(kinds, bytes.Repeat([]byte{of}, len(word))...)
		at = to
	}
	text.WriteString(p.text[at:])
	p.text, p.kinds = text.String(), append(kinds, p.kinds[at:]...)
}

// repeats are parts that vary and stand beside each other.
var repeats = regexp.MustCompile(`…(\s*…)+`)

// shown is the pattern as a person reads it: what varies is "…".
func (p *pattern) shown() string {
	var b strings.Builder
	for at := 0; at < len(p.text); {
		to := at + 1
		for to < len(p.text) && p.kinds[to] == p.kinds[at] {
			to++
		}
		switch p.kinds[at] {
		case varies:
			b.WriteString("…")
		case spelled:
			b.WriteString(numbers.Replace(p.text[at:to]))
		case line:
			b.WriteString("\n")
		default:
			b.WriteString(p.text[at:to])
		}
		at = to
	}
	return repeats.ReplaceAllString(b.String(), "…")
}

// alike is what a message has in common with those that say the same.
func alike(message string) string { return strings.TrimSpace(newPattern(message).text) }

// groupTitle names the failures that look like f: the same for each of them.
func groupTitle(f Failure, c Class) string {
	if c == ClassCrash {
		return "the app hung up before it answered"
	}
	text := newPattern(f.Message).shown()
	if text != "" && !strings.ContainsFunc(text, unicode.IsLetter) { // nothing but what varies
		text = cmp.Or(f.Name, "Error") + ": " + text
	}
	return title(Failure{Name: f.Name, Message: text}, c)
}

// fingerprint is the same for failures that look alike.
func fingerprint(function string, c Class, f Failure) string {
	message := f.Message
	if c == ClassCrash {
		message = "" // how a connection broke, the dying app's system decides
	}
	sum := sha256.Sum256([]byte(function + "\x00" + string(c) + "\x00" + f.Name + "\x00" + alike(message)))
	return hex.EncodeToString(sum[:8])
}

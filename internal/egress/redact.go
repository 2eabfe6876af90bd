package egress

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/wire"
)

const (
	// mask stands where a secret was. It can stand in a query as it is.
	mask = "***"
	// unreadable is what opts become that cannot be read.
	unreadable = `{"redacted":true}`
	// minSecret is the length from which a secret is also looked for where it
	// does not belong. Shorter ones are no secrets, and common in any text.
	minSecret = 4
	// Opts with more secrets or deeper than this are no honest step's; to look
	// into them would cost more than they are worth.
	maxSecrets = 256
	maxDepth   = 4
)

// Redact returns opts as they may be stored, logged and shown: the auth_key, the
// values of headers and query parameters that carry credentials, and a user in
// the URL are masked, and so is any other place where one of them stands again.
// A body is kept otherwise: it is data, as a step's input is. Opts that are not a
// JSON object are left out whole. The result is always a JSON object.
func Redact(op string, opts []byte) []byte {
	if len(opts) > wire.MaxAnswerBytes || wire.CheckJSON(opts) != nil {
		return []byte(unreadable)
	}
	members, err := objectMembers(opts)
	if err != nil {
		return []byte(unreadable)
	}
	var found secrets
	out := found.members(op, members, 1)
	if len(found) > maxSecrets {
		return []byte(unreadable)
	}
	clean, err := mapTexts(out, found.scrubber())
	if err != nil {
		return []byte(unreadable)
	}
	return clean
}

// RedactURL returns a URL as it may be stored, logged and shown: without a user,
// without the values of query parameters that carry credentials, and without a
// fragment. What cannot be read as a URL is masked whole.
func RedactURL(s string) string {
	var found secrets
	return found.url(s)
}

// secrets collects what was masked.
type secrets []string

func (s *secrets) add(v string) {
	if v = strings.TrimSpace(v); len(v) < minSecret || len(*s) > maxSecrets || slices.Contains(*s, v) {
		return
	}
	*s = append(*s, v)
	// "Bearer x" is mostly met again as x.
	if _, token, ok := strings.Cut(v, " "); ok && len(token) >= minSecret {
		*s = append(*s, token)
	}
}

// scrubber masks every secret that stands in a text; and the whole text when
// there are more secrets than were collected.
func (s secrets) scrubber() func(string) string {
	if len(s) > maxSecrets {
		return func(string) string { return mask }
	}
	// The longest first: one may be a part of another.
	longest := slices.SortedFunc(slices.Values(s), func(a, b string) int { return len(b) - len(a) })
	return func(t string) string {
		if len(t) < minSecret {
			return t
		}
		for _, v := range longest { // not a strings.Replacer, which long secrets make quadratic
			t = strings.ReplaceAll(t, v, mask)
		}
		return t
	}
}

// members redacts an object of opts, at a depth from 1.
func (s *secrets) members(op string, list []member, depth int) jsontext.Value {
	out := []byte{'{'}
	for i, m := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(quote(out, m.name), ':')
		out = append(out, s.member(op, m, depth)...)
	}
	return append(out, '}')
}

// member redacts one of the opts.
func (s *secrets) member(op string, m member, depth int) jsontext.Value {
	switch m.name {
	case "url":
		u, err := text(m.name, m.value)
		if err != nil || u == "" {
			return s.hide(m.value)
		}
		return quote(nil, s.url(u))
	case "headers":
		headers, err := objectMembers(m.value)
		if err != nil || len(headers) > MaxHeaders {
			return s.hide(m.value)
		}
		out := []byte{'{'}
		for i, h := range headers {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(quote(out, h.name), ':')
			out = append(out, s.headerValue(h)...)
		}
		return append(out, '}')
	case "body", "method", "format", "type":
		return m.value
	default:
		if op == wire.OpAIGateway && m.name == "auth_key" || secretName(m.name) {
			return s.hide(m.value)
		}
		if m.value.Kind() != '{' {
			return m.value
		}
		inner, err := objectMembers(m.value)
		if err != nil || depth == maxDepth {
			return quote(nil, mask)
		}
		return s.members(op, inner, depth+1)
	}
}

func (s *secrets) headerValue(h member) jsontext.Value {
	v, err := text(h.name, h.value)
	switch {
	case err != nil, secretHeader(h.name, v):
		return s.hide(h.value)
	case strings.HasPrefix(v, "http://"), strings.HasPrefix(v, "https://"):
		return quote(nil, s.url(v))
	default:
		return h.value
	}
}

// hide masks a value; nothing stays nothing.
func (s *secrets) hide(v jsontext.Value) jsontext.Value {
	t, err := text("", v)
	switch {
	case isNull(v):
		return jsontext.Value("null")
	case err == nil && t == "":
		return jsontext.Value(`""`)
	}
	s.add(t)
	return quote(nil, mask)
}

func (s *secrets) url(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || len(raw) > MaxURLBytes {
		s.add(raw)
		return mask
	}
	if u.User != nil {
		password, _ := u.User.Password()
		s.add(u.User.Username())
		s.add(password)
		u.User = nil
	}
	u.Fragment, u.RawFragment = "", ""
	pairs := strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' })
	for i, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || ok && secretName(plain) || !ok && len(name) >= 20 {
			s.addEscaped(value)
			if !ok || err != nil {
				s.addEscaped(name)
				name = mask
			}
			pairs[i] = name
			if ok {
				pairs[i] += "=" + mask
			}
		}
	}
	u.RawQuery = strings.Join(pairs, "&")
	return u.String()
}

// addEscaped adds a part of a query, as it is written and as it is meant.
func (s *secrets) addEscaped(v string) {
	s.add(v)
	if plain, err := url.QueryUnescape(v); err == nil && plain != v {
		s.add(plain)
	}
}

// secrets are the credentials of a request, so that no text shows them that
// comes back from outside.
func (r Request) secrets() secrets {
	var s secrets
	s.add(r.auth)
	for name, values := range r.header {
		for _, v := range values {
			if secretHeader(name, v) {
				s.add(v)
			}
		}
	}
	if r.url != nil {
		s.url(r.url.String())
	}
	return s
}

func secretHeader(name, value string) bool {
	scheme, _, _ := strings.Cut(strings.ToLower(value), " ")
	return secretName(name) || scheme == "bearer" || scheme == "basic" || scheme == "digest"
}

// secretParts stand in names of credentials, with any or no separators.
var secretParts = []string{
	"accesskey", "apikey", "authkey", "authorization", "bearer", "cookie", "credential", "jwt", "passphrase", "passw", "privatekey",
	"pwd", "secret", "session", "signature", "token",
}

// secretWords are names of credentials, or a word of them.
var secretWords = map[string]bool{
	"appid": true, "auth": true, "key": true, "keys": true, "otp": true, "pass": true, "pin": true, "sig": true,
}

// secretName reports whether a header, a query parameter or an option of this
// name carries a credential. It says yes too often rather than too seldom.
func secretName(name string) bool {
	if http.CanonicalHeaderKey(name) == "Idempotency-Key" {
		return false
	}
	lower := strings.ToLower(name)
	flat := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, lower)
	if flat == "code" || secretWords[flat] {
		return true
	}
	for _, part := range secretParts {
		if strings.Contains(flat, part) {
			return true
		}
	}
	for _, word := range words(name) {
		if secretWords[word] {
			return true
		}
	}
	return false
}

// words splits a name at what is no letter and before capitals: "authKey" and
// "auth-key" are auth and key.
func words(name string) []string {
	var out []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			out = append(out, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	lower := false // the letter before was one
	for _, r := range name {
		if !unicode.IsLetter(r) {
			flush()
			lower = false
			continue
		}
		if unicode.IsUpper(r) && lower {
			flush()
		}
		lower = unicode.IsLower(r)
		word = append(word, r)
	}
	flush()
	return out
}

// mapTexts applies f to every text in a JSON value, names too. Names that
// become equal are an error.
func mapTexts(v jsontext.Value, f func(string) string) (jsontext.Value, error) {
	loose := []jsontext.Options{jsontext.AllowInvalidUTF8(true)}
	dec := jsontext.NewDecoder(bytes.NewReader(v), loose...)
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out, loose...)
	for {
		var err error
		switch k := dec.PeekKind(); k {
		case '{', '}', '[', ']':
			var t jsontext.Token
			if t, err = dec.ReadToken(); err == nil {
				err = enc.WriteToken(t)
			}
		default:
			var val jsontext.Value
			if val, err = dec.ReadValue(); err != nil {
				break
			}
			if k == '"' {
				var t string
				if t, err = text("", val); err != nil {
					break
				}
				val = quote(nil, f(t))
			}
			err = enc.WriteValue(val)
		}
		if err != nil {
			return nil, err
		}
		if dec.StackDepth() == 0 {
			return bytes.TrimSpace(out.Bytes()), nil
		}
	}
}

// quote writes s as a JSON string. Broken UTF-8 becomes U+FFFD.
func quote(dst []byte, s string) []byte {
	dst, err := jsontext.AppendQuote(dst, s)
	_ = err // it only says that s had broken UTF-8, which is replaced all the same
	return dst
}

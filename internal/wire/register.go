package wire

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Retries of a function that does not say, and the most it can have.
const (
	DefaultRetries = 4
	MaxRetries     = 20
)

// MaxFunctions is how many functions one app can have. Pawl's own: what an app
// registers is checked and kept in memory whole.
const MaxFunctions = 5000

// Registration is what an app tells about itself when it syncs.
type Registration struct {
	URL        string // where the app is served
	App        string // its name, which is its identity
	SDK        string // "js:v4.24.0", "go:v0.16.0", "py:v0.5.18"
	Framework  string
	AppVersion string
	Platform   string
	DeployID   string

	Functions []Function // sorted by slug
	Checksum  string     // equal when nothing that matters has changed, in whatever order it came
	Warnings  []string   // worth telling a person; the sync is good all the same
}

// Function is one function of an app.
type Function struct {
	Slug     string // "<app>-<function>", opaque
	Name     string // for people; the slug when the app gave none
	Triggers []Trigger
	URL      string         // to be called with CallURL; ws and wss mean over Connect
	Retries  int            // after the first try, 0 to MaxRetries
	Config   jsontext.Value // all that the app said, canonical
	Options  []string       // flow-control options that are set to something, by wire name, sorted
}

// Trigger is what makes a function start: an event or a cron, never both.
type Trigger struct {
	Event      string // may end in a wildcard
	Expression string
	Cron       string // five fields, with an optional zone in front
	Jitter     time.Duration
	// Pawl's own options of a cron: what becomes of ticks that were missed, as
	// JSON, and of ticks while an earlier run goes on. "" when not given.
	Missed  string
	Overlap string
}

// Problem is one reason why a registration is refused.
type Problem struct {
	Function string `json:"function"` // slug, "" when it is about the app
	Code     string `json:"code"`
	Message  string `json:"message"`
}

// RegistrationError holds the problems of a registration, all at once.
type RegistrationError struct {
	Problems []Problem
	More     int // that were found besides, and not kept
}

// Bounds of what is told about a refused registration, whatever came in.
const (
	mostProblems     = 50  // kept, and listed in an answer
	mostInText       = 10  // in a text
	mostMessageBytes = 500 // of one of them
)

// bounded are at most n problems, and how many are left out.
func (e *RegistrationError) bounded(n int) (list []Problem, more int) {
	n = min(n, len(e.Problems))
	for _, p := range e.Problems[:n] {
		p.Function, p.Message = cut(p.Function, maxNameBytes), cut(p.Message, mostMessageBytes)
		list = append(list, p)
	}
	return list, e.More + len(e.Problems) - n
}

// Error lists the problems, or the first of them when there are many.
func (e *RegistrationError) Error() string {
	var b strings.Builder
	list, more := e.bounded(mostInText)
	for i, p := range list {
		switch {
		case i > 0:
			b.WriteString("; ")
		case p.Function != "":
			b.WriteString("At least one function is invalid: ")
		}
		if p.Function != "" {
			b.WriteString(p.Function + ": ")
		}
		b.WriteString(p.Message)
	}
	if more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// Codes of problems that are not about one option.
const (
	codeRequest  = "invalid_request"
	codeApp      = "app_id_required"
	codeFunction = "function_invalid"
	codeTrigger  = "trigger_invalid"
	codeSchedule = "schedule_invalid"
	codeCombo    = "combo_unsupported"
)

// ParseRegistration reads the body of POST /fn/register in the forms of all
// SDKs. Member names are taken in any letter case, unknown ones ignored. When
// something is wrong the error is a *RegistrationError with every problem, and
// the Registration holds what could be read, so that the problems can be filed
// under the app. Source: SDK protocol notes 02 §2 and §5, 11 §20.
func ParseRegistration(body []byte) (Registration, error) {
	return parseRegistration(body, "")
}

// ParseInBand reads the body by which an app answers a PUT that asked for its
// functions in band. sdkHeader is the X-Inngest-SDK header of that answer, for
// SDKs whose body does not name them. Errors are those of ParseRegistration.
func ParseInBand(body []byte, sdkHeader string) (Registration, error) {
	return parseRegistration(body, sdkHeader)
}

// registrationBody is both forms: they differ in how the app is named.
type registrationBody struct {
	URL         string         `json:"url"`
	AppName     string         `json:"appName"` // Python: appname
	AppID       string         `json:"appId"`   // in band: app_id
	Framework   string         `json:"framework"`
	AppVersion  string         `json:"appVersion"`
	Platform    string         `json:"platform"`
	DeployID    string         `json:"deployId"`
	SDK         string         `json:"sdk"`
	SDKLanguage string         `json:"sdkLanguage"`
	SDKVersion  string         `json:"sdkVersion"`
	Functions   jsontext.Value `json:"functions"`
	Headers     struct {
		Platform string `json:"platform"`
	} `json:"headers"`
}

func parseRegistration(body []byte, sdkHeader string) (Registration, error) {
	if err := checkNesting(body); err != nil {
		return Registration{}, refused(codeRequest, "Invalid request: "+err.Error())
	}
	if !utf8.Valid(body) {
		return Registration{}, refused(codeRequest, "Invalid request: "+ErrUTF8.Error())
	}
	fixed, err := sound(body)
	if err != nil {
		return Registration{}, refused(codeRequest, "Invalid request: "+err.Error())
	}
	var b registrationBody
	if err := decode(fixed, &b); err != nil {
		return Registration{}, refused(codeRequest, "Invalid request: "+err.Error())
	}
	r := Registration{
		URL:        strings.TrimSuffix(b.URL, "?"),
		App:        cmp.Or(b.AppName, b.AppID),
		SDK:        b.sdk(sdkHeader),
		Framework:  b.Framework,
		AppVersion: b.AppVersion,
		Platform:   cmp.Or(b.Platform, b.Headers.Platform),
		DeployID:   b.DeployID,
	}
	k := &checker{reg: &r}
	if strings.TrimSpace(r.App) == "" {
		k.problem(codeApp, "App ID required")
	} else if badName(r.App) {
		k.problem(codeApp, "App ID is too long or contains a control character")
	}
	if _, err := parseURL(r.URL); err != nil {
		k.problem(codeRequest, "%s", err)
	}
	k.deniedSDK()
	for i, raw := range k.list(b.Functions) {
		r.Functions = append(r.Functions, k.function(i, raw))
	}
	slices.SortStableFunc(r.Functions, func(a, b Function) int {
		return cmp.Or(strings.Compare(a.Slug, b.Slug), bytes.Compare(a.Config, b.Config))
	})
	k.duplicates()
	r.Checksum = r.checksum()
	if len(k.problems) > 0 {
		return r, &RegistrationError{k.problems, k.more}
	}
	return r, nil
}

// list takes the functions apart, unless there are too many.
func (k *checker) list(functions jsontext.Value) (list []jsontext.Value) {
	if isNull(functions) {
		return nil
	}
	c := newCursor(functions)
	defer c.close()
	if err := c.open('['); err != nil {
		k.problem(codeRequest, "functions: %s", err)
		return nil
	}
	for c.kind() != ']' {
		if len(list) == MaxFunctions {
			k.problem(codeFunction, "an app can have at most %d functions; make several apps of it", MaxFunctions)
			return nil
		}
		v, err := c.value()
		if err != nil {
			k.problem(codeRequest, "functions: %s", err)
			return nil
		}
		list = append(list, v)
	}
	k.functions = len(list)
	return list
}

func refused(code, message string) error {
	return &RegistrationError{Problems: []Problem{{Code: code, Message: message}}}
}

// decode fills a struct from JSON as SDKs mean it: member names in any letter
// case, unknown ones ignored, null for whatever is absent.
func decode(v jsontext.Value, into any) error {
	err := json.Unmarshal(v, into, json.MatchCaseInsensitiveNames(true))
	if bad, ok := AsMismatch(err); ok {
		want := cmp.Or(bad.Want, "another value")
		if bad.Member == "" {
			return fmt.Errorf("want %s, got %s", want, bad.Got)
		}
		return fmt.Errorf("%s cannot be %s; want %s", clip(bad.Member), bad.Got, want)
	}
	return inWords(err)
}

// sdk names the SDK as "<language>:v<version>".
func (b registrationBody) sdk(header string) string {
	switch {
	case b.SDK != "":
		return b.SDK
	case b.SDKLanguage != "" && b.SDKVersion != "":
		return b.SDKLanguage + ":v" + strings.TrimPrefix(b.SDKVersion, "v")
	}
	return strings.TrimPrefix(header, "inngest-")
}

// checksum covers what a sync changes. It leaves out diagnostics and the id of
// the deploy, and is the same for both ways to sync.
func (r Registration) checksum() string {
	b := []byte{'['}
	for _, s := range []string{r.URL, r.App, r.SDK, r.Framework, r.AppVersion, r.Platform} {
		b = append(appendText(b, s), ',')
	}
	b = append(b, '[')
	for i, f := range r.Functions {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f.Config...)
	}
	sum := sha256.Sum256(append(b, "]]"...))
	return hex.EncodeToString(sum[:])
}

// checker collects what is wrong with a registration, and with the function it
// is looking at.
type checker struct {
	reg       *Registration
	slug      string
	at        int // the place of the function, from 1; 0 for none
	functions int // that there are
	problems  []Problem
	more      int // problems that were not kept
}

func (k *checker) problem(code, format string, args ...any) {
	if len(k.problems) == mostProblems {
		k.more++
		return
	}
	message := fmt.Sprintf(format, args...)
	if k.slug == "" && k.at > 0 {
		message = fmt.Sprintf("function %d of %d: %s", k.at, k.functions, message)
	}
	k.problems = append(k.problems, Problem{cut(k.slug, maxNameBytes), code, cut(message, mostMessageBytes)})
}

func (k *checker) warn(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if k.slug != "" {
		message = k.slug + ": " + message
	}
	k.reg.Warnings = append(k.reg.Warnings, message)
}

// JavaScript SDKs from 3.22.0 up to 3.53.1 have a published vulnerability.
var (
	deniedFrom = [3]int{3, 22, 0}
	deniedTo   = [3]int{3, 53, 1}
)

func (k *checker) deniedSDK() {
	text, ok := strings.CutPrefix(k.reg.SDK, "js:v")
	if !ok {
		if text, ok = strings.CutPrefix(k.reg.SDK, "inngest-js:v"); !ok {
			return
		}
	}
	text, _, _ = strings.Cut(text, "-")
	var version [3]int
	for i, part := range strings.SplitN(text, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return
		}
		version[i] = n
	}
	if slices.Compare(version[:], deniedFrom[:]) >= 0 && slices.Compare(version[:], deniedTo[:]) <= 0 {
		k.warn("sdk_version_denied: JavaScript SDK %s has a published security notice; use 3.54.0 or newer", text)
	}
}

// maxNameBytes bounds the names of apps and functions.
const maxNameBytes = 255

func badName(s string) bool {
	return len(s) > maxNameBytes || strings.ContainsFunc(s, unicode.IsControl)
}

func (k *checker) duplicates() {
	fs := k.reg.Functions
	for i := 1; i < len(fs); i++ {
		if fs[i].Slug != "" && fs[i].Slug == fs[i-1].Slug {
			k.slug = fs[i].Slug
			k.problem(codeFunction, "two functions have this id")
		}
	}
	k.slug = ""
}

// functionBody is one entry of "functions". Options are decoded one by one, so
// that a bad one does not hide the next.
type functionBody struct {
	ID, Name, Triggers, Steps, Retries jsontext.Value

	Concurrency, Throttle, RateLimit, Debounce, BatchEvents jsontext.Value
	Priority, Singleton, Cancel, Timeouts, Idempotency      jsontext.Value
	IdempotencyKey                                          jsontext.Value
}

func (k *checker) function(i int, raw jsontext.Value) Function {
	k.slug, k.at = "", i+1
	defer func() { k.slug, k.at = "", 0 }()
	var b functionBody
	if err := decode(raw, &b); err != nil {
		k.problem(codeFunction, "%s", err)
		return Function{}
	}
	var f Function
	k.read(codeFunction, "id", b.ID, &f.Slug)
	k.slug = f.Slug
	switch {
	case f.Slug == "":
		k.problem(codeFunction, "it has no id")
	case badName(f.Slug):
		k.problem(codeFunction, "function id is too long or contains a control character")
	}
	k.read(codeFunction, "name", b.Name, &f.Name)
	f.Name = cmp.Or(f.Name, f.Slug)
	config, err := Canonical(raw)
	if err != nil {
		k.problem(codeFunction, "%s", err)
	}
	f.Config = config
	f.Triggers = k.triggers(b.Triggers)
	k.steps(b, &f)
	f.Options = k.options(b)
	return f
}

// read decodes one option. It reports false when the option is absent, null, or
// wrong, which is a problem.
func (k *checker) read(code, option string, v jsontext.Value, into any) bool {
	if isNull(v) {
		return false
	}
	if err := decode(v, into); err != nil {
		k.problem(code, "%s: %s", option, err)
		return false
	}
	return true
}

type stepBody struct {
	Runtime struct {
		URL string `json:"url"`
	} `json:"runtime"`
	Retries struct {
		Attempts *int64 `json:"attempts"`
	} `json:"retries"`
}

// steps reads the one step a function has: its URL and its retries.
func (k *checker) steps(b functionBody, f *Function) {
	var steps map[string]stepBody
	if !k.read(codeFunction, "steps", b.Steps, &steps) || len(steps) != 1 {
		k.problem(codeFunction, "function needs exactly one step, got %d", len(steps))
	}
	retries := int64(DefaultRetries)
	var top int64 // Go repeats the number there
	if b.Retries.Kind() == '0' && k.read(codeFunction, "retries", b.Retries, &top) {
		retries = top
	}
	for _, s := range steps {
		f.URL = s.Runtime.URL
		if _, err := parseURL(f.URL); err != nil {
			k.problem(codeFunction, "%s", err)
		}
		if s.Retries.Attempts != nil {
			retries = *s.Retries.Attempts
		}
	}
	if retries > MaxRetries || retries < 0 {
		k.warn("retries: %d is outside 0 to %d and is cut", retries, MaxRetries)
	}
	f.Retries = int(min(max(retries, 0), MaxRetries))
}

// SaysRetries reports whether a function's registration says how often it is tried
// again; otherwise it has DefaultRetries.
func SaysRetries(config jsontext.Value) bool {
	var b struct {
		Steps   map[string]stepBody `json:"steps"`
		Retries jsontext.Value      `json:"retries"`
	}
	if decode(config, &b) != nil {
		return false
	}
	for _, s := range b.Steps {
		if s.Retries.Attempts != nil {
			return true
		}
	}
	return b.Retries.Kind() == '0'
}

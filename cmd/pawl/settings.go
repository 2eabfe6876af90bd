package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/internal/wire"
)

// settings are all that dev and serve can be told, and what of it commands that
// work on a store without a server want to know. The tags are the name (of
// the flag, of the key in the file, and in capitals after PAWL_ of the variable
// in the environment), the commands that know it, the default, and the help
// text with its unit, to which a tag with the name of a command adds.
type settings struct {
	Listen             string        `key:"listen" in:"dev serve" default:"127.0.0.1:8288" help:"Address to listen on, as host:port"`
	DB                 string        `key:"db" in:"dev serve doctor" default:"dev=;serve=sqlite:pawl.db;doctor=sqlite:pawl.db" help:"Where everything is kept, as sqlite:PATH" dev:"; a temporary file unless given"`
	App                []string      `key:"app" in:"dev serve" help:"Where an app serves its functions, as a URL; may be given several times"`
	Endpoint           []string      `key:"endpoint" in:"dev serve" help:"A durable endpoint that anybody may ask at /x/, with all below it, as a URL; may be given several times"`
	SigningKey         string        `key:"signing-key" in:"serve" help:"Key shared with the apps; better given as PAWL_SIGNING_KEY or INNGEST_SIGNING_KEY"`
	SigningKeyPrevious string        `key:"signing-key-previous" in:"serve" help:"Key that was the signing key before and is still accepted"`
	EventKey           []string      `key:"event-key" in:"serve" help:"Key of those who send events; may be given several times; also PAWL_EVENT_KEY or INNGEST_EVENT_KEY"`
	Redact             []string      `key:"redact" in:"dev serve" help:"What is taken out of all that people see: the end of a path, as card.number, or pattern: and a regular expression; may be given several times"`
	PublicURL          string        `key:"public-url" in:"serve" help:"Where browsers reach Pawl, as https://pawl.example.com: for links in alerts and elsewhere, cookies and logins by OpenID"`
	TrustedProxy       []string      `key:"trusted-proxy" in:"serve" help:"A reverse proxy in front, as 10.0.0.7 or 10.0.0.0/8: its X-Forwarded-For says where people come from, for the audit log and the bound on wrong passwords; may be given several times"`
	OpenIDIssuer       string        `key:"openid-issuer" in:"serve" help:"Provider by whom people log in with OpenID Connect, as a URL; needs public-url"`
	OpenIDName         string        `key:"openid-name" in:"serve" default:"OpenID" help:"Name of the OpenID provider for people"`
	OpenIDClientID     string        `key:"openid-client-id" in:"serve" help:"What the OpenID provider calls this Pawl"`
	OpenIDClientSecret string        `key:"openid-client-secret" in:"serve" help:"Secret that the OpenID provider has given; better as PAWL_OPENID_CLIENT_SECRET"`
	OpenIDNewcomers    string        `key:"openid-newcomers" in:"serve" default:"nobody" help:"Role of people whom the provider knows and nobody has added: nobody (they cannot log in), viewer, operator or admin"`
	Durability         string        `key:"durability" in:"dev serve" default:"" help:"When an answer is on disk. full: synced before it is sent; relaxed: soon after; none: some time (default: full; none for a temporary file)"`
	NoDiscovery        bool          `key:"no-discovery" in:"dev" help:"Do not look for apps on the usual ports"`
	RetryInterval      time.Duration `key:"retry-interval" in:"dev serve" default:"0s" help:"Pause between tries, as 1s or 5m; 0s: rising from 15 seconds to 2 hours"`
	PollInterval       time.Duration `key:"poll-interval" in:"dev serve" default:"5s" help:"Pause between looks at an app" serve:", until its first sync"`
	Drain              time.Duration `key:"drain" in:"dev serve" default:"30s" help:"How long calls in flight may go on when Pawl is stopped"`
	EndpointLease      time.Duration `key:"endpoint-lease" in:"dev serve" default:"5m" help:"How long an app may be silent that serves a durable endpoint's request, before Pawl takes the run over: longer than its longest step"`
	KeepAlive          time.Duration `key:"keep-alive" in:"dev serve" default:"15s" help:"Pause between two signs of life to a client that waits for a result: a quarter of what proxies in front bear"`
	MaxAway            time.Duration `key:"max-away" in:"dev serve" default:"24h" help:"How long an app that cannot be reached may stay away before its runs fail"`
	Retention          time.Duration `key:"retention" in:"dev serve" default:"30d" help:"How long completed, cancelled and skipped runs are kept, as 12h or 30d; 0s: for ever"`
	RetentionFailed    time.Duration `key:"retention-failed" in:"dev serve" default:"0s" help:"How long failed runs and their dead letters are kept; 0s: for ever"`
	RetentionEvents    time.Duration `key:"retention-events" in:"dev serve" default:"30d" help:"How long events are kept, at least 1d and as long as a run that came from them; 0s: for ever"`
	RetentionAudit     time.Duration `key:"retention-audit" in:"dev serve" default:"365d" help:"How long it is kept who has done what (pawl audit); 0s: for ever"`
	MaxBacklog         int           `key:"max-backlog" in:"dev serve" default:"1000000" help:"Runs that may wait to begin; events that would start more are refused with 429"`
	MaxBacklogBytes    size          `key:"max-backlog-bytes" in:"dev serve" default:"4GiB" help:"Bytes of events that may wait for their runs to begin, to be merged or to be handed on, as 512MiB or 4GiB; more are refused with 429"`
	MaxCalls           int           `key:"max-calls" in:"dev serve" default:"1024" help:"Calls to apps at the same time"`
	MaxSteps           int           `key:"max-steps" in:"dev serve" default:"1000" help:"Steps that one run may finish, up to 10000; a run that does more fails"`
	AlertWebhook       string        `key:"alert-webhook" in:"dev serve" help:"Where alerts are posted as JSON, as a URL; better given as PAWL_ALERT_WEBHOOK; empty: they are only logged"`
	AlertMail          string        `key:"alert-mail" in:"dev serve" help:"How alerts are mailed, instead of posted: smtp://name:password@host:587?from=…&to=… (smtps:// is TLS from the start); better given as PAWL_ALERT_MAIL"`
	AlertSecret        string        `key:"alert-secret" in:"dev serve" help:"Signs what is posted, by Standard Webhooks: whsec_ and 24 to 64 bytes in base64; better given as PAWL_ALERT_SECRET"`
	AlertInterval      time.Duration `key:"alert-interval" in:"dev serve" default:"30s" help:"How long an alert waits for others; there is one message in that time at most"`
	AlertFailures      int           `key:"alert-failures" in:"dev serve" default:"100" help:"Runs of one function that may fail for good in an hour before people are alerted; 0: any number"`
	AlertAge           time.Duration `key:"alert-age" in:"dev serve" default:"24h" help:"How long a dead letter may be open before people are alerted; 0s: for ever"`
	AllowPrivate       bool          `key:"allow-private-addresses" in:"serve" help:"Let step.fetch, step.ai.infer and alerts reach addresses that are not public (dev always does)"`
	DebugListen        string        `key:"debug-listen" in:"dev serve" help:"Loopback address for metrics (/metrics) and profiles (/debug/pprof/), as host:port, for whoever has a signing key; empty: none"`
	LogFormat          string        `key:"log-format" in:"dev serve" default:"text" help:"Form of the log: text or json"`
	LogLevel           string        `key:"log-level" in:"dev serve" default:"info" help:"Least that is logged: debug, info, warn or error"`

	from map[string]string // where each was given, in words
}

// size is a number of bytes.
type size int64

// setting is one field of settings.
type setting struct {
	key, help string
	modes     []string
	index     int
	kind      reflect.Type
	usual     string
}

// allSettings reads the tags.
func allSettings(mode string) []setting {
	t := reflect.TypeFor[settings]()
	var list []setting
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		s := setting{key: f.Tag.Get("key"), help: f.Tag.Get("help") + f.Tag.Get(mode), modes: strings.Fields(f.Tag.Get("in")), index: i, kind: f.Type}
		s.usual = f.Tag.Get("default")
		if strings.Contains(s.usual, ";") { // one for each command
			for part := range strings.SplitSeq(s.usual, ";") {
				if of, usual, _ := strings.Cut(part, "="); of == mode {
					s.usual = usual
					break
				}
			}
		}
		list = append(list, s)
	}
	return list
}

func (s setting) in(mode string) bool { return slices.Contains(s.modes, mode) }

// envName is the variable that says the same as the flag.
func (s setting) envName() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, "-", "_"))
}

const (
	envPrefix = "PAWL_"
	fileName  = "pawl.yaml"
)

// addFlags makes the flags of a command.
func addFlags(flags *pflag.FlagSet, mode string) {
	flags.String("config", "", "File with settings (default "+fileName+" in the working directory, if there is one)")
	for _, s := range allSettings(mode) {
		if !s.in(mode) {
			continue
		}
		switch s.kind.Kind() {
		case reflect.Bool:
			flags.Bool(s.key, false, s.help)
		case reflect.Slice:
			flags.StringArray(s.key, nil, s.help)
		default: // numbers and durations are text here, so that one place reads them
			flags.String(s.key, s.usual, s.help)
		}
	}
}

// loader finds settings: a flag wins over the environment, that over the file,
// that over the default.
type loader struct {
	mode    string
	flags   *pflag.FlagSet
	environ []string
	dir     string // where fileName is looked for

	file     string            // that was read; "" for none
	unread   map[string]bool   // settings whose value could not be read
	given    map[string]string // where a setting comes from, in words
	problems []error
}

func (l *loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Errorf(format, args...))
}

// load returns the settings, or a usageError with everything that is wrong.
func (l *loader) load() (settings, error) {
	list := allSettings(l.mode)
	fileLayer, envLayer, all := koanf.New("."), koanf.New("."), koanf.New(".")
	l.readFile(fileLayer, list)
	l.readEnv(envLayer, list)
	for _, layer := range []*koanf.Koanf{fileLayer, envLayer} {
		if err := all.Merge(layer); err != nil {
			l.problem("%w", err)
		}
	}
	flags := posflag.ProviderWithFlag(l.flags, ".", all, func(f *pflag.Flag) (string, any) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			return f.Name, list.GetSlice()
		}
		return f.Name, f.Value.String()
	})
	if err := all.Load(flags, nil); err != nil {
		l.problem("%w", err)
	}
	var out settings
	l.unread, l.given = map[string]bool{}, map[string]string{}
	v := reflect.ValueOf(&out).Elem()
	for _, s := range list {
		if !s.in(l.mode) {
			continue
		}
		from := "--" + s.key
		switch {
		case l.flags.Changed(s.key):
		case envLayer.Exists(s.key):
			if from = s.envName(); l.env(from) == "" {
				from = inngestNames[s.key]
			}
		case fileLayer.Exists(s.key):
			from = l.file + ": " + s.key
		}
		l.given[s.key] = from
		if err := set(v.Field(s.index), all.Get(s.key)); err != nil {
			l.problem("%s: %w", from, err)
			l.unread[s.key] = true
		}
	}
	out.from = l.given
	l.check(&out)
	if len(l.problems) > 0 {
		return settings{}, usageError{problemList(l.problems)}
	}
	return out, nil
}

// readFile reads the file that was asked for, or the usual one if it is there.
func (l *loader) readFile(into *koanf.Koanf, list []setting) {
	path, _ := l.flags.GetString("config")
	if path == "" {
		path = l.env(envPrefix + "CONFIG")
	}
	if path == "" {
		path = filepath.Join(l.dir, fileName)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	l.file = filepath.Base(path)
	if err := into.Load(file.Provider(path), yaml.Parser()); err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		l.problem("%s cannot be read: %w", path, err)
		return
	}
	for _, key := range into.Keys() {
		if !slices.ContainsFunc(list, func(s setting) bool { return s.key == key }) {
			l.problem("%s: there is no setting %q", l.file, key)
		}
	}
}

// readEnv reads the variables there are settings for. Others that begin with
// PAWL_ are no mistake: orchestrators make such for a service of that name.
func (l *loader) readEnv(into *koanf.Koanf, list []setting) {
	provider := env.Provider(".", env.Opt{EnvironFunc: func() []string {
		return l.environ
	}, TransformFunc: func(name, value string) (string, any) {
		if value == "" { // it is as good as not there
			return "", nil
		}
		for _, s := range list {
			alias := inngestNames[s.key]
			// A name of Pawl's own wins over the one that the SDKs know.
			if name != s.envName() && (name != alias || alias == "" || l.env(s.envName()) != "") {
				continue
			}
			if s.kind.Kind() == reflect.Slice {
				return s.key, strings.Split(value, ",")
			}
			return s.key, value
		}
		return "", nil
	}})
	if err := into.Load(provider, nil); err != nil {
		l.problem("%w", err)
	}
}

// inngestNames are variables that SDKs read too, so that one file can serve app
// and server.
var inngestNames = map[string]string{"signing-key": "INNGEST_SIGNING_KEY", "event-key": "INNGEST_EVENT_KEY"}

func (l *loader) env(name string) string {
	for _, kv := range l.environ {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// set reads a value in the form that any layer gives it.
func set(field reflect.Value, value any) error {
	if field.Kind() == reflect.Slice {
		var list []string
		switch value := value.(type) {
		case nil:
		case []string:
			list = value
		case []any:
			for _, v := range value {
				list = append(list, fmt.Sprint(v))
			}
		default:
			list = []string{fmt.Sprint(value)}
		}
		for _, v := range list {
			if v = strings.TrimSpace(v); v != "" {
				field.Set(reflect.Append(field, reflect.ValueOf(v)))
			}
		}
		return nil
	}
	switch value.(type) {
	case []any, map[string]any:
		return errors.New("want one value")
	case nil:
		return nil
	}
	text := strings.TrimSpace(fmt.Sprint(value))
	switch field.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			d, err = wire.ParseDuration(text) // which knows days
		}
		switch {
		case err != nil:
			return fmt.Errorf("%q is not a duration; write it as 30s, 5m or 30d", text)
		case d < 0:
			return fmt.Errorf("%s is less than nothing; write it as 30s, 5m or 30d", text)
		}
		field.SetInt(int64(d))
	case size:
		n, err := humanize.ParseBytes(text)
		if err != nil || n > math.MaxInt64 {
			return fmt.Errorf("%q is not a number of bytes; write it as 1000000, 512MiB or 4GiB", text)
		}
		field.SetInt(int64(n))
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		field.SetBool(b)
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		field.SetInt(int64(n))
	default:
		field.SetString(text)
	}
	return nil
}

// problemList is every bad setting at once.
type problemList []error

func (l problemList) Error() string {
	if len(l) == 1 {
		return l[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d settings are wrong:", len(l))
	for _, err := range l {
		b.WriteString("\n  - " + err.Error())
	}
	return b.String()
}

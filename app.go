package pawl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pawlhq/pawl/internal/proto"
)

// App is a group of functions, and an http.Handler by which a server calls
// them. Its settings come from the environment:
//
//	INNGEST_DEV          the URL of a development server, or 1 for http://localhost:8288
//	INNGEST_BASE_URL     the URL of a server
//	INNGEST_SIGNING_KEY  shared with the server: calls are signed with it
//	INNGEST_EVENT_KEY    lets the app send events
//	INNGEST_SERVE_ORIGIN where servers find the app, such as https://shop.example.com
//
// Options win over the environment, and [Attach] over both. Inside a process
// that opens an engine on the app, none of them is needed.
type App struct {
	name string
	log  *slog.Logger
	set  settings

	mu        sync.Mutex
	functions []*function
	bySlug    map[string]*function
	endpoints map[string]*endpoint
	problems  []error
	late      late

	keys    atomic.Pointer[proto.Keyring]
	backend atomic.Pointer[backendBox]
}

type backendBox struct {
	proto.Backend
	interceptor proto.Interceptor // of requests that do not come from the backend; nil: there is none
}

type settings struct {
	server     string // URL
	dev        bool
	signingKey string
	previous   []string // signing keys
	eventKey   string
	origin     string
	client     *http.Client
}

// AppOption is an option of an app.
type AppOption func(*App)

// Logger takes what the app has to say; the default is slog.Default.
func Logger(l *slog.Logger) AppOption { return func(a *App) { a.log = l } }

// SigningKey is the key that the app shares with its server, and keys that were
// current before, which are good still.
func SigningKey(current string, previous ...string) AppOption {
	return func(a *App) {
		a.set.signingKey = current
		if len(previous) > 0 {
			a.set.previous = previous
		}
	}
}

// EventKey lets the app send events to its server.
func EventKey(key string) AppOption { return func(a *App) { a.set.eventKey = key } }

// Dev serves calls that nobody has signed, as a development server makes them.
func Dev() AppOption { return func(a *App) { a.set.dev = true } }

// ServedAt is the URL under which servers find the app, such as
// https://shop.example.com/api/inngest. With an engine in this process there is none:
// then it is where clients of endpoints wait for answers that come later. /api/inngest
// is what it has when it names no path.
func ServedAt(url string) AppOption { return func(a *App) { a.set.origin = url } }

// HTTPClient makes the app's requests to its server.
func HTTPClient(c *http.Client) AppOption { return func(a *App) { a.set.client = c } }

// New returns an app. Its name is what servers know it by: letters, digits,
// hyphens, dots and underscores.
func New(name string, options ...AppOption) *App {
	a := &App{name: name, log: slog.Default(), bySlug: map[string]*function{}, endpoints: map[string]*endpoint{}, set: fromEnvironment(os.Getenv)}
	if !validName(name) {
		a.problem("app %q: %s", name, nameRule)
	}
	for _, o := range options {
		o(a)
	}
	if a.set.client == nil {
		a.set.client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	ring, err := keyring(a.set.signingKey, a.set.previous)
	if err != nil {
		a.problem("app %s: %w", name, err)
	}
	a.keys.Store(ring)
	a.backend.Store(&backendBox{Backend: a.overHTTP(a.set.server)})
	return a
}

// Where servers are when nobody says.
const localServer = "http://localhost:8288"

func fromEnvironment(get func(string) string) settings {
	s := settings{
		signingKey: get("INNGEST_SIGNING_KEY"),
		eventKey:   get("INNGEST_EVENT_KEY"), origin: get("INNGEST_SERVE_ORIGIN"),
	}
	if path := get("INNGEST_SERVE_PATH"); s.origin != "" && path != "" {
		s.origin = strings.TrimSuffix(s.origin, "/") + "/" + strings.TrimPrefix(path, "/")
	}
	if key := get("INNGEST_SIGNING_KEY_FALLBACK"); key != "" {
		s.previous = []string{key}
	}
	switch dev := get("INNGEST_DEV"); {
	case strings.Contains(dev, "://"):
		s.dev, s.server = true, dev
	case dev == "1" || strings.EqualFold(dev, "true"):
		s.dev = true
	}
	for _, name := range []string{"INNGEST_API_BASE_URL", "INNGEST_BASE_URL"} {
		if url := get(name); url != "" {
			s.server = url
			break
		}
	}
	if s.server == "" {
		s.server = localServer
	}
	return s
}

func keyring(current string, previous []string) (*proto.Keyring, error) {
	if current == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	k, err := proto.ParseKey(current)
	if err != nil {
		return nil, err
	}
	ring := &proto.Keyring{Current: k}
	for _, old := range previous {
		if old == "" {
			continue
		}
		if k, err = proto.ParseKey(old); err != nil {
			return nil, fmt.Errorf("previous signing key: %w", err)
		}
		ring.Previous = append(ring.Previous, k)
	}
	return ring, nil
}

const nameRule = "a name has letters, digits, hyphens, dots and underscores, 100 at most"

func validName(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
	})
}

// Name is the app's name.
func (a *App) Name() string { return a.name }

// Err tells all that is wrong with the app and its functions, or nil. What runs
// an app asks for it.
func (a *App) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.problems...)
}

func (a *App) problem(format string, args ...any) {
	a.problems = append(a.problems, fmt.Errorf("pawl: "+format, args...))
}

func (a *App) add(f *function) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !validName(f.name):
		a.problem("function %q: %s", f.name, nameRule)
	case a.bySlug[f.slug] != nil:
		a.problem("function %s: there are two of this name", f.name)
	case f.problem != nil:
		a.problem("function %s: %w", f.name, f.problem)
	default:
		a.put(f)
		if f.config.onFail != nil {
			a.put(failureHandler(f))
		}
	}
}

func (a *App) put(f *function) {
	a.bySlug[f.slug] = f
	a.functions = append(a.functions, f)
}

func (a *App) function(slug string) *function {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bySlug[slug]
}

func (a *App) all() []*function {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.functions)
}

// belong makes the app one of a server or an engine from here on. It is an error
// while it is one of an engine in this process. intercept is what its calls go
// through; nil: nothing.
func (a *App) belong(api proto.Backend, intercept proto.Interceptor) error {
	for {
		old := a.backend.Load()
		if e, ok := old.Backend.(interface{ Open() bool }); ok && old.Backend != api && e.Open() {
			return fmt.Errorf("pawl: app %s runs in an engine of this process already: close that first, or make an app for each", a.name)
		}
		if a.backend.CompareAndSwap(old, &backendBox{api, intercept}) {
			return nil
		}
	}
}

func (a *App) api() proto.Backend { return a.backend.Load().Backend }

// Send sends events. When it returns nil they are on disk, together with the
// runs that they start. It returns an id for each.
func (a *App) Send(ctx context.Context, events ...Event) (ids []string, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	body, err := eventsJSON(events)
	if err != nil {
		return nil, err
	}
	if ids, err = a.api().Send(ctx, body); err != nil {
		return nil, fmt.Errorf("pawl: send %s: %w", events[0].Name, err)
	}
	return ids, nil
}

func eventsJSON(events []Event) ([]byte, error) {
	body := []byte{'['}
	for i, e := range events {
		b, err := e.json()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, b...)
	}
	return append(body, ']'), nil
}

// Signal sends a signal to the run that waits for it and returns that run, or
// ErrNobodyWaits: a signal is not kept.
func (a *App) Signal(ctx context.Context, name string, data any) (run string, err error) {
	body, err := marshal(data)
	if err != nil {
		return "", err
	}
	run, err = a.api().Signal(ctx, name, body)
	if errors.Is(err, proto.ErrNobodyWaits) {
		return "", ErrNobodyWaits
	}
	if err != nil {
		return "", fmt.Errorf("pawl: send signal %s: %w", name, err)
	}
	return run, nil
}

// ErrNobodyWaits means that no run waits for a signal.
var ErrNobodyWaits = errors.New("pawl: nobody waits for the signal")

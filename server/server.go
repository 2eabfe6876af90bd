package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"
	"golang.org/x/sync/semaphore"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/redact"
	"github.com/pawlhq/pawl/internal/ticket"
	"github.com/pawlhq/pawl/internal/wire"
)

// Config is what a server must know beside its engine.
type Config struct {
	// Dev serves one developer on this machine: nobody needs a key, and only
	// requests that name this machine are answered.
	Dev       bool
	Keys      wire.Keyring // of apps and of whoever reads; not asked for in Dev
	EventKeys []string     // of whoever sends events; not asked for in Dev
	// KeysFrom says where keys were given, such as PAWL_SIGNING_KEY, by Fingerprint; nil:
	// that is not known.
	KeysFrom map[string]string
	Version  string       // of this program, for people
	Log      *slog.Logger // default: nothing is logged

	// Endpoints are the durable endpoints that anybody may ask at /x/ in their apps'
	// place: URLs, each of an endpoint and of all whose path begins with its path.
	Endpoints []*url.URL

	// PublicURL is where browsers reach the server; nil: it is not known, and cookies
	// are sent over plain HTTP too.
	PublicURL *url.URL
	// Proxies are believed for whom they ask; nil: none stands in front.
	Proxies Proxies
	// Redact is taken out of what people and tokens read.
	Redact redact.Rules
	// Setup is the secret of the link by which the first admin is made; "": there is
	// none.
	Setup string
	// OpenID is a provider by which people log in; nil: none.
	OpenID *OpenID

	// Metrics are shown by [Server.Debug]; nil: there are none.
	Metrics prometheus.Gatherer

	// Discovery is that apps are looked for on the usual ports and paths.
	Discovery bool

	// Unsynced tells which URLs were asked for and have not told their functions;
	// nil: none.
	Unsynced func() []Unsynced

	// Draining is done when the server is about to end: requests that wait for
	// something to happen are answered then, and the health check fails, so that
	// a load balancer looks elsewhere. nil: never.
	Draining context.Context
	// KeepAlive is how often something is sent to a client that waits for a result;
	// default 15 s. A client that nothing can be sent to waits three times as long,
	// and is then sent to the same place again.
	KeepAlive time.Duration
	// HeldBytes bounds the bodies being read or worked on at once, in bytes;
	// default 256 MiB.
	HeldBytes int64
}

const defaultHeldBytes = 256 << 20

// Server is an http.Handler in front of one engine.
type Server struct {
	eng      *engine.Engine
	dev      bool
	keys     wire.Keyring
	signers  []*signer // keys one by one, the current one first
	senders  []*sender
	keysFrom map[string]string // where keys were given, by fingerprint
	used     *uses             // of tokens
	people   *bell             // rung when who may do what has changed
	watchers watchers          // who follow changes
	version  string
	log      *slog.Logger

	kind   string // what X-Inngest-Server-Kind says
	mux    *http.ServeMux
	cors   *cors.Cors
	origin *http.CrossOriginProtection
	held   *semaphore.Weighted // bytes of bodies
	sealer sealer              // of cursors
	tokens *ticket.Signer
	// specification is the OpenAPI document, made when it is first asked for.
	specification func() []byte

	endpoints []*url.URL
	public    *url.URL
	proxies   Proxies
	rules     redact.Rules
	logins    *logins
	openID    *openID

	gather    prometheus.Gatherer
	draining  context.Context
	discovery bool // apps are looked for
	unsynced  func() []Unsynced
	// keepAlive is the pause between two signs of life.
	keepAlive time.Duration
	vigils    sync.WaitGroup // of connections that were taken over
	bodies    sync.Pool      // of *[]byte
}

// New returns a server of eng. Without Dev, and without keys in c, it refuses
// every caller of a route that needs one.
func New(eng *engine.Engine, c Config) *Server {
	s := &Server{
		eng: eng, dev: c.Dev, keys: c.Keys, version: c.Version,
		log:  c.Log,
		kind: wire.KindCloud,
		mux:  http.NewServeMux(),
		cors: cors.New(cors.Options{
			AllowOriginFunc: func(string) bool { return true }, // reflected, as browsers send events from anywhere
			AllowedMethods:  []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"},
			AllowedHeaders:  []string{"*"},
			ExposedHeaders:  []string{"Link", "Mcp-Session-Id"},
			MaxAge:          3600,
		}),
		origin: http.NewCrossOriginProtection(),
		held:   semaphore.NewWeighted(cmp.Or(c.HeldBytes, defaultHeldBytes)),
		sealer: newSealer(c.Keys),
		tokens: ticket.New(eng.Secret()),

		endpoints: c.Endpoints,
		signers:   signers(c.Keys), keysFrom: c.KeysFrom, used: &uses{noted: map[string]time.Time{}}, people: newBell(),
		public: c.PublicURL, proxies: c.Proxies, rules: c.Redact, logins: newLogins(c.Setup), openID: newOpenID(c.OpenID, c.PublicURL),
		draining: c.Draining, discovery: c.Discovery, unsynced: c.Unsynced, gather: c.Metrics,
		keepAlive: cmp.Or(c.KeepAlive, usualKeepAlive),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.draining == nil {
		s.draining = context.Background() // which is never done
	}
	if s.dev {
		s.kind = wire.KindDev
	}
	for _, key := range c.EventKeys {
		s.senders = append(s.senders, &sender{hash: sha256.Sum256([]byte(key))})
	}
	table := routes()
	s.specification = sync.OnceValue(func() []byte { return specification(table) })
	s.mount(table)
	s.mux.HandleFunc("/", s.notFound)
	return s
}

// mount groups the table by pattern: a path that is known answers 405 to a
// method that is not, and any other path 404.
func (s *Server) mount(table []route) {
	byPattern := map[string]*resource{}
	for _, rt := range table {
		res := byPattern[rt.pattern]
		if res == nil {
			res = &resource{s: s}
			byPattern[rt.pattern] = res
			s.mux.Handle(rt.pattern, res)
		}
		res.routes = append(res.routes, rt)
		res.cors = res.cors || rt.cors
	}
	for _, res := range byPattern {
		methods := []string{http.MethodOptions}
		for _, rt := range res.routes {
			methods = append(methods, rt.method)
			if rt.method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
		}
		slices.Sort(methods)
		res.allow = strings.Join(slices.Compact(methods), ", ")
	}
}

// ServeHTTP answers one request. A panic in what it calls ends that request
// only.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() { //nolint:contextcheck // fail writes an answer and waits for nothing
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			s.log.ErrorContext(r.Context(), "request panicked", "method", r.Method, "pattern", r.Pattern,
				"err", p, "stack", string(debug.Stack()))
			failAt(w, r, http.StatusInternalServerError, "Internal error: the request could not be worked on; the server's log says why")
		}
	}()
	r = s.proxies.from(r)
	h := w.Header()
	h["X-Inngest-Server-Kind"] = []string{s.kind}
	h["X-Content-Type-Options"] = nosniff
	if r.ContentLength != 0 {
		// What is not read of a body, the HTTP server throws away: not for ever.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyGrace)) // recorders in tests have none
	}
	switch {
	case s.dev && !localHost(r.Host):
		// 421, because SDKs take 401 and 403 for a wrong key.
		failAt(w, r, http.StatusMisdirectedRequest, "pawl dev answers only to the names of this machine, such as localhost or 127.0.0.1")
	case !clean(r.URL.Path):
		s.notFound(w, r)
	default:
		s.mux.ServeHTTP(w, engine.Traced(r))
	}
}

var nosniff = []string{"nosniff"}

// clean reports whether p is written the one way that the table knows, so that
// no other spelling of a path is ever matched or redirected.
func clean(p string) bool {
	c := path.Clean(p)
	return p == c || p == c+"/"
}

// HTTPServer returns an http.Server for s with the limits that a listener on a
// network needs.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// resource is all routes of one pattern.
type resource struct {
	s      *Server
	routes []route
	allow  string
	cors   bool
}

func (res *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := res.s
	switch {
	case res.cors:
		s.cors.HandlerFunc(w, r) // answers a pre-flight whole
		if r.Method == http.MethodOptions {
			if r.Header.Get("Access-Control-Request-Method") == "" {
				res.options(w)
			}
			return
		}
	case r.Method == http.MethodOptions:
		res.options(w)
		return
	case s.dev:
		// A page of another site must not act for the developer. With keys
		// there is nothing that a browser would send along by itself.
		if err := s.origin.Check(r); err != nil {
			failAt(w, r, http.StatusForbidden, "a page of another origin may not do this")
			return
		}
	}
	for i := range res.routes {
		if rt := &res.routes[i]; rt.method == r.Method || rt.method == http.MethodGet && r.Method == http.MethodHead {
			s.run(rt, w, r) //nolint:contextcheck // a request that is let in has its own, with who asks
			return
		}
	}
	w.Header().Set("Allow", res.allow)
	failAt(w, r, http.StatusMethodNotAllowed, "method "+printable(r.Method)+" is not allowed here; allowed: "+res.allow)
}

func (res *resource) options(w http.ResponseWriter) {
	w.Header().Set("Allow", res.allow)
	w.WriteHeader(http.StatusNoContent)
}

// run checks who calls and what comes along, and then works.
func (s *Server) run(rt *route, w http.ResponseWriter, r *http.Request) {
	if r = s.allowed(rt, w, r); r == nil {
		return
	}
	if rt.key == refusesKey && len(r.Header.Values(headerKey)) > 0 {
		rt.refuse(w, http.StatusBadRequest, headerKey+" has no meaning here: the same request twice is done twice; send it without the header")
		return
	}
	if rt.method != http.MethodGet && rt.scope() == scopePeople {
		defer s.people.ring()
	}
	serve := rt.serve
	if s.redacts(rt) {
		serve = func(s *Server, w http.ResponseWriter, r *http.Request, body []byte) { s.redacted(rt, w, r, body) }
	}
	live := rt.live != nil && rt.live(r)
	if live {
		if err := checkHeader(rt, r); err != nil {
			s.refuseBody(rt, w, err)
			return
		}
	}
	if live || rt.body == 0 {
		serve(s, w, r, nil)
		return
	}
	b, err := s.readBody(rt, w, r)
	if err != nil {
		s.refuseBody(rt, w, err)
		return
	}
	defer s.free(b)
	if rt.lets {
		r = r.WithContext(context.WithValue(r.Context(), letGo{}, func() { s.free(b) }))
	}
	serve(s, w, r, b.bytes)
}

// letGo is the key under which a handler that waits long finds how to give back its
// body, which it may not look at any more then.
type letGo struct{}

// refuseBody answers for a body that was not read.
func (s *Server) refuseBody(rt *route, w http.ResponseWriter, err error) {
	status, message := http.StatusBadRequest, "the request body could not be read"
	if refused, ok := errors.AsType[*bodyError](err); ok {
		status, message = refused.status, refused.message
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if status != http.StatusUnsupportedMediaType {
		w.Header().Set("Connection", "close") // the rest of the body is not waited for
	}
	rt.refuse(w, status, message)
}

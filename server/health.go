package server

import (
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/wire"
)

// health says whether requests are served: 503 while draining, and when the
// engine or its store cannot work. The reason is for the log, not for whoever
// asks.
func (s *Server) health(w http.ResponseWriter, r *http.Request, _ []byte) {
	if s.draining.Err() != nil {
		fail(w, http.StatusServiceUnavailable, "draining")
		return
	}
	if err := s.eng.Healthy(); err != nil {
		s.log.WarnContext(r.Context(), "not healthy", "err", err)
		fail(w, http.StatusServiceUnavailable, "not healthy")
		return
	}
	raw(w, http.StatusOK, `{"status":200,"message":"OK"}`)
}

// devInfo is how SDKs find out that a dev server is there. Source: spec/02 §7.
func (s *Server) devInfo(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.dev {
		s.notFound(w, r)
		return
	}
	type handler struct {
		URL string `json:"url"`
		SDK string `json:"sdk"`
	}
	type options struct {
		URLs        []string `json:"urls"`
		RequireKeys bool     `json:"require_keys"`
	}
	type function struct {
		functionView
		Configuration configurationV2 `json:"configuration"`
	}
	info := struct {
		Version             string          `json:"version"`
		Authed              bool            `json:"authed"`
		StartOpts           options         `json:"startOpts"`
		Functions           []function      `json:"functions"`
		Handlers            []handler       `json:"handlers"`
		IsSingleNodeService bool            `json:"isSingleNodeService"`
		IsMissingSigningKey bool            `json:"isMissingSigningKey"`
		IsMissingEventKeys  bool            `json:"isMissingEventKeys"`
		Features            map[string]bool `json:"features"`
	}{Version: s.version, IsSingleNodeService: true, Features: map[string]bool{}}
	for _, app := range s.eng.Apps() {
		info.StartOpts.URLs = append(info.StartOpts.URLs, wire.PublicURL(app.URL))
		info.Handlers = append(info.Handlers, handler{wire.PublicURL(app.URL), app.SDK})
		for _, f := range app.Functions {
			if !f.Archived {
				info.Functions = append(info.Functions, function{viewFunction(f), viewFunctionV2(f).Configuration})
			}
		}
	}
	b, err := json.Marshal(info, marshalOptions)
	if err != nil {
		s.log.ErrorContext(r.Context(), "dev information cannot be encoded", "err", err)
		b = []byte(`{}`)
	}
	raw(w, http.StatusOK, b)
}

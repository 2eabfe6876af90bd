package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/store"
)

func TestEventsAnswer(t *testing.T) {
	t.Parallel()
	const seed = "1743130137367,eii2YKXRVTJPuA=="
	const first, second = "01JQDAE4RQF8MBCR55T5AK4KXS", "01JQDAE4RQF8MBCR55T5AK4KXT"
	for _, tt := range []struct{ name, body, want string }{
		{"one event", `{"name":"a"}`, `{"ids":["` + first + `"],"status":200}`},
		{"an array", `[{"name":"a"},{"name":"b"}]`, `{"ids":["` + first + `","` + second + `"],"status":200}`},
		{"no event", `[]`, `{"ids":[],"status":200}`},
		{"an empty body", ``, `{"ids":[],"status":200}`},
		{"the good prefix of a bad array", `[{"name":"a"},{"name":""},{"name":"c"}]`, `{"ids":["` + first + `"],"status":400,"error":"event 2 of 3: event name is empty"}`},
		{"a reserved name", `{"name":"Inngest/x"}`, `{"ids":[],"status":400,"error":"event name is reserved for internal use: inngest/"}`},
		{"no event at all", `"x"`, `{"ids":[],"status":400,"error":"Request body must contain an event object or an array of event objects"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			w := f.do(request{method: "POST", path: "/e/k", body: tt.body, header: map[string]string{"X-Inngest-Event-ID-Seed": seed}})
			require.Equal(t, tt.want, w.Body.String())
			require.Contains(t, tt.want, fmt.Sprintf(`"status":%d`, w.Code))
			for _, id := range []string{first, second} {
				if strings.Contains(tt.want, id) {
					require.Equal(t, id, data[eventView](t, f.get("/v1/events/"+id)).InternalID)
				} else {
					wantRefusal(t, f.get("/v1/events/"+id), http.StatusNotFound)
				}
			}
		})
	}
}

func TestEventKeyRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving)
	for path, want := range map[string]string{
		"/e":       `{"status":401,"error":"Event key is required"}`,
		"/e/":      `{"status":401,"error":"Event key is required"}`,
		"/e/other": `{"status":401,"error":"Event key not found"}`,
	} {
		w := f.post(path, `{"name":"a"}`)
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.Equal(t, want, w.Body.String())
	}
	require.Equal(t, http.StatusOK, f.post("/e/"+testEventKey, `{"name":"a"}`).Code)

	f.s.senders = nil
	w := f.post("/e/"+testEventKey, `{"name":"a"}`)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, `{"status":503,"error":"Event keys are required to process events securely"}`, w.Body.String())
}

// brokenStore fails to write as it is told.
type brokenStore struct {
	store.Store
	err error
}

func (b brokenStore) Accept(context.Context, time.Time, []store.Accepted) ([]string, error) {
	return nil, b.err
}

func TestEventsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
	}{
		{store.ErrFull, http.StatusInsufficientStorage},
		{fmt.Errorf("accept: %w", store.ErrUnavailable), http.StatusServiceUnavailable},
		{store.ErrClosed, http.StatusServiceUnavailable},
		{fmt.Errorf("SQL: disk of user root is odd"), http.StatusInternalServerError},
	} {
		f := newFixture(t, withStore(func(s store.Store) store.Store { return brokenStore{s, tt.err} }))
		message := wantRefusal(t, f.post("/e/k", `{"name":"a"}`), tt.status)
		require.NotContains(t, message, "SQL")
		require.Contains(t, f.post("/e/k", `{"name":"a"}`).Body.String(), `"ids":[]`)
	}
}

func TestEventsWhileStopping(t *testing.T) {
	t.Parallel()
	stopping, stop := context.WithCancel(t.Context())
	f := newFixture(t, func(c *Config, _ *engineConfig) { c.Draining = stopping })
	require.Equal(t, http.StatusOK, f.get("/health").Code)
	stop()
	wantRefusal(t, f.get("/health"), http.StatusServiceUnavailable)
	require.NoError(t, f.eng.Close(t.Context()))
	w := f.post("/e/k", `{"name":"a"}`)
	wantRefusal(t, w, http.StatusServiceUnavailable)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
}

// What comes while too much waits is refused as a whole, and told when to come
// again.
func TestTooMuchWaits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		most func(*engineConfig)
		says string
	}{
		{"runs", func(e *engineConfig) { e.MaxBacklog = 1 }, "1 runs wait to begin, the most is 1; nothing was saved, send it again later"},
		{"bytes", func(e *engineConfig) { e.MaxBacklogBytes = 10_500 }, "the most is 10500; nothing was saved, send it again later"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(_ *Config, e *engineConfig) { tt.most(e) })
			f.register()
			require.Equal(t, http.StatusOK, f.post("/v1/functions/shop-charge/pause", `{}`).Code)
			f.send(`{"name":"order/paid","data":{"pad":"` + strings.Repeat("x", 10_000) + `"}}`)
			paid := `{"name":"order/paid","data":{"pad":"` + strings.Repeat("y", 1000) + `"}}`
			for path, body := range map[string]string{
				"/e/k":                                  "[" + paid + `,{"name":"other"}]`,
				"/v2/events":                            paid,
				"/invoke/shop-charge":                   paid,
				"/v2/apps/shop/functions/charge/invoke": paid,
			} {
				w := f.post(path, body)
				require.Equal(t, http.StatusTooManyRequests, w.Code, path)
				require.Equal(t, "5", w.Header().Get("Retry-After"), path)
				require.Contains(t, w.Body.String(), tt.says, path)
			}
			require.Len(t, data[[]eventView](t, f.get("/v1/events")), 1, "nothing of it is kept")
			require.Len(t, data[[]runView](t, f.get("/v1/runs")), 1)
			f.send(`{"name":"other"}`) // starts nothing
		})
	}
}

func TestMoreThanMayEverWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(_ *Config, e *engineConfig) { e.MaxBacklogBytes = 1000 })
	f.register()
	w := f.post("/e/k", `{"name":"order/paid","data":{"pad":"`+strings.Repeat("x", 1000)+`"}}`)
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Contains(t, w.Body.String(), "this is more than may ever wait, so send less at once, or raise --max-backlog-bytes")
}

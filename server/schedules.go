package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Schedules of functions, and those that people make. Pawl's own.

const (
	nextTicks        = 10
	maxScheduleBody  = 128 << 10
	maxScheduleBytes = 64 << 10 // of data
	maxScheduleID    = 128
	leastJitter      = time.Second
	mostJitter       = 5 * time.Minute
)

// scheduleIn is what POST /v1/schedules takes.
type scheduleIn struct {
	ID       string         `json:"id,omitzero"`      // letters, digits, ".", "_" and "-"; one is made when it is not given
	Function string         `json:"function"`         // slug
	Cron     string         `json:"cron"`             // such as "TZ=Europe/Paris 0 12 * * *"
	Jitter   jsontext.Value `json:"jitter,omitzero"`  // such as "30s": by how much each tick is late, at most
	Missed   jsontext.Value `json:"missed,omitzero"`  // what becomes of ticks while the server is down: "once", "skip" or {"all":N}
	Overlap  string         `json:"overlap,omitzero"` // what a tick does while the run before goes on: allow, skip, queue or replace
	Data     jsontext.Value `json:"data,omitzero"`    // an object that the runs' events carry
}

// scheduleView is a schedule.
type scheduleView struct {
	ID        string         `json:"id"`
	Source    string         `json:"source"` // api: somebody made it; function: the function has it
	Function  string         `json:"function"`
	Cron      string         `json:"cron"`
	Jitter    string         `json:"jitter"`
	Missed    string         `json:"missed"`
	Overlap   string         `json:"overlap"`
	Data      jsontext.Value `json:"data,omitzero"`
	CreatedAt *time.Time     `json:"created_at,omitzero"`
	Next      []time.Time    `json:"next"` // ticks, without jitter
}

func viewSchedule(s engine.Schedule) scheduleView {
	v := scheduleView{
		ID: s.ID, Source: "function", Function: s.Function, Cron: s.Cron, Jitter: s.Jitter.String(),
		Missed: s.Missed.String(), Overlap: s.Overlap.String(),
	}
	if s.Made {
		v.Source, v.CreatedAt = "api", timeOrNull(s.Created)
	}
	if s.Data != nil {
		v.Data = readable(s.Data)
	}
	for _, t := range s.Next {
		v.Next = append(v.Next, t.UTC())
	}
	return v
}

// schedule reads what was asked for, and says what is wrong with it, or "".
func (in scheduleIn) schedule() (m durable.Schedule, message string) {
	m = durable.Schedule{ID: in.ID, Function: in.Function, Cron: in.Cron, Overlap: in.Overlap, Data: orNothing(in.Data)}
	if orNothing(in.Missed) != nil {
		m.Missed = string(in.Missed)
	}
	if orNothing(in.Jitter) != nil {
		d, err := wire.ParseDurationValue(in.Jitter)
		if err != nil {
			return m, "jitter: " + err.Error()
		}
		m.Jitter = d
	}
	switch {
	case in.Function == "":
		return m, "function is required: the slug of the function to run"
	case in.Cron == "":
		return m, `cron is required, such as "0 12 * * *"`
	case len(in.ID) > maxScheduleID || strings.ContainsFunc(in.ID, notIDRune):
		return m, "id must be up to 128 letters, digits, dots, underscores and hyphens"
	case m.Jitter != 0 && (m.Jitter < leastJitter || m.Jitter > mostJitter):
		return m, "jitter must be from 1s to 5m"
	case m.Data != nil && m.Data.Kind() != '{':
		return m, "data must be an object"
	case len(m.Data) > maxScheduleBytes:
		return m, "data has more than 65536 bytes"
	}
	if m.Data == nil {
		return m, ""
	}
	clean, err := wire.WithoutReserved(m.Data)
	if err != nil {
		return m, "data: " + err.Error()
	}
	m.Data = clean
	for name := range members(m.Data) {
		if slices.Contains(engine.TickMembers(), name) {
			return m, "data." + name + " is the schedule's own: choose another name"
		}
	}
	return m, ""
}

func notIDRune(r rune) bool {
	return r != '.' && r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

func (s *Server) addSchedule(w http.ResponseWriter, r *http.Request, body []byte) {
	var in scheduleIn
	message := readStrict(body, &in)
	var m durable.Schedule
	if message == "" {
		m, message = in.schedule()
	}
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	key, message := once(r, "schedules", body)
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	made, err := s.eng.AddSchedule(r.Context(), m, nextTicks, key, s.actor(r))
	if replayed(w, err, func(e store.KeyEntry) { s.scheduleAgain(w, string(e.Reply)) }) {
		return
	}
	bad, wrong := errors.AsType[*engine.ScheduleError](err)
	switch {
	case err == nil:
		s.reply(w, viewSchedule(made))
	case wrong:
		fail(w, http.StatusBadRequest, bad.Message)
	case errors.Is(err, store.ErrExists):
		fail(w, http.StatusConflict, "there is a schedule "+printable(in.ID)+" already; remove it first, or choose another id")
	default:
		s.failWith(w, r, err, "there is no function "+printable(in.Function)+"; GET /v1/apps lists the apps that are synced")
	}
}

// scheduleAgain answers with a schedule as it is now.
func (s *Server) scheduleAgain(w http.ResponseWriter, id string) {
	for _, sc := range s.eng.Schedules(nextTicks) {
		if sc.Made && sc.ID == id {
			s.reply(w, viewSchedule(sc))
			return
		}
	}
	fail(w, http.StatusGone, "the schedule "+printable(id)+", which the first request with this key has made, was removed since")
}

func (s *Server) listSchedules(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	limit, after, function := q.number("limit", 100, 1, 500), q.get("cursor"), q.get("function")
	if q.refused(w) {
		return
	}
	views := []scheduleView{}
	for _, sc := range s.eng.Schedules(nextTicks) {
		if sc.ID > after && (function == "" || sc.Function == function) && len(views) < limit {
			views = append(views, viewSchedule(sc))
		}
	}
	s.reply(w, views)
}

func (s *Server) removeSchedule(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.PathValue("id")
	err := s.eng.RemoveSchedule(r.Context(), id, s.actor(r))
	if errors.Is(err, store.ErrNotFound) {
		for _, sc := range s.eng.Schedules(0) {
			if sc.ID == id {
				fail(w, http.StatusConflict, "the function "+sc.Function+" has this schedule: take the cron out of its code and sync the app")
				return
			}
		}
	}
	if err != nil {
		s.failWith(w, r, err, "there is no schedule "+printable(id))
		return
	}
	s.reply(w, doneView{true})
}

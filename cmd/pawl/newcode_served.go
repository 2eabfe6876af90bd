package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/check"
	"github.com/pawlhq/pawl/internal/durable"
)

// served are the runs of a server, as its API tells them.
type served struct{ *client }

// Functions are those of all apps.
func (s *served) Functions(ctx context.Context) (list []check.Function, err error) {
	var apps []struct {
		Name      string `json:"name"`
		URL       string `json:"url"`
		Framework string `json:"framework"`
		Functions []struct {
			Slug string `json:"slug"`
		} `json:"functions"`
	}
	if err := s.get(ctx, "/v1/apps", nil, &apps); err != nil {
		return nil, refused(err)
	}
	for _, a := range apps {
		for _, f := range a.Functions {
			list = append(list, check.Function{Slug: f.Slug, App: a.Name, URL: a.URL, Endpoint: a.Framework == durable.FrameworkEndpoint})
		}
	}
	return list, nil
}

// refused says what a refusal means to who must have the key.
func refused(err error) error {
	if a, ok := errors.AsType[*apiError](err); ok && (a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden) {
		return errNoKey
	}
	return err
}

// mostPage is how many runs a page may have.
const mostPage = 200

// Runs are the newest runs of a function.
func (s *served) Runs(ctx context.Context, f check.Filter, limit int) (ids []string, err error) {
	query := url.Values{"function": {f.Function}}
	for _, status := range f.Statuses {
		query.Add("status", status.String())
	}
	if !f.Since.IsZero() {
		query.Set("from", f.Since.UTC().Format(time.RFC3339Nano))
	}
	for len(ids) < limit {
		query.Set("limit", strconv.Itoa(min(limit-len(ids), mostPage)))
		var page struct {
			Runs []struct {
				ID string `json:"run_id"`
			} `json:"runs"`
			Cursor string `json:"cursor"`
		}
		if err := s.get(ctx, "/v1/runs/search", query, &page); err != nil {
			return nil, refused(err)
		}
		for _, r := range page.Runs {
			ids = append(ids, r.ID)
		}
		if page.Cursor == "" {
			break
		}
		query.Set("cursor", page.Cursor)
	}
	return ids, nil
}

// Load reads a run. Its results are read before its steps: one that ends in between
// has no result, and counts as one that goes on.
func (s *served) Load(ctx context.Context, id string) (*check.Record, error) {
	rec := &check.Record{ID: id, Protocol: durable.Unpinned}
	path := url.PathEscape(id)
	memos, err := s.do(ctx, http.MethodGet, "/v0/runs/"+path+"/actions", nil, nil)
	if err != nil {
		return nil, left(err)
	}
	events, err := s.do(ctx, http.MethodGet, "/v0/runs/"+path+"/batch", nil, nil)
	if err != nil {
		return nil, left(err)
	}
	if err := json.Unmarshal(events, &rec.Events, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, fmt.Errorf("the events of run %s cannot be read: %w", id, err)
	}
	var h history
	if err := s.get(ctx, "/v1/runs/"+path+"/steps", nil, &h); err != nil {
		return nil, left(err)
	}
	if len(rec.Events) == 0 { // retention has taken them
		return nil, check.ErrLeft
	}
	rec.Function = h.Run.Function
	var ok bool
	if rec.Status, ok = statusOf(h.Run); !ok {
		return nil, fmt.Errorf("run %s has the status %s, which this pawl does not know", id, h.Run.Status)
	}
	steps := map[string]*check.Step{}
	var lastTry, lastEnd time.Time
	for _, v := range h.Steps {
		switch v.Status {
		case "deferred", "aborted", "refused":
			continue
		}
		if v.Step == durable.Discovery {
			if n := len(v.Attempts); n > 0 && v.Status == "retrying" && v.Attempts[n-1].Ended != nil {
				lastTry = *v.Attempts[n-1].Ended
			}
			continue
		}
		if v.Ended != nil && v.Ended.After(lastEnd) {
			lastEnd = *v.Ended
		}
		st := &check.Step{ID: v.Step, Name: v.Name, Op: v.Op, Open: v.Status == "planned" || v.Status == "sleeping" || v.Status == "waiting"}
		steps[v.Step] = st
		rec.Steps = append(rec.Steps, st)
	}
	rec.Failing = lastTry.After(lastEnd)
	err = eachMember(memos, func(id string, memo jsontext.Value) {
		st := steps[id]
		if st == nil {
			st = &check.Step{ID: id}
			rec.Steps = append(rec.Steps, st)
		}
		st.Memo, st.Open = memo, false
		rec.Done = append(rec.Done, st)
	})
	if err != nil {
		return nil, fmt.Errorf("the results of run %s cannot be read: %w", id, err)
	}
	return rec, nil
}

// left says of a run that is not found that retention has taken it.
func left(err error) error {
	if a, ok := errors.AsType[*apiError](err); ok && a.Status == http.StatusNotFound {
		return fmt.Errorf("%w: %w", check.ErrLeft, err)
	}
	return refused(err)
}

// statusOf reads a status, whose name the API has in its own way.
func statusOf(r run) (durable.Status, bool) {
	if r.Status == "Scheduled" {
		return durable.Queued, true
	}
	return durable.ParseStatus(r.Status)
}

// eachMember reads an object in its order.
func eachMember(object []byte, each func(name string, value jsontext.Value)) error {
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if dec.PeekKind() != '{' {
		return errors.New("they are no object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		v, err := dec.ReadValue()
		if err != nil {
			return err
		}
		each(key, v.Clone())
	}
	_, err := dec.ReadToken()
	return err
}

var _ check.Source = (*served)(nil)

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/match/expr"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

// A million runs that wait are written by the store and not by a server that is
// sent a million events: what is on disk is the same, and it takes a minute.

// fillGroup is how many runs are written in one transaction.
const fillGroup = 2000

// filling is a number of runs of one function that rest in the same way.
type filling struct {
	function string
	first    int64 // the runs have the numbers from here on
	n        int
	wait     durable.Wait // without the run
	due      bool         // they do not rest: their first call is due
}

// fill makes a database with runs in it.
func fill(ctx context.Context, dir string, fillings ...filling) (err error) {
	st, err := sqlite.Open(ctx, filepath.Join(dir, databaseFile), sqlite.Options{Durability: sqlite.None, CacheBytes: 1 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	programs := expr.NewCache(16)
	for _, f := range fillings {
		for numbers := range slices.Chunk(make([]struct{}, f.n), fillGroup) {
			batch := make([]store.Accepted, 0, fillGroup)
			now := time.Now()
			for range numbers {
				a, err := f.run(f.first, now, programs)
				if err != nil {
					return err
				}
				batch = append(batch, a)
				f.first++
			}
			if _, err := st.Accept(ctx, now, batch); err != nil {
				return fmt.Errorf("fill the database: %w", err)
			}
		}
	}
	return nil
}

// run is what the server would have written of run n.
func (f filling) run(n int64, now time.Time, programs *match.Programs) (store.Accepted, error) {
	id := ulid.Make().String()
	body := fmt.Sprintf(`{"data":{"n":%d,"pad":%q},"id":%q,"name":%q,"ts":%d,"user":{}}`, n, padding, id, waitsStart, now.UnixMilli())
	e := durable.Event{ID: id, Name: waitsStart, At: now, Received: now, Body: durable.JSON(body)}
	fn := durable.Function{Slug: f.function, App: waitsApp, Version: 1}
	r := durable.NewRun(ulid.Make().String(), fn, e, now, now)
	if f.due {
		return store.Accepted{Event: e, Starts: []durable.Start{{Run: r}}}, nil
	}
	w := f.wait
	w.Run, w.Step, w.Until = r.ID, waitStep, now.Add(waitsTimeout)
	if _, err := match.Find(&w, match.NewDoc(e.Body), programs); err != nil {
		return store.Accepted{}, err
	}
	delete(r.Items, durable.Discovery)
	r.Items[w.Step] = &durable.Item{
		Run: r.ID, Step: w.Step, Kind: durable.Wake, Due: w.Until, Data: durable.JSON(fmt.Sprintf("%q", w.Name)),
	}
	r.Status, r.Protocol = durable.Running, 2
	asleep := durable.Entry{
		Step: w.Step, Kind: durable.StepAsleep, Op: "WaitForEvent", Name: "paid", At: now, Until: w.Until,
		Data: durable.JSON(fmt.Sprintf(`{"event":%q,"if":%q}`, w.Name, w.If)),
	}
	return store.Accepted{Event: e, Starts: []durable.Start{{Run: r, Entries: []durable.Entry{asleep}, Waits: []durable.Wait{w}}}}, nil
}

// unfinished counts the runs of a database, which nobody may have open, that
// have not completed.
func unfinished(ctx context.Context, dir string) (int, error) {
	return countRuns(ctx, dir, durable.Queued, durable.Running, durable.Failed, durable.Cancelled)
}

// countRuns counts the runs of such a database that have one of these statuses.
func countRuns(ctx context.Context, dir string, statuses ...durable.Status) (n int, err error) {
	st, err := sqlite.Open(ctx, filepath.Join(dir, databaseFile), sqlite.Options{Durability: sqlite.None})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, status := range statuses {
		page := store.Page{Limit: 10_000}
		for {
			runs, err := st.Runs(ctx, store.RunFilter{Statuses: []durable.Status{status}}, page)
			if err != nil {
				return 0, err
			}
			n += len(runs)
			if len(runs) < page.Limit {
				break
			}
			page.Cursor = runs[len(runs)-1].ID
		}
	}
	return n, nil
}

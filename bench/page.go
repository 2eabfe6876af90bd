package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

// Mode page measures the dashboard in a browser: how soon the list of runs is there
// among many, how it scrolls, and how soon a run of many steps opens.

// Bounds of mode page.
const (
	maxPageRuns  = 5_000_000
	maxPageSteps = 10_000 // a run can have no more
	pageApp      = "shop"
	pagePatient  = 10 * time.Minute // for all that the browser does
)

// pageConfig is what mode page measures.
type pageConfig struct {
	runs  int
	steps int // of the longest run
	rows  int // that are scrolled through
}

// PageReport is what mode page measured.
type PageReport struct {
	Report
	Runs      int
	FileBytes int64
	Figures   []PageFigure
}

// PageFigure is one thing that was measured, as the browser told it.
type PageFigure struct {
	What   string `json:"what"`
	Times  int    `json:"times"`
	P50    string `json:"p50"`
	Worst  string `json:"worst"`
	Budget string `json:"budget"`
}

// runPage measures and reports.
func runPage(ctx context.Context, s settings, rc rigConfig, r Report, log io.Writer) (out PageReport, err error) {
	out = PageReport{Report: r, Runs: s.page.runs}
	dir, err := os.MkdirTemp(rc.dir, "page-*")
	if err != nil {
		return out, fmt.Errorf("make a directory for the database: %w", err)
	}
	if !rc.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	began := time.Now()
	long, err := fillPage(ctx, dir, s.page)
	if err != nil {
		return out, err
	}
	fmt.Fprintf(log, "filled in %v\n", time.Since(began).Round(time.Second))
	if info, err := os.Stat(filepath.Join(dir, databaseFile)); err == nil {
		out.FileBytes = info.Size()
	}
	addr, err := freeAddr()
	if err != nil {
		return out, err
	}
	rig := rig{dir: dir, addr: addr, client: &http.Client{Timeout: 10 * time.Second}}
	drop := func(out io.Reader) error { _, err := io.Copy(io.Discard, out); return err }
	rig.server, err = startChild(ctx, "server", nil, drop, rc.server, "dev", "--listen", addr,
		"--db", "sqlite:"+filepath.Join(dir, databaseFile), "--durability", rc.durability, "--no-discovery")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, rig.server.stop()) }()
	for !rig.healthy(ctx) {
		select {
		case <-rig.server.gone:
			return out, rig.server.failure()
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	out.Figures, err = browse(ctx, "http://"+addr, long, s.page, log)
	return out, err
}

// browse has Playwright measure, in Debian's Chromium.
func browse(ctx context.Context, base, long string, c pageConfig, log io.Writer) (figures []PageFigure, err error) {
	ctx, cancel := context.WithTimeout(ctx, pagePatient)
	defer cancel()
	file, err := os.CreateTemp("", "page-*.json")
	if err != nil {
		return nil, fmt.Errorf("make a file for the figures: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	cmd := exec.CommandContext(ctx, "npx", "playwright", "test", "--config", "playwright.speed.config.ts")
	cmd.Dir = "ui"
	cmd.Env = append(cmd.Environ(), "PAWL_SPEED="+base, "PAWL_SPEED_RUN="+long, "PAWL_SPEED_OUT="+file.Name(),
		fmt.Sprintf("PAWL_SPEED_ROWS=%d", c.rows), fmt.Sprintf("PAWL_SPEED_STEPS=%d", c.steps), "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1")
	cmd.Stdout, cmd.Stderr = log, log
	failed := cmd.Run()
	if err := json.NewDecoder(file).Decode(&figures); err != nil {
		return nil, errors.Join(failed, fmt.Errorf("read the figures: %w", err))
	}
	return figures, failed
}

// fillPage makes a database with runs in it that have ended, in the ways and at the
// rates that a shop's do, and one of many steps, whose id it returns.
func fillPage(ctx context.Context, dir string, c pageConfig) (long string, err error) {
	st, err := sqlite.Open(ctx, filepath.Join(dir, databaseFile), sqlite.Options{Durability: sqlite.None, CacheBytes: 1 << 20})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	from := time.Now().Add(-time.Duration(c.runs) * 100 * time.Millisecond).Truncate(time.Millisecond)
	batch := make([]store.Accepted, 0, fillGroup)
	for i := range c.runs {
		at := from.Add(time.Duration(i) * 100 * time.Millisecond)
		batch = append(batch, pageRun(i, at, 3))
		if i == c.runs-1 {
			batch = append(batch, pageRun(0, at, c.steps))
			long = batch[len(batch)-1].Starts[0].Run.ID
		}
		if len(batch) < fillGroup && i < c.runs-1 {
			continue
		}
		if _, err := st.Accept(ctx, at, batch); err != nil {
			return "", fmt.Errorf("fill the database: %w", err)
		}
		batch = batch[:0]
	}
	return long, nil
}

// pageRun is what is there of a run that was queued at a time and has ended.
func pageRun(n int, at time.Time, steps int) store.Accepted {
	id := ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String()
	name := fmt.Sprintf("order/kind-%d", n%20)
	body := fmt.Sprintf(`{"data":{"n":%d,"customer":{"id":"c-%d"},"pad":%q},"id":%q,"name":%q,"ts":%d,"user":{}}`, n, n%1000, padding, id, name, at.UnixMilli())
	e := durable.Event{ID: id, Name: name, At: at, Received: at, Body: durable.JSON(body)}
	f := durable.Function{Slug: fmt.Sprintf("%s-function-%d", pageApp, n%20), App: pageApp, Version: 1}
	r := durable.NewRun(ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String(), f, e, at, at)
	clear(r.Items)
	s := durable.Start{Run: r}
	now := at.Add(5 * time.Millisecond)
	r.Started, r.Protocol, r.Status = now, 2, durable.Completed
	for i := range steps {
		step := fmt.Sprintf("step %d", i+1)
		began := now
		now = now.Add(time.Duration(2+(i*7919)%40) * time.Millisecond)
		s.Entries = append(s.Entries, durable.Entry{
			Step: fmt.Sprintf("%040x", i+1), Kind: durable.StepDone, Op: "StepRun", Name: step, At: now, Started: began, Took: now.Sub(began),
			Data: durable.JSON(fmt.Sprintf(`{"data":{"n":%d}}`, i)),
		})
	}
	r.Ended, r.Output = now, durable.JSON(`{"ok":true}`)
	if n%30 == 7 {
		r.Status, r.Output = durable.Failed, durable.JSON(fmt.Sprintf(`{"name":"CardDeclined","message":"card of customer c-%d was declined"}`, n%1000))
		s.Entries = append(s.Entries, durable.Entry{Step: durable.Discovery, Kind: durable.BodyFailed, At: now, Name: "CardDeclined", Data: r.Output})
		s.Dead = &durable.DeadLetter{
			Run: r.ID, Function: r.Function, App: r.App, Class: durable.ClassError, Fingerprint: "declined-" + f.Slug,
			Title: "CardDeclined: card of customer was declined", Step: "", Attempts: 1, Failed: now,
		}
	}
	for _, en := range s.Entries {
		r.Fold(en)
	}
	return store.Accepted{Event: e, Starts: []durable.Start{s}}
}

// pageCommand is what repeats a report of mode page.
func (s settings) pageCommand() string {
	text := fmt.Sprintf("scripts/ui-speed -runs %d -rows %d -longest %d", s.page.runs, s.page.rows, s.page.steps)
	if s.write != "" {
		text += " -write " + published(s.write)
	}
	return text
}

// publish prints the report and writes its part of the page.
func (w *PageReport) publish(s settings, out io.Writer) error {
	header := w.header()
	header = header[:len(header)-1] // there are no cases with a duration
	header = append(header, [2]string{"runs", fmt.Sprintf("%d, in a file of %d MB", w.Runs, w.FileBytes>>20)})
	return publishTables(s, out, w, pageHeading, header, w.tables())
}

func (w *PageReport) tables() []table {
	t := table{columns: []string{"what", "times", "p50", "worst", "budget"}}
	for _, f := range w.Figures {
		t.rows = append(t.rows, []string{f.What, fmt.Sprint(f.Times), f.P50, f.Worst, f.Budget})
	}
	return []table{t}
}

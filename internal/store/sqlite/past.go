package sqlite

import (
	"context"
	"errors"
	"math"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Past goes back in time through the ends of the journal and of the events, which
// are in the order in which they were written, and through the index of each
// function and status that has something in the span: what was before costs nothing.
func (s *Store) Past(ctx context.Context, span store.Span, each func(store.Happening)) (since time.Time, err error) {
	since = span.Until
	err = s.read(ctx, func(c *conn) error {
		p := past{c: c, from: micros(span.From), until: micros(span.Until), left: span.Most, each: each}
		return p.read(&since)
	})
	if errors.Is(err, errSpent) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return since, err
}

// errSpent means that as much was looked at as may be.
var errSpent = errors.New("enough was looked at")

// past is a span of time that is being read.
type past struct {
	c           *conn
	from, until int64 // microseconds
	left        int   // things that may be looked at
	each        func(store.Happening)
	parts       []*pastRuns
}

// pastRuns are the runs of a function and status that started or ended.
type pastRuns struct {
	function string
	status   int64
	ended    bool
	newest   int64 // of those that were not read yet
}

// late is how much earlier than what was written before it something may say that
// it was.
const late = time.Minute

func (p *past) look() error {
	if p.left--; p.left < 0 {
		return errSpent
	}
	return nil
}

func (p *past) read(since *time.Time) error {
	if err := p.find(); err != nil {
		return err
	}
	journal := p.c.Prep(`SELECT journal.at, journal.kind, runs.function FROM journal CROSS JOIN runs ON runs.id = journal.run
		WHERE journal.seq < ? ORDER BY journal.seq DESC`)
	journal.BindInt64(1, math.MaxInt64)
	events := p.c.Prep(`SELECT received, internal FROM events WHERE seq < ? ORDER BY seq DESC`)
	events.BindInt64(1, math.MaxInt64)
	entries, received := backward{stmt: journal, tell: p.entry}, backward{stmt: events, tell: p.event}
	defer entries.close()
	defer received.close()
	for hi := p.until; hi > p.from; {
		lo := max(p.from, (hi-1)/time.Minute.Microseconds()*time.Minute.Microseconds())
		for _, part := range p.parts {
			if err := p.minute(part, lo); err != nil {
				return err
			}
		}
		for _, b := range []*backward{&entries, &received} {
			if err := b.to(lo-late.Microseconds(), p); err != nil {
				return err
			}
		}
		*since, hi = fromMicros(lo), lo
	}
	return nil
}

// find finds the functions and statuses that have something in the span.
func (p *past) find() error {
	all := &runList{}
	return all.parts(p.c, func(function string, status int64) error {
		for _, ended := range []bool{false, true} {
			switch durable.Status(status) {
			case durable.Queued, durable.Skipped: // they did neither
				continue
			case durable.Running:
				if ended {
					continue
				}
			default:
			}
			if err := p.look(); err != nil {
				return err
			}
			part := &pastRuns{function, status, ended, 0}
			stmt := p.runs(part, p.until)
			if err := firstRows(stmt, 1, func() { part.newest = stmt.ColumnInt64(0) }); err != nil {
				return err
			}
			if part.newest != 0 {
				p.parts = append(p.parts, part)
			}
		}
		return nil
	})
}

// runs has the runs of a part before hi, the newest first.
func (p *past) runs(part *pastRuns, hi int64) *sqlite.Stmt {
	stmt := p.c.Prep(`SELECT started, queued FROM runs INDEXED BY runs_started
		WHERE function = ? AND status = ? AND started <> 0 AND started >= ? AND started < ? ORDER BY started DESC`)
	if part.ended {
		stmt = p.c.Prep(`SELECT ended, started FROM runs INDEXED BY runs_ended
			WHERE function = ? AND status = ? AND ended <> 0 AND ended >= ? AND ended < ? ORDER BY ended DESC`)
	}
	stmt.BindText(1, part.function)
	stmt.BindInt64(2, part.status)
	stmt.BindInt64(3, p.from)
	stmt.BindInt64(4, hi)
	return stmt
}

// minute tells of a part's runs since lo that were not told of yet.
func (p *past) minute(part *pastRuns, lo int64) (err error) {
	if part.newest < lo {
		return nil
	}
	stmt := p.runs(part, part.newest+1)
	defer func() { err = errors.Join(err, stmt.Reset()) }()
	part.newest = 0
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			return err
		}
		at, before := stmt.ColumnInt64(0), stmt.ColumnInt64(1)
		if at < lo {
			part.newest = at
			return nil
		}
		if err := p.look(); err != nil {
			return err
		}
		h := store.Happening{Kind: store.RunStarted, At: fromMicros(at), Function: part.function, Took: -1}
		if part.ended {
			h.Kind, h.Status = store.RunEnded, durable.Status(part.status)
		}
		if before != 0 {
			h.Took = time.Duration(at-before) * time.Microsecond
		}
		p.each(h)
	}
}

// backward is a table that is read from its end, with the time of a row in its first
// column.
type backward struct {
	stmt *sqlite.Stmt
	tell func(stmt *sqlite.Stmt, at time.Time)
	next int64 // time of the row that was stepped to and not told of; 0: none was
	over bool
}

// to tells of the rows since lo.
func (b *backward) to(lo int64, p *past) error {
	for !b.over {
		if b.next == 0 {
			more, err := b.stmt.Step()
			if err != nil {
				return err
			}
			if b.over = !more; b.over {
				break
			}
			if err := p.look(); err != nil {
				return err
			}
			b.next = b.stmt.ColumnInt64(0)
		}
		if b.next < lo {
			break
		}
		if b.next >= p.from && b.next < p.until {
			b.tell(b.stmt, fromMicros(b.next))
		}
		b.next = 0
	}
	return nil
}

func (b *backward) close() { _ = b.stmt.Reset() } // its error was returned by Step

func (p *past) entry(stmt *sqlite.Stmt, at time.Time) {
	h := store.Happening{At: at, Function: stmt.ColumnText(2)}
	switch durable.EntryKind(stmt.ColumnInt64(1)) {
	case durable.Tried:
		h.Kind = store.TryFailed
	case durable.StepDone:
		h.Kind = store.StepEnded
	default:
		return
	}
	p.each(h)
}

func (p *past) event(stmt *sqlite.Stmt, at time.Time) {
	if !stmt.ColumnBool(1) {
		p.each(store.Happening{Kind: store.EventReceived, At: at})
	}
}

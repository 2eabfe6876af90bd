package storetest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var rerunTests = []test{
	{"keeps what was sent and answered in the newest tries of a run", func(d *db) {
		e := event("order/placed")
		run := d.accept(store.Accepted{Event: e, Starts: starts(start("shop-charge", e, noon))})[0]
		const tries = store.MostExchanges + 3
		for i := range tries {
			require.NoError(d, d.Transition(d.Context(), run, func(*durable.Run) (store.Decision, error) {
				return store.Decision{
					Change:   durable.Change{Entries: []durable.Entry{done(fmt.Sprint("a", i)), {Kind: durable.Tried, At: noon, Data: durable.JSON(`{}`)}}},
					Exchange: &store.Exchange{Entry: 1, Data: durable.JSON(fmt.Sprint(i))},
				}, nil
			}))
		}
		d.reopen()
		kept, err := d.Exchanges(d.Context(), run)
		require.NoError(d, err)
		require.Len(d, kept, store.MostExchanges)
		require.Equal(d, 2*tries, kept[len(kept)-1], "the place of its entry")
		data, err := d.Exchange(d.Context(), run, 2*tries)
		require.NoError(d, err)
		require.Equal(d, fmt.Sprint(tries-1), string(data))
		for _, n := range []int{2, 2*tries - 1, 0} {
			_, err = d.Exchange(d.Context(), run, n)
			require.ErrorIs(d, err, store.ErrNotFound)
		}
		d.change(run, durable.Change{Drop: []string{durable.Discovery}, Head: &durable.Head{Status: durable.Completed, Started: noon, Ended: noon, Protocol: 2}})
		_, err = d.Sweep(d.Context(), noon.Add(time.Hour), store.Retention{Runs: time.Minute}, 1000)
		require.NoError(d, err)
		kept, err = d.Exchanges(d.Context(), run)
		require.NoError(d, err)
		require.Empty(d, kept, "they leave with their run")
	}},
	{"keeps what is noted about a run, within bounds", func(d *db) {
		e := event("order/placed")
		run := d.accept(store.Accepted{Event: e, Starts: starts(start("shop-charge", e, noon))})[0]
		of := func(step, kind string, op durable.MetadataOp, values string) durable.MetadataUpdate {
			return durable.MetadataUpdate{MetadataKey: durable.MetadataKey{Step: step, Attempt: durable.NoAttempt, Kind: kind}, Op: op, Values: durable.JSON(values)}
		}
		note := func(at time.Time, updates ...durable.MetadataUpdate) (left int) {
			left, err := d.UpdateMetadata(d.Context(), run, at, updates)
			require.NoError(d, err)
			return left
		}
		read := func() (list []string) {
			kept, err := d.Metadata(d.Context(), run)
			require.NoError(d, err)
			for _, m := range kept {
				list = append(list, fmt.Sprint(m.Step, " ", m.Attempt, " ", m.Span, " ", m.Kind, " ", string(m.Values), " ", m.Updated.Sub(noon)))
			}
			return list
		}
		try := of("s1", "userland.x", durable.MetadataSet, `{"try":2}`)
		try.Attempt, try.Span = 1, "span"
		require.Zero(d, note(noon, of("", "userland.x", durable.MetadataSet, `{"a":1}`), of("s1", "userland.x", durable.MetadataSet, `{"b":2}`), try))
		require.Zero(d, note(noon.Add(time.Second), of("", "userland.x", durable.MetadataMerge, `{"c":3}`), of("s1", "userland.x", durable.MetadataSet, `{"d":4}`)))
		d.reopen()
		require.Equal(d, []string{`s1 1 span userland.x {"try":2} 0s`, ` -1  userland.x {"a":1,"c":3} 1s`, `s1 -1  userland.x {"d":4} 1s`}, []string{read()[2], read()[0], read()[1]})
		require.NoError(d, d.Transition(d.Context(), run, func(*durable.Run) (store.Decision, error) {
			return store.Decision{
				Change:   durable.Change{Entries: []durable.Entry{done("s2")}},
				Metadata: []durable.MetadataUpdate{of("s2", "userland.y", durable.MetadataSet, `{"e":5}`), of("", "userland.x", durable.MetadataDelete, `{}`)},
			}, nil
		}), "with what happens to the run, in one transaction")
		require.Len(d, read(), 3)
		require.Contains(d, read()[2], `s2 -1  userland.y {"e":5}`)

		full := `{"x":"` + strings.Repeat("x", durable.MaxMetadata-8) + `"}`
		var many []durable.MetadataUpdate
		for i := range 20 {
			many = append(many, of("", fmt.Sprint("userland.", i), durable.MetadataSet, full))
		}
		left := note(noon, many...)
		require.Positive(d, left, "a run has so much of it")
		weight := 0
		kept, err := d.Metadata(d.Context(), run)
		require.NoError(d, err)
		for _, m := range kept {
			weight += m.Weight()
		}
		require.LessOrEqual(d, weight, durable.MaxRunMetadata)
		require.Len(d, kept, 3+20-left)

		_, err = d.UpdateMetadata(d.Context(), "no such run", noon, many)
		require.ErrorIs(d, err, store.ErrNotFound)
		kept, err = d.Metadata(d.Context(), "no such run")
		require.NoError(d, err)
		require.Empty(d, kept)
		d.change(run, durable.Change{Drop: []string{durable.Discovery}, Head: &durable.Head{Status: durable.Completed, Started: noon, Ended: noon, Protocol: 2}})
		require.Equal(d, 0, note(noon, of("", "inngest.score", durable.MetadataSet, `{}`)), "also after its end")
		_, err = d.Sweep(d.Context(), noon.Add(time.Hour), store.Retention{Runs: time.Minute}, 1000)
		require.NoError(d, err)
		require.Empty(d, read(), "it leaves with its run")
		_, err = d.UpdateMetadata(d.Context(), run, noon, many[:1])
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
	{"counts the letters of a group by the hour", func(d *db) {
		var l durable.DeadLetter
		for _, ago := range []time.Duration{40 * 24 * time.Hour, 3 * time.Hour, time.Minute, 0} {
			l = d.fail("shop-charge", durable.ClassError, "boom", noon.Add(-ago))
		}
		d.reopen()
		points, err := d.Trend(d.Context(), l.Fingerprint, noon.Add(-store.TrendSpan))
		require.NoError(d, err)
		counts := map[time.Duration]int{}
		for _, p := range points {
			counts[noon.Truncate(time.Hour).Sub(p.Hour)] = p.Letters
		}
		require.Equal(d, map[time.Duration]int{3 * time.Hour: 1, time.Hour: 1, 0: 1}, counts)
		points, err = d.Trend(d.Context(), l.Fingerprint, noon)
		require.NoError(d, err)
		require.Len(d, points, 1)
		points, err = d.Trend(d.Context(), "none", time.Time{})
		require.NoError(d, err)
		require.Empty(d, points)
	}},
	{"starts a run anew and closes its letter", func(d *db) {
		l := d.fail("shop-charge", durable.ClassError, "boom", noon)
		r := d.rerun(l.Run, done("a"), done("b"))
		r.Letter = true
		r.Start.Waits = []durable.Wait{{Run: r.Start.Run.ID, Step: durable.CancelStep(0), Kind: durable.ForCancel, Name: "stop", Exact: true}}
		require.NoError(d, d.Rerun(d.Context(), noon.Add(time.Minute), r))
		check := func() {
			d.Helper()
			got, err := d.DeadLetter(d.Context(), l.Run)
			require.NoError(d, err)
			require.Equal(d, store.Retried, got.State)
			require.Equal(d, r.Start.Run.ID, got.RetriedAs)
			require.True(d, got.Closed.Equal(noon.Add(time.Minute)))
			run := d.view(r.Start.Run.ID)
			require.Equal(d, l.Run, run.Original)
			require.Equal(d, []string{"a", "b"}, run.Stack)
			entries, err := d.Journal(d.Context(), run.ID, 0)
			require.NoError(d, err)
			same(d, r.Start.Entries, entries)
			chain, err := d.Repeats(d.Context(), l.Run, 5)
			require.NoError(d, err)
			require.Len(d, chain, 1)
			require.Equal(d, run.ID, chain[0].ID)
			require.NotEmpty(d, chain[0].Events[0].Name)
			chain, err = d.Repeats(d.Context(), run.ID, 5)
			require.NoError(d, err)
			require.Empty(d, chain)
			g, err := d.DeadGroup(d.Context(), l.Fingerprint)
			require.NoError(d, err)
			require.Equal(d, [3]int{0, 1, 0}, [3]int{g.Open, g.Retried, g.Discarded})
			require.Empty(d, d.groups(store.GroupFilter{}, store.Page{Limit: 5}))
			require.Len(d, d.groups(store.GroupFilter{Closed: true}, store.Page{Limit: 5}), 1)
			require.Empty(d, d.walk(store.LetterFilter{State: new(store.LetterState)}, 5))
		}
		check()
		d.reopen()
		check()
		require.Equal(d, r.Start.Run.ID, d.claimOne(noon).Run)
		stop := event("stop")
		d.accept(store.Accepted{Event: stop})
		waits, err := d.Waiting(d.Context(), stop.ID, "", "", 0, 5)
		require.NoError(d, err)
		require.Len(d, waits, 1)
		d.change(r.Start.Run.ID, durable.Change{Entries: []durable.Entry{done("c")}})
		require.Equal(d, []string{"a", "b", "c"}, d.view(r.Start.Run.ID).Stack)

		again := d.rerun(l.Run)
		again.Letter = true
		var closed *store.LetterClosedError
		require.ErrorAs(d, d.Rerun(d.Context(), noon, again), &closed)
		require.Equal(d, r.Start.Run.ID, closed.As)
		require.ErrorAs(d, d.Discard(d.Context(), l.Run, "no", did(noon)), &closed)
		_, err = d.Run(d.Context(), again.Start.Run.ID)
		require.ErrorIs(d, err, store.ErrNotFound, "nothing is written of what is refused")
	}},
	{"starts any run anew, as often as asked for", func(d *db) {
		run := d.startAt(noon)
		letter := d.rerun(run)
		letter.Letter = true
		require.ErrorIs(d, d.Rerun(d.Context(), noon, letter), store.ErrNotFound)
		for range 2 {
			require.NoError(d, d.Rerun(d.Context(), noon, d.rerun(run)))
		}
		l := d.fail("shop-charge", durable.ClassError, "boom", noon)
		first, second := d.rerun(l.Run), d.rerun(l.Run)
		require.NoError(d, d.Rerun(d.Context(), noon, first))
		require.NoError(d, d.Rerun(d.Context(), noon, second))
		got, err := d.DeadLetter(d.Context(), l.Run)
		require.NoError(d, err)
		require.Equal(d, store.Retried, got.State)
		require.Equal(d, second.Start.Run.ID, got.RetriedAs)
		g, err := d.DeadGroup(d.Context(), l.Fingerprint)
		require.NoError(d, err)
		require.Equal(d, 1, g.Retried)
	}},
	{"starts a run anew once for a key", func(d *db) {
		l := d.fail("shop-charge", durable.ClassError, "boom", noon)
		var wait sync.WaitGroup
		ended := make(chan error, 20)
		for range 20 {
			wait.Go(func() {
				r := d.rerun(l.Run)
				r.Letter = true
				r.Once = &store.Once{Scope: "retry", Key: "k", Fingerprint: "f", Reply: durable.JSON(r.Start.Run.ID), Life: time.Hour}
				ended <- d.Rerun(d.Context(), noon, r)
			})
		}
		wait.Wait()
		close(ended)
		started, told := 0, map[string]bool{}
		for err := range ended {
			var again *store.RepeatedError
			if err == nil {
				started++
				continue
			}
			require.ErrorAs(d, err, &again)
			told[string(again.Entry.Reply)] = true
		}
		require.Equal(d, 1, started)
		require.Len(d, told, 1, "all are told of the one run")
		require.Len(d, d.claim(noon, 100), 1)
		other := d.rerun(l.Run)
		other.Once = &store.Once{Scope: "retry", Key: "k", Fingerprint: "another", Life: time.Hour}
		var conflict *store.KeyConflictError
		require.ErrorAs(d, d.Rerun(d.Context(), noon, other), &conflict)
		// What is refused for its letter does not use up its key.
		refused := d.rerun(l.Run)
		refused.Letter = true
		refused.Once = &store.Once{Scope: "retry", Key: "k2", Life: time.Hour}
		require.Error(d, d.Rerun(d.Context(), noon, refused))
		_, err := d.Key(d.Context(), "retry", "k2", noon)
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
	{"keeps an edited event beside the run's own", func(d *db) {
		l := d.fail("shop-charge", durable.ClassError, "boom", noon)
		was, err := d.DeadLetter(d.Context(), l.Run)
		require.NoError(d, err)
		edited := event("order/placed")
		edited.Edits = was.Event.ID
		r := store.Rerun{Of: l.Run, Edited: edited, Start: durable.Start{Run: start("shop-charge", edited, noon)}}
		require.NoError(d, d.Rerun(d.Context(), noon, r))
		got, err := d.Event(d.Context(), edited.ID)
		require.NoError(d, err)
		same(d, edited, got)
		for _, e := range d.events(store.EventFilter{}, store.Page{Limit: 10}) {
			require.NotEqual(d, edited.ID, e.ID, "it is listed with the server's own")
		}
		at, err := d.DeadLetter(d.Context(), l.Run)
		require.NoError(d, err)
		require.Equal(d, edited.ID, at.Edited)
		run, err := d.Run(d.Context(), r.Start.Run.ID)
		require.NoError(d, err)
		same(d, edited, run.Events[0])
	}},
	{"discards a letter, says why, and takes it back", func(d *db) {
		l := d.fail("shop-charge", durable.ClassError, "boom", noon)
		d.fail("shop-charge", durable.ClassError, "boom", noon)
		require.ErrorIs(d, d.Discard(d.Context(), newID(), "x", did(noon)), store.ErrNotFound)
		require.ErrorIs(d, d.Annotate(d.Context(), newID(), "x", did(noon)), store.ErrNotFound)
		require.NoError(d, d.Discard(d.Context(), l.Run, "known", did(noon)))
		require.NoError(d, d.Discard(d.Context(), l.Run, "known, and näive", did(noon.Add(time.Hour))))
		require.NoError(d, d.Annotate(d.Context(), l.Run, "see 7", did(noon)))
		got, err := d.DeadLetter(d.Context(), l.Run)
		require.NoError(d, err)
		require.Equal(d, store.Discarded, got.State)
		require.Equal(d, "known, and näive", got.Why)
		require.Equal(d, "see 7", got.Note)
		counts := func() [3]int {
			g, err := d.DeadGroup(d.Context(), l.Fingerprint)
			require.NoError(d, err)
			return [3]int{g.Open, g.Retried, g.Discarded}
		}
		require.Equal(d, [3]int{1, 0, 1}, counts())
		r := d.rerun(l.Run)
		r.Letter = true
		require.NoError(d, d.Rerun(d.Context(), noon, r))
		require.Equal(d, [3]int{1, 1, 0}, counts())
		got, err = d.DeadLetter(d.Context(), l.Run)
		require.NoError(d, err)
		require.Equal(d, "known, and näive", got.Why, "why it had been discarded stays known")
		require.Equal(d, "see 7", got.Note)
	}},
	{"works a job bit by bit", func(d *db) {
		var letters []durable.DeadLetter
		for i := range 5 {
			letters = append(letters, d.fail("shop-charge", durable.ClassError, "boom", noon.Add(time.Duration(i)*time.Second)))
		}
		job := store.RetryJob{
			ID: newID(), Every: 250 * time.Millisecond, First: 3, Created: noon.Add(time.Minute),
			Filter: store.LetterFilter{Function: "shop-charge", Class: durable.ClassError, Fingerprint: letters[0].Fingerprint, After: noon, Before: noon.Add(time.Minute)},
		}
		once := &store.Once{Scope: "retry", Key: "k", Reply: durable.JSON(job.ID), Life: time.Hour}
		require.NoError(d, d.StartRetries(d.Context(), job, once, did(noon)))
		var again *store.RepeatedError
		require.ErrorAs(d, d.StartRetries(d.Context(), store.RetryJob{ID: newID(), Created: noon}, once, did(noon)), &again)
		got, err := d.RetryJob(d.Context(), job.ID)
		require.NoError(d, err)
		same(d, job, got)
		d.wantNothingDue(noon)
		l := d.claimOne(noon.Add(time.Minute))
		require.Equal(d, durable.Retry, l.Kind)
		require.Equal(d, job.ID, l.Run)

		// One letter is closed by a person meanwhile.
		require.NoError(d, d.Discard(d.Context(), letters[1].Run, "no", did(noon)))
		step := store.RetryStep{Cursor: letters[2].Run, Next: noon.Add(time.Hour), Skipped: 1, Waiting: true}
		for _, letter := range letters[:3] {
			step.Reruns = append(step.Reruns, d.rerun(letter.Run))
		}
		require.NoError(d, d.Retry(d.Context(), l, noon.Add(time.Minute), step))
		require.ErrorIs(d, d.Retry(d.Context(), l, noon.Add(time.Minute), step), store.ErrLeaseLost)
		d.reopen()
		got, err = d.RetryJob(d.Context(), job.ID)
		require.NoError(d, err)
		want := job
		want.Cursor, want.Started, want.Skipped, want.Waiting = letters[2].Run, 2, 1, true
		same(d, want, got)
		runs, err := d.RetriedBy(d.Context(), job.ID, nil, store.Page{Limit: 10})
		require.NoError(d, err)
		same(d, []store.RetriedRun{
			{Run: step.Reruns[0].Start.Run.ID, Of: letters[0].Run}, {Run: step.Reruns[2].Start.Run.ID, Of: letters[2].Run},
		}, runs)
		require.Equal(d, []string{letters[3].Run, letters[4].Run}, d.walk(store.LetterFilter{State: new(store.LetterState), Oldest: true}, 9))
		letter, err := d.DeadLetter(d.Context(), letters[0].Run)
		require.NoError(d, err)
		require.Equal(d, job.ID, letter.Job)

		// The ends of its runs are counted in their transactions.
		d.change(runs[0].Run, durable.Change{Head: &durable.Head{Status: durable.Completed, Ended: noon}})
		anew := letter.DeadLetter
		anew.Run, anew.Failed = runs[1].Run, noon.Add(2*time.Hour)
		d.change(runs[1].Run, failed(anew))
		got, err = d.RetryJob(d.Context(), job.ID)
		require.NoError(d, err)
		require.Equal(d, [3]int{1, 1, 0}, [3]int{got.Completed, got.Failed, got.Cancelled})
		runs, err = d.RetriedBy(d.Context(), job.ID, nil, store.Page{Limit: 1})
		require.NoError(d, err)
		require.Len(d, runs, 1)
		require.Equal(d, durable.Completed, runs[0].Status)
		rest, err := d.RetriedBy(d.Context(), job.ID, nil, store.Page{Limit: 9, Cursor: runs[0].Run})
		require.NoError(d, err)
		failures := new(durable.Failed)
		bad, err := d.RetriedBy(d.Context(), job.ID, failures, store.Page{Limit: 9})
		require.NoError(d, err)
		same(d, []store.RetriedRun{{Run: anew.Run, Of: letters[2].Run, Status: durable.Failed}}, bad)
		same(d, bad, rest)
		bad, err = d.RetriedBy(d.Context(), job.ID, failures, store.Page{Limit: 9, Cursor: anew.Run})
		require.NoError(d, err)
		require.Empty(d, bad)
		_, err = d.RetriedBy(d.Context(), job.ID, nil, store.Page{Limit: 9, Cursor: letters[0].Run})
		require.ErrorIs(d, err, store.ErrNotFound)

		l = d.claimOne(noon.Add(time.Hour))
		require.NoError(d, d.Retry(d.Context(), l, noon.Add(time.Hour), store.RetryStep{Cursor: letters[4].Run, State: store.JobDone}))
		got, err = d.RetryJob(d.Context(), job.ID)
		require.NoError(d, err)
		require.Equal(d, store.JobDone, got.State)
		require.False(d, got.Waiting)
		require.True(d, got.Ended.Equal(noon.Add(time.Hour)))
		d.wantNothingDue(noon.Add(24 * time.Hour))
		require.NoError(d, d.StopRetries(d.Context(), job.ID, "late", did(noon)))
		got, err = d.RetryJob(d.Context(), job.ID)
		require.NoError(d, err)
		require.Equal(d, store.JobDone, got.State, "what has ended stays so")
	}},
	{"discards the letters of a job bit by bit", func(d *db) {
		var letters []durable.DeadLetter
		for i := range 4 {
			letters = append(letters, d.fail("shop-charge", durable.ClassError, "boom", noon.Add(time.Duration(i)*time.Second)))
		}
		job := store.RetryJob{ID: newID(), Created: noon, Reason: "of a tést", Filter: store.LetterFilter{Fingerprint: letters[0].Fingerprint, Before: noon.Add(time.Hour)}}
		require.NoError(d, d.StartRetries(d.Context(), job, nil, did(noon)))
		got, err := d.RetryJob(d.Context(), job.ID)
		require.NoError(d, err)
		same(d, job, got)

		l := d.claimOne(noon)

		// Two letters are closed by a person meanwhile.
		require.NoError(d, d.Discard(d.Context(), letters[1].Run, "no", did(noon)))
		r := d.rerun(letters[2].Run)
		r.Letter = true
		require.NoError(d, d.Rerun(d.Context(), noon, r))
		step := store.RetryStep{Cursor: letters[2].Run, Next: noon.Add(time.Hour), Discard: []string{letters[0].Run, letters[1].Run, letters[2].Run, newID()}}
		require.NoError(d, d.Retry(d.Context(), l, noon.Add(time.Minute), step))
		require.ErrorIs(d, d.Retry(d.Context(), l, noon.Add(time.Minute), step), store.ErrLeaseLost)
		d.reopen()
		got, err = d.RetryJob(d.Context(), job.ID)
		require.NoError(d, err)
		want := job
		want.Cursor, want.Discarded = letters[2].Run, 1
		same(d, want, got)
		letter, err := d.DeadLetter(d.Context(), letters[0].Run)
		require.NoError(d, err)
		require.Equal(d, store.Discarded, letter.State)
		require.Equal(d, job.ID, letter.Job)
		require.Equal(d, "of a tést", letter.Why)
		require.True(d, letter.Closed.Equal(noon.Add(time.Minute)))
		letter, err = d.DeadLetter(d.Context(), letters[1].Run)
		require.NoError(d, err)
		require.Equal(d, "no", letter.Why, "what a person said stays")
		g, err := d.DeadGroup(d.Context(), letters[0].Fingerprint)
		require.NoError(d, err)
		require.Equal(d, [3]int{1, 1, 2}, [3]int{g.Open, g.Retried, g.Discarded})
	}},
	{"tells which letter's retry has failed again", func(d *db) {
		l := d.fail("shop-charge", durable.ClassError, "boom", noon)
		of := func(run string) string {
			d.Helper()
			letter, err := d.DeadLetter(d.Context(), run)
			require.NoError(d, err)
			return letter.Of
		}
		require.Empty(d, of(l.Run))
		again := func(run, first string) string {
			d.Helper()
			r := d.rerun(run)
			r.Start.Run.Original = first
			require.NoError(d, d.Rerun(d.Context(), noon, r))
			anew := l
			anew.Run = r.Start.Run.ID
			d.change(anew.Run, failed(anew))
			return anew.Run
		}
		second := again(l.Run, l.Run)
		require.Equal(d, l.Run, of(second))
		third := again(second, l.Run)
		require.Equal(d, second, of(third), "the one before, not the first")
		again(second, l.Run)
		require.Equal(d, l.Run, of(third), "or the first, when the one before was repeated since")

		fine := d.startAt(noon)
		d.change(fine, durable.Change{Head: &durable.Head{Status: durable.Completed, Ended: noon}})
		require.Empty(d, of(again(fine, fine)), "the run that it repeats did not fail")
	}},
	{"stops a job at once", func(d *db) {
		l := d.fail("shop-charge", durable.ClassError, "boom", noon)
		var ids []string
		for range 3 {
			job := store.RetryJob{ID: newID(), Created: noon}
			ids = append([]string{job.ID}, ids...)
			require.NoError(d, d.StartRetries(d.Context(), job, nil, did(noon)))
		}
		list, err := d.RetryJobs(d.Context(), store.Page{Limit: 2})
		require.NoError(d, err)
		more, err := d.RetryJobs(d.Context(), store.Page{Limit: 2, Cursor: list[1].ID})
		require.NoError(d, err)
		require.Equal(d, ids, []string{list[0].ID, list[1].ID, more[0].ID})
		leases := d.claim(noon, 10)
		require.Len(d, leases, 3)
		require.ErrorIs(d, d.StopRetries(d.Context(), newID(), "x", did(noon)), store.ErrNotFound)
		require.NoError(d, d.StopRetries(d.Context(), leases[0].Run, "enough", did(noon)))
		r := d.rerun(l.Run)
		require.ErrorIs(d, d.Retry(d.Context(), leases[0], noon, store.RetryStep{Reruns: []store.Rerun{r}, Next: noon}), store.ErrLeaseLost)
		_, err = d.Run(d.Context(), r.Start.Run.ID)
		require.ErrorIs(d, err, store.ErrNotFound)
		job, err := d.RetryJob(d.Context(), leases[0].Run)
		require.NoError(d, err)
		require.Equal(d, store.JobStopped, job.State)
		require.Equal(d, "enough", job.Why)
		_, err = d.RetryJob(d.Context(), newID())
		require.ErrorIs(d, err, store.ErrNotFound)
		d.reopen()
		require.Len(d, d.claim(noon, 10), 2, "it is not due any more")
	}},
	{"retries a letter once, however many jobs want to", func(d *db) {
		var letters []durable.DeadLetter
		for range 20 {
			letters = append(letters, d.fail("shop-charge", durable.ClassError, "boom", noon))
		}
		for range 4 {
			require.NoError(d, d.StartRetries(d.Context(), store.RetryJob{ID: newID(), Created: noon}, nil, did(noon)))
		}
		var wait sync.WaitGroup
		for _, l := range d.claim(noon, 10) {
			wait.Go(func() {
				step := store.RetryStep{State: store.JobDone}
				for _, letter := range letters {
					step.Reruns = append(step.Reruns, d.rerun(letter.Run))
				}
				if err := d.Retry(d.Context(), l, noon, step); err != nil {
					d.Errorf("retry: %v", err)
				}
			})
		}
		wait.Wait()
		of := map[string]bool{}
		for _, l := range d.claim(noon, 1000) {
			of[d.view(l.Run).Original] = true
		}
		require.Len(d, of, 20)
		jobs, err := d.RetryJobs(d.Context(), store.Page{Limit: 10})
		require.NoError(d, err)
		n := 0
		for _, j := range jobs {
			n += j.Started
		}
		require.Equal(d, 20, n)
	}},
}

// rerun is a run that repeats another, and knows the given entries.
func (d *db) rerun(of string, entries ...durable.Entry) store.Rerun {
	d.Helper()
	was, err := d.Run(d.Context(), of)
	require.NoError(d, err)
	r := durable.NewRun(newID(), durable.Function{Slug: was.Function, App: "shop", Version: 3}, was.Events[0], noon, noon)
	r.Original = of
	for _, e := range entries {
		r.Fold(e)
	}
	return store.Rerun{Of: of, Start: durable.Start{Run: r, Entries: entries}}
}

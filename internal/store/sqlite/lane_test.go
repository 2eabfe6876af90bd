package sqlite

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/store"
)

// keyedRun is an event that starts a run of a function with keys, the parts of
// which stand for the values of its limits.
func keyedRun(fn string, keys ...string) store.Accepted {
	a := sent(noon)
	r := a.Starts[0].Run
	r.Function, r.Keys = fn, strings.Join(keys, ";")
	r.Enqueue(noon, noon, 0)
	return a
}

// lanesModel is a store with hardly any memory for lanes, and beside it what
// counting alone says.
type lanesModel struct {
	t    *testing.T
	rnd  *rand.Rand
	path string
	s    *Store
	now  time.Time

	runs    map[string]*modelRun
	used    map[string]int       // slots, by gate
	taken   map[string]time.Time // of rates
	stored  map[string]time.Time // the same, as a restart finds it
	limit   int                  // of each key
	turns   map[string]map[string]int
	claimed int
}

type modelRun struct {
	id    string
	fn    string // with its keys, as in the names of lanes
	lane  string // where it stands in the queue
	due   time.Time
	lease *store.Lease
	until time.Time
	pass  []string // gates of which the lease holds slots
	stays []string // and those that are the run's once it has begun
	began bool
	rests bool // nothing of it is queued but a timer that is far away
}

func newLanesModel(t *testing.T, seed uint64) *lanesModel {
	m := &lanesModel{
		t: t, rnd: rand.New(rand.NewPCG(seed, 0)), path: filepath.Join(t.TempDir(), "pawl.db"), limit: 1,
		now:  time.Now().Truncate(time.Microsecond), // as the writer has it
		runs: map[string]*modelRun{}, used: map[string]int{}, taken: map[string]time.Time{}, stored: map[string]time.Time{},
		turns: map[string]map[string]int{},
	}
	m.open()
	return m
}

func (m *lanesModel) open() {
	if m.s != nil {
		require.NoError(m.t, m.s.Close())
	}
	var err error
	m.s, err = Open(m.t.Context(), m.path, Options{Durability: None})
	require.NoError(m.t, err)
	m.s.queue.max, m.s.queue.maxLanes = 300, 0 // leastLanes of each group
	m.s.Limit(m.limits)
}

// limits are those of four functions: "own" has a limit for each key, and one for
// all; "two" has keys in pairs, and a limit for each half; "rate" is throttled by
// key; of "run" so many runs go on at a time for each key.
func (m *lanesModel) limits(lane string) (flow.Class, []flow.GateSpec) {
	begins, fn, keys, ok := durable.Lane(lane)
	if !ok {
		return flow.Continue, nil
	}
	class := flow.Continue
	if begins {
		class = flow.Begin
	}
	var specs []flow.GateSpec
	first, second, _ := strings.Cut(keys, ";")
	switch {
	case fn == "own":
		specs = append(specs, flow.GateSpec{Name: "step/own/" + first, Slots: m.limit, Keyed: true}, flow.GateSpec{Name: "step/own", Slots: 40})
	case fn == "two":
		specs = append(specs, flow.GateSpec{Name: "step/two/1/" + first, Slots: m.limit, Keyed: true},
			flow.GateSpec{Name: "step/two/2/" + second, Slots: m.limit, Keyed: true})
	case fn == "rate" && begins:
		specs = append(specs, flow.GateSpec{Name: "throttle/rate/" + first, Rate: flow.Throttle(m.limit, 20*time.Second, 0), Stays: true, Keyed: true})
	case fn == "run" && begins:
		specs = append(specs, flow.GateSpec{Name: "run/run/" + first, Slots: m.limit, Stays: true, Keyed: true})
	}
	return class, append(specs, flow.GateSpec{Name: "app", Slots: 60})
}

// passes reports whether the gates of a lane let one pass.
func (m *lanesModel) passes(lane string) bool {
	_, specs := m.limits(lane)
	for _, g := range specs {
		if g.Slots > 0 && m.used[g.Name] >= g.Slots || g.Rate.Every > 0 && g.Rate.Next(m.taken[g.Name]).After(m.now) {
			return false
		}
	}
	return true
}

func (m *lanesModel) claimable(r *modelRun) bool {
	return !r.rests && (r.lease == nil || !r.until.After(m.now)) && (!durable.LaneIsTimed(r.lane) || !r.due.After(m.now)) && m.passes(r.lane)
}

// accept starts some runs.
func (m *lanesModel) accept(n int) {
	var batch []store.Accepted
	for range n {
		key := func(n int) string { return fmt.Sprintf("%03d", m.rnd.IntN(n)) }
		var a store.Accepted
		switch m.rnd.IntN(10) {
		case 0, 1, 2:
			a = keyedRun("own", key(150))
		case 3: // one key with very many
			a = keyedRun("own", "077")
		case 4, 5:
			a = keyedRun("two", key(20), key(20))
		case 6:
			a = keyedRun("rate", key(200))
		case 7, 8:
			a = keyedRun("run", key(200))
		default:
			a = keyedRun("plain")
		}
		batch = append(batch, a)
	}
	// What they are when they are in the store is others' to change.
	for _, a := range batch {
		r := a.Starts[0].Run
		lane := r.Items[durable.Discovery].Lane
		m.runs[r.ID] = &modelRun{id: r.ID, fn: lane[1:], lane: lane}
	}
	_, err := m.s.Accept(m.t.Context(), m.now, batch)
	require.NoError(m.t, err)
}

// giveBack ends a lease in the model.
func (m *lanesModel) giveBack(r *modelRun) {
	for _, g := range r.pass {
		m.used[g]--
	}
	if !r.began {
		for _, g := range r.stays {
			m.used[g]--
		}
		r.stays = nil
	}
	r.lease, r.pass = nil, nil
}

const lanesTTL = 10 * time.Minute

// claim claims some, and compares each with the model.
func (m *lanesModel) claim(limit int) (n int) {
	for _, r := range m.runs { // what has run out is free before anything is claimed
		if r.lease != nil && !r.until.After(m.now) {
			m.giveBack(r)
		}
	}
	leases, err := m.s.Claim(m.t.Context(), m.now, lanesTTL, limit)
	require.NoError(m.t, err)
	for _, l := range leases {
		m.claimed++
		r := m.runs[l.Run]
		require.NotNil(m.t, r, "a run that is not there: %+v", l.Item)
		require.Equal(m.t, r.lane, l.Lane)
		require.True(m.t, m.claimable(r), "%+v was claimed; held: %v", l.Item, r.lease != nil)
		m.fair(r)
		r.lease, r.until = &l, l.Until
		_, specs := m.limits(r.lane)
		for _, g := range specs {
			if g.Rate.Every > 0 {
				m.taken[g.Name] = g.Rate.Take(m.taken[g.Name], m.now)
			}
			if g.Slots == 0 {
				continue
			}
			m.used[g.Name]++
			if g.Stays {
				r.stays = append(r.stays, g.Name)
			} else {
				r.pass = append(r.pass, g.Name)
			}
		}
	}
	for _, l := range leases { // what is to be moved, or to begin, is so at once
		r := m.runs[l.Run]
		switch {
		case l.Early():
			m.put(r, "c"+r.fn, m.now)
		case strings.HasPrefix(r.lane, "brate") || strings.HasPrefix(r.lane, "brun"):
			m.begin(r)
		}
	}
	return len(leases)
}

// mostTurns is how often a lane may have its turn while another waits: once in a
// walk, and once more for each time that one of them enters or leaves memory.
const mostTurns = 4

// fair checks that no lane has turn after turn while one that is alike waits.
func (m *lanesModel) fair(r *modelRun) {
	waiting := map[string]bool{}
	for _, other := range m.runs {
		if strings.HasPrefix(other.lane, "bown") && other.lane != r.lane && m.claimable(other) {
			waiting[other.lane] = true
		}
	}
	delete(m.turns, r.lane)
	if !strings.HasPrefix(r.lane, "bown") {
		return
	}
	for lane := range m.turns {
		if !waiting[lane] {
			delete(m.turns, lane)
		}
	}
	for lane := range waiting {
		if m.turns[lane] == nil {
			m.turns[lane] = map[string]int{}
		}
		m.turns[lane][r.lane]++
		require.LessOrEqual(m.t, m.turns[lane][r.lane], mostTurns, "%q had turn after turn while %q waited", r.lane, lane)
	}
}

// change moves a run.
func (m *lanesModel) change(r *modelRun, c durable.Change) {
	require.NoError(m.t, m.s.Transition(m.t.Context(), r.id, func(*durable.Run) (store.Decision, error) {
		return store.Decision{Change: c}, nil
	}))
}

// begin notes that a run's first request is sent.
func (m *lanesModel) begin(r *modelRun) {
	item := r.lease.Item
	item.Lane = "c" + r.fn
	m.change(r, durable.Change{Began: true, Head: &durable.Head{Status: durable.Running, Started: m.now}, Put: []durable.Put{{Item: item, KeepClaim: true}}})
	_, specs := m.limits(r.lane)
	for _, g := range specs {
		if g.Rate.Every > 0 {
			m.stored[g.Name] = m.taken[g.Name]
		}
	}
	r.began, r.lane = true, item.Lane
}

// put queues a run anew.
func (m *lanesModel) put(r *modelRun, lane string, due time.Time) {
	m.change(r, durable.Change{Put: []durable.Put{{Item: durable.Item{Run: r.id, Step: durable.Discovery, Due: due, Lane: lane}}}})
	m.giveBack(r)
	r.lane, r.due = lane, due
}

func (m *lanesModel) end(r *modelRun) {
	m.change(r, durable.Change{Head: &durable.Head{Status: durable.Completed, Started: m.now, Ended: m.now}})
	m.giveBack(r)
	for _, g := range r.stays {
		m.used[g]--
	}
	delete(m.runs, r.id)
}

// rest lets a run sleep.
func (m *lanesModel) rest(r *modelRun) {
	timer := durable.Item{Run: r.id, Step: "nap", Kind: durable.Wake, Due: m.now.Add(10000 * time.Hour)}
	m.change(r, durable.Change{Drop: []string{durable.Discovery}, Put: []durable.Put{{Item: timer}}})
	m.giveBack(r)
	r.rests = true
}

// restart forgets leases, and what was not stored.
func (m *lanesModel) restart() {
	for _, r := range m.runs {
		if r.lease != nil {
			m.giveBack(r)
		}
	}
	m.taken = maps.Clone(m.stored)
	clear(m.turns)
	m.open()
}

// some picks one of the runs of which ok holds; nil if there is none.
func (m *lanesModel) some(ok func(r *modelRun) bool) *modelRun {
	var ids []string
	for id, r := range m.runs {
		if ok(r) {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return nil
	}
	slices.Sort(ids) // the seed says which
	return m.runs[ids[m.rnd.IntN(len(ids))]]
}

func leased(r *modelRun) bool { return r.lease != nil }

// drain claims until nothing is left, and waits for what the store itself says that
// it waits for.
func (m *lanesModel) drain() {
	for range 1000 {
		if m.claim(1+m.rnd.IntN(20)) > 0 {
			continue
		}
		waits := m.some(m.claimable)
		if waits == nil {
			return
		}
		next, any, err := m.s.NextDue(m.t.Context())
		require.NoError(m.t, err)
		require.True(m.t, any, "%+v has room, and nothing is ever due", waits)
		require.LessOrEqual(m.t, next.Sub(m.now), leastRest, "%+v has room and has to wait", waits)
		m.now = later(m.now, next)
	}
	m.t.Fatalf("%d were claimed, and there is no end", m.claimed)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// TestLanesAgainstModel puts many lanes, of which hardly any find room in memory,
// through random operations, and compares each claim with what counting says: no
// gate lets too many pass, lanes take turns, and whatever has room is claimed.
func TestLanesAgainstModel(t *testing.T) {
	t.Parallel()
	for range 4 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			m := newLanesModel(t, seed)
			defer func() { require.NoError(t, m.s.Close()) }()
			for range 250 {
				switch m.rnd.IntN(16) {
				case 0, 1, 2:
					m.accept(1 + m.rnd.IntN(60))
				case 3, 4:
					m.claim(1 + m.rnd.IntN(30))
				case 5, 6, 7, 8:
					for range m.rnd.IntN(30) {
						if r := m.some(leased); r != nil {
							m.end(r)
						}
					}
				case 9:
					if r := m.some(leased); r != nil {
						m.put(r, "", m.now.Add(time.Duration(m.rnd.IntN(30))*time.Second))
					}
				case 10:
					if r := m.some(func(r *modelRun) bool { return leased(r) && r.began }); r != nil {
						m.rest(r)
					}
				case 11:
					if r := m.some(func(r *modelRun) bool { return r.rests }); r != nil {
						m.end(r)
					}
				case 12:
					if r := m.some(leased); r != nil {
						require.NoError(t, m.s.Release(t.Context(), []store.Lease{*r.lease}))
						m.giveBack(r)
					}
				case 13:
					m.now = m.now.Add(time.Duration(m.rnd.IntN(20)) * time.Second)
				case 14:
					switch m.rnd.IntN(8) {
					case 0:
						m.restart()
					case 1:
						m.now = m.now.Add(lanesTTL)
					case 2:
						m.limit = 1 + m.rnd.IntN(2)
						m.s.Limit(m.limits)
						clear(m.turns)
					}
				default:
					m.drain()
				}
				m.bounds()
			}
			m.drain()
			t.Logf("%d claims, %d runs are left", m.claimed, len(m.runs))
		})
	}
}

// bounds checks what is in memory.
func (m *lanesModel) bounds() {
	q := &m.s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	rows := q.leased.Len()
	for _, l := range q.lanes {
		rows += l.due.Len()
	}
	require.Equal(m.t, len(q.byKey), rows)
	require.Equal(m.t, rows-q.leased.Len(), q.free)
	keyed := 0
	for _, g := range q.groups {
		keyed += len(g.lanes)
		require.LessOrEqual(m.t, len(g.lanes), leastLanes+walkLanes, "lanes of %q", g.name)
	}
	require.Equal(m.t, keyed, q.keyed)
	require.LessOrEqual(m.t, q.free, 2*q.max+len(q.lanes)*walkRows)
}

// Requests that an earlier version has left in lanes of keys to wait for their time
// are moved out of them.
func TestEarlyRequestsOfBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	delayed, begins := keyedRun("own", "1"), keyedRun("own", "2")
	_, err := s.Accept(t.Context(), noon, []store.Accepted{delayed, begins})
	require.NoError(t, err)
	run := delayed.Starts[0].Run.ID
	require.NoError(t, s.Close())
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	require.NoError(t, err)
	script, err := migrations.ReadFile("migrations/0023_early.sql")
	require.NoError(t, err)
	require.NoError(t, sqlitex.ExecuteScript(c, `
		UPDATE queue SET lane = 'd' || substr(lane, 2), due = due + 60000000 WHERE run = '`+run+`';
		DROP INDEX holders_run;
		`+string(script), nil))
	require.NoError(t, c.Close())

	s = open(t, path)
	defer func() { require.NoError(t, s.Close()) }()
	leases, err := s.Claim(t.Context(), noon, time.Hour, 10)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	require.Equal(t, begins.Starts[0].Run.ID, leases[0].Run)
	leases, err = s.Claim(t.Context(), noon.Add(time.Minute), time.Hour, 10)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	require.Equal(t, run, leases[0].Run)
	require.True(t, leases[0].Early())
}

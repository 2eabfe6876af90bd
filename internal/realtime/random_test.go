package realtime

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/store"
)

// client is a reader as its author would write it: what is not committed is for
// the time being, and it comes again where it was.
type client struct {
	v     *viewer
	place int64
	all   []shown
	kept  []shown // as of place
	done  bool
}

type shown struct {
	step, text string
	sure       bool // it was committed, or is of no step
}

// take reads what has come.
func (c *client) take(t *testing.T) {
	t.Helper()
	var where string
	for part := range strings.SplitSeq(c.v.read2(), "\n\n") {
		where += part + "\n"
		name, body := "", ""
		for line := range strings.SplitSeq(part, "\n") {
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				name = v
			} else if v, ok := strings.CutPrefix(line, "data: "); ok {
				body = v
			} else if v, ok := strings.CutPrefix(line, "id: "); ok {
				n, err := strconv.ParseInt(v, 10, 64)
				require.NoError(t, err)
				if n == store.LastPiece {
					continue
				}
				require.Greater(t, n, c.place, "places rise")
				c.place, c.kept = n, slices.DeleteFunc(slices.Clone(c.all), func(s shown) bool { return !s.sure })
			}
		}
		var e struct {
			Data         string
			HashedStepID *string `json:"hashedStepId"`
		}
		if name == "" {
			continue
		}
		require.NoError(t, json.Unmarshal([]byte(body), &e), "%s: %s", name, body)
		step := ""
		if e.HashedStepID != nil {
			step = *e.HashedStepID
		}
		switch name {
		case eventStream:
			for _, s := range c.all {
				require.False(t, s.text == e.Data, "%s came twice: %v\n%s", e.Data, c.all, where)
			}
			c.all = append(c.all, shown{step, e.Data, step == ""})
		case eventCommit:
			for i := range c.all {
				if c.all[i].step == step {
					c.all[i].sure = true
				}
			}
		case eventRollback:
			c.all = slices.DeleteFunc(c.all, func(s shown) bool { return s.step == step })
		case eventResponse:
			c.done = true
		case eventIncomplete:
			t.Fatal("nothing was too much")
		}
	}
}

func (v *viewer) read2() string {
	time.Sleep(time.Millisecond)
	return v.raw()
}

// byStep is what a client shows in the end.
func (c *client) byStep() map[string][]string {
	m := map[string][]string{}
	for _, s := range c.all {
		if s.sure {
			m[s.step] = append(m[s.step], s.text)
		}
	}
	return m
}

// entry is one time that the app is entered, to do one step.
type entry struct {
	tee  *Tee
	step int
	n    int // chunks so far
	id   int
	over bool // the step has ended, but the SDK has left the request open
	sent []string
}

// play is a run of an app whose steps stream, fail, run twice, and break off, with
// readers who come and go, and a server that crashes.
type play struct {
	t       *testing.T
	h       *house
	r       *rand.Rand
	run     string
	groups  [][]int // steps that run side by side
	group   int
	done    map[int][]string // what the last run of each step sent
	entries []*entry
	made    int
	clients []*client
}

func (p *play) doing(step int) bool {
	return slices.ContainsFunc(p.entries, func(e *entry) bool { return e.step == step && !e.over })
}

// outside is what the code before a group streams at each entry.
func (p *play) outside(group int) (list []string) {
	for g := range group + 1 {
		for i := range g % 3 {
			list = append(list, fmt.Sprintf("outside %d.%d", g, i))
		}
	}
	return list
}

func (p *play) write(e *entry, text string) {
	if len(text) > 2 && p.r.IntN(4) == 0 {
		at := 1 + p.r.IntN(len(text)-1)
		e.tee.Write([]byte(text[:at]))
		text = text[at:]
	}
	e.tee.Write([]byte(text))
}

func (p *play) enter() {
	for _, step := range p.groups[p.group] {
		if p.done[step] != nil || p.doing(step) {
			continue
		}
		p.made++
		e := &entry{tee: p.h.tee(p.run), step: step, id: p.made}
		p.write(e, meta(p.run))
		for _, text := range p.outside(p.group) {
			p.write(e, chunk("", text))
		}
		p.entries = append(p.entries, e)
		return
	}
}

func (p *play) name(step int) string { return fmt.Sprint("step", step) }

func (p *play) close(e *entry) {
	e.tee.Close()
	p.entries = slices.DeleteFunc(p.entries, func(o *entry) bool { return o == e })
}

// leave is what the SDK does when a step has ended: mostly it leaves the request open.
func (p *play) leave(e *entry) {
	if e.over = true; p.r.IntN(3) == 0 {
		p.close(e)
	}
}

func (p *play) act() {
	live := slices.DeleteFunc(slices.Clone(p.entries), func(e *entry) bool { return e.over })
	var e *entry
	if len(live) > 0 {
		e = live[p.r.IntN(len(live))]
	}
	switch k := p.r.IntN(40); {
	case k < 8:
		p.enter()
	case k < 20 && e != nil:
		e.n++
		text := fmt.Sprintf("%s run %d chunk %d", p.name(e.step), e.id, e.n)
		e.sent = append(e.sent, text)
		p.write(e, chunk(p.name(e.step), text))
	case k < 25 && e != nil:
		p.write(e, commit(p.name(e.step)))
		if p.r.IntN(4) > 0 { // else the answer is lost, and the step runs again
			p.h.s.Settle(p.t.Context(), p.run, nil, false)
			p.done[e.step] = append([]string{}, e.sent...)
		}
		p.leave(e)
	case k < 27 && e != nil:
		p.write(e, undo(p.name(e.step)))
		p.leave(e)
	case k < 28 && e != nil:
		p.close(e) // the connection breaks
	case k < 29 && len(p.entries) > 0:
		if e := p.entries[p.r.IntN(len(p.entries))]; e.over && p.doing(e.step) {
			p.write(e, chunk(p.name(e.step), fmt.Sprintf("%s run %d, stale", p.name(e.step), e.id))) // of an entry that is over: nobody may see it twice
			p.close(e)
		}
	case k < 32:
		p.clients = append(p.clients, &client{v: p.h.join(p.run, 0)})
	case k < 34 && len(p.clients) > 0:
		c := p.clients[p.r.IntN(len(p.clients))]
		c.take(p.t)
		c.v.leave()
		p.come(c)
	case k < 36:
		time.Sleep(time.Duration(p.r.IntN(40)) * time.Millisecond)
	case k < 37:
		p.h.crash()
		p.entries = nil
		for _, c := range p.clients {
			p.come(c)
		}
	default:
		for _, c := range p.clients {
			c.take(p.t)
		}
	}
	if !slices.ContainsFunc(p.groups[p.group], func(step int) bool { return p.done[step] == nil }) {
		p.group++
	}
}

// come connects a client again, where it was or from the start.
func (p *play) come(c *client) {
	if p.r.IntN(2) == 0 {
		c.place, c.kept = 0, nil
	}
	c.all = slices.Clone(c.kept)
	c.v = p.h.join(p.run, c.place)
}

// TestAnyStream plays random runs. Whatever happens, no client shows anything
// twice, and in the end all of them show what the last run of each step has sent.
// PAWL_SEED repeats one.
func TestAnyStream(t *testing.T) {
	seed, rounds := uint64(time.Now().UnixNano()), 16
	if given := os.Getenv("PAWL_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
		rounds = 1
	}
	for i := range rounds {
		t.Run(fmt.Sprint("PAWL_SEED=", seed+uint64(i)), func(t *testing.T) {
			inHouse(t, func(t *testing.T, h *house) {
				p := &play{t: t, h: h, r: rand.New(rand.NewPCG(seed+uint64(i), 1)), run: h.run(), done: map[int][]string{}}
				p.groups = [][]int{{0}, {1, 2}, {3}, {4, 5, 6}, {7}}
				p.clients = append(p.clients, &client{v: h.join(p.run, 0)})
				for p.group < len(p.groups) {
					p.act()
				}
				last := h.tee(p.run)
				text := meta(p.run)
				for _, o := range p.outside(p.group) {
					text += chunk("", o)
				}
				last.Write([]byte(text + answer))
				last.Close()
				if p.r.IntN(2) == 0 {
					h.over(p.run, Outcome{})
				}
				time.Sleep(time.Second)
				p.clients = append(p.clients, &client{v: h.join(p.run, 0)})
				want := map[string][]string{}
				for step, texts := range p.done {
					if len(texts) > 0 {
						want[p.name(step)] = texts
					}
				}
				if list := p.outside(p.group); len(list) > 0 {
					want[""] = list
				}
				for _, c := range p.clients {
					c.take(t)
					require.True(t, c.done)
					require.True(t, c.v.ended)
					require.Equal(t, want, c.byStep())
					c.v.leave()
				}
				for _, e := range slices.Clone(p.entries) {
					p.close(e)
				}
				time.Sleep(time.Second)
				require.Empty(t, h.s.runs)
				require.Zero(t, h.s.held.Load())
				require.Zero(t, h.b.buffered.Load())
			})
		})
	}
}

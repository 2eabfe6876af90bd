package server

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// TestDamagedRecords (S10): whatever happens to the stored rows of one function
// and its runs, Pawl starts, keeps on starting, shows what it has, and the
// other function does not notice.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "test.db")
				f := openFixture(t, path, withApp(napper))
				f.registerNappers()
				asleep := f.startedBy(`{"name":"good","id":"g"}`)
				for i := range 3 {
					f.send(fmt.Sprintf(`{"name":"bad","id":"b%d","data":{"n":%d}}`, i, i))
				}
				f.send(fmt.Sprintf(`{"name":"bad","ts":%d}`, time.Now().Add(30*time.Minute).UnixMilli()))
				synctest.Wait()
				require.NoError(t, f.eng.Close(t.Context()))

				what := damage(t, path, rand.New(rand.NewPCG(seed, 1)))
				for range 3 {
					f = openFixture(t, path, withApp(napper))
					f.looks(what)
					awake := f.startedBy(`{"name":"good"}`)
					time.Sleep(3 * time.Hour)
					synctest.Wait()
					for _, run := range []string{asleep, awake} {
						require.Equal(t, "Completed", data[runView](t, f.get("/v1/runs/"+run)).Status, what)
					}
					f.looks(what)
					require.NoError(t, f.eng.Close(t.Context()))
				}
			})
		})
	}
}

// TestDamagedFunctionComesBack: a function whose triggers cannot be read starts
// nothing until its app syncs, and then again.
func TestDamagedFunctionComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "test.db")
		f := openFixture(t, path, withApp(napper))
		f.registerNappers()
		require.NoError(t, f.eng.Close(t.Context()))
		onFile(t, path, func(c *sqlite.Conn) {
			require.NoError(t, sqlitex.ExecuteTransient(c, `UPDATE functions SET triggers = '[{' WHERE slug = 'shop-bad'`, nil))
		})
		for range 2 { // what the sync wrote is there after another start
			f = openFixture(t, path, withApp(napper))
			f.registerNappers()
			require.NotEmpty(t, f.startedBy(`{"name":"bad"}`))
			require.NoError(t, f.eng.Close(t.Context()))
		}
	})
}

// TestRunWithoutItsEvent: it is shown, and who wants to change it is told what is
// wrong.
func TestRunWithoutItsEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "test.db")
		f := openFixture(t, path, withApp(napper))
		f.registerNappers()
		event := f.send(`{"name":"bad"}`)
		run := data[[]runView](t, f.get("/v1/events/"+event+"/runs"))[0].RunID
		synctest.Wait()
		require.NoError(t, f.eng.Close(t.Context()))
		onFile(t, path, func(c *sqlite.Conn) {
			require.NoError(t, sqlitex.Execute(c, `DELETE FROM events WHERE id = ?`, &sqlitex.ExecOptions{Args: []any{event}}))
		})
		f = openFixture(t, path, withApp(napper))
		shown := data[runView](t, f.get("/v1/runs/"+run))
		require.Equal(t, "Running", shown.Status)
		require.Equal(t, event, shown.EventID)
		for _, path := range []string{"/v1/runs/" + run + "/steps", "/v1/runs/" + run + "/trace", "/v1/runs/" + run + "/links", "/v2/runs/" + run, "/v2/runs/" + run + "/trace?includeOutput=true"} {
			w := f.get(path)
			require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
		}
		for _, w := range []*httptest.ResponseRecorder{
			f.do(request{method: "DELETE", path: "/v1/runs/" + run}), f.post("/v1/runs/"+run+"/rerun", `{}`), f.get("/v1/runs/" + run + "/why"),
		} {
			require.Equal(t, http.StatusInternalServerError, w.Code)
			require.Contains(t, w.Body.String(), "run "+run+": its event "+event+" is not there: the store is damaged; stop Pawl, and pawl doctor says what is wrong")
		}
		require.NoError(t, f.eng.Close(t.Context()))
	})
}

// TestPanicWhileDecidingBlocksNobody: a run that makes Pawl panic is tried again
// and again, and others go on.
func TestPanicWhileDecidingBlocksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, withApp(napper))
		f.registerNappers()
		bad := f.startedBy(`{"name":"bad"}`)
		synctest.Wait()
		for range 2 {
			require.Panics(t, func() {
				_ = f.eng.History().(store.Store).View(t.Context(), bad, func(*durable.Run) error { panic("boom") })
			})
		}
		good := f.startedBy(`{"name":"good"}`)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for _, run := range []string{bad, good} {
			require.Equal(t, "Completed", data[runView](t, f.get("/v1/runs/"+run)).Status)
		}
	})
}

// napper is an app whose functions run a step, sleep for an hour, and return.
func napper(r *http.Request) *http.Response {
	var body struct{ Steps map[string]any }
	if err := json.UnmarshalRead(r.Body, &body, json.MatchCaseInsensitiveNames(true)); err != nil {
		return sdk(500, `{"message":"the body cannot be read"}`)
	}
	nap := wire.StepHash("nap", 0)
	switch {
	case body.Steps[stepA] == nil:
		return sdk(206, "["+stepRun(`{"x":1}`)+"]")
	case len(body.Steps) == 1:
		return sdk(206, `[{"id":"`+nap+`","op":"Sleep","name":"1h"}]`)
	}
	return sdk(200, `"rested"`)
}

// registerNappers registers shop-good and shop-bad.
func (f *fixture) registerNappers() {
	f.t.Helper()
	var list []string
	for _, name := range []string{"good", "bad"} {
		list = append(list, `{"id":"shop-`+name+`","name":"`+name+`","triggers":[{"event":"`+name+`"}],
			"steps":{"step":{"runtime":{"url":"http://localhost:3000/api/inngest?fnId=shop-`+name+`&stepId=step"},"retries":{"attempts":2}}}}`)
	}
	w := f.post("/fn/register", `{"url":"http://localhost:3000/api/inngest","appName":"shop","sdk":"js:v4.24.0","functions":[`+strings.Join(list, ",")+`]}`)
	require.Equal(f.t, http.StatusOK, w.Code, w.Body)
}

// startedBy sends an event and returns the run that it starts.
func (f *fixture) startedBy(body string) string {
	f.t.Helper()
	runs := data[[]runView](f.t, f.get("/v1/events/"+f.send(body)+"/runs"))
	require.Len(f.t, runs, 1)
	return runs[0].RunID
}

// looks reads whatever there is to read.
func (f *fixture) looks(what string) {
	f.t.Helper()
	for _, path := range []string{"/v1/runs?limit=200", "/v1/runs/search", "/v1/overview", "/v1/events?received_after=1970-01-01T00:00:00Z", "/v1/apps", "/dev", "/", "/health"} {
		require.Equal(f.t, http.StatusOK, f.get(path).Code, "GET %s after %s", path, what)
	}
	for _, run := range data[[]runView](f.t, f.get("/v1/runs?limit=200")) {
		id := url.PathEscape(run.RunID)
		for _, path := range []string{"/v1/runs/" + id, "/v1/runs/" + id + "/steps", "/v1/runs/" + id + "/jobs", "/v1/runs/" + id + "/trace", "/v1/runs/" + id + "/links"} {
			w := f.get(path)
			// 400 when it is the id that was damaged.
			require.Contains(f.t, []int{200, 404, 400}, w.Code, "GET %s after %s: %s", path, what, w.Body)
		}
	}
}

// victims says which rows of a table may be damaged.
var victims = map[string]string{
	"functions":   `slug = 'shop-bad'`,
	"events":      `name = 'bad'`,
	"runs":        `function = 'shop-bad'`,
	"journal":     `run IN (SELECT id FROM runs WHERE function = 'shop-bad')`,
	"queue":       `run IN (SELECT id FROM runs WHERE function = 'shop-bad')`,
	"idempotency": `scope = 'start/shop-bad'`,
}

// damage changes a few values in rows of shop-bad and says which.
func damage(t *testing.T, path string, random *rand.Rand) (what string) {
	t.Helper()
	tables := []string{"functions", "events", "runs", "journal", "queue", "idempotency"}
	onFile(t, path, func(c *sqlite.Conn) {
		for range 1 + random.IntN(4) {
			table := tables[random.IntN(len(tables))]
			columns, kinds := columnsOf(t, c, table)
			column := columns[random.IntN(len(columns))]
			value := damaged1(random, kinds[column])
			what += fmt.Sprintf("%s.%s = %.40q; ", table, column, fmt.Sprint(value))
			// What breaks a unique index cannot happen to a file.
			_ = sqlitex.Execute(c, fmt.Sprintf(`UPDATE OR IGNORE %[1]s SET %[2]s = ? WHERE %[3]s`, table, column, victims[table]),
				&sqlitex.ExecOptions{Args: []any{value}})
		}
	})
	return what
}

func onFile(t *testing.T, path string, do func(*sqlite.Conn)) {
	t.Helper()
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	require.NoError(t, err)
	do(c)
	require.NoError(t, c.Close())
}

func columnsOf(t *testing.T, c *sqlite.Conn, table string) (names []string, kinds map[string]string) {
	t.Helper()
	kinds = map[string]string{}
	require.NoError(t, sqlitex.Execute(c, `SELECT name, type FROM pragma_table_info(?)`, &sqlitex.ExecOptions{
		Args: []any{table},
		ResultFunc: func(stmt *sqlite.Stmt) error {
			if name := stmt.ColumnText(0); name != "seq" {
				names = append(names, name)
				kinds[name] = stmt.ColumnText(1)
			}
			return nil
		},
	}))
	return names, kinds
}

// damaged1 is a value of a column's type that nobody would write.
func damaged1(random *rand.Rand, kind string) any {
	if kind == "INTEGER" {
		numbers := []int64{0, 1, -1, 7, 127, 128, 200, 1 << 40, -1 << 40, math.MaxInt64, math.MinInt64, random.Int64()}
		return numbers[random.IntN(len(numbers))]
	}
	noise := make([]byte, random.IntN(40))
	for i := range noise {
		noise[i] = byte(random.UintN(256))
	}
	texts := []string{"", "{", `{"data":`, "[]", "null", `{"name":5,"data":[]}`, "\xff\xfe", strings.Repeat("[", 5000), string(noise), "'; DROP TABLE runs; --"}
	text := texts[random.IntN(len(texts))]
	if kind == "BLOB" {
		return []byte(text)
	}
	return text
}

// TestMutatedAnswers (S10): answers of an app with random bytes changed end its
// own runs in one way or the other, and the other function does not notice.
func TestMutatedAnswers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := make(chan *rand.Rand, 1) // calls come side by side
				random <- rand.New(rand.NewPCG(seed, 2))
				f := newFixture(t, withEngineLog, withApp(func(r *http.Request) *http.Response {
					answer := napper(r)
					if strings.HasSuffix(r.URL.Query().Get("fnId"), "good") {
						return answer
					}
					rnd := <-random
					defer func() { random <- rnd }()
					return mutated(rnd, answer)
				}))
				f.registerNappers()
				var runs []string
				for range 10 {
					runs = append(runs, f.startedBy(`{"name":"bad"}`))
				}
				good := f.startedBy(`{"name":"good"}`)
				time.Sleep(12 * time.Hour)
				synctest.Wait()
				require.Equal(t, "Completed", data[runView](t, f.get("/v1/runs/"+good)).Status)
				for _, id := range runs {
					run := data[runView](t, f.get("/v1/runs/"+id))
					steps := f.get("/v1/runs/" + id + "/steps")
					require.Equal(t, http.StatusOK, steps.Code)
					if run.Status == "Running" { // the hour became a week
						require.Contains(t, steps.Body.String(), `"status":"sleeping"`, "run %s", id)
					} else {
						require.Contains(t, []string{"Completed", "Failed"}, run.Status, "run %s", id)
					}
					require.Equal(t, http.StatusOK, f.get("/v1/runs/"+id+"/trace").Code)
				}
				require.NotContains(t, f.logs.String(), "panicked")
			})
		})
	}
}

// mutated is an answer with some of its bytes, its status or a header changed.
func mutated(random *rand.Rand, answer *http.Response) *http.Response {
	body := make([]byte, 1<<12)
	n, _ := answer.Body.Read(body)
	body = body[:n]
	for range random.IntN(4) {
		if i := random.IntN(len(body) + 1); i < len(body) {
			switch random.IntN(4) {
			case 0:
				body[i] = byte(random.UintN(256))
			case 1:
				body = append(body[:i], body[i+1:]...)
			case 2:
				body = body[:i]
			default:
				piece := []string{`{`, `]`, `"`, `null`, `\ud800`, `1e999`, `,"op":"None"`, "\x00"}[random.IntN(8)]
				body = append(body[:i:i], append([]byte(piece), body[i:]...)...)
			}
		}
	}
	status := answer.StatusCode
	if random.IntN(4) == 0 {
		status = []int{200, 201, 206, 301, 400, 401, 404, 500, 503}[random.IntN(9)]
	}
	out := sdk(status, string(body))
	switch random.IntN(8) {
	case 0:
		out.Header.Set("Retry-After", []string{"-1", "99999999", "soon", "3"}[random.IntN(4)])
	case 1:
		out.Header.Set("X-Inngest-Req-Version", []string{"-1", "1", "99999999999", "x"}[random.IntN(4)])
	case 2:
		out.Header.Del("X-Inngest-Sdk")
	}
	return out
}

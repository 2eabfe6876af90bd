package main

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	sqlitestore "github.com/pawlhq/pawl/internal/store/sqlite"
)

// pawl runs a command in this process and returns what it prints.
func pawl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := root()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// Not in parallel: a process that another test starts has the lock of a store
// for the moment before it becomes that program.
func TestDoctorTellsAndRepairs(t *testing.T) {
	const run, event = "01KE1111111111111111111111", "01KE0000000000000000000000"
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "pawl.db")
	s, err := sqlitestore.Open(t.Context(), path, sqlitestore.Options{})
	require.NoError(t, err)
	f := durable.Function{Slug: "shop-ship", App: "shop", Version: 1}
	require.NoError(t, s.SaveApp(t.Context(), durable.App{Name: "shop"}, []durable.Function{f}, nil, nil, nil))
	e := durable.Event{ID: event, Name: "order/placed", At: noon, Received: noon, Body: durable.JSON(`{}`)}
	_, err = s.Accept(t.Context(), noon, []store.Accepted{{Event: e, Starts: []durable.Start{{Run: durable.NewRun(run, f, e, noon, noon)}}}})
	require.NoError(t, err)
	require.NoError(t, s.Close())

	harm := func(sql string) {
		t.Helper()
		c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
		require.NoError(t, err)
		require.NoError(t, sqlitex.ExecuteTransient(c, sql, nil))
		require.NoError(t, c.Close())
	}
	harm(`DELETE FROM queue`)
	db := "sqlite:" + path
	out, err := pawl(t, "doctor", "--db", db)
	require.EqualError(t, err, "1 of 1 things that are wrong can be repaired: pawl doctor --fix")
	require.Equal(t, "stuck     run "+run+": the run has not ended, and nothing will ever move it\n"+
		"          with --fix: its function is entered again\n"+
		"Looked at 1 runs (0 ended), 1 events, 0 queue items and 0 waits. 1 thing is wrong.\n", out)
	out, err = pawl(t, "doctor", "--db", db, "--json", "--fix")
	require.NoError(t, err)
	require.JSONEq(t, `{"findings":[{"rule":"stuck","run":"`+run+`","what":"the run has not ended, and nothing will ever move it",
		"cure":"its function is entered again","cured":true}],"examined":{"runs":1,"ended":0,"events":1,"items":1,"waits":0}}`, out)
	out, err = pawl(t, "doctor", "--db", db)
	require.NoError(t, err)
	require.Contains(t, out, "Nothing is wrong.\n")

	harm(`UPDATE runs SET status = 1`)
	harm(`UPDATE meta SET value = 0 WHERE key = 'backlog_bytes'`) // as if it had begun
	_, err = pawl(t, "doctor", "--db", db, "--fix")
	require.EqualError(t, err, "what is wrong cannot be repaired; if runs suffer from it, restore a backup: pawl restore")
}

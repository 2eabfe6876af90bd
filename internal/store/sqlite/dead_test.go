package sqlite

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// TestListsOfLettersAreRanges: whatever a list of letters or of their groups is
// filtered by, it reads one range of an index in its order, and sorts nothing.
func TestListsOfLettersAreRanges(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{Durability: None})
	plan := func(sql string) (steps []string) {
		require.NoError(t, s.read(t.Context(), func(c *conn) error {
			stmt, _, err := c.PrepareTransient("EXPLAIN QUERY PLAN " + sql)
			require.NoError(t, err)
			defer stmt.Finalize()
			return rows(stmt, func() { steps = append(steps, stmt.ColumnText(3)) })
		}))
		return steps
	}
	for _, c := range []struct{ sql, uses string }{
		{lettersSQL(store.LetterFilter{}), "dead_letters_all (state=?"},
		{lettersSQL(store.LetterFilter{Oldest: true}), "dead_letters_all (state=?"},
		{lettersSQL(store.LetterFilter{Function: "f"}), "dead_letters_function (state=? AND function=?"},
		{lettersSQL(store.LetterFilter{Class: durable.ClassError}), "dead_letters_class (state=? AND class=?"},
		{lettersSQL(store.LetterFilter{Function: "f", Class: durable.ClassError}), "dead_letters_both (state=? AND function=? AND class=?"},
		{lettersSQL(store.LetterFilter{Fingerprint: "f", Function: "f", Oldest: true}), "dead_letters_group (state=? AND fingerprint=?"},
		{groupsSQL(store.GroupFilter{}), "dead_groups_all (live=? AND"},
		{groupsSQL(store.GroupFilter{Function: "f"}), "dead_groups_function (live=? AND function=? AND"},
		{groupsSQL(store.GroupFilter{Class: durable.ClassError}), "dead_groups_class (live=? AND class=? AND"},
		{groupsSQL(store.GroupFilter{Function: "f", Class: durable.ClassError}), "dead_groups_both (live=? AND function=? AND class=? AND"},
	} {
		steps := plan(c.sql)
		require.Contains(t, steps[0], "USING INDEX "+c.uses)
		for _, step := range steps {
			require.Regexp(t, "^(SEARCH|CORRELATED SCALAR SUBQUERY)", step, "%s\n%s", c.sql, steps)
		}
		// The range begins at the cursor: what comes before it is not read.
		require.Regexp(t, `\((failed,run|last,fingerprint)\)[<>]\(\?,\?\)`, steps[0])
	}
	for sql, uses := range map[string]string{
		retriedSQL(false): "SEARCH retries USING INDEX retries_job (job=? AND n>?)",
		retriedSQL(true):  "SEARCH retries USING INDEX retries_ended (job=? AND status=? AND n>?)",
	} {
		require.Equal(t, []string{uses}, plan(sql))
	}
	require.Contains(t, strings.Join(plan(lettersSQL(store.LetterFilter{})), " "), "dead_letters_retried (retried_as=?)")
}

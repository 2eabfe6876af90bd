package sqlite

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every statement that is known when the package is compiled finds its rows by
// an index, however many there are. Those that look at a whole table are of
// tables that stay small.
func TestStatementsUseIndexes(t *testing.T) {
	t.Parallel()
	small := []string{"apps", "functions", "schedules", "controls", "people", "tokens", "links", "f"}
	s := temporary(t, Options{Durability: None})
	statements := prepared(t)
	require.Greater(t, len(statements), 20)
	for _, sql := range statements {
		var plan []string
		stmt, _, err := s.write.PrepareTransient("EXPLAIN QUERY PLAN " + sql)
		require.NoError(t, err, sql)
		for i := range stmt.BindParamCount() {
			stmt.BindNull(i + 1)
		}
		require.NoError(t, rows(stmt, func() { plan = append(plan, stmt.ColumnText(3)) }))
		require.NoError(t, stmt.Finalize())
		for _, line := range plan {
			table, scans := strings.CutPrefix(line, "SCAN ")
			table, _, _ = strings.Cut(table, " ")
			switch {
			case scans && slices.Contains(small, table), strings.HasPrefix(line, "SCAN CONSTANT ROW"):
			case scans && (table == "sqlite_master" || table == "controls"): // once, when the store is opened
			case line == "SEARCH events": // by rowid
			default:
				require.False(t, scans, "%s\n%s", sql, strings.Join(plan, "\n"))
				require.False(t, strings.HasPrefix(line, "SEARCH ") && !strings.Contains(line, " USING "),
					"the greatest of a column without an index: %s\n%s", sql, strings.Join(plan, "\n"))
			}
		}
		if testing.Verbose() {
			t.Logf("%s\n\t%s", strings.Join(strings.Fields(sql), " "), strings.Join(plan, "\n\t"))
		}
	}
}

// prepared are the texts of the package's calls of Prep that are constant.
func prepared(t *testing.T) (statements []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	var files []*ast.File
	consts := map[string]ast.Expr{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") ||
			strings.HasPrefix(e.Name(), "doctor") { // which looks at everything
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		require.NoError(t, err)
		files = append(files, f)
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
				for i, name := range v.Names {
					consts[name.Name] = v.Values[i]
				}
			}
			return true
		})
	}
	var text func(ast.Expr) (string, bool)
	text = func(e ast.Expr) (string, bool) {
		switch e := e.(type) {
		case *ast.BasicLit:
			s, err := strconv.Unquote(e.Value)
			return s, err == nil && e.Kind == token.STRING
		case *ast.Ident:
			v, ok := consts[e.Name]
			if !ok {
				return "", false
			}
			return text(v)
		case *ast.BinaryExpr:
			a, ok := text(e.X)
			b, ok2 := text(e.Y)
			return a + b, ok && ok2
		default:
			return "", false
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Prep" {
				if sql, ok := text(call.Args[0]); ok {
					statements = append(statements, sql)
				}
			}
			return true
		})
	}
	return statements
}

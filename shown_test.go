package pawl_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEverythingIsShown: each exported function, method and type of the packages
// that users import is shown in a runnable example.
func TestEverythingIsShown(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "pawltest"} {
		shown, exported := map[string]bool{}, []string{}
		fset := token.NewFileSet()
		var files []*ast.File
		names, err := fs.Glob(os.DirFS(dir), "*.go")
		require.NoError(t, err)
		for _, name := range names {
			f, err := parser.ParseFile(fset, dir+"/"+name, nil, parser.ParseComments)
			require.NoError(t, err)
			if !strings.HasSuffix(name, "_test.go") {
				files = append(files, f)
				continue
			}
			for _, decl := range f.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Example") {
					continue
				}
				for _, part := range strings.Split(strings.TrimPrefix(fn.Name.Name, "Example"), "_") {
					shown[part] = true
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok {
						shown[s.Sel.Name] = true
					}
					return true
				})
			}
		}
		pkg, err := doc.NewFromFiles(fset, files, "pawl/"+dir)
		require.NoError(t, err)
		funcs := func(list []*doc.Func) {
			for _, f := range list {
				exported = append(exported, f.Name)
			}
		}
		funcs(pkg.Funcs)
		for _, typ := range pkg.Types {
			funcs(typ.Funcs)
			funcs(typ.Methods)
			exported = append(exported, typ.Name)
		}
		require.Greater(t, len(exported), 15)
		var missing []string
		for _, name := range exported {
			if !shown[name] && !slices.Contains(unshown, name) {
				missing = append(missing, name)
			}
		}
		require.Empty(t, missing, "no example in %s shows them", dir)
	}
}

// unshown are what users never write: interfaces of options, what other packages
// call, and types that are met as values.
var unshown = []string{
	"AppOption", "FuncOption", "StepOption", "Option", "WaitOption", "MarshalJSON", "UnmarshalJSON", "Is", "ServeHTTP", "Step", "Trigger",
	"EventType", "StreamWriter", "Scope", "App", "Received", "Attachment", "RunStatus", "Ack", "Function", "Started", "State",
}

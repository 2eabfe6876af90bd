package internal

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/pawlhq/pawl/"

// allowed are the arrows between Pawl's own packages. A new one is a decision:
// make it here and in docs/ARCHITECTURE.md, or find another way.
var allowed = map[string][]string{
	"internal/durable":         {},
	"internal/proto":           {},
	"internal/wire":            {"internal/proto"},
	"internal/cron":            {"internal/wire"},
	"internal/match/expr":      {"internal/wire"},
	"internal/match":           {"internal/durable", "internal/match/expr"},
	"internal/store":           {"internal/durable", "internal/flow"},
	"internal/heap":            {},
	"internal/flow":            {"internal/heap"},
	"internal/ticket":          {},
	"internal/redact":          {},
	"internal/store/sqlite":    {"internal/durable", "internal/flow", "internal/heap", "internal/store"},
	"internal/store/storetest": {"internal/durable", "internal/flow", "internal/store"},
	"internal/call":            {"internal/durable", "internal/egress", "internal/proto", "internal/wire"},
	"internal/check":           {"internal/call", "internal/durable", "internal/proto", "internal/store", "internal/store/sqlite", "internal/wire"},
	"internal/egress":          {"internal/wire"},
	"internal/tell":            {"internal/egress"},
	"internal/realtime":        {"internal/store"},
	"internal/queue":           {"internal/durable", "internal/store"},
	"engine":                   {"internal/call", "internal/cron", "internal/durable", "internal/egress", "internal/flow", "internal/match", "internal/match/expr", "internal/proto", "internal/queue", "internal/realtime", "internal/store", "internal/store/sqlite", "internal/wire"},
	"server":                   {"engine", "internal/durable", "internal/realtime", "internal/redact", "internal/store", "internal/ticket", "internal/webui", "internal/wire"},
	"internal/webui":           {},
	"":                         {"internal/proto"},
	"examples":                 {"", "engine"},
	"cmd/pawl":                 {"engine", "internal/check", "internal/durable", "internal/redact", "internal/store", "internal/store/sqlite", "internal/tell", "internal/wire", "server"},
	"pawltest":                 {"", "engine", "internal/check", "internal/durable", "internal/proto"},
	"bench":                    {"", "engine", "internal/durable", "internal/match", "internal/match/expr", "internal/store", "internal/store/sqlite"},
}

func TestImportsFollowTheDesign(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(strings.TrimPrefix(fields[0], strings.TrimSuffix(module, "/")), "/")
		if strings.HasPrefix(pkg, "examples/") {
			pkg = "examples"
		}
		may, known := allowed[pkg]
		for _, imported := range fields[1:] {
			own, ok := strings.CutPrefix(imported, strings.TrimSuffix(module, "/"))
			if !ok {
				continue
			}
			own = strings.TrimPrefix(own, "/")
			require.True(t, known, "package %s is not in the list of allowed imports", pkg)
			require.True(t, slices.Contains(may, own), "%s imports %s, which is not an allowed arrow", pkg, own)
		}
	}
}

// TestSDKIsPlain: whoever imports the SDK gets nothing else with it, also not by
// way of what it imports.
func TestSDKIsPlain(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", `{{if not .Standard}}{{.ImportPath}}{{end}}`, strings.TrimSuffix(module, "/")).Output()
	require.NoError(t, err)
	require.Equal(t, "github.com/pawlhq/pawl/internal/proto\ngithub.com/pawlhq/pawl\n", string(out))
}

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
	"internal/flow":            {},
	"internal/ticket":          {},
	"internal/redact":          {},
	"internal/store/sqlite":    {"internal/durable", "internal/flow", "internal/store"},
	"internal/store/storetest": {"internal/durable", "internal/flow", "internal/store"},
	"internal/call":            {"internal/durable", "internal/egress", "internal/wire"},
	"internal/egress":          {"internal/wire"},
	"internal/realtime":        {"internal/store"},
	"internal/queue":           {"internal/durable", "internal/store"},
	"engine":                   {"internal/call", "internal/cron", "internal/durable", "internal/egress", "internal/flow", "internal/match", "internal/match/expr", "internal/queue", "internal/realtime", "internal/store", "internal/wire"},
	"server":                   {"engine", "internal/durable", "internal/realtime", "internal/redact", "internal/store", "internal/ticket", "internal/wire"},
	"cmd/pawl":                 {"engine", "internal/durable", "internal/redact", "internal/store", "internal/store/sqlite", "internal/wire", "server"},
	"bench":                    {"internal/durable", "internal/match", "internal/match/expr", "internal/store", "internal/store/sqlite"},
}

func TestImportsFollowTheDesign(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		may, known := allowed[pkg]
		for _, imported := range fields[1:] {
			own, ok := strings.CutPrefix(imported, module)
			if !ok {
				continue
			}
			require.True(t, known, "package %s is not in the list of allowed imports", pkg)
			require.True(t, slices.Contains(may, own), "%s imports %s, which is not an allowed arrow", pkg, own)
		}
	}
}

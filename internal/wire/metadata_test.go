package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseMetadata(t *testing.T) {
	t.Parallel()
	const values = `{"kind":"userland.x","op":"merge","values":{"a":1}}`
	for _, tt := range []struct {
		name, body string
		want       []Metadata
		left       int
	}{
		{"of a run", `{"target":{"run_id":"r"},"metadata":[` + values + `]}`, []Metadata{{Attempt: -1, Kind: "userland.x", Op: "merge"}}, 0},
		{"of a step", `{"target":{"step_id":"a"},"metadata":[` + values + `]}`, []Metadata{{Step: StepHash("a", 0), Attempt: -1, Kind: "userland.x", Op: "merge"}}, 0},
		{"of its second use", `{"target":{"step_id":"a","step_index":1},"metadata":[` + values + `]}`, []Metadata{{Step: StepHash("a", 1), Attempt: -1, Kind: "userland.x", Op: "merge"}}, 0},
		{"of a hashed step, a try and a span", `{"target":{"step_id":"` + StepHash("a", 0) + `","step_attempt":0,"span_id":"s"},"metadata":[` + values + `]}`, []Metadata{{Step: StepHash("a", 0), Span: "s", Kind: "userland.x", Op: "merge"}}, 0},
		{"without a target or an op", `{"metadata":[{"kind":"k","values":{"a":1}}]}`, []Metadata{{Attempt: -1, Kind: "k", Op: "set"}}, 0},
		{"nulls", `{"target":{"step_id":null,"step_index":null,"step_attempt":null,"span_id":null},"metadata":[{"kind":"k","op":null,"values":{"a":1}}]}`, []Metadata{{Attempt: -1, Kind: "k", Op: "set"}}, 0},
		{"some that are good", `{"metadata":[1,{"kind":7,"values":{}},{"kind":"k","values":[]},{"kind":"k"},{"kind":"k","op":"SET","values":{"a":1}}]}`, []Metadata{{Attempt: -1, Kind: "k", Op: "set"}}, 4},
		{"nothing", `{}`, nil, 0},
		{"no object", `[]`, nil, 1},
		{"a target that is none", `{"target":7,"metadata":[1,2]}`, nil, 2},
		{"too many", `{"metadata":[` + strings.Repeat(`{"kind":"k","values":{"a":1}},`, 1001) + `1]}`, nil, 2},
	} {
		list, left := ParseMetadata([]byte(tt.body))
		require.Equal(t, tt.left, left, tt.name)
		if tt.name == "too many" {
			require.Len(t, list, 1000)
			continue
		}
		for i := range list {
			require.JSONEq(t, `{"a":1}`, string(list[i].Values), tt.name)
			list[i].Values = nil
		}
		require.Equal(t, tt.want, list, tt.name)
	}
}

func TestMetadataOfAnOp(t *testing.T) {
	t.Parallel()
	op := func(metadata string) Op {
		ops, err := ParseOps(fmt.Appendf(nil, `[{"metadata":%s,"op":"StepRun","id":"h","data":1}]`, metadata))
		require.NoError(t, err, "it never keeps a step from being reported")
		return ops[0]
	}
	list := op(`[{"kind":"a","scope":"step","op":"set","values":{}},{"kind":"b","scope":"run","op":"set","values":{}},{"kind":"c","scope":"extended_trace","values":{}}]`).Metadata
	require.Len(t, list, 3)
	require.Equal(t, []string{"h", "", "h"}, []string{list[0].Step, list[1].Step, list[2].Step})
	for _, bad := range []string{`null`, `7`, `{}`, `[1]`, `[]`} {
		require.Empty(t, op(bad).Metadata, bad)
	}
}

package durable_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

func TestMetadataUpdates(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", durable.MaxMetadata)
	for _, tt := range []struct {
		name   string
		op     durable.MetadataOp
		was    string
		values string
		weight int
		want   string // "": none
		kept   bool
	}{
		{"set where nothing is", durable.MetadataSet, "", `{"b":1,"a":{"x":[1]}}`, 0, `{"a":{"x":[1]},"b":1}`, true},
		{"set replaces all", durable.MetadataSet, `{"a":1}`, `{"b":2}`, 0, `{"b":2}`, true},
		{"merge puts members over those that are there", durable.MetadataMerge, `{"a":1,"b":{"x":1}}`, `{"b":2,"c":3}`, 0, `{"a":1,"b":2,"c":3}`, true},
		{"merge where nothing is", durable.MetadataMerge, "", `{"b":2}`, 0, `{"b":2}`, true},
		{"merge with what is damaged", durable.MetadataMerge, `{"a`, `{"b":2}`, 0, `{"b":2}`, true},
		{"delete members", durable.MetadataDelete, `{"a":1,"b":2}`, `{"a":null,"z":1}`, 0, `{"b":2}`, true},
		{"delete the last member", durable.MetadataDelete, `{"a":1}`, `{"a":0}`, 0, "", true},
		{"delete all", durable.MetadataDelete, `{"a":1,"b":2}`, `{}`, 0, "", true},
		{"delete where nothing is", durable.MetadataDelete, "", `{"a":1}`, 0, "", true},
		{"add numbers", durable.MetadataAdd, `{"a":1.5,"b":"x"}`, `{"a":2,"b":3,"c":4}`, 0, `{"a":3.5,"b":3,"c":4}`, true},
		{"add whole numbers exactly", durable.MetadataAdd, `{"a":9007199254740993,"b":-1}`, `{"a":9007199254740993,"b":0.5}`, 0, `{"a":18014398509481986,"b":-0.5}`, true},
		{"add beyond all numbers", durable.MetadataAdd, `{"a":1e308}`, `{"a":1.5e308}`, 0, `{"a":1.5e308}`, true},
		{"an op that there is not", "replace", `{"a":1}`, `{"a":2}`, 0, `{"a":1}`, false},
		{"values that are no object", durable.MetadataSet, `{"a":1}`, `[1]`, 0, `{"a":1}`, false},
		{"null", durable.MetadataSet, "", `null`, 0, "", false},
		{"names that repeat", durable.MetadataSet, "", `{"a":1,"a":2}`, 0, "", false},
		{"too large", durable.MetadataSet, `{"a":1}`, `{"a":"` + long + `"}`, 0, `{"a":1}`, false},
		{"too large when merged", durable.MetadataMerge, `{"a":"` + long[:40_000] + `"}`, `{"b":"` + long[:40_000] + `"}`, 0, `{"a":"` + long[:40_000] + `"}`, false},
		{"no room in the run", durable.MetadataSet, "", `{"a":1}`, durable.MaxRunMetadata - 500, "", false},
		{"in place of what takes up that room", durable.MetadataSet, `{"a":1}`, `{"b":2}`, durable.MaxRunMetadata, `{"b":2}`, true},
	} {
		var was durable.JSON
		if tt.was != "" {
			was = durable.JSON(tt.was)
		}
		u := durable.MetadataUpdate{MetadataKey: durable.MetadataKey{Attempt: durable.NoAttempt, Kind: "userland.x"}, Op: tt.op, Values: durable.JSON(tt.values)}
		now, kept := u.Apply(was, tt.weight)
		require.Equal(t, tt.kept, kept, tt.name)
		require.Equal(t, tt.want, string(now), tt.name)
	}
	good := durable.MetadataUpdate{MetadataKey: durable.MetadataKey{Kind: "k"}, Op: durable.MetadataSet, Values: durable.JSON(`{}`)}
	for name, change := range map[string]func(*durable.MetadataUpdate){
		"no kind": func(u *durable.MetadataUpdate) { u.Kind = "" }, "a long kind": func(u *durable.MetadataUpdate) { u.Kind = long[:256] },
		"a long step": func(u *durable.MetadataUpdate) { u.Step = long[:256] }, "a long span": func(u *durable.MetadataUpdate) { u.Span = long[:256] },
		"a try below zero": func(u *durable.MetadataUpdate) { u.Attempt = -2 },
	} {
		bad := good
		change(&bad)
		_, kept := bad.Apply(nil, 0)
		require.False(t, kept, name)
	}
}

func TestMetadataComesWithTheEntryOfItsStep(t *testing.T) {
	t.Parallel()
	note := []durable.MetadataUpdate{{MetadataKey: durable.MetadataKey{Step: "a", Kind: "k"}}}
	ops := []durable.Op{{Step: "a", Metadata: note}, {Step: "b"}}
	for _, in := range []durable.Input{durable.Answer{Ops: ops}, durable.Return{Ops: ops}, durable.Refusal{Ops: ops}, durable.Checkpoint{Ops: ops}, durable.Inline{Ops: ops}} {
		require.Equal(t, note, durable.MetadataOf(in, durable.Change{Entries: []durable.Entry{{Step: "b"}, {Step: "a"}}}), "%T", in)
		require.Empty(t, durable.MetadataOf(in, durable.Change{Entries: []durable.Entry{{Step: "b"}}}), "%T: its report came before", in)
	}
	require.Empty(t, durable.MetadataOf(durable.Due{}, durable.Change{Entries: []durable.Entry{{Step: "a"}}}))
}

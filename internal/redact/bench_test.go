package redact

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkJSON is of an answer with rows of runs, of texts alone and of errors that
// hold documents.
func BenchmarkJSON(b *testing.B) {
	r, err := Parse([]string{"card.number", "password", `pattern:sk_live_\w+`, `pattern:\b\d{16}\b`})
	require.NoError(b, err)
	paths, err := Parse([]string{"card.number", "password"})
	require.NoError(b, err)
	plain := `{"run_id":"01JAAAAAAAAAAAAAAAAAAAAAAA","function":"shop-charge","status":"Failed","queued_at":"2025-01-01T00:00:00Z","problem":"Error: the bank said no: \"come back\" at 12:30","data":{"customer":{"id":42,"name":"Ann"}}},`
	inside := `{"run_id":"01JAAAAAAAAAAAAAAAAAAAAAAA","problem":"Error: refused {\"order\":17,\"card\":{\"number\":\"4111-1111\"}} twice"},`
	for name, rows := range map[string]string{"plain": plain, "inside": inside} {
		doc := []byte(`{"data":[` + strings.TrimSuffix(strings.Repeat(rows, 200), ",") + `]}`)
		for kind, rules := range map[string]Rules{"all": r, "paths": paths} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(doc)))
				for b.Loop() {
					if _, err := rules.JSON(doc); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

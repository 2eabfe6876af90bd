package sqlite

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// BenchmarkRunList reads the first page of a list among 100,000 runs of so many
// functions.
func BenchmarkRunList(b *testing.B) {
	for _, functions := range []int{1, 1000} {
		s := temporary(b, Options{Durability: None})
		for i := 0; i < 100_000; {
			var batch []store.Accepted
			for range 500 {
				a := sent(noon)
				a.Starts[0].Run.Function = fmt.Sprintf("shop-%d", i%functions)
				batch = append(batch, a)
				i++
			}
			_, err := s.Accept(b.Context(), noon, batch)
			require.NoError(b, err)
		}
		for _, f := range []struct {
			name   string
			filter store.RunFilter
		}{
			{"all", store.RunFilter{}},
			{"function", store.RunFilter{Functions: []string{"shop-0"}}},
			{"none failed", store.RunFilter{Statuses: []durable.Status{durable.Failed}, Time: store.ByEnded}},
		} {
			b.Run(fmt.Sprintf("%d/%s", functions, f.name), func(b *testing.B) {
				for b.Loop() {
					_, err := s.Runs(b.Context(), f.filter, store.Page{Limit: 21})
					require.NoError(b, err)
				}
			})
		}
		list, err := s.Runs(b.Context(), store.RunFilter{}, store.Page{Limit: 100})
		require.NoError(b, err)
		for _, r := range list {
			r.Parent = durable.Ref{Run: list[0].ID, Step: "a"}
		}
		b.Run(fmt.Sprintf("%d/origins of 100", functions), func(b *testing.B) {
			for b.Loop() {
				_, err := s.Origins(b.Context(), list, 512)
				require.NoError(b, err)
			}
		})
	}
}

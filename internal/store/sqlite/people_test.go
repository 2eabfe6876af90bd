package sqlite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Two whose names were two when ASCII letters alone were compared go on as before.
func TestPeopleWhoseNamesWereTwo(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{Durability: None})
	able := func(store.Person) bool { return true }
	two := []store.Person{{ID: "1", Name: "Émile", Role: store.Viewer, Version: 1}, {ID: "2", Name: "émile", Role: store.Viewer, Version: 1}}
	for _, p := range two {
		require.NoError(t, s.change(t.Context(), nil, func(c *conn) error { return upsertPerson(c, p) }))
	}
	rename := func(id, name string) error {
		_, err := s.ChangePerson(t.Context(), id, able, func(p *store.Person) (durable.Act, error) {
			p.Name = name
			return durable.Act{At: time.Now()}, nil
		})
		return err
	}
	for _, p := range two {
		got, err := s.PersonNamed(t.Context(), p.Name)
		require.NoError(t, err)
		require.Equal(t, p.ID, got.ID)
		got, err = s.ChangePerson(t.Context(), p.ID, able, func(p *store.Person) (durable.Act, error) {
			p.Role = store.Operator
			return durable.Act{At: time.Now()}, nil
		})
		require.NoError(t, err)
		require.Equal(t, store.Operator, got.Role)
	}
	require.ErrorIs(t, rename("2", "Émile"), store.ErrExists)
	require.NoError(t, rename("2", "emile"))
	require.ErrorIs(t, rename("2", "émile"), store.ErrExists)
}

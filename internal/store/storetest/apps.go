package storetest

import (
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var appTests = []test{
	{"loads what was saved, functions in their newest version", func(d *db) {
		load := func() ([]durable.App, []durable.Function) {
			d.Helper()
			apps, fns, err := d.LoadApps(d.Context())
			require.NoError(d, err)
			return apps, fns
		}
		apps, fns := load()
		require.Empty(d, apps)
		require.Empty(d, fns)

		shop := durable.App{
			Name: "shop", ID: "id-shop", URL: "http://127.0.0.1:3000/api/inngest", SDK: "js:v4.24.0", Framework: "express",
			AppVersion: "1.2", Checksum: "c1", Problem: "none", SyncedAt: noon,
		}
		ship := durable.Function{
			Slug: "shop-ship", ID: "id-ship", App: "shop", Name: "Ship", Version: 1, URL: shop.URL, Retries: 3,
			Triggers: []durable.Trigger{{Event: "order/*", Expression: `event.data.n == "1'"`}, {Cron: "0 * * * *", Jitter: time.Minute}},
			Config:   durable.JSON(`{"id":"ship","n":1.0}`), Unheld: []string{"priority"},
		}
		bill := durable.Function{Slug: "shop-bill", App: "shop", Version: 1, Config: durable.JSON(`{}`)}
		require.NoError(d, d.SaveApp(d.Context(), shop, []durable.Function{ship, bill}, nil, nil, nil))
		apps, fns = load()
		same(d, []durable.App{shop}, apps)
		same(d, []durable.Function{bill, ship}, fns)

		shop.Checksum, shop.Problem, shop.SyncedAt = "c2", "", noon.Add(time.Hour)
		ship2 := ship
		ship2.Version, ship2.Retries, ship2.Archived, ship2.Unheld = 2, 0, true, nil
		require.NoError(d, d.SaveApp(d.Context(), shop, []durable.Function{ship2}, nil, nil, nil))
		for v := 3; v <= 12; v++ { // versions are numbers: 12 is newer than 9
			ship2.Version = v
			require.NoError(d, d.SaveApp(d.Context(), shop, []durable.Function{ship2}, nil, nil, nil))
		}
		zoo := durable.App{Name: "zoo", SyncedAt: noon, ArchivedAt: noon.Add(time.Minute)}
		require.NoError(d, d.SaveApp(d.Context(), zoo, nil, nil, nil, nil))
		for range 2 {
			apps, fns = load()
			same(d, []durable.App{shop, zoo}, apps)
			same(d, []durable.Function{bill, ship2}, fns)
			d.reopen()
		}
		versions, err := d.Versions(d.Context(), ship.Slug, 11)
		require.NoError(d, err)
		require.Len(d, versions, 11)
		require.Equal(d, 12, versions[0].Version)
		require.True(d, versions[0].Made.Equal(noon.Add(time.Hour)))
		require.Equal(d, "1.2", versions[0].AppVersion)
		versions, err = d.Versions(d.Context(), ship.Slug, 50)
		require.NoError(d, err)
		require.True(d, versions[11].Made.Equal(noon), "the first was told of then")
		require.Equal(d, ship.Config, versions[11].Config)
		_, err = d.Versions(d.Context(), "none", 5)
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
	{"saves an app with all its functions or not at all", func(d *db) {
		app := durable.App{Name: "shop", Checksum: "c1", SyncedAt: noon}
		f := durable.Function{Slug: "shop-ship", App: "shop", Version: 1, Config: durable.JSON(`{}`)}
		require.NoError(d, d.SaveApp(d.Context(), app, []durable.Function{f}, nil, nil, nil))
		app.Checksum = "c2"
		g := durable.Function{Slug: "shop-bill", App: "shop", Version: 1, Config: durable.JSON(`{}`)}
		require.Error(d, d.SaveApp(d.Context(), app, []durable.Function{g, f}, nil, nil, nil), "a version is written once")
		apps, fns, err := d.LoadApps(d.Context())
		require.NoError(d, err)
		require.Equal(d, "c1", apps[0].Checksum)
		require.Len(d, fns, 1)
	}},
}

var closeTests = []test{
	{"writes what was submitted and refuses the rest", func(d *db) {
		const n = 200
		batches := make([]store.Accepted, n)
		errs := make([]error, n)
		var wait sync.WaitGroup
		for i := range n {
			batches[i] = accepted(noon)
			wait.Go(func() { _, errs[i] = d.Accept(d.Context(), noon, []store.Accepted{batches[i]}) })
		}
		require.NoError(d, d.Close())
		wait.Wait()
		d.open()
		for i, err := range errs {
			_, found := d.Event(d.Context(), batches[i].Event.ID)
			if err == nil {
				require.NoError(d, found, "acknowledged")
				continue
			}
			require.ErrorIs(d, err, store.ErrClosed)
			require.ErrorIs(d, found, store.ErrNotFound, "refused")
		}
	}},
	{"is closed for everything", func(d *db) {
		run := d.startAt(noon)
		st := d.Store
		require.NoError(d, st.Close())
		require.NoError(d, st.Close(), "twice")
		defer d.open()
		ctx := d.Context()
		_, err := st.Accept(ctx, noon, []store.Accepted{accepted(noon)})
		require.ErrorIs(d, err, store.ErrClosed)
		require.ErrorIs(d, d.tryChange(run, durable.Change{Drop: []string{""}}), store.ErrClosed)
		require.ErrorIs(d, st.SaveApp(ctx, durable.App{Name: "a"}, nil, nil, nil, nil), store.ErrClosed)
		_, err = st.Run(ctx, run)
		require.ErrorIs(d, err, store.ErrClosed)
		_, _, err = st.LoadApps(ctx)
		require.ErrorIs(d, err, store.ErrClosed)
	}},
}

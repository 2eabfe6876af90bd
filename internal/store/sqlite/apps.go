package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// SaveApp writes an app and the changed ones of its functions.
func (s *Store) SaveApp(
	ctx context.Context, app durable.App, changed []durable.Function, start []durable.Item, stop []durable.Ref, act *durable.Act,
) error {
	w := newWrite(time.Time{})
	w.app, w.versions, w.schedule, w.stop, w.act = &app, changed, start, stop, act
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

// Schedule queues and removes items of schedules.
func (s *Store) Schedule(ctx context.Context, start []durable.Item, stop []durable.Ref) error {
	w := newWrite(time.Time{})
	w.schedule, w.stop = start, stop
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

func writeApp(c *conn, a durable.App, versions []durable.Function) error {
	stmt := c.Prep(`INSERT INTO apps (name, id, url, sdk, framework, app_version, checksum, problem, synced_at, archived)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET id = excluded.id, url = excluded.url, sdk = excluded.sdk,
		framework = excluded.framework, app_version = excluded.app_version, checksum = excluded.checksum,
		problem = excluded.problem, synced_at = excluded.synced_at, archived = excluded.archived`)
	for i, v := range []string{a.Name, a.ID, a.URL, a.SDK, a.Framework, a.AppVersion, a.Checksum, a.Problem} {
		stmt.BindText(i+1, v)
	}
	stmt.BindInt64(9, micros(a.SyncedAt))
	stmt.BindInt64(10, micros(a.ArchivedAt))
	if err := exec(stmt); err != nil {
		return err
	}
	for _, f := range versions {
		triggers, err := json.Marshal(f.Triggers)
		if err != nil {
			return fmt.Errorf("triggers of %s: %w", f.Slug, err)
		}
		unheld, err := json.Marshal(f.Unheld)
		if err != nil {
			return fmt.Errorf("options of %s: %w", f.Slug, err)
		}
		stmt := c.Prep(`INSERT INTO functions (slug, version, id, app, name, url, retries, triggers, config, unheld, archived, made, app_version)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		stmt.BindText(1, f.Slug)
		stmt.BindInt64(2, int64(f.Version))
		for i, v := range []string{f.ID, f.App, f.Name, f.URL} {
			stmt.BindText(i+3, v)
		}
		stmt.BindInt64(7, int64(f.Retries))
		stmt.BindText(8, string(triggers))
		stmt.BindText(9, string(f.Config))
		stmt.BindText(10, string(unheld))
		stmt.BindBool(11, f.Archived)
		stmt.BindInt64(12, max(micros(a.SyncedAt), micros(a.ArchivedAt)))
		stmt.BindText(13, a.AppVersion)
		if err := exec(stmt); err != nil {
			return err
		}
	}
	return nil
}

// Versions returns a function in its versions.
func (s *Store) Versions(ctx context.Context, slug string, limit int) (list []durable.FunctionVersion, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT version, id, app, name, url, retries, config, archived, made, app_version FROM functions
			WHERE slug = ? ORDER BY version DESC LIMIT ?`)
		stmt.BindText(1, slug)
		stmt.BindInt64(2, int64(limit))
		return rows(stmt, func() {
			list = append(list, durable.FunctionVersion{
				Function: durable.Function{
					Slug: slug, Version: stmt.ColumnInt(0), ID: stmt.ColumnText(1), App: stmt.ColumnText(2), Name: stmt.ColumnText(3),
					URL: stmt.ColumnText(4), Retries: stmt.ColumnInt(5), Config: durable.JSON(stmt.ColumnText(6)), Archived: stmt.ColumnBool(7),
				},
				Made: fromMicros(stmt.ColumnInt64(8)), AppVersion: stmt.ColumnText(9),
			})
		})
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("function %s: %w", slug, store.ErrNotFound)
	}
	return list, err
}

// LoadApps returns all apps and the newest version of each function. A function
// that was damaged has no triggers, so that its runs go on and it starts no more;
// the next sync of its app writes it anew.
func (s *Store) LoadApps(ctx context.Context) (apps []durable.App, fns []durable.Function, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT name, id, url, sdk, framework, app_version, checksum, problem, synced_at, archived FROM apps ORDER BY name`)
		err := rows(stmt, func() {
			apps = append(apps, durable.App{
				Name: stmt.ColumnText(0), ID: stmt.ColumnText(1), URL: stmt.ColumnText(2), SDK: stmt.ColumnText(3),
				Framework: stmt.ColumnText(4), AppVersion: stmt.ColumnText(5), Checksum: stmt.ColumnText(6),
				Problem: stmt.ColumnText(7), SyncedAt: fromMicros(stmt.ColumnInt64(8)),
				ArchivedAt: fromMicros(stmt.ColumnInt64(9)),
			})
		})
		if err != nil {
			return err
		}
		stmt = c.Prep(`SELECT slug, version, id, app, name, url, retries, triggers, config, unheld, archived FROM functions AS f
			WHERE version = (SELECT max(version) FROM functions WHERE slug = f.slug) ORDER BY slug`)
		damaged := map[string]bool{} // apps
		err = rows(stmt, func() {
			f := durable.Function{
				Slug: stmt.ColumnText(0), Version: stmt.ColumnInt(1), ID: stmt.ColumnText(2), App: stmt.ColumnText(3),
				Name: stmt.ColumnText(4), URL: stmt.ColumnText(5), Retries: stmt.ColumnInt(6),
				Config: durable.JSON(stmt.ColumnText(8)), Archived: stmt.ColumnBool(10),
			}
			for col, v := range map[int]any{7: &f.Triggers, 9: &f.Unheld} {
				if err := json.Unmarshal([]byte(stmt.ColumnText(col)), v); err != nil {
					s.log.Error("a stored function is damaged; it starts no runs until its app syncs", "function", f.Slug, "err", err)
					damaged[f.App] = true
					f.Triggers, f.Config = nil, nil
					break
				}
			}
			fns = append(fns, f)
		})
		for i := range apps {
			if damaged[apps[i].Name] {
				apps[i].Checksum = "" // so that a sync is not taken for a repetition
			}
		}
		return err
	})
	return apps, fns, err
}

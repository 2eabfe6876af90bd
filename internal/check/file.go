package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

// File is a store file, or a backup of one, as a Source. A server may have it open.
type File struct{ r *sqlite.Reader }

// OpenFile opens a store file for reading.
func OpenFile(path string) (*File, error) {
	r, err := sqlite.OpenReader(path)
	if err != nil {
		return nil, err
	}
	return &File{r}, nil
}

// Close closes the file.
func (f *File) Close() error { return f.r.Close() }

// Functions are those that the file knows.
func (f *File) Functions(ctx context.Context) (list []Function, err error) {
	apps, fns, err := f.r.LoadApps(ctx)
	if err != nil {
		return nil, err
	}
	urls := map[string]string{}
	for _, a := range apps {
		urls[a.Name] = a.URL
	}
	for _, fn := range fns {
		list = append(list, Function{Slug: fn.Slug, App: fn.App, URL: urls[fn.App], Endpoint: fn.Endpoint})
	}
	return list, nil
}

// Runs are the newest runs of a function.
func (f *File) Runs(ctx context.Context, filter Filter, limit int) (ids []string, err error) {
	runs, err := f.r.Runs(ctx, store.RunFilter{
		Functions: []string{filter.Function}, Statuses: filter.Statuses, From: filter.Since,
	}, store.Page{Limit: limit})
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	return ids, err
}

// Load reads a run.
func (f *File) Load(ctx context.Context, id string) (*Record, error) {
	run, journal, err := f.r.History(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("%w: %w", ErrLeft, err)
	case errors.Is(err, store.ErrDamaged):
		return nil, &unchecked{err.Error()}
	case err != nil:
		return nil, err
	}
	return NewRecord(run, journal), nil
}

var _ Source = (*File)(nil)

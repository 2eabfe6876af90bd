package store

import (
	"context"
	"io"
)

// Snapshot is a whole store as it was at one moment, in a form that can be
// restored. It holds room on the disk until it is closed.
type Snapshot struct {
	io.ReadCloser
	Bytes int64
}

// Backups is what a store has that can be copied while it is written to. One
// that belongs to a database server has not: that has tools of its own.
type Backups interface {
	// Backup makes a copy of all that is committed when it is called, one at a
	// time: it waits while another snapshot is open. It fails with ErrFull when
	// there is no room for it, and what is being written then goes on.
	Backup(ctx context.Context) (*Snapshot, error)
}

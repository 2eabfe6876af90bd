package sqlite

import (
	"time"

	"zombiezen.com/go/sqlite/sqlitex"
)

// checkpointEvery is how long the log may grow before it is folded into the
// file, off the path of commits.
const checkpointEvery = 50 * time.Millisecond

func (s *Store) checkpointLoop() {
	for range s.kick {
		pause := time.NewTimer(checkpointEvery)
		select {
		case <-pause.C:
		case <-s.closing:
			pause.Stop()
		}
		if s.Healthy() != nil {
			continue
		}
		err := sqlitex.ExecuteTransient(s.check.Conn, "PRAGMA wal_checkpoint(PASSIVE)", nil)
		switch {
		case err == nil:
		case broken(err):
			s.log.Error("checkpoint failed", "err", err)
			s.distrust(err)
		default:
			s.log.Warn("checkpoint failed; the log grows until one succeeds", "err", err)
		}
	}
}

package server

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/engine"
)

// slowestPart is how long a caller of a backup may take to read a part of it
// (a megabyte) before it is cut off: the copy takes up room on the disk, and no
// other can be made meanwhile.
const (
	backupPart  = 1 << 20
	slowestPart = time.Minute
)

// backup sends the whole store as it is now. A caller that gets fewer bytes than
// were announced has to ask again.
func (s *Server) backup(w http.ResponseWriter, r *http.Request, _ []byte) {
	began := time.Now()
	snap, err := s.eng.Backup(r.Context(), s.actor(r))
	switch {
	case errors.Is(err, engine.ErrNoBackup):
		fail(w, http.StatusNotImplemented, err.Error())
		return
	case err != nil:
		s.failWith(w, r, err, "")
		return
	}
	defer snap.Close()
	h := w.Header()
	h["Content-Type"] = []string{"application/vnd.sqlite3"}
	h["Content-Length"] = []string{strconv.FormatInt(snap.Bytes, 10)}
	h["Content-Disposition"] = []string{`attachment; filename="pawl-` + began.UTC().Format("20060102T150405Z") + `.db"`}
	h["Cache-Control"] = noStore
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	defer control.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection may serve on
	for sent := int64(0); sent < snap.Bytes; {
		_ = control.SetWriteDeadline(time.Now().Add(slowestPart)) // not every writer has one
		n, err := io.CopyN(w, snap, min(backupPart, snap.Bytes-sent))
		sent += n
		if err != nil {
			s.log.WarnContext(r.Context(), "a backup was cut off", "sent", sent, "of", snap.Bytes, "err", err)
			panic(http.ErrAbortHandler) // so that nobody takes it for whole
		}
	}
	s.log.InfoContext(r.Context(), "backup sent", "bytes", snap.Bytes, "took", time.Since(began).Round(time.Millisecond))
}

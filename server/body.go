package server

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
)

// bodyError is why a body was not read.
type bodyError struct {
	status  int
	message string
}

func (e *bodyError) Error() string { return e.message }

func tooLarge(limit int64) error {
	return &bodyError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request body has more than %d bytes", limit)}
}

// held is a body in memory.
type held struct {
	bytes    []byte
	reserved int64   // of s.held
	buffer   *[]byte // to be used again
}

const (
	firstRead  = 4 << 10   // reserved and read when a client does not say how much comes
	pooledMost = 256 << 10 // a larger buffer is not kept for the next body
	bodyGrace  = 10 * time.Second
	bodyPace   = 256 << 10 // bytes a second that a client has to keep up
)

// readBody reads the body of a request within the limits of its route, and
// within what all bodies together may hold. Errors are *bodyError.
func (s *Server) readBody(rt *route, w http.ResponseWriter, r *http.Request) (*held, error) {
	if err := checkHeader(rt, r); err != nil {
		return nil, err
	}
	size := r.ContentLength
	if size > rt.body {
		return nil, tooLarge(rt.body)
	}
	b := &held{}
	b.buffer, _ = s.bodies.Get().(*[]byte)
	if b.buffer == nil {
		b.buffer = new([]byte)
	}
	paced := rt.body // what may come
	if size >= 0 {
		paced = size
	}
	// A slow client is cut off. The header's own deadline ended with the header.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyGrace + time.Duration(paced/bodyPace)*time.Second)) // recorders in tests have none
	err := s.fill(b, http.MaxBytesReader(w, r.Body, rt.body), size)
	if err != nil { // the deadline stays, for the rest of the body
		s.free(b)
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			err = tooLarge(rt.body)
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = &bodyError{http.StatusRequestTimeout, "the request body came too slowly"}
		}
		return nil, err
	}
	_ = rc.SetReadDeadline(time.Time{})
	return b, nil
}

// checkHeader refuses what would have to be unpacked, and what is not called
// JSON where only JSON comes. SDKs may leave the type out.
func checkHeader(rt *route, r *http.Request) error {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") && !rt.packed {
		return &bodyError{http.StatusUnsupportedMediaType, "Content-Encoding " + printable(coding) + " is not supported; send the body as it is"}
	}
	if !rt.json {
		return nil
	}
	contentType := r.Header.Get("Content-Type")
	if contentType == "" || contentType == "application/json" {
		return nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
		return &bodyError{http.StatusUnsupportedMediaType, "Content-Type " + printable(contentType) + " is not supported; send application/json"}
	}
	return nil
}

// fill reads all of src into b. Memory is reserved before it is taken.
func (s *Server) fill(b *held, src io.Reader, size int64) error {
	room := size + 1 // one more, so that the end is seen without growing
	buf := (*b.buffer)[:0]
	if size < 0 {
		room = max(firstRead, int64(cap(buf)))
	}
	for {
		if more := room - b.reserved; more > 0 {
			if !s.held.TryAcquire(more) {
				return &bodyError{http.StatusServiceUnavailable, "too many large requests at once; try again soon"}
			}
			b.reserved += more
		}
		if int64(cap(buf)) < room {
			grown := make([]byte, len(buf), room)
			copy(grown, buf)
			buf = grown
		}
		for len(buf) < cap(buf) {
			n, err := src.Read(buf[len(buf):cap(buf)])
			buf = buf[:len(buf)+n]
			if errors.Is(err, io.EOF) {
				*b.buffer, b.bytes = buf, buf
				return nil
			}
			if err != nil {
				*b.buffer = buf
				return err
			}
		}
		room = max(room, int64(cap(buf))) * 2
	}
}

// free gives back what b holds, unless that was done before.
func (s *Server) free(b *held) {
	if b.buffer == nil {
		return
	}
	s.held.Release(b.reserved)
	if cap(*b.buffer) <= pooledMost {
		s.bodies.Put(b.buffer)
	}
	b.bytes, b.buffer = nil, nil
}

package wire

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"
)

// seed is what the header X-Inngest-Event-ID-Seed carries.
type seed struct {
	millis  uint64
	entropy [10]byte
}

// SeedID returns the internal id of event n of a request, n counting from 1, by
// the seed header "<unix millis>,<base64 of 10 bytes>": a ULID of that time
// whose last four bytes are raised by n, wrapping. ok is false when the header
// is malformed; ids are random then. Source: SDK protocol notes 10 §5.
func SeedID(header string, n int) (id string, ok bool) {
	s, ok := parseSeed(header)
	if !ok {
		return "", false
	}
	return s.id(n), true
}

func parseSeed(header string) (s seed, ok bool) {
	millis, entropy, ok := strings.Cut(header, ",")
	if !ok || strings.Trim(millis, "0123456789") != "" {
		return seed{}, false
	}
	n, err := strconv.ParseUint(millis, 10, 64)
	if err != nil || n == 0 || n > ulid.MaxTime() {
		return seed{}, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(entropy)
	if err != nil || len(b) != len(s.entropy) {
		return seed{}, false
	}
	s.millis = n
	copy(s.entropy[:], b)
	return s, true
}

func (s seed) id(n int) string {
	tail := s.entropy[6:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)+uint32(n))
	var id ulid.ULID
	// Neither can fail: parseSeed has checked the time and the length.
	_ = id.SetTime(s.millis)
	_ = id.SetEntropy(s.entropy[:])
	return id.String()
}

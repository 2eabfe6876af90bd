package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Checkpoint is what an app reports while a call goes on. Source: SDK protocol
// notes 04 §2.
type Checkpoint struct {
	ItemID     string // ctx.qi_id of the call, as it was sent
	Generation int64  // X-Inngest-Generation-ID of the call; 0 when the SDK does not echo it
	Ops        []Op
}

// ParseCheckpoint reads the body of an async checkpoint. Members that it does
// not know are ignored; the ops share the memory of body.
func ParseCheckpoint(body []byte) (Checkpoint, error) {
	if err := checkNesting(body); err != nil {
		return Checkpoint{}, err
	}
	if !utf8.Valid(body) {
		return Checkpoint{}, ErrUTF8
	}
	c, err := parseCheckpoint(body)
	if err == nil || errors.Is(err, ErrTooManyOps) {
		return c, err
	}
	// Only broken Unicode in escapes is worth a second look.
	if fixed, bad := sound(body); bad == nil && !bytes.Equal(fixed, body) {
		return parseCheckpoint(fixed)
	}
	return Checkpoint{}, err
}

func parseCheckpoint(body []byte) (cp Checkpoint, err error) {
	c := newCursor(body)
	defer c.close()
	err = c.members(func(name []byte) error {
		member := string(name)
		if member == "steps" && c.kind() != 'n' {
			if cp.Ops, err = c.ops(); err != nil {
				return fmt.Errorf("steps: %w", err)
			}
			return nil
		}
		v, err := c.value()
		if err != nil {
			return err
		}
		return cp.set(member, v)
	})
	if err != nil {
		return Checkpoint{}, err
	}
	return cp, c.end()
}

func (cp *Checkpoint) set(member string, v jsontext.Value) (err error) {
	switch {
	case member == "generation_id" && v.Kind() == '0':
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil || n < 0 || n > 1<<53 || n != float64(int64(n)) {
			return errors.New("generation_id must be a whole number")
		}
		cp.Generation = int64(n)
	case member == "qi_id" && v.Kind() == '"':
		if cp.ItemID, err = text(v); err != nil {
			return fmt.Errorf("qi_id: %w", err)
		}
	}
	return nil
}

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Checkpoint is what an app reports while a call goes on, or while it serves a
// request in which a run began. Source: SDK protocol notes 04 §2, §5.
type Checkpoint struct {
	ItemID     string // ctx.qi_id of the call, as it was sent
	Generation int64  // X-Inngest-Generation-ID of the call; 0 when the SDK does not echo it
	Ops        []Op

	// Of a run that began in a request. In the first report of one Event is set;
	// in a later one FunctionID and AppID are.
	RunID      string
	FunctionID string         // UUID
	AppID      string         // UUID
	Event      jsontext.Value // what was asked for: {"name":…,"data":…}
	Version    int            // of the protocol, as the SDK pins it; 0 if it does not say
	Retries    *int           // tries after the first; nil if it does not say
	Key        string         // idempotency key; "" for none
	RetryAfter time.Duration  // for the next try of what failed; 0 if it does not say. Pawl's own
}

// ParseCheckpoint reads the body of a checkpoint. Members that it does
// not know are ignored; what it returns shares the memory of body.
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
	switch member {
	case "generation_id":
		if v.Kind() == '0' {
			cp.Generation, err = count(v)
		}
	case "request_version", "retries":
		if v.Kind() != '0' {
			return nil
		}
		n, err := count(v)
		if err != nil || n > maxCount {
			return fmt.Errorf("%s must be a whole number up to %d", member, maxCount)
		}
		if member == "retries" {
			cp.Retries = new(int(n))
		} else {
			cp.Version = int(n)
		}
	case "retry_after": // in seconds
		if v.Kind() != '0' {
			return nil
		}
		n, err := count(v)
		if most := int64(maxRetryAfter / time.Second); err != nil || n > most {
			return fmt.Errorf("%s must be a whole number up to %d", member, most)
		}
		cp.RetryAfter = time.Duration(n) * time.Second
	case "event":
		if v.Kind() == '{' {
			cp.Event = v
		}
	default:
		into := map[string]*string{
			"qi_id": &cp.ItemID, "run_id": &cp.RunID, "fn_id": &cp.FunctionID, "app_id": &cp.AppID, "idempotency": &cp.Key,
		}[member]
		if into != nil && v.Kind() == '"' {
			*into, err = text(v)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", member, err)
	}
	return nil
}

// maxCount bounds small numbers of the protocol.
const maxCount = 1000

// count reads a whole number that is not negative.
func count(v jsontext.Value) (int64, error) {
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil || n < 0 || n > 1<<53 || n != float64(int64(n)) {
		return 0, errors.New("must be a whole number")
	}
	return int64(n), nil
}

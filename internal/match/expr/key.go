package expr

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/go-json-experiment/json"
)

// maxKeyBytes bounds the text of a key, which is stored and hashed.
const maxKeyBytes = 64 << 10

// Key is what a key expression gave. Flow control treats null and false apart
// from the texts of the same letters.
type Key struct {
	Text  string
	Null  bool // the value is missing
	False bool // the value is the boolean
}

// Key evaluates p to the text of its value: a string is itself, a number is
// written as JavaScript does, lists and maps are JSON with sorted names. It
// fails as Bool does, and when the text is longer than 64 KiB.
func (p *Program) Key(ctx context.Context, in Input) (Key, error) {
	v, err := p.Value(ctx, in)
	if err != nil {
		return Key{}, err
	}
	key := Key{Null: v == nil}
	switch v := v.(type) {
	case string:
		key.Text = v
	case float64:
		key.Text = formatFloat(v)
	case int64:
		key.Text = numberText(types.Int(v))
	case uint64:
		key.Text = numberText(types.Uint(v))
	case bool:
		key.Text, key.False = strconv.FormatBool(v), !v
	default:
		var text limitedText
		if err := json.MarshalWrite(&text, v, json.Deterministic(true)); err != nil {
			return Key{}, p.failed(fmt.Errorf("write the key: %w", err))
		}
		key.Text = string(text)
	}
	if len(key.Text) > maxKeyBytes {
		return Key{}, p.failed(errLongKey)
	}
	return key, nil
}

var errLongKey = fmt.Errorf("the key is longer than %d bytes", maxKeyBytes)

// limitedText is a writer that refuses more than a key may hold.
type limitedText []byte

// Write implements io.Writer.
func (t *limitedText) Write(b []byte) (int, error) {
	if len(*t)+len(b) > maxKeyBytes {
		return 0, errLongKey
	}
	*t = append(*t, b...)
	return len(b), nil
}

// plainValue makes Go values of v; see Value.
func plainValue(v ref.Val) (any, error) {
	if tooLarge(v) {
		return nil, fmt.Errorf("the result has more than %d parts", maxWeight)
	}
	return plain(v)
}

func plain(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		return uint64(v), nil
	case types.Double:
		return float64(v), nil
	case types.String:
		return string(v), nil
	case types.Bytes:
		return base64.StdEncoding.EncodeToString(v), nil
	case types.Timestamp:
		return v.UTC().Format(time.RFC3339Nano), nil
	case types.Duration:
		return strconv.FormatFloat(v.Seconds(), 'f', -1, 64) + "s", nil
	case traits.Lister:
		return plainList(v)
	case traits.Mapper:
		return plainMap(v)
	case *types.Err:
		return nil, v
	case ref.Type:
		return v.TypeName(), nil
	default:
		return nil, errors.New("a value of type " + v.Type().TypeName() + " has no text")
	}
}

func plainList(l traits.Lister) (any, error) {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		v, err := plain(it.Next())
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func plainMap(m traits.Mapper) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.ConvertToType(types.StringType).(types.String)
		if !ok {
			return nil, errors.New("a map has a name that is no text")
		}
		v, err := plain(m.Get(key))
		if err != nil {
			return nil, err
		}
		out[string(name)] = v
	}
	return out, nil
}

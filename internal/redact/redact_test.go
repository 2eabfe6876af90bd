package redact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	r, err := Parse([]string{"password", "$.card.number", `pattern:\b\d{16}\b`, `pattern:sk_live_\w+`})
	require.NoError(t, err)
	for in, want := range map[string]string{
		`{"password":"x","n":1.10}`:                             `{"password":"[redacted]","n":1.10}`,
		`{"data":{"PassWord":{"a":1}}}`:                         `{"data":{"PassWord":"[redacted]"}}`,
		`{"card":[{"number":1},{"Number":2}]}`:                  `{"card":[{"number":"[redacted]"},{"Number":"[redacted]"}]}`,
		`{"number":1,"card":{"name":"A","other":{"number":2}}}`: `{"number":1,"card":{"name":"A","other":{"number":2}}}`,
		`["paid with 4111111111111111 today"]`:                  `["paid with [redacted] today"]`,
		`{"n":4111111111111111,"m":41}`:                         `{"n":"[redacted]","m":41}`,
		`{"sk_live_abc":1}`:                                     `{"[redacted]":1}`,
		`{"body":"{\"password\":\"x\",\"a\":1}"}`:               `{"body":"{\"password\":\"[redacted]\",\"a\":1}"}`,
		`{"body":"\"{\\\"password\\\":\\\"x\\\"}\""}`:           `{"body":"\"{\\\"password\\\":\\\"[redacted]\\\"}\""}`,
		`{"body":"{not json: password}"}`:                       `{"body":"{not json: password}"}`,
		`12345678901234567890123`:                               `12345678901234567890123`,
		`null`:                                                  `null`,
	} {
		got, err := r.JSON([]byte(in))
		require.NoError(t, err, in)
		require.Equal(t, want, string(got), in)
	}
	for _, bad := range []string{``, `{`, `{"a":1} 2`, `{"a"`} {
		_, err := r.JSON([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestNoRulesChangeNothing(t *testing.T) {
	t.Parallel()
	got, err := Rules{}.JSON([]byte(` not even JSON`))
	require.NoError(t, err)
	require.Equal(t, ` not even JSON`, string(got))
	require.Equal(t, "x", Rules{}.Text("x"))
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"", "a..b", "$.", "pattern:(", "pattern:", "pattern:x*"} {
		_, err := Parse([]string{rule})
		require.Error(t, err, rule)
	}
	_, err := Parse(make([]string, 201))
	require.Error(t, err)
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"a":{"password":"x"},"b":"{\"password\":1}"}`)
	r, err := Parse([]string{"password"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, doc string) {
		once, err := r.JSON([]byte(doc))
		if err != nil {
			return
		}
		twice, err := r.JSON(once)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice), "what is taken out stays out")
	})
}

package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLogIsRedacted: the values of members that an error has in its text, too, in each
// form of the log.
func TestLogIsRedacted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format string
		dev    bool
	}{"text": {"text", false}, "json": {"json", false}, "dev": {"text", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			log, _ := newLog(settings{LogFormat: c.format, LogLevel: "info", Redact: []string{"card.number", `pattern:\b\d{16}\b`}}, c.dev, &out, &errOut)
			for _, text := range []string{
				`Error: {"card":{"number":"6011-1"},"order":7}`,
				`{"card":{"number":6011}}`,
				"{\n  \"card\": {\n    \"number\": \"6011\"\n  }\n}",
				`Error: {"body":"{\"card\":{\"number\":\"6011\"}}"}`,
				`Error: {"order":7,"card":{"number":"6011…`,
				`paid with 601122223333444…`,
			} {
				log.Info("run failed", "run", "01J", "function", "shop-charge", "took", "1s", "err", text)
				log.Warn("alert", "text", "it failed: "+text, "err", errors.New(text), "n", 17)
			}
			all := out.String() + errOut.String()
			require.NotContains(t, all, "6011")
			require.Contains(t, all, "[redacted]")
			require.Contains(t, all, "17", "the rest is there")
		})
	}
}

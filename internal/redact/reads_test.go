package redact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReads(t *testing.T) {
	t.Parallel()
	r, err := Parse([]string{"card.number", "pin", "data.user.tax-id", "pattern:x"})
	require.NoError(t, err)
	for expression, want := range map[string]bool{
		`event.data.card.number`:                               true,
		`event.data.Card.NUMBER`:                               true,
		`event.data["card"]['number']`:                         true,
		`event.data.cards[0].card . number + "-" + event.ts`:   true,
		`"a" + string(event.data.card.number)`:                 true,
		`event.data.card.number.lowerAscii()`:                  true,
		`event.data.card.number.last`:                          true,
		`event.data.?card.?number.orValue("")`:                 true,
		`event.data.card`:                                      true,
		`event.data["card.number"]`:                            true,
		`event.data.cards.map(c, c.number)`:                    true,
		`event.data["ca" + "rd"].number`:                       true,
		`event.data[event.data.field]`:                         true,
		`event.data["p\\u0069n"]`:                              true,
		`has(event.data.pin) && event.data.pin == 1`:           true,
		`event.data.user`:                                      true,
		`event.data.user["tax-id"]`:                            true,
		`event.data.id`:                                        false,
		`event.data.order.number`:                              false,
		`event.data.card.id`:                                   false,
		`event.data.discard`:                                   false,
		`event.data.note == "event.data.pin" ? 'pin' : r"pin"`: false,
		`event.data.list[0].id + string(event.data.user.id)`:   false,
		`1 + 2`: false, ``: false, `"`: false, `event.`: false, `event[`: true,
	} {
		require.Equal(t, want, r.Reads(expression), expression)
	}
	none, err := Parse([]string{"pattern:pin"})
	require.NoError(t, err)
	require.False(t, none.Reads("event.data.pin"), "patterns find it wherever it is")
}

func FuzzReads(f *testing.F) {
	r, err := Parse([]string{"card.number"})
	require.NoError(f, err)
	f.Add(`event.data["a`)
	f.Fuzz(func(t *testing.T, expression string) {
		r.Reads(expression)
		if r.Reads(expression) {
			require.True(t, r.Reads(expression+" + event.id"))
		}
	})
}

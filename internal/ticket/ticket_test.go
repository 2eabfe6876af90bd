package ticket

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestResultTokenNamesItsRun(t *testing.T) {
	t.Parallel()
	s := New([]byte("a secret"))
	run, err := s.ReadResult(s.Result("r1"))
	require.NoError(t, err)
	require.Equal(t, "r1", run)
}

func TestTokensOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	s := New([]byte("a secret"))
	good := s.Result("r1")
	head, rest, _ := strings.Cut(good, ".")
	body, _, _ := strings.Cut(rest, ".")
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.RegisteredClaims{Issuer: issuer, Subject: "r1"}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	for name, token := range map[string]string{
		"empty":                   "",
		"text":                    "hello",
		"truncated":               good[:len(good)-4],
		"without a signature":     head + "." + body + ".",
		"unsigned":                unsigned,
		"of another installation": New([]byte("another secret")).Result("r1"),
		"for topics":              s.Topics(Grant{Topics: []Topic{{"r1", "$stream"}}}, time.Hour),
		"endless":                 strings.Repeat("a", MaxBytes+1),
	} {
		_, err := s.ReadResult(token)
		require.ErrorIs(t, err, ErrInvalid, name)
	}
	_, err = s.ReadTopics(good)
	require.ErrorIs(t, err, ErrInvalid, "a token for a result opens no topic")
}

func TestTopicTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New([]byte("a secret"))
		want := Grant{Topics: []Topic{{"user:1", "news"}}, Publish: true}
		token := s.Topics(want, time.Minute)
		time.Sleep(time.Minute)
		got, err := s.ReadTopics(token)
		require.NoError(t, err, "clocks may differ a little")
		require.Equal(t, want, got)
		time.Sleep(time.Minute)
		_, err = s.ReadTopics(token)
		require.ErrorIs(t, err, ErrExpired)
	})
}

package server

import (
	"context"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// atOnce sends n requests while nothing can be hashed, and returns how many got which
// status: those that are refused before a hash, and then the others.
func (p peopled) atOnce(n int, ask func(i int) *httptest.ResponseRecorder) (before, after map[int]int) {
	p.t.Helper()
	require.NoError(p.t, p.s.logins.hashing.Acquire(p.t.Context(), hashesAtOnce))
	answers := make(chan *httptest.ResponseRecorder, n)
	for i := range n {
		go func() { answers <- ask(i) }()
	}
	synctest.Wait()
	before, after = map[int]int{}, map[int]int{}
	early := len(answers)
	for i := range n {
		if i == early {
			p.s.logins.hashing.Release(hashesAtOnce)
		}
		w := <-answers
		if w.Code == 503 || w.Code == 429 {
			require.NotEmpty(p.t, w.Header().Get("Retry-After"))
		}
		if i < early {
			before[w.Code]++
		} else {
			after[w.Code]++
		}
	}
	return before, after
}

func TestGuessesAtOnceAreCounted(t *testing.T) {
	guess := func(p peopled, i int, good string) string {
		if i == 59 {
			return good
		}
		return "wrong guess " + strconv.Itoa(i)
	}
	for name, ask := range map[string]func(p peopled, i int) *httptest.ResponseRecorder{
		"logins": func(p peopled, i int) *httptest.ResponseRecorder {
			return p.jsonAs("", "POST", "/v1/login", `{"name":"ada","password":"`+guess(p, i, goodPassword)+`"}`)
		},
		"old passwords": func(p peopled, i int) *httptest.ResponseRecorder {
			return p.jsonAs(p.ada, "POST", "/v1/me/password", `{"old":"`+guess(p, i, "wrong, too")+`","new":"another good one"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPeopled(t)
				before, after := p.atOnce(60, func(i int) *httptest.ResponseRecorder { return ask(p, i) })
				require.Equal(t, map[int]int{429: 60 - freeTries}, before)
				require.Equal(t, freeTries, after[200]+after[401]+after[403], after)
			})
		})
	}
}

func TestFewHashesWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		from := func(address string) func(i int) *httptest.ResponseRecorder {
			return func(i int) *httptest.ResponseRecorder {
				return p.loginFrom(address, "name "+strconv.Itoa(i), goodPassword)
			}
		}
		before, after := p.atOnce(20, from("192.0.2.7:1"))
		require.Equal(t, map[int]int{503: 20 - mostHashesOf}, before)
		require.Equal(t, map[int]int{401: mostHashesOf}, after)
		before, after = p.atOnce(40, func(i int) *httptest.ResponseRecorder {
			return from("192.0.2." + strconv.Itoa(i/mostHashesOf) + ":1")(i)
		})
		require.Equal(t, map[int]int{503: 40 - mostHashes}, before)
		require.Equal(t, map[int]int{401: mostHashes}, after)
		require.Zero(t, p.s.logins.hashes)
		require.Empty(t, p.s.logins.of)

		// What was not tried is no wrong try.
		require.NoError(t, p.s.logins.hashing.Acquire(t.Context(), hashesAtOnce))
		answers := make(chan *httptest.ResponseRecorder, mostHashesOf)
		for i := range mostHashesOf {
			go func() { answers <- from("192.0.2.9:1")(i) }()
		}
		synctest.Wait()
		for range freeTries + 1 {
			require.Contains(t, wantRefusal(t, p.loginFrom("192.0.2.9:1", "ada", "wrong password!"), 503), "try again")
		}
		p.s.logins.hashing.Release(hashesAtOnce)
		for range mostHashesOf {
			require.Equal(t, 401, (<-answers).Code)
		}
		require.Equal(t, 200, p.loginFrom("192.0.2.9:1", "ada", goodPassword).Code)
	})
}

// Whoever goes away while a try waits to be looked at has made it all the same: nobody
// shortens the pause after wrong ones so.
func TestTriesThatAreGivenUpCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		require.NoError(t, p.s.logins.hashing.Acquire(t.Context(), hashesAtOnce))
		ctx, leave := context.WithCancel(t.Context())
		var gone sync.WaitGroup
		for range freeTries {
			gone.Go(func() {
				r := httptest.NewRequestWithContext(ctx, "POST", "http://localhost:8288/v1/login", strings.NewReader(`{"name":"ada","password":"a wrong password"}`))
				r.Header.Set("Content-Type", "application/json")
				p.s.ServeHTTP(httptest.NewRecorder(), r)
			})
		}
		synctest.Wait()
		leave()
		gone.Wait()
		p.s.logins.hashing.Release(hashesAtOnce)
		wantRefusal(t, p.jsonAs("", "POST", "/v1/login", `{"name":"ada","password":"`+goodPassword+`"}`), 429)
		time.Sleep(time.Second)
		require.Equal(t, 200, p.jsonAs("", "POST", "/v1/login", `{"name":"ada","password":"`+goodPassword+`"}`).Code)
	})
}

// loginFrom is a login from an address.
func (p peopled) loginFrom(address, name, password string) *httptest.ResponseRecorder {
	p.t.Helper()
	r := httptest.NewRequest("POST", "http://localhost:8288/v1/login", strings.NewReader(`{"name":"`+name+`","password":"`+password+`"}`))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = address
	w := httptest.NewRecorder()
	p.s.ServeHTTP(w, r)
	p.documented(r, w)
	return w
}

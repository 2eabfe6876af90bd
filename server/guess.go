package server

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/sync/semaphore"
	"golang.org/x/text/unicode/norm"

	"github.com/pawlhq/pawl/internal/store"
)

// Bounds of logins.
const (
	leastPassword = 12
	mostPassword  = 256
	mostName      = 200
	freeTries     = 5 // wrong ones in a row before a name has to wait
	mostPause     = 5 * time.Minute
	mostTracked   = 10_000 // names whose wrong tries are remembered
	hashesAtOnce  = 2      // each takes 64 MiB and a core
	mostHashes    = 16     // that are made or wait for their turn, so that a turn comes soon
	mostHashesOf  = 8      // the same from one address, so that it leaves some to others
)

// logins guards against guessing.
type logins struct {
	hashing *semaphore.Weighted
	mu      sync.Mutex
	tries   map[string]*guess // by name and address
	hashes  int               // that are made or wait for their turn
	of      map[string]int    // the same by address
	setup   string            // the secret of the setup link; "" when there is none
}

// guess is how often a name was tried since a try was right. Those that have not ended
// yet count, or many at once would all be free.
type guess struct {
	tries int
	until time.Time // when it may be tried again
}

func newLogins(setup string) *logins {
	return &logins{hashing: semaphore.NewWeighted(hashesAtOnce), tries: map[string]*guess{}, of: map[string]int{}, setup: setup}
}

func (l *logins) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.setup != ""
}

// begin counts a try as a wrong one, or says how long it has to wait. One that is made
// ends with forgive when it was right, and one for which there is no place with takeBack,
// before another can begin.
func (l *logins) begin(key string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.tries[key]
	if g == nil {
		if len(l.tries) >= mostTracked {
			for k := range l.tries { // any: somebody tries many names, each of them seldom
				delete(l.tries, k)
				break
			}
		}
		g = &guess{}
		l.tries[key] = g
	}
	if wait = g.until.Sub(now); wait > 0 {
		return wait
	}
	if g.tries++; g.tries >= freeTries {
		g.until = now.Add(min(time.Second<<min(g.tries-freeTries, 20), mostPause))
	}
	return 0
}

func (l *logins) forgive(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tries, key)
}

func (l *logins) takeBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.tries[key]
	if g == nil {
		return // a right one came first
	}
	g.until = time.Time{}
	if g.tries--; g.tries <= 0 {
		delete(l.tries, key)
	}
}

// tried says whether a password is that of p, who was asked for by name, and may log in.
// It answers and reports false when that cannot be tried now.
func (s *Server) tried(w http.ResponseWriter, r *http.Request, name, password string, p store.Person) (good, ok bool) {
	key := name + "\x00" + address(r)
	if wait := s.logins.begin(key, time.Now()); wait > 0 {
		tooManyTries(w, wait)
		return false, false
	}
	good, err := s.logins.check(r, password, p.Password)
	if err != nil {
		if errors.Is(err, errBusy) { // whoever goes away while it waits has made it
			s.logins.takeBack(key)
		}
		s.failWith(w, r, err, "")
		return false, false
	}
	if good = good && !p.Disabled; good {
		s.logins.forgive(key)
	}
	return good, true
}

func tooManyTries(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	fail(w, http.StatusTooManyRequests, "too many wrong passwords; wait "+wait.Round(time.Second).String())
}

// errBusy means that a hash would have to wait too long for its turn.
var errBusy = errors.New("too many passwords are looked at just now: try again in some seconds")

// turn waits for one of the places in which passwords are hashed, for who asks by r;
// done gives it back. It fails with errBusy, and with the error of r.
func (l *logins) turn(r *http.Request) (done func(), err error) {
	from := address(r)
	l.mu.Lock()
	full := l.hashes >= mostHashes || l.of[from] >= mostHashesOf
	if !full {
		l.hashes++
		l.of[from]++
	}
	l.mu.Unlock()
	if full {
		return nil, errBusy
	}
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.hashes--
		if l.of[from]--; l.of[from] == 0 {
			delete(l.of, from)
		}
	}
	if err := l.hashing.Acquire(r.Context(), 1); err != nil {
		leave()
		return nil, err
	}
	return func() {
		l.hashing.Release(1)
		leave()
	}, nil
}

// decoy is compared with when there is no hash, so that a name that is not there
// takes as long as one that is.
var decoy = sync.OnceValues(func() (string, error) { return argon2id.CreateHash("nobody's", argon2id.DefaultParams) })

// check compares a password with a hash.
func (l *logins) check(r *http.Request, password, hash string) (bool, error) {
	done, err := l.turn(r)
	if err != nil {
		return false, err
	}
	defer done()
	none := hash == ""
	if none {
		if hash, err = decoy(); err != nil {
			return false, err
		}
	}
	composed := norm.NFC.String(password)
	if utf8.RuneCountInString(composed) > mostPassword {
		return false, nil
	}
	good, err := argon2id.ComparePasswordAndHash(password, hash) // it may be of when passwords were hashed as they came
	if err == nil && !good && composed != password {
		good, err = argon2id.ComparePasswordAndHash(composed, hash)
	}
	return good && !none, err
}

// hash is that of a password, in whatever way its characters are written: another
// keyboard writes them in another.
func (l *logins) hash(r *http.Request, password string) (string, error) {
	done, err := l.turn(r)
	if err != nil {
		return "", err
	}
	defer done()
	return argon2id.CreateHash(norm.NFC.String(password), argon2id.DefaultParams)
}

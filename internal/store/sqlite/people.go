package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// change writes what also does in one transaction with a line of the audit log;
// nil: there is none.
func (s *Store) change(ctx context.Context, act *durable.Act, also func(c *conn) error) error {
	return s.also(ctx, act, time.Now(), func(w *write) error {
		err := also(s.write)
		if w.idle = errors.Is(err, errSame); w.idle {
			return nil
		}
		for _, refusal := range []error{store.ErrExists, store.ErrNotFound, store.ErrLastAdmin} {
			if errors.Is(err, refusal) {
				w.outcome = err // nothing was written
				return nil
			}
		}
		if no, ok := errors.AsType[*refused](err); ok {
			w.outcome = no.why
			return nil
		}
		return err
	})
}

// refused is the error of an edit, which lies in nothing of the store.
type refused struct{ why error }

func (r *refused) Error() string { return r.why.Error() }

// errSame means that there is nothing to write: it is so already.
var errSame = errors.New("nothing changes")

const personColumns = `id, name, role, password, subject, created, disabled, version, seen`

func scanPerson(stmt *sqlite.Stmt) store.Person {
	return store.Person{
		ID: stmt.ColumnText(0), Name: stmt.ColumnText(1), Role: store.Role(stmt.ColumnInt64(2)), Password: stmt.ColumnText(3),
		Subject: stmt.ColumnText(4), Created: fromMicros(stmt.ColumnInt64(5)), Disabled: stmt.ColumnBool(6), Version: stmt.ColumnInt(7),
		Seen: fromMicros(stmt.ColumnInt64(8)),
	}
}

// onePerson reads the row of a query that gives one at most.
func onePerson(stmt *sqlite.Stmt, missing string) (p store.Person, err error) {
	found := false
	err = rows(stmt, func() { p, found = scanPerson(stmt), true })
	if err == nil && !found {
		err = fmt.Errorf("%s: %w", missing, store.ErrNotFound)
	}
	return p, err
}

func selectPerson(c *conn, id string) (store.Person, error) {
	stmt := c.Prep(`SELECT ` + personColumns + ` FROM people WHERE id = ?`)
	stmt.BindText(1, id)
	return onePerson(stmt, "person "+id)
}

func selectPersonNamed(c *conn, name string) (store.Person, error) {
	stmt := c.Prep(`SELECT ` + personColumns + ` FROM people WHERE lower(name) = lower(?)`)
	stmt.BindText(1, name)
	p, err := onePerson(stmt, "person "+name)
	if !errors.Is(err, store.ErrNotFound) {
		return p, err
	}
	id, err := otherNamed(c, store.NameKey(name), "")
	if err != nil || id == "" {
		return p, cmp.Or(err, fmt.Errorf("person %s: %w", name, store.ErrNotFound))
	}
	return selectPerson(c, id)
}

// otherNamed is the id of the first, but for one, whose name has a key; "" for nobody.
// SQLite knows the case of ASCII letters alone, and there are few people.
func otherNamed(c *conn, key, but string) (id string, err error) {
	stmt := c.Prep(`SELECT id, name FROM people WHERE id <> ? ORDER BY id`)
	stmt.BindText(1, but)
	err = rows(stmt, func() {
		if id == "" && store.NameKey(stmt.ColumnText(1)) == key {
			id = stmt.ColumnText(0)
		}
	})
	return id, err
}

func selectPersonOf(c *conn, subject string) (store.Person, error) {
	stmt := c.Prep(`SELECT ` + personColumns + ` FROM people WHERE subject = ? AND subject <> ''`)
	stmt.BindText(1, subject)
	return onePerson(stmt, "subject "+subject)
}

func upsertPerson(c *conn, p store.Person) error {
	stmt := c.Prep(`INSERT INTO people (` + personColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role, password = excluded.password,
		subject = excluded.subject, disabled = excluded.disabled, version = excluded.version`)
	for i, v := range []string{p.ID, p.Name} {
		stmt.BindText(1+i, v)
	}
	stmt.BindInt64(3, int64(p.Role))
	stmt.BindText(4, p.Password)
	stmt.BindText(5, p.Subject)
	stmt.BindInt64(6, micros(p.Created))
	stmt.BindBool(7, p.Disabled)
	stmt.BindInt64(8, int64(p.Version))
	stmt.BindInt64(9, micros(p.Seen))
	return exec(stmt)
}

// free reports, by an error, whether the name or the subject that was is to have is
// another's. What somebody has already stays theirs: there may be two whose names were
// two when ASCII letters alone were compared.
func free(c *conn, was, p store.Person) error {
	taken := fmt.Errorf("a person named %s: %w", p.Name, store.ErrExists)
	if key := store.NameKey(p.Name); key != store.NameKey(was.Name) {
		if id, err := otherNamed(c, key, p.ID); err != nil || id != "" {
			return cmp.Or(err, taken)
		}
	}
	for _, find := range []func() (store.Person, error){
		func() (store.Person, error) { return selectPersonNamed(c, p.Name) }, // which is another's when only its case has changed
		func() (store.Person, error) { return selectPersonOf(c, p.Subject) },
	} {
		other, err := find()
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case other.ID != p.ID:
			return taken
		}
	}
	return nil
}

// anotherAdmin reports, by an error, whether somebody else could act as admin when was
// does no more.
func anotherAdmin(c *conn, was store.Person, able store.Able) error {
	if was.Role != store.Admin || was.Disabled {
		return nil
	}
	needed := able(was)
	found := false
	stmt := c.Prep(`SELECT ` + personColumns + ` FROM people WHERE role = ? AND disabled = 0 AND id <> ?`)
	stmt.BindInt64(1, int64(store.Admin))
	stmt.BindText(2, was.ID)
	if err := rows(stmt, func() { found = found || !needed || able(scanPerson(stmt)) }); err != nil {
		return err
	}
	if !found {
		return store.ErrLastAdmin
	}
	return nil
}

// AddPerson writes somebody who may log in.
func (s *Store) AddPerson(ctx context.Context, p store.Person, first bool, act durable.Act) error {
	return s.change(ctx, &act, func(c *conn) error {
		if first {
			there := 0
			stmt := c.Prep(`SELECT count(*) FROM people`)
			if err := rows(stmt, func() { there = stmt.ColumnInt(0) }); err != nil {
				return err
			}
			if there > 0 {
				return fmt.Errorf("the first person: %w", store.ErrExists)
			}
		}
		if err := free(c, store.Person{}, p); err != nil {
			return err
		}
		return upsertPerson(c, p)
	})
}

// ChangePerson changes somebody.
func (s *Store) ChangePerson(ctx context.Context, id string, able store.Able, edit store.Edit) (p store.Person, err error) {
	var act durable.Act
	err = s.change(ctx, &act, func(c *conn) error {
		was, err := selectPerson(c, id)
		if err != nil {
			return err
		}
		p, act, err = editPerson(c, was, able, edit)
		return err
	})
	return p, err
}

// editPerson writes what an edit makes of somebody.
func editPerson(c *conn, was store.Person, able store.Able, edit store.Edit) (p store.Person, act durable.Act, err error) {
	p = was
	if act, err = edit(&p); err != nil {
		return was, act, &refused{err}
	}
	p.ID, p.Created, p.Seen = was.ID, was.Created, was.Seen
	if p == was {
		return p, act, errSame
	}
	if p.Role != store.Admin || p.Disabled {
		if err := anotherAdmin(c, was, able); err != nil {
			return was, act, err
		}
	}
	if err := free(c, was, p); err != nil {
		return was, act, err
	}
	return p, act, upsertPerson(c, p)
}

// RemovePerson forgets somebody.
func (s *Store) RemovePerson(ctx context.Context, id string, able store.Able, act durable.Act) error {
	return s.change(ctx, &act, func(c *conn) error {
		was, err := selectPerson(c, id)
		if err != nil {
			return err
		}
		if err := anotherAdmin(c, was, able); err != nil {
			return err
		}
		for _, sql := range [...]string{`DELETE FROM sessions WHERE person = ?`, `DELETE FROM links WHERE person = ?`, `DELETE FROM people WHERE id = ?`} {
			stmt := c.Prep(sql)
			stmt.BindText(1, id)
			if err := exec(stmt); err != nil {
				return err
			}
		}
		return nil
	})
}

// People returns all who may log in.
func (s *Store) People(ctx context.Context) (list []store.Person, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + personColumns + ` FROM people ORDER BY lower(name)`)
		return rows(stmt, func() { list = append(list, scanPerson(stmt)) })
	})
	return list, err
}

// Person returns one by id.
func (s *Store) Person(ctx context.Context, id string) (p store.Person, err error) {
	err = s.read(ctx, func(c *conn) error { p, err = selectPerson(c, id); return err })
	return p, err
}

// PersonNamed returns one by name.
func (s *Store) PersonNamed(ctx context.Context, name string) (p store.Person, err error) {
	err = s.read(ctx, func(c *conn) error { p, err = selectPersonNamed(c, name); return err })
	return p, err
}

// PersonOf returns one by what an OpenID provider calls them.
func (s *Store) PersonOf(ctx context.Context, subject string) (p store.Person, err error) {
	err = s.read(ctx, func(c *conn) error { p, err = selectPersonOf(c, subject); return err })
	return p, err
}

const tokenColumns = `id, name, role, hash, by, created, expires, used, scopes` //nolint:gosec // names of columns

func scanToken(stmt *sqlite.Stmt) store.Token {
	return store.Token{
		ID: stmt.ColumnText(0), Name: stmt.ColumnText(1), Role: store.Role(stmt.ColumnInt64(2)), Hash: blob(stmt, 3),
		By: stmt.ColumnText(4), Created: fromMicros(stmt.ColumnInt64(5)), Expires: fromMicros(stmt.ColumnInt64(6)),
		Used: fromMicros(stmt.ColumnInt64(7)), Scopes: scopesOf(stmt.ColumnText(8)),
	}
}

func scopesOf(column string) []string {
	if column == "" {
		return nil
	}
	return strings.Split(column, ",")
}

// AddToken writes a token.
func (s *Store) AddToken(ctx context.Context, t store.Token, act durable.Act) error {
	return s.change(ctx, &act, func(c *conn) error {
		stmt := c.Prep(`INSERT INTO tokens (` + tokenColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		stmt.BindText(1, t.ID)
		stmt.BindText(2, t.Name)
		stmt.BindInt64(3, int64(t.Role))
		stmt.BindBytes(4, t.Hash)
		stmt.BindText(5, t.By)
		stmt.BindInt64(6, micros(t.Created))
		stmt.BindInt64(7, micros(t.Expires))
		stmt.BindInt64(8, micros(t.Used))
		stmt.BindText(9, strings.Join(t.Scopes, ","))
		return exec(stmt)
	})
}

// RemoveToken forgets a token.
func (s *Store) RemoveToken(ctx context.Context, id string, act durable.Act) error {
	return s.change(ctx, &act, func(c *conn) error {
		stmt := c.Prep(`DELETE FROM tokens WHERE id = ?`)
		stmt.BindText(1, id)
		if err := exec(stmt); err != nil {
			return err
		}
		if c.Changes() == 0 {
			return fmt.Errorf("token %s: %w", id, store.ErrNotFound)
		}
		return nil
	})
}

// Tokens returns all tokens.
func (s *Store) Tokens(ctx context.Context) (list []store.Token, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + tokenColumns + ` FROM tokens ORDER BY id`)
		return rows(stmt, func() { list = append(list, scanToken(stmt)) })
	})
	return list, err
}

// TokenOf returns the token of a hash.
func (s *Store) TokenOf(ctx context.Context, hash []byte) (t store.Token, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + tokenColumns + ` FROM tokens WHERE hash = ?`)
		stmt.BindBytes(1, hash)
		found := false
		if err := rows(stmt, func() { t, found = scanToken(stmt), true }); err != nil || found {
			return err
		}
		return fmt.Errorf("token: %w", store.ErrNotFound)
	})
	return t, err
}

// UseToken notes when a token was shown.
func (s *Store) UseToken(ctx context.Context, id string, at time.Time) error {
	return s.change(ctx, nil, func(c *conn) error {
		stmt := c.Prep(`UPDATE tokens SET used = ? WHERE id = ?`)
		stmt.BindInt64(1, micros(at))
		stmt.BindText(2, id)
		return exec(stmt)
	})
}

const linkColumns = `hash, person, version, created, expires`

func scanLink(stmt *sqlite.Stmt) store.Link {
	return store.Link{
		Hash: blob(stmt, 0), Person: stmt.ColumnText(1), Version: stmt.ColumnInt(2),
		Created: fromMicros(stmt.ColumnInt64(3)), Expires: fromMicros(stmt.ColumnInt64(4)),
	}
}

func selectLink(c *conn, hash []byte) (l store.Link, err error) {
	stmt := c.Prep(`SELECT ` + linkColumns + ` FROM links WHERE hash = ?`)
	stmt.BindBytes(1, hash)
	found := false
	if err := rows(stmt, func() { l, found = scanLink(stmt), true }); err != nil || found {
		return l, err
	}
	return l, fmt.Errorf("link: %w", store.ErrNotFound)
}

// AddLink writes a link by which somebody sets a password.
func (s *Store) AddLink(ctx context.Context, l store.Link, act durable.Act) error {
	return s.change(ctx, &act, func(c *conn) error {
		if _, err := selectPerson(c, l.Person); err != nil {
			return err
		}
		stmt := c.Prep(`DELETE FROM links WHERE person = ?`)
		stmt.BindText(1, l.Person)
		if err := exec(stmt); err != nil {
			return err
		}
		stmt = c.Prep(`INSERT INTO links (` + linkColumns + `) VALUES (?, ?, ?, ?, ?)`)
		stmt.BindBytes(1, l.Hash)
		stmt.BindText(2, l.Person)
		stmt.BindInt64(3, int64(l.Version))
		stmt.BindInt64(4, micros(l.Created))
		stmt.BindInt64(5, micros(l.Expires))
		return exec(stmt)
	})
}

// Links returns all links.
func (s *Store) Links(ctx context.Context) (list []store.Link, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + linkColumns + ` FROM links`)
		return rows(stmt, func() { list = append(list, scanLink(stmt)) })
	})
	return list, err
}

// LinkOf returns the link of a hash.
func (s *Store) LinkOf(ctx context.Context, hash []byte) (l store.Link, err error) {
	err = s.read(ctx, func(c *conn) error { l, err = selectLink(c, hash); return err })
	return l, err
}

// anybody is able to log in, as far as it matters where somebody sets a password.
func anybody(store.Person) bool { return true }

// UseLink forgets a link and changes its person.
func (s *Store) UseLink(ctx context.Context, hash []byte, at time.Time, edit store.Edit) (p store.Person, err error) {
	var act durable.Act
	err = s.change(ctx, &act, func(c *conn) error {
		l, err := selectLink(c, hash)
		if err != nil {
			return err
		}
		was, err := selectPerson(c, l.Person)
		if err != nil {
			return err
		}
		if !l.Expires.After(at) || was.Disabled || l.Version != was.Version {
			return fmt.Errorf("link: %w", store.ErrNotFound)
		}
		if p, act, err = editPerson(c, was, anybody, edit); err != nil && !errors.Is(err, errSame) {
			return err
		}
		stmt := c.Prep(`DELETE FROM links WHERE hash = ?`)
		stmt.BindBytes(1, hash)
		return exec(stmt)
	})
	return p, err
}

const sessionColumns = `hash, person, version, created, expires, address, agent`

func scanSession(stmt *sqlite.Stmt) store.Session {
	return store.Session{
		Hash: blob(stmt, 0), Person: stmt.ColumnText(1), Version: stmt.ColumnInt(2),
		Created: fromMicros(stmt.ColumnInt64(3)), Expires: fromMicros(stmt.ColumnInt64(4)),
		Address: stmt.ColumnText(5), Agent: stmt.ColumnText(6),
	}
}

// AddSession writes a login.
func (s *Store) AddSession(ctx context.Context, x store.Session, act durable.Act) error {
	return s.change(ctx, &act, func(c *conn) error {
		p, err := selectPerson(c, x.Person)
		if err != nil {
			return err
		}
		if p.Disabled || p.Version != x.Version {
			return fmt.Errorf("person %s of that version: %w", x.Person, store.ErrNotFound)
		}
		stmt := c.Prep(`DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires <= ? ORDER BY expires LIMIT 10)`)
		stmt.BindInt64(1, micros(x.Created))
		if err := exec(stmt); err != nil {
			return err
		}
		stmt = c.Prep(`UPDATE people SET seen = ? WHERE id = ?`)
		stmt.BindInt64(1, micros(x.Created))
		stmt.BindText(2, x.Person)
		if err := exec(stmt); err != nil {
			return err
		}
		stmt = c.Prep(`INSERT INTO sessions (` + sessionColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?)`)
		stmt.BindBytes(1, x.Hash)
		stmt.BindText(2, x.Person)
		stmt.BindInt64(3, int64(x.Version))
		stmt.BindInt64(4, micros(x.Created))
		stmt.BindInt64(5, micros(x.Expires))
		stmt.BindText(6, x.Address)
		stmt.BindText(7, x.Agent)
		return exec(stmt)
	})
}

// RemoveSession ends a login.
func (s *Store) RemoveSession(ctx context.Context, hash []byte) error {
	return s.change(ctx, nil, func(c *conn) error {
		stmt := c.Prep(`DELETE FROM sessions WHERE hash = ?`)
		stmt.BindBytes(1, hash)
		return exec(stmt)
	})
}

// Sessions returns somebody's logins.
func (s *Store) Sessions(ctx context.Context, person string) (list []store.Session, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + sessionColumns + ` FROM sessions WHERE person = ? ORDER BY created DESC LIMIT 200`)
		stmt.BindText(1, person)
		return rows(stmt, func() { list = append(list, scanSession(stmt)) })
	})
	return list, err
}

// EndSessions ends all logins of somebody but one.
func (s *Store) EndSessions(ctx context.Context, person string, keep []byte, act durable.Act) error {
	return s.change(ctx, &act, func(c *conn) error {
		stmt := c.Prep(`DELETE FROM sessions WHERE person = ? AND hash <> ?`)
		stmt.BindText(1, person)
		stmt.BindBytes(2, keep)
		if err := exec(stmt); err != nil {
			return err
		}
		if c.Changes() == 0 {
			return errSame
		}
		return nil
	})
}

// SessionOf returns the login of a hash.
func (s *Store) SessionOf(ctx context.Context, hash []byte) (x store.Session, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + sessionColumns + ` FROM sessions WHERE hash = ?`)
		stmt.BindBytes(1, hash)
		found := false
		if err := rows(stmt, func() { x, found = scanSession(stmt), true }); err != nil || found {
			return err
		}
		return fmt.Errorf("session: %w", store.ErrNotFound)
	})
	return x, err
}

package storetest

import (
	"errors"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func person(name string, role store.Role) store.Person {
	return store.Person{ID: newID(), Name: name, Role: role, Password: "$argon2id$…", Created: noon, Version: 1}
}

func act(what, object string) durable.Act {
	return durable.Act{At: noon, By: "test", What: what, Object: object}
}

// able are those who have a password, or are known to a provider.
func able(p store.Person) bool { return p.Password != "" || p.Subject != "" }

// becomes is an edit that makes somebody p.
func becomes(p store.Person, line durable.Act) store.Edit {
	return func(is *store.Person) (durable.Act, error) {
		*is = p
		return line, nil
	}
}

func (d *db) changePerson(p store.Person, line durable.Act) error {
	_, err := d.ChangePerson(d.Context(), p.ID, able, becomes(p, line))
	return err
}

func (d *db) useLink(hash []byte, p store.Person, line durable.Act) error {
	_, err := d.UseLink(d.Context(), hash, noon, becomes(p, line))
	return err
}

var peopleTests = []test{
	{"keeps people over a restart", func(d *db) {
		ada, bob := person("Ada@example.com", store.Admin), person("bob", store.Viewer)
		bob.Subject = "https://id.example.com|7"
		require.NoError(d, d.AddPerson(d.Context(), ada, true, act("add", ada.ID)))
		require.NoError(d, d.AddPerson(d.Context(), bob, false, act("add", bob.ID)))
		for range 2 {
			list, err := d.People(d.Context())
			require.NoError(d, err)
			same(d, []store.Person{ada, bob}, list)
			p, err := d.PersonNamed(d.Context(), "ada@EXAMPLE.com")
			require.NoError(d, err)
			same(d, ada, p)
			p, err = d.PersonOf(d.Context(), bob.Subject)
			require.NoError(d, err)
			same(d, bob, p)
			d.reopen()
		}
		_, err := d.PersonOf(d.Context(), "")
		require.ErrorIs(d, err, store.ErrNotFound, "nobody is known by no subject")
		acts, err := d.Acts(d.Context(), store.ActFilter{Object: bob.ID}, store.Page{Limit: 10})
		require.NoError(d, err)
		require.Len(d, acts, 1)
	}},
	{"lets one be the first", func(d *db) {
		require.NoError(d, d.AddPerson(d.Context(), person("ada", store.Admin), true, act("add", "ada")))
		require.ErrorIs(d, d.AddPerson(d.Context(), person("eve", store.Admin), true, act("add", "eve")), store.ErrExists)
		acts, err := d.Acts(d.Context(), store.ActFilter{Object: "eve"}, store.Page{Limit: 10})
		require.NoError(d, err)
		require.Empty(d, acts, "what did not happen is in no log")
	}},
	{"takes a name once, in any letter case", func(d *db) {
		ada, bob := person("ada", store.Admin), person("bob", store.Viewer)
		require.NoError(d, d.AddPerson(d.Context(), ada, false, act("add", "ada")))
		require.NoError(d, d.AddPerson(d.Context(), bob, false, act("add", "bob")))
		require.ErrorIs(d, d.AddPerson(d.Context(), person("ADA", store.Viewer), false, act("add", "x")), store.ErrExists)
		bob.Name = "Ada"
		require.ErrorIs(d, d.changePerson(bob, act("change", "bob")), store.ErrExists)
		ada.Name = "Ada"
		require.NoError(d, d.changePerson(ada, act("change", "ada")), "one's own")
		require.ErrorIs(d, d.changePerson(person("new", store.Viewer), act("change", "x")), store.ErrNotFound)
	}},
	{"takes a name once, in any letters of Unicode", func(d *db) {
		emile, anne := person("\u00c9mile", store.Admin), person("anne", store.Viewer)
		require.NoError(d, d.AddPerson(d.Context(), emile, false, act("add", "emile")))
		require.NoError(d, d.AddPerson(d.Context(), anne, false, act("add", "anne")))
		for _, name := range []string{"\u00e9mile", "E\u0301mile", "e\u0301MILE"} {
			require.ErrorIs(d, d.AddPerson(d.Context(), person(name, store.Viewer), false, act("add", name)), store.ErrExists, name)
			p := anne
			p.Name = name
			require.ErrorIs(d, d.changePerson(p, act("change", name)), store.ErrExists, name)
			got, err := d.PersonNamed(d.Context(), name)
			require.NoError(d, err)
			same(d, emile, got)
		}
		_, err := d.PersonNamed(d.Context(), "emile")
		require.ErrorIs(d, err, store.ErrNotFound, "it is another letter")
		emile.Name = "\u00e9mile"
		require.NoError(d, d.changePerson(emile, act("change", "emile")), "one's own")
	}},
	{"changes people as they are then", func(d *db) {
		ada, bob := person("ada", store.Admin), person("bob", store.Viewer)
		require.NoError(d, d.AddPerson(d.Context(), ada, true, act("add", "ada")))
		require.NoError(d, d.AddPerson(d.Context(), bob, false, act("add", "bob")))
		edits := []store.Edit{
			func(p *store.Person) (durable.Act, error) {
				p.Role = store.Operator
				return act("role", p.Name), nil
			},
			func(p *store.Person) (durable.Act, error) {
				p.Password, p.Version = "$argon2id$new", p.Version+1
				return act("password", p.Name), nil
			},
		}
		got := make(chan error)
		for _, edit := range edits {
			go func() {
				_, err := d.ChangePerson(d.Context(), bob.ID, able, edit)
				got <- err
			}()
		}
		for range edits {
			require.NoError(d, <-got)
		}
		bob.Role, bob.Password, bob.Version = store.Operator, "$argon2id$new", 2
		refusal := errors.New("no")
		_, err := d.ChangePerson(d.Context(), bob.ID, able, func(p *store.Person) (durable.Act, error) {
			p.Role = store.Admin
			return act("no", p.Name), refusal
		})
		require.ErrorIs(d, err, refusal)
		p, err := d.ChangePerson(d.Context(), bob.ID, able, func(p *store.Person) (durable.Act, error) { return act("nothing", p.Name), nil })
		require.NoError(d, err)
		same(d, bob, p)
		p, err = d.Person(d.Context(), bob.ID)
		require.NoError(d, err)
		same(d, bob, p)
		acts, err := d.Acts(d.Context(), store.ActFilter{Object: "bob"}, store.Page{Limit: 10})
		require.NoError(d, err)
		require.Len(d, acts, 3, "what is refused or changes nothing leaves no line")
	}},
	{"never loses its last admin", func(d *db) {
		ada, bob := person("ada", store.Admin), person("bob", store.Admin)
		require.NoError(d, d.AddPerson(d.Context(), ada, true, act("add", "ada")))
		for _, change := range []func(*store.Person){
			func(p *store.Person) { p.Role = store.Operator },
			func(p *store.Person) { p.Disabled = true },
		} {
			p := ada
			change(&p)
			require.ErrorIs(d, d.changePerson(p, act("change", "ada")), store.ErrLastAdmin)
		}
		require.ErrorIs(d, d.RemovePerson(d.Context(), ada.ID, able, act("remove", "ada")), store.ErrLastAdmin)
		require.NoError(d, d.AddPerson(d.Context(), bob, false, act("add", "bob")))
		require.NoError(d, d.RemovePerson(d.Context(), ada.ID, able, act("remove", "ada")))
		require.ErrorIs(d, d.RemovePerson(d.Context(), bob.ID, able, act("remove", "bob")), store.ErrLastAdmin)
		require.ErrorIs(d, d.RemovePerson(d.Context(), ada.ID, able, act("remove", "ada")), store.ErrNotFound)
	}},
	{"counts on no admin who cannot log in", func(d *db) {
		ada, eve, out := person("ada", store.Admin), person("eve", store.Admin), person("out", store.Admin)
		eve.Password, out.Disabled = "", true
		for _, p := range []store.Person{ada, eve, out} {
			require.NoError(d, d.AddPerson(d.Context(), p, false, act("add", p.Name)))
		}
		demoted, shut := ada, ada
		demoted.Role, shut.Disabled = store.Viewer, true
		require.ErrorIs(d, d.changePerson(demoted, act("change", "ada")), store.ErrLastAdmin)
		require.ErrorIs(d, d.changePerson(shut, act("change", "ada")), store.ErrLastAdmin)
		require.ErrorIs(d, d.RemovePerson(d.Context(), ada.ID, able, act("remove", "ada")), store.ErrLastAdmin)
		less := eve
		less.Role = store.Operator
		require.NoError(d, d.changePerson(less, act("change", "eve")), "who cannot log in is no loss")
		require.NoError(d, d.changePerson(eve, act("change", "eve")))
		eve.Subject = "https://id.example.com|7"
		require.NoError(d, d.changePerson(eve, act("change", "eve")))
		require.NoError(d, d.changePerson(demoted, act("change", "ada")))
		require.ErrorIs(d, d.RemovePerson(d.Context(), eve.ID, able, act("remove", "eve")), store.ErrLastAdmin)
	}},
	{"lets an admin who cannot log in go when there is another", func(d *db) {
		ada, eve := person("ada", store.Admin), person("eve", store.Admin)
		ada.Password, eve.Password = "", ""
		require.NoError(d, d.AddPerson(d.Context(), ada, false, act("add", "ada")))
		require.NoError(d, d.AddPerson(d.Context(), eve, false, act("add", "eve")))
		require.NoError(d, d.RemovePerson(d.Context(), ada.ID, able, act("remove", "ada")))
		require.ErrorIs(d, d.RemovePerson(d.Context(), eve.ID, able, act("remove", "eve")), store.ErrLastAdmin)
	}},
	{"keeps sessions until they end or their person goes", func(d *db) {
		ada, bob := person("ada", store.Admin), person("bob", store.Viewer)
		require.NoError(d, d.AddPerson(d.Context(), ada, true, act("add", "ada")))
		require.NoError(d, d.AddPerson(d.Context(), bob, false, act("add", "bob")))
		login := func(p store.Person, hash string, at time.Time) store.Session {
			x := store.Session{Hash: []byte(hash), Person: p.ID, Version: 1, Created: at, Expires: at.Add(time.Hour)}
			require.NoError(d, d.AddSession(d.Context(), x, act("login", p.ID)))
			return x
		}
		one, two := login(ada, "a", noon), login(bob, "b", noon)
		d.reopen()
		got, err := d.SessionOf(d.Context(), []byte("a"))
		require.NoError(d, err)
		same(d, one, got)
		require.NoError(d, d.RemoveSession(d.Context(), one.Hash))
		require.NoError(d, d.RemoveSession(d.Context(), one.Hash), "again")
		_, err = d.SessionOf(d.Context(), one.Hash)
		require.ErrorIs(d, err, store.ErrNotFound)
		for _, p := range []store.Person{{ID: bob.ID, Version: 2}, {ID: newID(), Version: 1}} {
			x := store.Session{Hash: []byte("x"), Person: p.ID, Version: p.Version, Created: noon, Expires: noon.Add(time.Hour)}
			require.ErrorIs(d, d.AddSession(d.Context(), x, act("login", p.ID)), store.ErrNotFound, "of somebody who is not so")
		}
		require.NoError(d, d.RemovePerson(d.Context(), bob.ID, able, act("remove", bob.ID)))
		_, err = d.SessionOf(d.Context(), two.Hash)
		require.ErrorIs(d, err, store.ErrNotFound)
		old := login(ada, "old", noon)
		login(ada, "new", noon.Add(2*time.Hour))
		_, err = d.SessionOf(d.Context(), old.Hash)
		require.ErrorIs(d, err, store.ErrNotFound, "what is over is forgotten")
	}},
	{"keeps tokens by their hash", func(d *db) {
		t := store.Token{ID: newID(), Name: "ci", Role: store.Operator, Scopes: []string{"events", "runs"}, Hash: []byte("hash"), By: "ada", Created: noon, Expires: noon.Add(time.Hour)}
		require.NoError(d, d.AddToken(d.Context(), t, act("token", t.ID)))
		require.NoError(d, d.UseToken(d.Context(), t.ID, noon.Add(time.Minute)))
		require.NoError(d, d.UseToken(d.Context(), "none", noon))
		t.Used = noon.Add(time.Minute)
		d.reopen()
		got, err := d.TokenOf(d.Context(), t.Hash)
		require.NoError(d, err)
		same(d, t, got)
		list, err := d.Tokens(d.Context())
		require.NoError(d, err)
		same(d, []store.Token{t}, list)
		require.NoError(d, d.RemoveToken(d.Context(), t.ID, act("untoken", t.ID)))
		require.ErrorIs(d, d.RemoveToken(d.Context(), t.ID, act("untoken", t.ID)), store.ErrNotFound)
		_, err = d.TokenOf(d.Context(), t.Hash)
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
	{"tells when people logged in last, and ends their logins", func(d *db) {
		ada, bob := person("ada", store.Admin), person("bob", store.Viewer)
		require.NoError(d, d.AddPerson(d.Context(), ada, true, act("add", ada.ID)))
		require.NoError(d, d.AddPerson(d.Context(), bob, false, act("add", bob.ID)))
		var logins []store.Session
		for i, hash := range []string{"a", "b", "c"} {
			x := store.Session{
				Hash: []byte(hash), Person: ada.ID, Version: 1, Created: noon.Add(time.Duration(i) * time.Minute), Expires: noon.Add(time.Hour),
				Address: "192.0.2.7", Agent: "a browser",
			}
			require.NoError(d, d.AddSession(d.Context(), x, act("login", ada.ID)))
			logins = append([]store.Session{x}, logins...)
		}
		other := store.Session{Hash: []byte("bob's"), Person: bob.ID, Version: 1, Created: noon, Expires: noon.Add(time.Hour)}
		require.NoError(d, d.AddSession(d.Context(), other, act("login", bob.ID)))
		d.reopen()
		list, err := d.Sessions(d.Context(), ada.ID)
		require.NoError(d, err)
		same(d, logins, list)
		got, err := d.Person(d.Context(), ada.ID)
		require.NoError(d, err)
		require.Equal(d, logins[0].Created, got.Seen)
		ada.Name = "Ada" // by one who has read it before the logins
		require.NoError(d, d.changePerson(ada, act("change", ada.ID)))
		got, err = d.Person(d.Context(), ada.ID)
		require.NoError(d, err)
		require.Equal(d, logins[0].Created, got.Seen, "a change leaves it")

		require.NoError(d, d.EndSessions(d.Context(), ada.ID, []byte("b"), act("end", ada.ID)))
		require.NoError(d, d.EndSessions(d.Context(), ada.ID, []byte("b"), act("end", ada.ID)), "again")
		list, err = d.Sessions(d.Context(), ada.ID)
		require.NoError(d, err)
		same(d, logins[1:2], list)
		require.NoError(d, d.EndSessions(d.Context(), ada.ID, nil, act("end", ada.ID)))
		list, err = d.Sessions(d.Context(), ada.ID)
		require.NoError(d, err)
		require.Empty(d, list)
		_, err = d.SessionOf(d.Context(), other.Hash)
		require.NoError(d, err, "another's stays")
		acts, err := d.Acts(d.Context(), store.ActFilter{Object: ada.ID}, store.Page{Limit: 10})
		require.NoError(d, err)
		ends := 0
		for _, a := range acts {
			if a.What == "end" {
				ends++
			}
		}
		require.Equal(d, 2, ends, "what ends nothing is in no log")
	}},
	{"lets a link be used once", func(d *db) {
		ada := person("ada", store.Admin)
		require.NoError(d, d.AddPerson(d.Context(), ada, true, act("add", ada.ID)))
		link := func(hash string, version int) store.Link {
			return store.Link{Hash: []byte(hash), Person: ada.ID, Version: version, Created: noon, Expires: noon.Add(time.Hour)}
		}
		first, second := link("1", 1), link("2", 1)
		require.NoError(d, d.AddLink(d.Context(), first, act("link", ada.ID)))
		require.NoError(d, d.AddLink(d.Context(), second, act("link", ada.ID)))
		stranger := link("3", 1)
		stranger.Person = newID()
		require.ErrorIs(d, d.AddLink(d.Context(), stranger, act("link", "x")), store.ErrNotFound)
		d.reopen()
		_, err := d.LinkOf(d.Context(), first.Hash)
		require.ErrorIs(d, err, store.ErrNotFound, "a later one takes its place")
		got, err := d.LinkOf(d.Context(), second.Hash)
		require.NoError(d, err)
		same(d, second, got)
		list, err := d.Links(d.Context())
		require.NoError(d, err)
		same(d, []store.Link{second}, list)

		next := ada
		next.Password, next.Version = "$argon2id$new", 2
		require.ErrorIs(d, d.useLink(first.Hash, next, act("use", ada.ID)), store.ErrNotFound)
		bob := person("bob", store.Viewer)
		require.NoError(d, d.AddPerson(d.Context(), bob, false, act("add", bob.ID)))
		_, err = d.UseLink(d.Context(), second.Hash, second.Expires, becomes(next, act("use", ada.ID)))
		require.ErrorIs(d, err, store.ErrNotFound, "too late")
		refusal := errors.New("no")
		_, err = d.UseLink(d.Context(), second.Hash, noon, func(*store.Person) (durable.Act, error) { return durable.Act{}, refusal })
		require.ErrorIs(d, err, refusal, "and it holds")
		require.NoError(d, d.useLink(second.Hash, next, act("use", ada.ID)))
		require.ErrorIs(d, d.useLink(second.Hash, next, act("use", ada.ID)), store.ErrNotFound, "once")
		p, err := d.Person(d.Context(), ada.ID)
		require.NoError(d, err)
		same(d, next, p)

		late := link("4", 1) // of what they logged in with before
		require.NoError(d, d.AddLink(d.Context(), late, act("link", ada.ID)))
		require.ErrorIs(d, d.useLink(late.Hash, next, act("use", ada.ID)), store.ErrNotFound)
		require.NoError(d, d.AddLink(d.Context(), store.Link{Hash: []byte("5"), Person: bob.ID, Version: 1, Created: noon, Expires: noon}, act("link", bob.ID)))
		require.NoError(d, d.RemovePerson(d.Context(), bob.ID, able, act("remove", bob.ID)))
		_, err = d.LinkOf(d.Context(), []byte("5"))
		require.ErrorIs(d, err, store.ErrNotFound, "it goes with its person")
	}},
}

package sqlite

import "zombiezen.com/go/sqlite"

// conn is a connection. Its statements are prepared once, and keep what was
// bound to them last: whoever uses one binds all of its parameters.
//
// The library clears them before each use. SQLite then compiles the statement
// anew, since the best plan might depend on whether a value is 0 or 1, and one
// that was cleared may become that. It was a third of all time spent in here.
type conn struct {
	*sqlite.Conn
	prepared map[string]*sqlite.Stmt
}

func openConn(path string, flags ...sqlite.OpenFlags) (*conn, error) {
	c, err := sqlite.OpenConn(path, flags...)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, prepared: map[string]*sqlite.Stmt{}}, nil
}

// Prep returns the statement of that text. As the library's does, it panics
// when the text is wrong, and leaves it to the first step to say that the
// connection was interrupted.
func (c *conn) Prep(query string) *sqlite.Stmt {
	if stmt := c.prepared[query]; stmt != nil && stmt.Reset() == nil {
		return stmt
	}
	stmt, err := c.Prepare(query)
	if err != nil {
		return c.Conn.Prep(query)
	}
	c.prepared[query] = stmt
	return stmt
}

-- Who may do what, and who is logged in.

CREATE TABLE people (
  id       TEXT PRIMARY KEY,
  name     TEXT NOT NULL,
  role     INTEGER NOT NULL,
  password TEXT NOT NULL,
  subject  TEXT NOT NULL,
  created  INTEGER NOT NULL,
  disabled INTEGER NOT NULL,
  version  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX people_name ON people (lower(name));
CREATE UNIQUE INDEX people_subject ON people (subject) WHERE subject <> '';
CREATE INDEX people_role ON people (role, disabled, id);

CREATE TABLE tokens (
  id      TEXT PRIMARY KEY,
  name    TEXT NOT NULL,
  role    INTEGER NOT NULL,
  hash    BLOB NOT NULL UNIQUE,
  by      TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  hash    BLOB PRIMARY KEY,
  person  TEXT NOT NULL,
  version INTEGER NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_person ON sessions (person);
CREATE INDEX sessions_expires ON sessions (expires);

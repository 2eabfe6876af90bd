-- What operators have set, and what they have done.

CREATE TABLE controls (
  name   TEXT PRIMARY KEY,
  pause  INTEGER NOT NULL,
  limits BLOB,
  since  INTEGER NOT NULL,
  by     TEXT NOT NULL,
  why    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  seq    INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  by     TEXT NOT NULL,
  what   TEXT NOT NULL,
  object TEXT NOT NULL,
  detail BLOB
) STRICT;
CREATE INDEX audit_object ON audit (object, seq);

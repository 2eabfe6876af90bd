-- Times are UTC microseconds; 0 stands for no time. IDs are ULIDs. Rows are
-- appended and indexed, not clustered, so that a payload never sits in an index.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value ANY
) STRICT, WITHOUT ROWID;

CREATE TABLE apps (
  name        TEXT PRIMARY KEY,
  id          TEXT NOT NULL,
  url         TEXT NOT NULL,
  sdk         TEXT NOT NULL,
  framework   TEXT NOT NULL,
  app_version TEXT NOT NULL,
  checksum    TEXT NOT NULL,
  problem     TEXT NOT NULL,
  synced_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every version of a function is kept: runs refer to the one they started with.
CREATE TABLE functions (
  slug     TEXT NOT NULL,
  version  INTEGER NOT NULL,
  id       TEXT NOT NULL,
  app      TEXT NOT NULL,
  name     TEXT NOT NULL,
  url      TEXT NOT NULL,
  retries  INTEGER NOT NULL,
  triggers TEXT NOT NULL,
  config   TEXT NOT NULL,
  unheld   TEXT NOT NULL,
  archived INTEGER NOT NULL,
  PRIMARY KEY (slug, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  seq      INTEGER PRIMARY KEY,
  id       TEXT NOT NULL,
  key      TEXT NOT NULL,
  name     TEXT NOT NULL,
  internal INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  received INTEGER NOT NULL,
  body     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_id ON events (id);
CREATE INDEX events_name ON events (name, id);
CREATE INDEX events_sent ON events (id) WHERE internal = 0;

CREATE TABLE runs (
  seq      INTEGER PRIMARY KEY,
  id       TEXT NOT NULL,
  function TEXT NOT NULL,
  app      TEXT NOT NULL,
  version  INTEGER NOT NULL,
  event    TEXT NOT NULL,
  status   INTEGER NOT NULL,
  queued   INTEGER NOT NULL,
  started  INTEGER NOT NULL,
  ended    INTEGER NOT NULL,
  protocol INTEGER NOT NULL,
  output   BLOB
) STRICT;
CREATE UNIQUE INDEX runs_id ON runs (id);
CREATE INDEX runs_event ON runs (event, id);
CREATE INDEX runs_function ON runs (function, id);
CREATE INDEX runs_status ON runs (status, id);

-- What happened in a run, in order. Rows are only ever added.
CREATE TABLE journal (
  seq     INTEGER PRIMARY KEY,
  run     TEXT NOT NULL,
  n       INTEGER NOT NULL,
  step    TEXT NOT NULL,
  kind    INTEGER NOT NULL,
  op      TEXT NOT NULL,
  name    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  started INTEGER NOT NULL,
  took    INTEGER NOT NULL,
  until   INTEGER NOT NULL,
  flags   INTEGER NOT NULL,
  data    BLOB
) STRICT;
CREATE UNIQUE INDEX journal_run ON journal (run, n);

-- What is due, one row for each (run, step). Leases live in memory: only one
-- process opens the file, and when it dies every lease dies with it.
CREATE TABLE queue (
  run     TEXT NOT NULL,
  step    TEXT NOT NULL,
  kind    INTEGER NOT NULL,
  due     INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  again   INTEGER NOT NULL,
  PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_due ON queue (due, run, step);

-- Which run a function was started with for a sender's event id.
CREATE TABLE event_keys (
  function TEXT NOT NULL,
  key      TEXT NOT NULL,
  run      TEXT NOT NULL,
  expires  INTEGER NOT NULL,
  PRIMARY KEY (function, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_keys_expires ON event_keys (expires);

-- Runs that failed for good. States: 0 open, 1 retried, 2 discarded. A list is
-- the range of one index for each state; (failed, run) is its order.
CREATE TABLE dead_letters (
  seq         INTEGER PRIMARY KEY,
  run         TEXT NOT NULL,
  function    TEXT NOT NULL,
  app         TEXT NOT NULL,
  class       TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  title       TEXT NOT NULL,
  reason      TEXT NOT NULL,
  step        TEXT NOT NULL,
  attempts    INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  state       INTEGER NOT NULL DEFAULT 0,
  closed      INTEGER NOT NULL DEFAULT 0,
  retried_as  TEXT NOT NULL DEFAULT '',
  job         TEXT NOT NULL DEFAULT '',
  edited      TEXT NOT NULL DEFAULT '',
  why         TEXT NOT NULL DEFAULT '',
  note        TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX dead_letters_run ON dead_letters (run);
CREATE INDEX dead_letters_all ON dead_letters (state, failed, run);
CREATE INDEX dead_letters_function ON dead_letters (state, function, failed, run);
CREATE INDEX dead_letters_class ON dead_letters (state, class, failed, run);
CREATE INDEX dead_letters_both ON dead_letters (state, function, class, failed, run);
CREATE INDEX dead_letters_group ON dead_letters (state, fingerprint, failed, run);

-- Letters that look alike, counted in the transactions that change them. live
-- is whether one of them is open.
CREATE TABLE dead_groups (
  seq         INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  function    TEXT NOT NULL,
  app         TEXT NOT NULL,
  class       TEXT NOT NULL,
  title       TEXT NOT NULL,
  open        INTEGER NOT NULL,
  retried     INTEGER NOT NULL,
  discarded   INTEGER NOT NULL,
  live        INTEGER NOT NULL,
  first       INTEGER NOT NULL,
  last        INTEGER NOT NULL,
  newest      TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX dead_groups_id ON dead_groups (fingerprint);
CREATE INDEX dead_groups_all ON dead_groups (live, last, fingerprint);
CREATE INDEX dead_groups_function ON dead_groups (live, function, last, fingerprint);
CREATE INDEX dead_groups_class ON dead_groups (live, class, last, fingerprint);
CREATE INDEX dead_groups_both ON dead_groups (live, function, class, last, fingerprint);

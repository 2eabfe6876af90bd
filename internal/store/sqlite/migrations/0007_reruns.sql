-- Events that stand in for others, as people edited them for a rerun.
ALTER TABLE events ADD COLUMN edits TEXT NOT NULL DEFAULT '';

-- Jobs that retry dead letters at a rate. States: 0 running, 1 done, 2 stopped.
CREATE TABLE retry_jobs (
  seq         INTEGER PRIMARY KEY,
  id          TEXT NOT NULL,
  function    TEXT NOT NULL,
  class       TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  after       INTEGER NOT NULL,
  before      INTEGER NOT NULL,
  every       INTEGER NOT NULL,
  first       INTEGER NOT NULL,
  created     INTEGER NOT NULL,
  state       INTEGER NOT NULL DEFAULT 0,
  waiting     INTEGER NOT NULL DEFAULT 0,
  cursor      TEXT NOT NULL DEFAULT '',
  why         TEXT NOT NULL DEFAULT '',
  ended       INTEGER NOT NULL DEFAULT 0,
  started     INTEGER NOT NULL DEFAULT 0,
  completed   INTEGER NOT NULL DEFAULT 0,
  failed      INTEGER NOT NULL DEFAULT 0,
  cancelled   INTEGER NOT NULL DEFAULT 0,
  skipped     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX retry_jobs_id ON retry_jobs (id);

-- The runs that jobs have started. The status is 0 until the run has ended.
CREATE TABLE retries (
  run    TEXT PRIMARY KEY,
  job    TEXT NOT NULL,
  of     TEXT NOT NULL,
  n      INTEGER NOT NULL,
  status INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX retries_job ON retries (job, n);

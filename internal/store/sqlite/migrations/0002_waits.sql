-- What runs rest for, and how runs are related.

ALTER TABLE runs ADD COLUMN parent_run TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN parent_step TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN original TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN cron TEXT NOT NULL DEFAULT '';

ALTER TABLE queue ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN data BLOB;

-- An event wakes the waits of its name that were registered before it came:
-- those whose "after" is less than its seq.
CREATE TABLE waits (
  seq    INTEGER PRIMARY KEY,
  run    TEXT NOT NULL,
  step   TEXT NOT NULL,
  kind   INTEGER NOT NULL,
  name   TEXT NOT NULL,
  cond   TEXT NOT NULL,
  path   TEXT NOT NULL,
  value  TEXT NOT NULL,
  exact  INTEGER NOT NULL,
  until  INTEGER NOT NULL,
  after  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX waits_step ON waits (run, step);
CREATE INDEX waits_match ON waits (name, path, value, seq) WHERE kind <> 1;
CREATE UNIQUE INDEX waits_signal ON waits (name) WHERE kind = 1;

-- Events that have yet to be handed on; each has an item in the queue.
CREATE TABLE deliveries (
  name  TEXT NOT NULL,
  event TEXT NOT NULL,
  PRIMARY KEY (name, event)
) STRICT, WITHOUT ROWID;

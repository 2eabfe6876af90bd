-- Events of a run beside its first, and the steps that wait for it by them.
ALTER TABLE runs ADD COLUMN others INTEGER NOT NULL DEFAULT 0;
CREATE TABLE run_events (
  run         TEXT NOT NULL,
  n           INTEGER NOT NULL,
  event       TEXT NOT NULL,
  parent_run  TEXT NOT NULL,
  parent_step TEXT NOT NULL,
  PRIMARY KEY (run, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_events_event ON run_events (event, run);

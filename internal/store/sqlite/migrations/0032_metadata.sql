-- What is noted about runs, their steps (hashed id; '' is the run), the tries of steps
-- (from 0; -1 is the step as a whole) and spans.
CREATE TABLE metadata (
  seq     INTEGER PRIMARY KEY,
  run     TEXT NOT NULL,
  step    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  span    TEXT NOT NULL,
  kind    TEXT NOT NULL,
  data    BLOB NOT NULL,
  updated INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX metadata_run ON metadata (run, step, attempt, span, kind);

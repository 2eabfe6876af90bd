-- What was sent to apps and what they answered, in tries that failed: the newest few
-- of each run. n is the place of the journal's entry that tells of the try.
CREATE TABLE exchanges (
  seq  INTEGER PRIMARY KEY,
  run  TEXT NOT NULL,
  n    INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX exchanges_run ON exchanges (run, n);

-- What endpoints have streamed for good, in order; step is '' outside of steps.
CREATE TABLE streams (
  seq  INTEGER PRIMARY KEY,
  run  TEXT NOT NULL,
  n    INTEGER NOT NULL,
  step TEXT NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX streams_run ON streams (run, n);

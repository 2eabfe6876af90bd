-- Runs to be cancelled, many at once. What works one is an item in the queue.
CREATE TABLE cancellations (
  id       TEXT PRIMARY KEY,
  function TEXT NOT NULL,
  app      TEXT NOT NULL,
  after    INTEGER NOT NULL,
  before   INTEGER NOT NULL,
  cond     TEXT NOT NULL,
  created  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events that wait for others before a run is started for them, by the item in
-- the queue that ends it.
CREATE TABLE parked (
  run    TEXT NOT NULL,
  step   TEXT NOT NULL,
  n      INTEGER NOT NULL,
  event  TEXT NOT NULL,
  start  TEXT NOT NULL,
  target BLOB,
  PRIMARY KEY (run, step, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX parked_event ON parked (event);

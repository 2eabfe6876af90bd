-- Schedules that people made. Each has an item in the queue, due at its next tick.
CREATE TABLE schedules (
  id       TEXT PRIMARY KEY,
  function TEXT NOT NULL,
  cron     TEXT NOT NULL,
  jitter   INTEGER NOT NULL,
  missed   TEXT NOT NULL,
  overlap  TEXT NOT NULL,
  created  INTEGER NOT NULL,
  data     BLOB
) STRICT, WITHOUT ROWID;

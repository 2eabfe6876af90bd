-- Limits: items stand in lanes, and runs hold slots.

ALTER TABLE runs ADD COLUMN keys TEXT NOT NULL DEFAULT '';
ALTER TABLE queue ADD COLUMN lane TEXT NOT NULL DEFAULT '';
DROP INDEX queue_due;
CREATE INDEX queue_lane ON queue (lane, due, run, step);

-- Slots that a run holds from its first request to its end.
CREATE TABLE holders (
  run  TEXT NOT NULL,
  gate TEXT NOT NULL,
  PRIMARY KEY (run, gate)
) STRICT, WITHOUT ROWID;

-- Until when each rate is used up: one time says what it has admitted.
CREATE TABLE rates (
  gate  TEXT PRIMARY KEY,
  taken INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX rates_taken ON rates (taken);

-- One ledger of keys: each stands for what was done for it, until it expires.
-- The scope of a function's starts is "start/" and its slug, and its reply the
-- run; of API calls it is the call, and its reply the answer.
CREATE TABLE idempotency (
  scope       TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  reply       BLOB NOT NULL,
  created     INTEGER NOT NULL,
  expires     INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires);

INSERT INTO idempotency (scope, key, fingerprint, reply, created, expires)
  SELECT 'start/' || function, key, '', CAST(run AS BLOB), expires - 86400000000, expires FROM event_keys;
DROP TABLE event_keys;

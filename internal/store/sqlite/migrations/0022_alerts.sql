-- What people have to be told of. n is how often it came since it was told, and
-- told when that was; 0: never.
CREATE TABLE alerts (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  key    TEXT NOT NULL,
  kind   TEXT NOT NULL,
  object TEXT NOT NULL,
  text   TEXT NOT NULL,
  run    TEXT NOT NULL,
  count  INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  first  INTEGER NOT NULL,
  last   INTEGER NOT NULL,
  told   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX alerts_key ON alerts (key);
CREATE INDEX alerts_untold ON alerts (told, seq) WHERE n > 0;
CREATE INDEX alerts_told ON alerts (told) WHERE n = 0;

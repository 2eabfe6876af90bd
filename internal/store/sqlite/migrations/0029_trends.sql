-- When each version of a function was told of, and by which version of its app. Of
-- versions from before, nobody knows.
ALTER TABLE functions ADD COLUMN made INTEGER NOT NULL DEFAULT 0;
ALTER TABLE functions ADD COLUMN app_version TEXT NOT NULL DEFAULT '';

-- How many letters came to a group, by the hour since 1970.
CREATE TABLE dead_trend (
  fingerprint TEXT NOT NULL,
  hour        INTEGER NOT NULL,
  letters     INTEGER NOT NULL,
  PRIMARY KEY (fingerprint, hour)
) STRICT, WITHOUT ROWID;
INSERT INTO dead_trend SELECT fingerprint, failed / 3600000000, count(*) FROM dead_letters GROUP BY 1, 2;

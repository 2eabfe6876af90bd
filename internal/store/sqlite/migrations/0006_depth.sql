-- How many runs wait for each other, with this one at the end.
ALTER TABLE runs ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;

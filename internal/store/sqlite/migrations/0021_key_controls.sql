-- What is held back of a function for one value of a key, and what refuses.
ALTER TABLE controls ADD COLUMN refuse INTEGER NOT NULL DEFAULT 0;
ALTER TABLE controls ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE controls ADD COLUMN value TEXT NOT NULL DEFAULT '';

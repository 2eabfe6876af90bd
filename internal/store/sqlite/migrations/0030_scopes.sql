-- The areas that a token is for, with commas between; '': all.
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';

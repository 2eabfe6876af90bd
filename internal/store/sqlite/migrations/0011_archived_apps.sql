-- When an app was removed; 0: it is there.
ALTER TABLE apps ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;

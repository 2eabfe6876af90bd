-- The place of the newest event is also known from the waits that were
-- registered after it, when it was deleted: found at the start, without
-- looking at every wait.
CREATE INDEX waits_after ON waits (after);

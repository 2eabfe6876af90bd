-- Where in a distributed trace an event was sent, as W3C Trace Context says it.
ALTER TABLE events ADD COLUMN trace TEXT NOT NULL DEFAULT '';

-- Whether the request with an event had an idempotency key: what becomes of a start
-- without one is decided anew when the event is handed on or has waited for others.
ALTER TABLE events ADD COLUMN keyed INTEGER NOT NULL DEFAULT 0;

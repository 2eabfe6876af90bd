-- Leases of requests in which runs began: all are due when their app has ended.
CREATE INDEX queue_lapse ON queue (run, step) WHERE kind = 10;

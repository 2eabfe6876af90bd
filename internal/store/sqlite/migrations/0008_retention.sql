-- Runs in the order of their end, for those that leave by retention: the ones
-- that failed are kept longer, or for ever. Runs that have not ended are in
-- neither index.
CREATE INDEX runs_over ON runs (ended) WHERE status IN (2, 4);
CREATE INDEX runs_failed ON runs (ended) WHERE status = 3;

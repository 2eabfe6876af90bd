-- Names that one run at a time has, from its start to its end.
CREATE UNIQUE INDEX holders_single ON holders (gate) WHERE gate >= 'single/' AND gate < 'single0';

-- Runs that were skipped leave with those that have completed.
DROP INDEX runs_over;
CREATE INDEX runs_over ON runs (ended) WHERE status IN (2, 4, 5);

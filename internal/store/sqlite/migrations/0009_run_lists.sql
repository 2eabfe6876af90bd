-- A list of runs is, for each function and status that it is for, the range of
-- one index: in the order of one of a run's three times. A list of all
-- functions joins their ranges.
DROP INDEX runs_function;
DROP INDEX runs_status;
CREATE INDEX runs_queued ON runs (function, status, queued, id);
CREATE INDEX runs_started ON runs (function, status, started, id) WHERE started <> 0;
CREATE INDEX runs_ended ON runs (function, status, ended, id) WHERE ended <> 0;

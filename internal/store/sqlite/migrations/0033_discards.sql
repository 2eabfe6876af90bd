-- Jobs that discard dead letters say why; those that retry them say nothing.
ALTER TABLE retry_jobs ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE retry_jobs ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;

-- The runs of a job that ended alike, such as those that failed again.
CREATE INDEX retries_ended ON retries (job, status, n);

-- The letter whose retry a run is.
CREATE INDEX dead_letters_retried ON dead_letters (retried_as) WHERE retried_as <> '';

-- The runs that repeat another; runs that repeat none have no part in it.
CREATE INDEX runs_original ON runs (original, id) WHERE original <> '';

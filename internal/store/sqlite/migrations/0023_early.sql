-- A request of a run with keys that waits for its time stands in no lane of its keys.
UPDATE queue SET lane = '' WHERE lane >= 'c' AND lane < 'e' AND instr(lane, char(31)) > 0;

-- How many runs hold a slot of a gate is asked when the gate matters.
CREATE INDEX holders_run ON holders (gate) WHERE gate >= 'run/' AND gate < 'run0';

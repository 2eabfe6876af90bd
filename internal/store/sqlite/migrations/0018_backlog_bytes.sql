-- The bytes of the events that something has yet to be done about are counted in
-- the transactions that change them: at a start nobody looks at payloads.
INSERT INTO meta (key, value) VALUES ('backlog_bytes',
  (SELECT ifnull(sum(length(events.body)), 0) FROM runs JOIN events ON events.id = runs.event WHERE runs.status = 0) +
  (SELECT ifnull(sum(length(events.body)), 0) FROM runs JOIN run_events ON run_events.run = runs.id
    JOIN events ON events.id = run_events.event WHERE runs.status = 0) +
  (SELECT ifnull(sum(length(events.body)), 0) FROM parked JOIN events ON events.id = parked.event) +
  (SELECT ifnull(sum(length(events.body)), 0) FROM deliveries JOIN events ON events.id = deliveries.event));

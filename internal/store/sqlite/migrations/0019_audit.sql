-- The audit log is listed by time, of all or of one object. Before this version
-- not all that people did left a line in it: the doctor misses none from then.
DROP INDEX audit_object;
CREATE INDEX audit_object ON audit (object, at);
CREATE INDEX audit_at ON audit (at);
INSERT INTO meta (key, value) VALUES ('audit_since', max(
  (SELECT ifnull(max(closed), 0) FROM dead_letters),
  (SELECT ifnull(max(created), 0) FROM retry_jobs),
  (SELECT ifnull(max(created), 0) FROM cancellations),
  (SELECT ifnull(max(created), 0) FROM schedules)));

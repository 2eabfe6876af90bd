package sqlite

import (
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// relation is a rule about rows of different tables. find returns the rows
// that break it as (run, step, event), where a run may also be the id of
// something else, and, if that does not say which row it is, its name, which what
// has as $name; in it $gone is by when runs that have left by retention had ended,
// and $untold by when what was done may have no line in the audit log. cure, ""
// when there is none, gets them by these names, with $now.
type relation struct {
	rule, find, what string
	cure, how        string
}

var relations = []relation{
	{
		ruleOrphan, `SELECT DISTINCT run, '', '' FROM journal WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = journal.run)`,
		"the journal of a run that is not there",
		`DELETE FROM journal WHERE run = $run`, "its entries are removed",
	},
	{
		// The items of the kinds from Call to Timeout are runs', and so are those of
		// kind Report, unless they say themselves who is told.
		ruleOrphan, `SELECT run, step, '' FROM queue WHERE (kind IN (0, 1, 2, 3) OR kind = 5 AND data IS NULL) AND NOT EXISTS (SELECT 1 FROM runs WHERE id = queue.run)`,
		"something is queued for a run that is not there",
		`DELETE FROM queue WHERE run = $run AND step = $step`, "the item is removed",
	},
	{
		ruleOrphan, `SELECT run, step, '' FROM waits WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = waits.run)`,
		"a run waits that is not there",
		`DELETE FROM waits WHERE run = $run AND step = $step`, "the wait is removed",
	},
	{
		ruleOrphan, `SELECT id, '', event FROM runs WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = runs.event)`,
		"the event that started the run is not there", "", "",
	},
	{
		ruleDelivery, `SELECT '', step, run FROM queue WHERE kind = 4 AND NOT EXISTS (SELECT 1 FROM events WHERE id = queue.run)`,
		"an event is to be handed on that is not there",
		`DELETE FROM queue WHERE run = $event AND step = $step`, "the item is removed",
	},
	{
		ruleDelivery, `SELECT '', step, run FROM queue JOIN events ON events.id = queue.run
			WHERE kind = 4 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE name = events.name AND event = queue.run)`,
		"an event is to be handed on, and waits that run out do not know of it",
		`INSERT OR IGNORE INTO deliveries (name, event) SELECT name, id FROM events WHERE id = $event`, "that is noted",
	},
	{
		ruleDelivery, `SELECT '', '', event FROM deliveries WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = deliveries.event AND name = deliveries.name)`,
		"an event is noted as yet to be handed on, and it is not there",
		`DELETE FROM deliveries WHERE event = $event`, "the note is removed",
	},
	{
		ruleDelivery, `SELECT '', '', event FROM deliveries JOIN events ON events.id = event AND events.name = deliveries.name
			WHERE NOT EXISTS (SELECT 1 FROM queue WHERE run = event AND step = '` + durable.DeliverStep + `')`,
		"an event is yet to be handed on, and nothing is queued that does it",
		`INSERT OR IGNORE INTO queue (run, step, kind, due, attempt, again, since) VALUES ($event, '` + durable.DeliverStep + `', 4, $now, 0, 0, 0)`,
		"it is handed on to all that wait for it",
	},
	{
		// While the parent's step rests, its timer is in the queue.
		ruleReport, `SELECT c.id, '', '' FROM runs AS c JOIN queue AS q ON q.run = c.parent_run AND q.step = c.parent_step AND q.kind = 1
			WHERE c.status >= 2 AND c.parent_run <> '' AND NOT EXISTS (SELECT 1 FROM queue WHERE run = c.id AND step = '` + durable.ReportStep + `')`,
		"the run has ended, and the run that invoked it will not learn of it",
		`INSERT OR IGNORE INTO queue (run, step, kind, due, attempt, again, since) VALUES ($run, '` + durable.ReportStep + `', 5, $now, 0, 0, 0)`,
		"it is told",
	},
	{
		ruleOrphan, `SELECT DISTINCT run, '', '' FROM holders WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = holders.run AND status < 2)`,
		"the run does not go on, and holds up others by a limit",
		`DELETE FROM holders WHERE run = $run`, "it holds nothing any more",
	},
	{
		ruleOrphan, `SELECT run, '', '', gate FROM holders WHERE gate >= 'run/' AND gate < 'run0' AND EXISTS (SELECT 1 FROM runs WHERE id = holders.run AND status = 0)`,
		"the run has not begun, and holds up others by its limit ($name)",
		`DELETE FROM holders WHERE run = $run AND gate = $name`, "it holds that when it begins",
	},
	{
		ruleLimit, `SELECT '', '', '', gate FROM rates WHERE taken > $now + ` + century,
		"what $name has admitted keeps others back for more than a century",
		`DELETE FROM rates WHERE gate = $name`, "it has admitted nothing",
	},
	{
		ruleLimit, `SELECT '', '', '', name FROM controls WHERE NOT EXISTS (SELECT 1 FROM functions WHERE slug = substr(controls.name, 1, instr(controls.name || '#', '#') - 1))
			AND NOT EXISTS (SELECT 1 FROM apps WHERE 'app/' || apps.name = controls.name)`,
		"something is set about $name, which is not known; sync its app", "", "",
	},
	{
		ruleLimit, `SELECT '', '', '', name FROM controls WHERE pause NOT IN (0, 1, 2)
			OR limits IS NOT NULL AND CASE WHEN json_valid(CAST(limits AS TEXT)) THEN json_type(CAST(limits AS TEXT)) END IS NOT 'object'`,
		"what is set about $name cannot be read and does not hold; set it anew with pawl pause or pawl limit", "", "",
	},
	{
		ruleOrphan, `SELECT run, '', event FROM run_events WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = run_events.event)`,
		"an event of the run's batch is not there", "", "",
	},
	{
		ruleOrphan, `SELECT id, '', '' FROM runs WHERE others <> (SELECT count(*) FROM run_events WHERE run = runs.id)`,
		"the run does not have as many events as it began with", "", "",
	},
	{
		ruleOrphan, `SELECT run, '', event FROM run_events WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = run_events.run)`,
		"an event belongs to the batch of a run that is not there",
		`DELETE FROM run_events WHERE run = $run`, "it belongs to none",
	},
	{
		ruleReport, `SELECT c.id, '', '' FROM run_events AS e JOIN runs AS c ON c.id = e.run
			JOIN queue AS q ON q.run = e.parent_run AND q.step = e.parent_step AND q.kind = 1
			WHERE c.status >= 2 AND e.parent_run <> '' AND NOT EXISTS (SELECT 1 FROM queue WHERE run = c.id AND step = '` + durable.ReportStep + `')`,
		"the run has ended, and a run that invoked it will not learn of it",
		`INSERT OR IGNORE INTO queue (run, step, kind, due, attempt, again, since) VALUES ($run, '` + durable.ReportStep + `', 5, $now, 0, 0, 0)`,
		"it is told",
	},
	{
		ruleOrphan, `SELECT run, step, event FROM parked WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = parked.event)`,
		"an event waits for others that is not there",
		`DELETE FROM parked WHERE run = $run AND step = $step AND event = $event`, "it waits no more",
	},
	{
		ruleOrphan, `SELECT DISTINCT run, step, '' FROM queue WHERE kind = 9 AND NOT EXISTS (SELECT 1 FROM parked WHERE run = queue.run AND step = queue.step)`,
		"runs are to be started for events that wait, and there are none",
		`DELETE FROM queue WHERE run = $run AND step = $step`, "the item is removed",
	},
	{
		ruleOrphan, `SELECT run, step, event FROM parked WHERE NOT EXISTS (SELECT 1 FROM queue WHERE run = parked.run AND step = parked.step)`,
		"an event waits for others, and nothing is queued that ends it",
		`INSERT OR IGNORE INTO queue (run, step, kind, due, attempt, again, since, data) VALUES ($run, $step, 9, $now, 0, 0, 0, CAST('{"at":0,"first":1,"due":1}' AS BLOB))`,
		"its run starts now",
	},
	{
		ruleOnce, `SELECT run, min(step), event FROM parked GROUP BY run, event HAVING count(*) > 1`,
		"an event waits for others twice", "", "",
	},
	{
		ruleOnce, `SELECT r.id, p.step, p.event FROM parked AS p CROSS JOIN runs AS r ON r.event = p.event AND ` + parkedFor + `
			UNION ALL SELECT r.id, p.step, p.event FROM parked AS p CROSS JOIN run_events AS e ON e.event = p.event CROSS JOIN runs AS r ON r.id = e.run AND ` + parkedFor,
		"an event waits for others, and the run was started for it already", "", "",
	},
	{
		ruleOnce, `SELECT r.id, '', r.event FROM runs AS r WHERE r.original = ''
			AND EXISTS (SELECT 1 FROM runs AS o WHERE o.event = r.event AND +o.function = r.function AND o.original = '' AND o.id < r.id)
			UNION ALL SELECT r.id, '', e.event FROM run_events AS e CROSS JOIN runs AS r ON r.id = e.run WHERE r.original = ''
			AND (EXISTS (SELECT 1 FROM runs AS o WHERE o.event = e.event AND +o.function = r.function AND o.original = '')
			OR EXISTS (SELECT 1 FROM run_events AS f JOIN runs AS o ON o.id = f.run WHERE f.event = e.event AND f.run < e.run AND o.function = r.function AND o.original = ''))`,
		"the run is not the only one of its function that was started for the event", "", "",
	},
	{
		ruleOrphan, `SELECT DISTINCT run, '', '' FROM exchanges WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = exchanges.run)`,
		"what was sent and answered is kept of a run that is not there",
		`DELETE FROM exchanges WHERE run = $run`, "it is removed",
	},
	{
		ruleOrphan, `SELECT DISTINCT run, '', '' FROM metadata WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = metadata.run)`,
		"metadata is kept of a run that is not there",
		`DELETE FROM metadata WHERE run = $run`, "it is removed",
	},
	{
		ruleOrphan, `SELECT DISTINCT fingerprint, '', '' FROM dead_trend WHERE NOT EXISTS (SELECT 1 FROM dead_groups AS g WHERE g.fingerprint = dead_trend.fingerprint)`,
		"letters are counted by the hour of a group that is not there",
		`DELETE FROM dead_trend WHERE fingerprint = $run`, "the counts are removed",
	},
	{
		ruleOrphan, `SELECT DISTINCT run, '', '' FROM streams WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = streams.run)`,
		"the stream of a run that is not there",
		`DELETE FROM streams WHERE run = $run`, "it is removed",
	},
	{
		ruleFunction, `SELECT id, '', '' FROM runs WHERE status < 2 AND NOT EXISTS (SELECT 1 FROM functions WHERE slug = runs.function)`,
		"the run has not ended, and its function is not known; sync its app", "", "",
	},
	{
		ruleLetter, `SELECT id, '', '' FROM retry_jobs WHERE state = 0
			AND NOT EXISTS (SELECT 1 FROM queue WHERE run = retry_jobs.id AND step = '` + durable.RetryStep + `')`,
		"a job that retries dead letters has not ended, and nothing is queued that goes on with it",
		`INSERT OR IGNORE INTO queue (run, step, kind, due, attempt, again, since) VALUES ($run, '` + durable.RetryStep + `', 7, $now, 0, 0, 0)`,
		"it goes on where it was",
	},
	{
		ruleOrphan, `SELECT run, step, '' FROM queue WHERE kind = 8 AND NOT EXISTS (SELECT 1 FROM cancellations WHERE id = queue.run)`,
		"a cancellation is to be worked that is not there",
		`DELETE FROM queue WHERE run = $run AND step = $step`, "the item is removed",
	},
	{
		ruleOrphan, `SELECT CAST(reply AS TEXT), '', '' FROM idempotency
			WHERE (scope >= 'start/' AND scope < 'start0' OR scope >= 'unique/' AND scope < 'unique0') AND created > $gone AND length(reply) > 0 AND NOT EXISTS (SELECT 1 FROM runs WHERE id = CAST(reply AS TEXT))`,
		"a key stands for the start of a run that is not there",
		`DELETE FROM idempotency WHERE (scope >= 'start/' AND scope < 'start0' OR scope >= 'unique/' AND scope < 'unique0') AND CAST(reply AS TEXT) = $run`, "the key is free again",
	},
	{
		ruleAlert, `SELECT '', '` + durable.TellStep + `', '' WHERE EXISTS (SELECT 1 FROM alerts WHERE n > 0)
			AND NOT EXISTS (SELECT 1 FROM queue WHERE run = '` + durable.AlertRun + `' AND step = '` + durable.TellStep + `')`,
		"people have to be told of something, and nothing is queued that does it",
		`INSERT OR IGNORE INTO queue (run, step, kind, due, attempt, again, since) VALUES ('` + durable.AlertRun + `', $step, 11, $now, 0, 0, 0)`,
		"they are told",
	},
	{
		ruleAudit, `SELECT name, '', '' FROM controls WHERE since > $untold AND ` + untold + `object = substr(controls.name, 1, instr(controls.name || '#', '#') - 1) AND at = controls.since)`,
		"somebody has set it, and the audit log does not tell who", "", "",
	},
	{
		ruleAudit, `SELECT run, '', '' FROM dead_letters AS d WHERE state = 2 AND job = '' AND closed > $untold
			AND ` + untold + `object = 'run/' || d.run AND at = d.closed AND what = '` + durable.ActDiscard + `')`,
		"the run's dead letter was discarded, and the audit log does not tell by whom", "", "",
	},
	{
		ruleAudit, `SELECT run, '', '' FROM dead_letters AS d WHERE state = 1 AND job = '' AND closed > $untold
			AND ` + untold + `object = 'run/' || d.run AND at = d.closed AND what IN ('` + durable.ActRetry + `', '` + durable.ActRerun + `'))`,
		"the run's dead letter was retried, and the audit log does not tell by whom", "", "",
	},
	{
		ruleAudit, `SELECT id, '', '' FROM retry_jobs AS j WHERE created > $untold
			AND ` + untold + `object = 'job/' || j.id AND at = j.created AND what IN ('` + durable.ActRetryMany + `', '` + durable.ActDiscardMany + `'))`,
		"a job retries or discards dead letters, and the audit log does not tell whose it is", "", "",
	},
	{
		ruleAudit, `SELECT id, '', '' FROM cancellations AS n WHERE created > $untold
			AND ` + untold + `object = 'cancellation/' || n.id AND at = n.created AND what = '` + durable.ActCancelMany + `')`,
		"runs are cancelled, and the audit log does not tell by whom", "", "",
	},
	{
		ruleAudit, `SELECT id, '', '' FROM schedules AS s WHERE created > $untold
			AND ` + untold + `object = 'schedule/' || s.id AND at = s.created AND what = '` + durable.ActAddSchedule + `')`,
		"somebody made a schedule, and the audit log does not tell who", "", "",
	},
	{
		// Before there were letters, runs failed without one.
		ruleLetter, `SELECT id, '', '' FROM runs WHERE status = 3 AND ended > (SELECT min(failed) FROM dead_letters)
			AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE run = runs.id)`,
		"the run has failed, and there is no dead letter of it", "", "",
	},
	{
		ruleLetter, `SELECT run, '', '' FROM dead_letters WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = dead_letters.run AND status = 3)`,
		"there is a dead letter of a run that has not failed", "", "",
	},
	{
		ruleLetter, `SELECT newest, '', '' FROM dead_groups AS g WHERE open <> (` + lettersIn + `0) OR retried <> (` + lettersIn + `1)
			OR discarded <> (` + lettersIn + `2) OR live <> (open > 0)`,
		"the group of the run's dead letter does not count what is in it",
		`UPDATE dead_groups AS g SET open = (` + lettersIn + `0), retried = (` + lettersIn + `1), discarded = (` + lettersIn + `2),
			live = (` + lettersIn + `0) > 0 WHERE newest = $run`, "they are counted again",
	},
}

// untold is true when there is no line in the audit log of which the rest holds.
const untold = `NOT EXISTS (SELECT 1 FROM audit WHERE `

// parkedFor holds when run r, which was not started anew, is of the function that
// p waits for.
const parkedFor = `r.original = '' AND +r.function = substr(p.run, instr(p.run, '/') + 1)`

// century is a time in microseconds that no limit takes.
const century = `36525 * 86400 * 1000000`

// lettersIn counts the letters of group g that are in the state that follows.
const lettersIn = `SELECT count(*) FROM dead_letters AS l WHERE l.fingerprint = g.fingerprint AND l.state = `

func (d *doctor) relation(rel relation) error {
	stmt := d.read.Prep(rel.find)
	for i := 1; i <= stmt.BindParamCount(); i++ {
		switch stmt.BindParamName(i) {
		case "$gone":
			stmt.BindInt64(i, micros(d.runsGone))
		case "$untold":
			stmt.BindInt64(i, micros(d.untold))
		case "$now":
			stmt.BindInt64(i, micros(d.now))
		}
	}
	return rows(stmt, func() {
		f := store.Finding{
			Rule: rel.rule, Run: stmt.ColumnText(0), Step: stmt.ColumnText(1), Event: stmt.ColumnText(2), What: rel.what, Cure: rel.how,
		}
		name := ""
		if stmt.ColumnCount() > 3 {
			name = stmt.ColumnText(3)
			f.What = strings.ReplaceAll(f.What, "$name", name)
		}
		var cure func(*conn) error
		if rel.cure != "" {
			cure = func(c *conn) error { return rel.apply(c, f, name, d.now) }
		}
		d.found(f, cure)
	})
}

func (rel relation) apply(c *conn, f store.Finding, name string, now time.Time) error {
	stmt := c.Prep(rel.cure)
	for i := 1; i <= stmt.BindParamCount(); i++ {
		switch stmt.BindParamName(i) {
		case "$name":
			stmt.BindText(i, name)
		case "$run":
			stmt.BindText(i, f.Run)
		case "$step":
			stmt.BindText(i, f.Step)
		case "$event":
			stmt.BindText(i, f.Event)
		case "$now":
			stmt.BindInt64(i, micros(now))
		}
	}
	return exec(stmt)
}

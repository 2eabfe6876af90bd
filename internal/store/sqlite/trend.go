package sqlite

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// countTrend counts a letter in the hour in which its run failed, and forgets the
// hours of its group that nobody asks for any more.
func countTrend(c *conn, l durable.DeadLetter) error {
	hour := hourOf(l.Failed)
	stmt := c.Prep(`INSERT INTO dead_trend (fingerprint, hour, letters) VALUES (?, ?, 1)
		ON CONFLICT (fingerprint, hour) DO UPDATE SET letters = letters + 1`)
	stmt.BindText(1, l.Fingerprint)
	stmt.BindInt64(2, hour)
	if err := exec(stmt); err != nil {
		return err
	}
	stmt = c.Prep(`DELETE FROM dead_trend WHERE fingerprint = ? AND hour <= ?`)
	stmt.BindText(1, l.Fingerprint)
	stmt.BindInt64(2, hour-int64(store.TrendSpan/time.Hour))
	return exec(stmt)
}

func hourOf(at time.Time) int64 { return micros(at) / time.Hour.Microseconds() }

// Trend returns how many letters came to a group.
func (s *Store) Trend(ctx context.Context, fingerprint string, from time.Time) (list []store.TrendPoint, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT hour, letters FROM dead_trend WHERE fingerprint = ? AND hour >= ? ORDER BY hour`)
		stmt.BindText(1, fingerprint)
		stmt.BindInt64(2, hourOf(from))
		return rows(stmt, func() {
			list = append(list, store.TrendPoint{
				Hour: fromMicros(stmt.ColumnInt64(0) * time.Hour.Microseconds()), Letters: stmt.ColumnInt(1),
			})
		})
	})
	return list, err
}

package server

import (
	"net/http"
	"time"

	"github.com/pawlhq/pawl/internal/store"
)

// trendView is how many letters came to a group, by time, the oldest first; the last
// hour and the last day are those that go on.
type trendView struct {
	Hours []int `json:"hours"` // of two days
	Days  []int `json:"days"`  // of thirty
}

const trendHours, trendDays = 48, int(store.TrendSpan / (24 * time.Hour))

func viewTrend(points []store.TrendPoint, now time.Time) trendView {
	v := trendView{Hours: make([]int, trendHours), Days: make([]int, trendDays)}
	for _, p := range points {
		if i := trendHours - 1 - int(now.Truncate(time.Hour).Sub(p.Hour)/time.Hour); i >= 0 && i < trendHours {
			v.Hours[i] += p.Letters
		}
		day := 24 * time.Hour
		if i := trendDays - 1 - int(now.Truncate(day).Sub(p.Hour.Truncate(day))/day); i >= 0 && i < trendDays {
			v.Days[i] += p.Letters
		}
	}
	return v
}

// groupTrendView is a group with its trend.
type groupTrendView struct {
	letterGroupView
	Trend trendView `json:"trend"`
}

func (s *Server) withTrend(r *http.Request, g store.LetterGroup, now time.Time) (groupTrendView, error) {
	points, err := s.eng.Letters().Trend(r.Context(), g.Fingerprint, now.Add(-store.TrendSpan))
	return groupTrendView{viewLetterGroup(g), viewTrend(points, now)}, err
}

func (s *Server) showLetterGroup(w http.ResponseWriter, r *http.Request, _ []byte) {
	fingerprint := r.PathValue("fingerprint")
	g, err := s.eng.Letters().DeadGroup(r.Context(), fingerprint)
	var v groupTrendView
	if err == nil {
		v, err = s.withTrend(r, g, time.Now())
	}
	if err != nil {
		s.failWith(w, r, err, "There is no group of dead letters "+printable(fingerprint))
		return
	}
	s.reply(w, v)
}

package cron

import "fmt"

// Overlap says what a tick does while the run of an earlier tick has not ended.
// The zero Overlap is OverlapAllow.
type Overlap int

// The policies.
const (
	OverlapAllow   Overlap = iota // both run
	OverlapSkip                   // the new tick is not run
	OverlapQueue                  // the new tick runs when the run has ended
	OverlapReplace                // the run is cancelled, then the new tick runs
)

var overlapNames = [...]string{"allow", "skip", "queue", "replace"}

// String is the form that ParseOverlap reads.
func (o Overlap) String() string {
	if o < 0 || int(o) >= len(overlapNames) {
		return fmt.Sprintf("Overlap(%d)", int(o))
	}
	return overlapNames[o]
}

// ParseOverlap reads allow, skip, queue or replace. Nothing is allow, which is
// what runs of events do.
func ParseOverlap(text string) (Overlap, error) {
	if text == "" {
		return OverlapAllow, nil
	}
	for i, name := range overlapNames {
		if text == name {
			return Overlap(i), nil
		}
	}
	return 0, fmt.Errorf("overlapping ticks: %q is none of allow, skip, queue and replace", clip(text))
}

// MarshalText is String, for stores, flags and JSON. It fails for an Overlap that
// is none of the four.
func (o Overlap) MarshalText() ([]byte, error) {
	if _, err := ParseOverlap(o.String()); err != nil {
		return nil, err
	}
	return []byte(o.String()), nil
}

// UnmarshalText is ParseOverlap.
func (o *Overlap) UnmarshalText(text []byte) error {
	p, err := ParseOverlap(string(text))
	if err == nil {
		*o = p
	}
	return err
}

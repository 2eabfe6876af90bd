package store

// Finding is something in a store that cannot be when every transition was
// written whole: a file was damaged, or Pawl has an error.
type Finding struct {
	Rule  string `json:"rule"`            // what is broken, in one word
	Run   string `json:"run,omitempty"`   // that it is about
	Step  string `json:"step,omitempty"`  // hashed id
	Event string `json:"event,omitempty"` // that it is about
	What  string `json:"what"`            // a sentence
	Cure  string `json:"cure,omitempty"`  // what repairs it without losing anything; "" when nothing can
	Cured bool   `json:"cured"`           // that was done
}

// Examined counts what was looked at.
type Examined struct {
	Runs   int `json:"runs"`
	Ended  int `json:"ended"` // of the runs
	Events int `json:"events"`
	Items  int `json:"items"`
	Waits  int `json:"waits"`
}

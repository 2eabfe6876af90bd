package proto

// A call with ctx.check set comes from a check before a deploy; that member is
// Pawl's own. The SDK plans each step that it finds no result for, whatever else
// the call says, runs nothing and sends nothing. What it notices on the way comes
// with its answer as ops of kind None, which servers ignore.

// Names of what an SDK notices. The data of such an error is a Mismatch.
const (
	// NameMismatch is an error of the function: a result cannot be read any more.
	NameMismatch = "ResultMismatch"
	// NameFieldsLost is a note: a result has fields that nothing reads any more.
	NameFieldsLost = "FieldsLost"
)

// Mismatch says which result does not fit which type.
type Mismatch struct {
	Step string `json:"step"` // its name; "": the data of the event
	Type string `json:"type"` // in the program's language
	Why  string `json:"why"`
}

// BegunSuffix ends the name of a step that says of another that it has begun. It is
// looked for when that one is tried again, and is asked for by no replay.
const BegunSuffix = ": begun"

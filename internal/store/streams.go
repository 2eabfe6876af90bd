package store

import "context"

// Piece is a part of what the endpoint of a run has streamed for good.
type Piece struct {
	Run string
	N   int64 // its place in the stream, from 1; they rise, with gaps
	// Step is that which streamed it, AnswerStep, or "" for what was streamed outside
	// of steps.
	Step string
	Data []byte // server-sent events, whole
	// Void removes what is kept of its step: the step runs again. Data tells readers.
	Void bool
}

// AnswerStep is the step of the piece that holds the endpoint's answer, with which
// a stream ends. Its place is LastPiece, after all others; there is one.
const (
	AnswerStep       = "answer"
	LastPiece  int64 = 1 << 40
)

// Kept says what is kept of a stream, without its answer.
type Kept struct {
	Last   int64 // the highest place; 0: nothing is kept
	Bytes  int64
	Pieces int
	Steps  []string // which have pieces
	Answer bool     // there is one
}

// Streams keeps what endpoints have streamed with their runs, and forgets it with
// them.
type Streams interface {
	// KeepStream writes pieces of any runs, in order and in one transaction. Those of
	// a run that is not there are left out.
	KeepStream(ctx context.Context, pieces []Piece) error
	// KeptStream says what is kept of a run's stream; the zero value when nothing is.
	KeptStream(ctx context.Context, run string) (Kept, error)
	// Stream returns pieces of a run's stream in order, those with places above after
	// and up to last, until they have limit bytes; at least one, if there is one.
	Stream(ctx context.Context, run string, after, last int64, limit int) ([]Piece, error)
}

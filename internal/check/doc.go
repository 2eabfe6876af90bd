// Package check replays recorded runs against new code before it is deployed, and
// says what would be different: steps whose work would be done again, results that
// the code cannot read any more, runs that would end otherwise.
//
// It calls the new code as an engine does, over the SDK protocol, in plan mode
// (ctx.disable_immediate_execution) and without what turns checkpoints on
// (ctx.fn_id): SDKs then announce each step that they find no result for, and run
// none. A run is walked from its beginning:
//
//	known = {}
//	call with the results in known ─▶ the steps that the code asks for next
//	  those of them that have a recorded result ─▶ known, and again
//	  none has one ─▶ the walk has come to its end
//
// What the code asked for on the way is compared with what is recorded. A walk ends
// where the code asks for something new: what it would do with the result cannot be
// known. It takes a call for each stretch between steps, so that its bytes grow with
// the square of a run's length; mostBytes bounds them.
//
// Code between steps runs, as it does in each replay by an engine. So a function
// that decides by a clock, by chance or by what it reads outside of steps may be
// told about although it has not changed.
//
// Nothing is written: the app registers nothing, and no run is touched.
package check

// Package expr compiles and evaluates the expressions that apps write: trigger
// and cancel conditions, wait conditions, and the keys of flow control. They are
// CEL, made loose enough for JSON that may lack the field it is asked for.
// It reads no clock and starts no goroutine, and no expression can hang or
// exhaust the process: source, nesting, regular expressions and the cost of an
// evaluation are all capped.
//
// # How CEL is made loose
//
// A missing field is CEL's null. cel-go decides overloads by type and reports a
// missing key from deep inside its attribute code, so neither a value type of
// our own nor a changed standard library can express the rules. Instead the
// parsed tree is rewritten before it is checked, and then planned by cel-go as
// always (rewrite.go):
//
//   - every select, index and operator becomes a call to a function of ours,
//     named @get, @eq, @lt and so on, which no source can spell (loose.go);
//   - || && and ?: become calls whose plan nodes we replace, because their
//     operands must stay lazy (lazy.go);
//   - any other call f(a) becomes @absent(f(@need(a))): @need turns null into a
//     marked error, which passes through f unseen, and @absent turns the mark
//     into false;
//   - a macro's own bookkeeping is left to standard CEL.
//
// The checker then works on the rewritten tree, so an unknown function or a
// wrong literal is found when the expression is compiled.
//
// # Finding those who wait
//
// A condition over two events is not evaluated for every event that comes: what
// it needs the incoming event to have is known as soon as the first event is
// (index.go), and is found by its text (index_text.go). What can never hold need
// not wait at all (never.go).
//
// # What is left open
//
// What the rules leave open is decided so: a missing left operand decides an
// ordering, also against another missing one. Arithmetic with null is false, as
// any call on a missing value; integers and doubles mix and give a double,
// since all numbers of an event are doubles, but for whole ones that no double is
// (number.go). Selecting from something that has
// no fields gives null. The quantifiers (all, exists, exists_one) over a missing
// list are false; map and filter over one give null.
package expr

package expr

import "cel.dev/cel-go/common/ast"

// Never reports whether p, a program over two events, is sure not to be true
// whatever comes after event, so that it need not be registered: because of a
// constant such as 1 == 2, of what event has, or of an evaluation that can only
// fail. It finds this in operands of && and || that do not read async; false
// means that nothing of the kind was found.
func (p *Program) Never(event *Doc) bool {
	if p.doubt.settled(event) {
		return true
	}
	index, ok := p.Index(event)
	return ok && index.Text == textNever
}

// doubt is what of a program could be false for good. It is a part, or, when
// that is nil, two doubts: one of which is enough for && but not for ||. A nil
// doubt is never settled.
type doubt struct {
	part        *part
	left, right *doubt
	both        bool
}

// settled reports whether the doubt has come true with event.
func (d *doubt) settled(event *Doc) bool {
	switch {
	case d == nil:
		return false
	case d.part != nil:
		v, err := d.part.eval(event)
		return err != nil || !truth(v)
	case d.both:
		return d.left.settled(event) && d.right.settled(event)
	default:
		return d.left.settled(event) || d.right.settled(event)
	}
}

// doubt returns the doubt about e, or nil.
func (a *analyst) doubt(e ast.Expr) *doubt {
	if p := a.part(e); p != nil {
		return &doubt{part: p}
	}
	both := false
	args := callOf(e, fnAnd)
	if args == nil {
		args, both = callOf(e, fnOr), true
	}
	if args == nil {
		return nil
	}
	left, right := a.doubt(args[0]), a.doubt(args[1])
	if left == nil && right == nil {
		return nil
	}
	return &doubt{left: left, right: right, both: both}
}

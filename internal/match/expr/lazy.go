package expr

import (
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// lazy replaces the planned calls to @or, @and and @if, which have no
// implementation of their own, by nodes that evaluate only what they must.
func lazy(node interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := node.(interpreter.InterpretableCall)
	if !ok {
		return node, nil
	}
	args := call.Args()
	switch call.Function() {
	case fnOr:
		return &either{id: call.ID(), left: args[0], right: args[1], enough: true}, nil
	case fnAnd:
		return &either{id: call.ID(), left: args[0], right: args[1], enough: false}, nil
	case fnIf:
		return &choice{id: call.ID(), cond: args[0], yes: args[1], no: args[2]}, nil
	default:
		return node, nil
	}
}

// either is a || b, or a && b: the left operand if its truth is enough, and
// else the right one. As in CEL, an error on one side gives way to a value on
// the other that decides alone.
type either struct {
	id          int64
	left, right interpreter.InterpretableV2
	enough      bool
}

// ID implements interpreter.Interpretable.
func (n *either) ID() int64 { return n.id }

// Eval implements interpreter.Interpretable.
func (n *either) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// Exec implements interpreter.InterpretableV2.
func (n *either) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	left := n.left.Exec(frame)
	failed := types.IsError(left)
	if !failed && truth(left) == n.enough {
		return left
	}
	right := n.right.Exec(frame)
	if failed && (types.IsError(right) || truth(right) != n.enough) {
		return left
	}
	return right
}

// choice is c ? x : y by the truth of c.
type choice struct {
	id            int64
	cond, yes, no interpreter.InterpretableV2
}

// ID implements interpreter.Interpretable.
func (n *choice) ID() int64 { return n.id }

// Eval implements interpreter.Interpretable.
func (n *choice) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// Exec implements interpreter.InterpretableV2.
func (n *choice) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	cond := n.cond.Exec(frame)
	switch {
	case types.IsError(cond):
		return cond
	case truth(cond):
		return n.yes.Exec(frame)
	default:
		return n.no.Exec(frame)
	}
}

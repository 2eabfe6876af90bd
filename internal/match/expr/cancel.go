package expr

import (
	"fmt"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
)

// inCancel are the operators and functions that a condition of cancelOn may
// use. ?: is one of CEL's logical operators.
var inCancel = map[string]bool{
	operators.Equals:            true,
	operators.NotEquals:         true,
	operators.Less:              true,
	operators.LessEquals:        true,
	operators.Greater:           true,
	operators.GreaterEquals:     true,
	operators.LogicalAnd:        true,
	operators.LogicalOr:         true,
	operators.LogicalNot:        true,
	operators.Conditional:       true,
	operators.Index:             true,
	operators.In:                true,
	overloads.TypeConvertInt:    true,
	overloads.TypeConvertUint:   true,
	overloads.TypeConvertDouble: true,
}

// CompileCancel is Compile for a condition of cancelOn, over event and async,
// which may use only comparisons, logical operators, indexing, in, and the
// conversions int, uint and double. What it accepts means the same to Compile
// and to a Cache. Source: spec/11 §10.
func CompileCancel(src string) (*Program, error) {
	p, err := Compile(src, EventAndAsync)
	if err != nil {
		return nil, err
	}
	if err := checkCancel(src); err != nil {
		return nil, err
	}
	return p, nil
}

// checkCancel takes source that compiles. It parses anew, since compiling has
// replaced the operators.
func checkCancel(src string) error {
	env, err := envFor(EventAndAsync)
	if err != nil {
		return err
	}
	parsed, issues := env.Parse(src)
	if err := firstIssue(issues); err != nil {
		return err
	}
	tree := parsed.NativeRep()
	var refused *CompileError
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if what := notInCancel(e); what != "" && refused == nil {
			at := tree.SourceInfo().GetStartLocation(e.ID())
			refused = &CompileError{at.Line(), at.Column() + 1, fmt.Sprintf(
				"a cancel condition cannot use %s; it may use comparisons, &&, ||, !, ?:, in, indexing, int(), uint() and double()", what)}
		}
	}))
	if refused != nil {
		return refused
	}
	return nil
}

// notInCancel names what e is if a cancel condition may not have it.
func notInCancel(e ast.Expr) string {
	switch e.Kind() {
	case ast.CallKind:
		call := e.AsCall()
		if name := call.FunctionName(); !inCancel[name] || call.IsMemberFunction() {
			if symbol, ok := operators.FindReverse(name); ok && symbol != "" {
				name = symbol
			}
			return name
		}
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return "has"
		}
	case ast.ComprehensionKind:
		return "macros such as exists and all"
	default:
	}
	return ""
}

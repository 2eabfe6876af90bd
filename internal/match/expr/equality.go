package expr

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// equality is an expression of the shape event.data.x == "text", either way
// round. Failure handlers and most waits have it, and for it a walk through the
// decoded document gives what CEL gives: text equals only the same text, and a
// field that is missing or lies in something without fields equals none.
type equality struct {
	async bool
	path  []string
	text  string
}

// asEquality returns e as an equality, or nil if it is none. It takes the tree
// as parsed, before it is made loose.
func asEquality(e ast.Expr, vars Vars) *equality {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.Equals {
		return nil
	}
	args := e.AsCall().Args()
	field, literal := args[0], args[1]
	if field.Kind() == ast.LiteralKind {
		field, literal = literal, field
	}
	if literal.Kind() != ast.LiteralKind {
		return nil
	}
	text, ok := literal.AsLiteral().(types.String)
	if !ok {
		return nil
	}
	eq := &equality{text: string(text)}
	for field.Kind() == ast.SelectKind && !field.AsSelect().IsTestOnly() {
		eq.path = append(eq.path, field.AsSelect().FieldName())
		field = field.AsSelect().Operand()
	}
	if field.Kind() != ast.IdentKind || !slices.Contains(vars.names(), field.AsIdent()) {
		return nil
	}
	slices.Reverse(eq.path)
	eq.async = field.AsIdent() == "async"
	return eq
}

// holds evaluates the equality.
func (eq *equality) holds(in Input) (bool, error) {
	doc := in.Event
	if eq.async {
		doc = in.Async
	}
	v, _, err := doc.load()
	if err != nil {
		return false, err
	}
	for _, name := range eq.path {
		fields, ok := v.(map[string]any)
		if !ok {
			return false, nil
		}
		v = fields[name]
	}
	text, ok := v.(string)
	return ok && text == eq.text, nil
}

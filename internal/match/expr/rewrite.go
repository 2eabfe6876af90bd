package expr

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// operator gives the loose function that stands in for an operator of CEL.
var operator = map[string]string{
	operators.Equals:        fnEq,
	operators.NotEquals:     fnNe,
	operators.Less:          fnLt,
	operators.LessEquals:    fnLe,
	operators.Greater:       fnGt,
	operators.GreaterEquals: fnGe,
	operators.Add:           fnAdd,
	operators.Subtract:      fnSub,
	operators.Multiply:      fnMul,
	operators.Divide:        fnDiv,
	operators.Modulo:        fnMod,
	operators.Negate:        fnNeg,
	operators.LogicalNot:    fnNot,
	operators.LogicalOr:     fnOr,
	operators.LogicalAnd:    fnAnd,
	operators.Conditional:   fnIf,
	operators.Index:         fnGet,
	operators.In:            fnIn,
}

// typeNames are the identifiers of CEL that are no variables.
var typeNames = []string{"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"}

// loosen rewrites a parsed tree in place, as the package comment says. It
// reports whether the tree has a macro that loops, and returns a *CompileError
// for a variable that does not exist.
func loosen(tree *ast.AST, vars Vars) (loops bool, err error) {
	r := &rewriter{
		ExprFactory: ast.NewExprFactory(),
		info:        tree.SourceInfo(),
		nextID:      ast.MaxID(tree),
		known:       vars.names(),
	}
	root := r.expr(tree.Expr())
	if r.err != nil {
		return false, r.err
	}
	tree.Expr().SetKindCase(root)
	return r.loops, nil
}

// rewriter builds the loose tree. A node keeps its id, and the nodes put around
// or under it get fresh ones, so that an error of the checker still has a place.
type rewriter struct {
	ast.ExprFactory
	info   *ast.SourceInfo
	nextID int64
	known  []string // variables of the expression
	scope  []string // variables of the macros around the node
	loops  bool
	err    *CompileError
}

// expr returns the loose form of e, with the id of e.
func (r *rewriter) expr(e ast.Expr) ast.Expr {
	switch e.Kind() {
	case ast.IdentKind:
		r.checkVariable(e)
		return e
	case ast.SelectKind:
		sel := e.AsSelect()
		fn := fnGet
		if sel.IsTestOnly() {
			fn = fnHas
		}
		field := r.NewLiteral(r.idFor(e), types.String(sel.FieldName()))
		return r.NewCall(e.ID(), fn, r.expr(sel.Operand()), field)
	case ast.ListKind:
		return r.NewList(e.ID(), r.exprs(e.AsList().Elements()), nil)
	case ast.MapKind:
		entries := slices.Clone(e.AsMap().Entries())
		for i, entry := range entries {
			pair := entry.AsMapEntry()
			name := r.NewCall(r.idFor(pair.Key()), fnKey, r.expr(pair.Key()))
			entries[i] = r.NewMapEntry(entry.ID(), name, r.expr(pair.Value()), false)
		}
		return r.NewMap(e.ID(), entries)
	case ast.StructKind:
		r.refuse(e, fmt.Sprintf("there is no message type %q", e.AsStruct().TypeName()))
		return e
	case ast.CallKind:
		return r.call(e)
	case ast.ComprehensionKind:
		return r.macro(e)
	default:
		return e
	}
}

func (r *rewriter) exprs(es []ast.Expr) []ast.Expr {
	out := make([]ast.Expr, len(es))
	for i, e := range es {
		out[i] = r.expr(e)
	}
	return out
}

// call rewrites an operator or a function.
func (r *rewriter) call(e ast.Expr) ast.Expr {
	call := e.AsCall()
	name, args := call.FunctionName(), r.exprs(call.Args())
	if loose, ok := operator[name]; ok {
		return r.NewCall(e.ID(), loose, args...)
	}
	if call.IsMemberFunction() {
		target := r.expr(call.Target())
		if name == overloads.Size && len(args) == 0 {
			return r.NewCall(e.ID(), fnSize, target)
		}
		inner := r.NewMemberCall(r.idFor(e), name, r.need(target), r.needs(args)...)
		return r.NewCall(e.ID(), fnAbsent, inner)
	}
	switch {
	case name == overloads.Size && len(args) == 1:
		return r.NewCall(e.ID(), fnSize, args[0])
	case name == "now" && len(args) == 0:
		return r.NewIdent(e.ID(), nowVar)
	case name == "now_plus" && len(args) == 1:
		args, name = append([]ast.Expr{r.NewIdent(r.idFor(e), nowVar)}, args...), fnNowPlus
	case name == "now_minus" && len(args) == 1:
		args, name = append([]ast.Expr{r.NewIdent(r.idFor(e), nowVar)}, args...), fnNowMinus
	}
	inner := r.NewCall(r.idFor(e), name, r.needs(args)...)
	return r.NewCall(e.ID(), fnAbsent, inner)
}

// macro rewrites what all, exists, exists_one, map and filter expand to. Their
// condition, result and accumulator are CEL's own and stay.
func (r *rewriter) macro(e ast.Expr) ast.Expr {
	r.loops = true
	fold := e.AsComprehension()
	overMissing := fnAbsent
	if fold.AccuInit().Kind() == ast.ListKind {
		overMissing = fnAbsentNull
	}
	over := r.need(r.expr(fold.IterRange()))
	r.scope = append(r.scope, fold.IterVar())
	step := r.step(fold.LoopStep(), fold.AccuVar())
	r.scope = r.scope[:len(r.scope)-1]
	inner := r.NewComprehension(r.idFor(e), over, fold.IterVar(), fold.AccuVar(),
		fold.AccuInit(), fold.LoopCondition(), step, fold.Result())
	return r.NewCall(e.ID(), overMissing, inner)
}

// step rewrites one turn of a macro, which has one of these shapes, p and f
// being what the app wrote:
//
//	accu && p    accu || p    p ? step : accu    accu + [f]    accu + 1    accu
func (r *rewriter) step(e ast.Expr, accu string) ast.Expr {
	if e.Kind() != ast.CallKind {
		return e
	}
	call := e.AsCall()
	name, args := call.FunctionName(), slices.Clone(call.Args())
	switch name {
	case operators.LogicalAnd, operators.LogicalOr:
		args[1] = r.truthy(args[1])
	case operators.Conditional:
		args[0], args[1] = r.truthy(args[0]), r.step(args[1], accu)
	case operators.Add:
		if args[1].Kind() == ast.ListKind {
			args[1] = r.expr(args[1])
		}
	}
	return r.NewCall(e.ID(), name, args...)
}

// truthy makes a condition of what the app wrote inside a macro.
func (r *rewriter) truthy(e ast.Expr) ast.Expr {
	e = r.expr(e)
	return r.NewCall(r.idFor(e), fnTruthy, e)
}

// need guards an argument against null. A literal needs no guard, and without
// one the checker sees its type.
func (r *rewriter) need(e ast.Expr) ast.Expr {
	if e.Kind() == ast.LiteralKind || e.Kind() == ast.ListKind || e.Kind() == ast.MapKind {
		return e
	}
	return r.NewCall(r.idFor(e), fnNeed, e)
}

func (r *rewriter) needs(es []ast.Expr) []ast.Expr {
	for i, e := range es {
		es[i] = r.need(e)
	}
	return es
}

// idFor returns a fresh id with the place of e in the source.
func (r *rewriter) idFor(e ast.Expr) int64 {
	r.nextID++
	if place, ok := r.info.GetOffsetRange(e.ID()); ok {
		r.info.SetOffsetRange(r.nextID, place)
	}
	return r.nextID
}

func (r *rewriter) checkVariable(e ast.Expr) {
	name := strings.TrimPrefix(e.AsIdent(), ".")
	if slices.Contains(r.known, name) || slices.Contains(r.scope, name) || slices.Contains(typeNames, name) {
		return
	}
	r.refuse(e, fmt.Sprintf("unknown variable %q; an expression here knows %s", name, strings.Join(r.known, " and ")))
}

// refuse keeps the first thing that is wrong.
func (r *rewriter) refuse(e ast.Expr, reason string) {
	if r.err != nil {
		return
	}
	at := r.info.GetStartLocation(e.ID())
	r.err = &CompileError{at.Line(), at.Column() + 1, reason}
}

package expr

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Index is a necessary condition of a program over two events, in a form to
// look up by: whenever the program is true for an incoming event, IndexText of
// that event at Path is Text.
//
// Both are kept with the wait, so that their forms cannot change without a
// migration.
type Index struct {
	Path  string // in the incoming event, like data.id or data["a.b"][0]; never ""
	Text  string // never "", at most 129 bytes, without NUL
	Exact bool   // the texts decide: if they are equal, the program is true
}

// Index returns what to look for in incoming events, given the event that
// started the run. It takes a conjunct of the form async.path == value whose
// value is known from event alone, and of several the one that is likely to
// tell most runs apart. It reports false when p has none: then every event has
// to be evaluated.
func (p *Program) Index(event *Doc) (Index, bool) {
	var best Index
	most := -1
	for i := range p.lookups {
		l := &p.lookups[i]
		text := l.text(event)
		if n := l.tells(text); n > most {
			most = n
			best = Index{Path: l.path, Text: text, Exact: l.sole && l.value == nil && text[0] != hashMark}
		}
	}
	return best, most >= 0
}

// lookup is one conjunct async.path == value. An equality with the whole of
// async is none: it would have every event hashed. The value is the literal, or the
// event's field, or computed.
type lookup struct {
	path    string
	sole    bool   // the conjunct is all of the program
	literal string // its index text
	field   string // a path in the event, when literal is "" and value is nil
	value   *part
}

// text returns the index text of the value.
func (l *lookup) text(event *Doc) string {
	switch {
	case l.literal != "":
		return l.literal
	case l.value == nil:
		if text := event.IndexText(l.field); text != "" {
			return text
		}
		return textNever
	}
	v, err := l.value.eval(event)
	if err != nil {
		return textNever
	}
	plain, err := plainValue(v)
	if err != nil {
		return textNever
	}
	return indexText(plain)
}

// tells ranks the texts of a program's conjuncts: many events lack a field,
// about half have the same boolean, and what an app writes into the condition is
// the same for all its runs.
func (l *lookup) tells(text string) int {
	n := 0
	switch text {
	case textNever:
		return 6
	case textNull:
	case textTrue, textFalse:
		n = 2
	default:
		n = 4
	}
	if l.literal == "" {
		n++
	}
	return n
}

// part is a piece of a program that reads the first event and nothing else, and
// never loops.
type part struct{ cel cel.Program }

func (p *part) eval(event *Doc) (v ref.Val, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("the evaluation broke off: %v", r)
		}
	}()
	v, _, err = p.cel.Eval(&variables{Event: event})
	return v, err
}

// analyst looks into a checked loose tree for what holds before the second
// event comes.
type analyst struct {
	env  *cel.Env
	tree *ast.AST
}

// lookups finds the conjuncts to index by. && gives true only if each of its
// operands counts as true, however && are nested; nothing below another
// operator must hold.
func (a *analyst) lookups(e ast.Expr) []lookup {
	if args := callOf(e, fnAnd); args != nil {
		return append(a.lookups(args[0]), a.lookups(args[1])...)
	}
	if l, ok := a.lookup(e); ok {
		return []lookup{l}
	}
	return nil
}

func (a *analyst) lookup(e ast.Expr) (l lookup, ok bool) {
	sides := callOf(e, fnEq)
	if sides == nil {
		return l, false
	}
	value := sides[1]
	if l.path, ok = pathFrom("async", sides[0]); !ok {
		value = sides[0]
		l.path, ok = pathFrom("async", sides[1])
	}
	if !ok || l.path == "" {
		return l, false
	}
	l.sole = e == a.tree.Expr()
	if l.field, ok = pathFrom("event", value); ok {
		return l, true
	}
	if value.Kind() == ast.LiteralKind {
		l.literal = literalText(value.AsLiteral())
		return l, true
	}
	l.value = a.part(value)
	return l, l.value != nil
}

// part returns e as something to evaluate as soon as the first event is known,
// or nil if it depends on more than that event.
func (a *analyst) part(e ast.Expr) *part {
	if !fixed(e) {
		return nil
	}
	tree := ast.NewCheckedAST(ast.NewAST(e, a.tree.SourceInfo()), a.tree.TypeMap(), a.tree.ReferenceMap())
	program, err := a.env.PlanProgram(tree, programOptions()...)
	if err != nil {
		return nil
	}
	return &part{program}
}

// fixed reports whether e has the same value in every evaluation with one event,
// and needs no context to be evaluated.
func fixed(e ast.Expr) bool {
	is := true
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			name := strings.TrimPrefix(e.AsIdent(), ".")
			is = is && name != "async" && name != nowVar
		case ast.ComprehensionKind:
			is = false
		default:
		}
	}))
	return is
}

// callOf returns the two operands of e if it is a call of fn, or else nil.
func callOf(e ast.Expr, fn string) []ast.Expr {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != fn || len(e.AsCall().Args()) != 2 {
		return nil
	}
	return e.AsCall().Args()
}

// pathFrom returns e as a path in a variable, as walk takes it.
func pathFrom(variable string, e ast.Expr) (path string, ok bool) {
	var steps []string // from the last
	for e.Kind() != ast.IdentKind {
		args := callOf(e, fnGet)
		if args == nil || args[1].Kind() != ast.LiteralKind {
			return "", false
		}
		switch name := args[1].AsLiteral().(type) {
		case types.String:
			steps = append(steps, fieldStep(string(name)))
		case types.Int:
			if name < 0 {
				return "", false
			}
			steps = append(steps, elementStep(int64(name)))
		default:
			return "", false
		}
		e = args[0]
	}
	if strings.TrimPrefix(e.AsIdent(), ".") != variable {
		return "", false
	}
	var text strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		text.WriteString(steps[i])
	}
	return strings.TrimPrefix(text.String(), "."), true
}

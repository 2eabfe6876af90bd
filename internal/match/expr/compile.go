package expr

import (
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
)

// Limits that keep one expression from holding up the others.
const (
	maxSourceBytes = 4 << 10
	maxDepth       = 100 // of brackets, and of the tree
	maxNodes       = 10_000
	maxRegexp      = 2_000 // instructions of a compiled pattern

	// maxCost ends an evaluation within half a second. A unit is one call, or
	// 64 bytes of text that a call has to walk.
	maxCost = 1_000_000

	// checkEvery is how many turns of a macro pass between looks at the context.
	checkEvery = 100
)

// Vars says which variables an expression may name.
type Vars int

const (
	EventOnly     Vars = iota // event
	EventAndAsync             // event, and async: the event that came later
)

// names returns the variables of v.
func (v Vars) names() []string {
	if v == EventAndAsync {
		return []string{"event", "async"}
	}
	return []string{"event"}
}

// CompileError says where an expression is wrong, and how.
type CompileError struct {
	Line   int // from 1; 0 when no single place is to blame
	Column int // from 1, in characters
	Reason string
}

// Error starts with the words that apps and dashboards know this error by.
func (e *CompileError) Error() string {
	return "error compiling expression: " + e.Detail()
}

// Detail says where the expression is wrong, and how.
func (e *CompileError) Detail() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// Program is a compiled expression. It may be used from several goroutines.
type Program struct {
	source string
	cel    cel.Program
	loops  bool      // has a macro, which is where an evaluation can be interrupted
	equal  *equality // set when the expression has this simple shape

	// Known of a program over two events before the second one comes.
	lookups []lookup
	doubt   *doubt
}

// String returns the source of p.
func (p *Program) String() string { return p.source }

// Compile turns src into a program. It returns a *CompileError when src is no
// expression over vars, or is larger than an expression may be.
func Compile(src string, vars Vars) (p *Program, err error) {
	defer func() {
		// The library is not ours: a tree that trips it must not stop a sync.
		if r := recover(); r != nil {
			p, err = nil, &CompileError{Reason: fmt.Sprintf("the expression cannot be compiled: %v", r)}
		}
	}()
	if err := checkSize(src); err != nil {
		return nil, err
	}
	env, err := envFor(vars)
	if err != nil {
		return nil, err
	}
	parsed, issues := env.Parse(src)
	if err := firstIssue(issues); err != nil {
		return nil, err
	}
	native := parsed.NativeRep()
	p = &Program{source: src, equal: asEquality(native.Expr(), vars)}
	p.loops, err = loosen(native, vars)
	if err != nil {
		return nil, err
	}
	checked, issues := env.Check(parsed)
	if err := firstIssue(issues); err != nil {
		return nil, err
	}
	p.cel, err = env.Program(checked, programOptions()...)
	if err != nil {
		return nil, &CompileError{Reason: err.Error()}
	}
	if vars == EventAndAsync {
		a := &analyst{env: env, tree: checked.NativeRep()}
		p.lookups, p.doubt = a.lookups(a.tree.Expr()), a.doubt(a.tree.Expr())
	}
	return p, nil
}

func programOptions() []cel.ProgramOption {
	return []cel.ProgramOption{
		cel.EvalOptions(cel.OptOptimize),
		cel.CustomDecoratorV2(lazy),
		cel.CostTracking(costs{}),
		cel.CostLimit(maxCost),
		cel.InterruptCheckFrequency(checkEvery),
	}
}

// checkSize refuses what could exhaust the parser: it takes time and stack by
// nesting, and looks at the nesting only afterwards.
func checkSize(src string) error {
	switch {
	case strings.TrimSpace(src) == "":
		return &CompileError{Reason: "the expression is empty"}
	case len(src) > maxSourceBytes:
		return &CompileError{Reason: fmt.Sprintf("the expression has %d bytes, the limit is %d", len(src), maxSourceBytes)}
	}
	depth, line, column := 0, 1, 0
	for _, r := range src {
		column++
		switch r {
		case '\n':
			line, column = line+1, 0
		case '(', '[', '{':
			// Brackets inside text count too: nobody writes that many.
			if depth++; depth > maxDepth {
				return &CompileError{line, column, fmt.Sprintf("brackets are nested more than %d deep", maxDepth)}
			}
		case ')', ']', '}':
			depth--
		}
	}
	return nil
}

// firstIssue returns the first thing the library found wrong, or nil. Its later
// complaints mostly follow from the first.
func firstIssue(issues *cel.Issues) error {
	if issues.Err() == nil {
		return nil
	}
	errs := issues.Errors()
	if len(errs) == 0 {
		return &CompileError{Reason: issues.Err().Error()}
	}
	first := errs[0]
	reason := strings.TrimSuffix(first.Message, " (in container '')")
	if first.Location == nil || first.Location.Line() <= 0 {
		return &CompileError{Reason: reason}
	}
	return &CompileError{first.Location.Line(), first.Location.Column() + 1, reason}
}

// The environments are costly to build and safe to share.
var (
	eventEnv = sync.OnceValues(func() (*cel.Env, error) { return newEnv(EventOnly) })
	asyncEnv = sync.OnceValues(func() (*cel.Env, error) { return newEnv(EventAndAsync) })
)

func envFor(vars Vars) (*cel.Env, error) {
	switch vars {
	case EventOnly:
		return eventEnv()
	case EventAndAsync:
		return asyncEnv()
	default:
		return nil, fmt.Errorf("compile expression: unknown set of variables %d", vars)
	}
}

func newEnv(vars Vars) (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxSourceBytes),
		cel.ParserRecursionLimit(maxDepth),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegexp),
		cel.Variable(nowVar, cel.TimestampType),
	}
	for _, name := range vars.names() {
		opts = append(opts, cel.Variable(name, cel.DynType))
	}
	opts = append(opts, looseFunctions()...)
	opts = append(opts, appFunctions()...)
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("build the environment of expressions: %w", err)
	}
	return env, nil
}

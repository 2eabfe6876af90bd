package expr

import "cel.dev/cel-go/common/types"

// CheckCondition refuses source that compiles and can be neither true nor false, such
// as 1 + 1. What depends on an event's data may be.
func CheckCondition(src string, vars Vars) error {
	env, err := envFor(vars)
	if err != nil {
		return err
	}
	checked, issues := env.Compile(src)
	if issues.Err() != nil {
		return nil //nolint:nilerr // Compile, which is looser about types, has accepted it
	}
	switch kind := checked.OutputType().Kind(); kind {
	case types.BoolKind, types.DynKind, types.AnyKind:
		return nil
	default:
		return &CompileError{Reason: "the expression gives " + checked.OutputType().String() + ", and has to give true or false"}
	}
}

package call

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/egress"
	"github.com/pawlhq/pawl/internal/wire"
)

// Ops turns an app's ops into the engine's, as of now. What it returns shares
// no memory with the body they were read from.
func Ops(ops []wire.Op, now time.Time) []durable.Op {
	out := make([]durable.Op, 0, len(ops))
	for _, op := range ops {
		out = append(out, translate(op, now))
	}
	return out
}

// Metadata translates what is noted about a run. The result shares no memory.
func Metadata(list []wire.Metadata) (out []durable.MetadataUpdate) {
	for _, m := range list {
		out = append(out, durable.MetadataUpdate{
			MetadataKey: durable.MetadataKey{Step: m.Step, Attempt: m.Attempt, Span: m.Span, Kind: m.Kind},
			Op:          durable.MetadataOp(m.Op), Values: m.Values.Clone(),
		})
	}
	return out
}

func translate(op wire.Op, now time.Time) durable.Op {
	o := durable.Op{
		Step: op.ID, Op: op.Op, Name: op.DisplayName, Started: op.Started, Took: op.Took, Race: op.Race(),
	}
	if o.Name == "" {
		o.Name = op.UserID
	}
	o.Metadata = Metadata(op.Metadata)
	switch op.Op {
	case wire.OpNone, wire.OpDiscoveryRequest: // to be called again is what follows anyway
	case wire.OpStepRun:
		o.Kind, o.Memo = durable.OpDone, wire.MemoData(op.Data)
	case wire.OpStepError, wire.OpStepFailed:
		err := wire.Error{Name: "Error", Message: "unknown error"}
		if op.Error != nil {
			err = *op.Error
		} else {
			err = wire.NewError(err.Name, err.Message, "", true)
		}
		o.Kind, o.Err, o.Memo = durable.OpError, Failure(err), wire.MemoError(err)
		if op.Op == wire.OpStepFailed {
			o.Kind = durable.OpFailed
		} else {
			o.RetryAt, _ = op.RetryAfter(now)
		}
	case wire.OpStepPlanned:
		o.Kind = durable.OpPlanned
	case wire.OpSleep:
		until, err := op.SleepUntil(now)
		o.Kind, o.Until = durable.OpSleep, until
		if err != nil {
			o.Kind, o.Err = durable.OpRefused, restFailure(err)
		}
	case wire.OpWaitForEvent, wire.OpWaitForSignal, wire.OpInvokeFunction:
		if err := rest(&o, op, now); err != nil {
			o.Kind, o.Err = durable.OpRefused, restFailure(err)
		}
	case wire.OpGateway, wire.OpAIGateway:
		o.Kind, o.Opts = durable.OpFetch, egress.Redact(op.Op, op.Opts)
		o.Request = Fetch{Op: op.Op, Opts: op.Opts}.json()
	case wire.OpDeferAdd:
		deferAdd(&o, op)
	case wire.OpDeferAbort:
		target, err := option(op, "target_hashed_id")
		if err != nil || target == "" || len(target) > maxName {
			return o // an abort of nothing
		}
		o.Kind, o.Defer = durable.OpDeferAbort, &durable.Defer{ID: target}
	case wire.OpRunComplete:
		o.Kind, o.Memo = durable.OpComplete, slices.Clone(op.Data)
	default:
		o.Kind = durable.OpRefused
		o.Err = durable.Failure{Name: "UnsupportedOp", Message: unsupported(op), Class: durable.ClassProtocol}
	}
	return o
}

// unsupported says what an op asks for that this version cannot do.
func unsupported(op wire.Op) string {
	name := op.DisplayName
	switch op.Op {
	case wire.OpSyncRunComplete:
		return fmt.Sprintf("step %q asks for %s, which this version of Pawl does not support yet", name, op.Op)
	default:
		return fmt.Sprintf("step %q: %s does not belong to Opcode values", name, op.Op)
	}
}

func restFailure(err error) durable.Failure {
	f := durable.Failure{Name: "InvalidStep", Message: err.Error(), Class: durable.ClassProtocol}
	var long *wire.TooLongError
	if errors.As(err, &long) {
		f.Name, f.Class = "InngestErrTimeoutTooLong", durable.ClassLimit
	}
	return f
}

// Class says what kind of failure an answer is; "" when it is the function's
// own.
func Class(a wire.Answer) durable.Class {
	switch a.Code {
	case "":
		if a.Err.Name == "InngestErrFunctionOverflowed" {
			return durable.ClassLimit
		}
		return ""
	case wire.CodeCut:
		return durable.ClassCrash
	case wire.CodeTooSlow:
		return durable.ClassTimeout
	case wire.CodeTooLarge:
		return durable.ClassLimit
	case wire.CodeUnreachable:
		return durable.ClassUnreachable
	case wire.CodeHTTPNotOK:
		switch a.Status {
		case http.StatusBadGateway, http.StatusServiceUnavailable: // of a proxy whose app is away
			return durable.ClassUnreachable
		case http.StatusGatewayTimeout:
			return durable.ClassTimeout
		}
	}
	return durable.ClassProtocol
}

// Failure is an app's error as the engine keeps it.
func Failure(e wire.Error) durable.Failure {
	return durable.Failure{Name: e.Name, Message: e.Message, Stack: e.Stack, Raw: slices.Clone(e.Raw)}
}

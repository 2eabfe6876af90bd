package wire

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// CodeConfigInvalid is the code of a sync that was refused for what it contains.
const CodeConfigInvalid = "config_invalid"

// RegisterReply answers a good POST /fn/register.
type RegisterReply struct {
	Modified bool // false when nothing has changed
	SyncID   string
	AppID    string
}

// Body is the reply. It never has a member "error": SDKs take even null or an
// empty one for something to show. Source: SDK protocol notes 02 §2.1.
func (r RegisterReply) Body() []byte {
	b := append([]byte(nil), `{"app_id":`...)
	b = appendText(b, r.AppID)
	b = append(b, `,"modified":`...)
	b = strconv.AppendBool(b, r.Modified)
	b = append(b, `,"ok":true,"skipped":false,"status":200,"sync_id":`...)
	b = appendText(b, r.SyncID)
	return append(b, '}')
}

// RegisterFailure is the body of a refused POST /fn/register. It carries the
// HTTP status as a number, without which the TypeScript SDK reports success.
// problems may be nil; SDKs print them.
func RegisterFailure(status int, code, message string, problems []Problem) []byte {
	b := append([]byte(nil), `{"code":`...)
	b = appendText(b, code)
	b = append(b, `,"data":`...)
	b = appendProblems(b, problems)
	b = append(b, `,"error":`...)
	b = appendText(b, message)
	b = append(b, `,"ok":false,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	return append(b, '}')
}

func appendProblems(b []byte, problems []Problem) []byte {
	if len(problems) == 0 {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, p := range problems {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"code":`...)
		b = appendText(b, p.Code)
		b = append(b, `,"function":`...)
		b = appendText(b, p.Function)
		b = append(b, `,"message":`...)
		b = appendText(b, p.Message)
		b = append(b, '}')
	}
	return append(b, ']')
}

// RegisterRefusal is the status and body for an error of ParseRegistration.
func RegisterRefusal(err error) (status int, body []byte) {
	var problems []Problem
	if refused, ok := errors.AsType[*RegistrationError](err); ok {
		var more int
		if problems, more = refused.bounded(mostProblems); more > 0 {
			problems = append(problems, Problem{Code: CodeConfigInvalid, Message: fmt.Sprintf("and %d more problems", more)})
		}
	}
	return http.StatusBadRequest, RegisterFailure(http.StatusBadRequest, CodeConfigInvalid, err.Error(), problems)
}

package proto

import (
	"crypto/sha1" //nolint:gosec // the protocol's step ids are SHA-1; nothing is secured by it
	"encoding/hex"
	"strconv"
)

// CompleteID is StepHash("complete", 0): an op with this id speaks of the
// function itself, not of a step.
const CompleteID = "0737c22d3bfae812339732d14d8c7dbd6dc4e09c"

// OptRetryAfter is the option of a StepError that says after how many seconds this
// step is to be tried again, 1 to 86,400: the header Retry-After of an answer holds
// for all steps in it, and is for servers that do not know the option. Pawl's own.
const OptRetryAfter = "retryAfter"

// StepHash returns the id an SDK sends for the n-th use of name in one run,
// n counting from 0: the hex SHA-1 of name, or of "name:n" when n > 0.
// Source: spec/03 §6.
func StepHash(name string, n int) string {
	if n > 0 {
		name += ":" + strconv.Itoa(n)
	}
	sum := sha1.Sum([]byte(name)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

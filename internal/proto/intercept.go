package proto

import (
	"context"
	"net/http"
)

// Interceptor stands between a function and the bodies of its steps: tests
// replace them, and a check before a deploy leaves them out.
type Interceptor interface {
	// Step runs the body of a try of a step, from 0, or does something else.
	Step(ctx context.Context, name string, attempt int, body func(context.Context) ([]byte, error)) ([]byte, error)
}

// NameExit is the name of the error of a function or a step that has ended its
// goroutine.
const NameExit = "Goexit"

type interceptorKey struct{}

// WithInterceptor makes the call of a request go through i.
func WithInterceptor(r *http.Request, i Interceptor) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), interceptorKey{}, i))
}

// InterceptorOf returns what the call of r goes through, or nil.
func InterceptorOf(r *http.Request) Interceptor {
	i, _ := r.Context().Value(interceptorKey{}).(Interceptor)
	return i
}

// Package ctxend says why a context has ended, the same way wherever one ends what waits.
package ctxend

import "context"

// ended is the end of a context with a cause of its own: it matches both the context's error and its cause.
type ended struct{ err, cause error }

func (e *ended) Error() string   { return e.cause.Error() }
func (e *ended) Unwrap() []error { return []error{e.err, e.cause} }
func (e *ended) Timeout() bool   { return e.err == context.DeadlineExceeded }

// Cause is why ctx, which is over, has ended.
func Cause(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		return &ended{err, cause}
	}
	return err
}

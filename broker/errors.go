package broker

import (
	"errors"
	"time"
)

// A Code says which kind of failure an [Error] is. Its text is stable.
type Code string

const (
	// CodeInvalidRequest means that the request or configuration breaks a rule of AWS or
	// of this package; AWS was not asked.
	CodeInvalidRequest Code = "invalid_request"
	// CodeRefused means that AWS refuses to let us assume the role.
	CodeRefused Code = "refused"
	// CodePropagating means that AWS refuses, but the role was accepted a moment ago and
	// IAM may not have spread it yet. Try again.
	CodePropagating Code = "propagating"
	// CodeWithdrawn means that AWS refuses what it allowed before; the customer withdrew
	// its trust, and that was confirmed.
	CodeWithdrawn Code = "withdrawn"
	// CodeRevoked means that we ended the use of this integration ([Broker.Revoke] or
	// [Config.Authorize]).
	CodeRevoked Code = "revoked"
	// CodeThrottled means that AWS or our own budget of calls does not allow another call
	// now. Try again after RetryAfter.
	CodeThrottled Code = "throttled"
	// CodeUnavailable means that STS cannot be reached or is in trouble, or our own
	// credentials cannot be obtained, or an issuance cannot be audited.
	CodeUnavailable Code = "unavailable"
	// CodeClosed means that the broker was closed.
	CodeClosed Code = "closed"
	// CodeCanceled means that the caller's context ended first.
	CodeCanceled Code = "canceled"
)

// Retryable reports whether the same request may succeed later without anybody
// changing anything.
func (c Code) Retryable() bool {
	return c == CodePropagating || c == CodeThrottled || c == CodeUnavailable || c == CodeCanceled
}

// An Error is what every function of this package returns. Its text names the
// customer's role and what to do, never an external ID, a credential or the
// message of STS.
type Error struct {
	Code       Code
	Message    string
	RetryAfter time.Duration // how long the answer stays the same; 0 if unknown
	cause      error
}

func (e *Error) Error() string { return "broker: " + e.Message }

// Unwrap returns the cause: an error of the SDK, whose text may hold what AWS
// said and should not be shown to others, or a context's error.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the first [Error] in the chain of err, or "".
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func invalid(message string) *Error { return &Error{Code: CodeInvalidRequest, Message: message} }

// Revoked returns the error [Config.Authorize] returns for an integration that
// is no longer in use.
func Revoked(cause error) *Error {
	return &Error{Code: CodeRevoked, Message: "the integration is no longer in use", cause: cause}
}

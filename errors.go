package crossaccount

import (
	"encoding/json"
	"errors"
)

// A Code says what went wrong, for programs. Codes are stable: a release may
// add codes but never changes the meaning of one. A Code is itself an error, so
// that it can be the target of [errors.Is]:
//
//	if errors.Is(err, crossaccount.CodePropagating) { … try again later … }
type Code string

// Codes of mistakes in what the caller or the customer sent.
const (
	CodeInvalidConfig        Code = "invalid_config"        // the Config or an Option is wrong
	CodeInvalidRequest       Code = "invalid_request"       // a field is missing, malformed or too long
	CodeInvalidRole          Code = "invalid_role"          // the ARN is not one of a role we may use
	CodeUnknownCustomer      Code = "unknown_customer"      // the customer has no integration
	CodeUnknownIntegration   Code = "unknown_integration"   // the customer has no integration with this id or account
	CodeAmbiguousIntegration Code = "ambiguous_integration" // several integrations fit; name one
	CodeExternalIDMismatch   Code = "external_id_mismatch"  // the request repeats another external ID than ours
	CodeRoleTaken            Code = "role_taken"            // the role belongs to another customer's integration
	CodeWrongAccount         Code = "wrong_account"         // the role is not in the integration's account
	CodeForbidden            Code = "forbidden"             // the caller may not act for this customer
	CodeRateLimited          Code = "rate_limited"          // too many verifications; retryable
	CodeIllegalState         Code = "illegal_state"         // the integration's state does not allow this
)

// Codes of verification.
const (
	CodeRoleRefused           Code = "role_refused"             // AWS does not let us assume the role
	CodeExternalIDNotRequired Code = "external_id_not_required" // the role can be assumed without our external ID
	CodeWrongIdentity         Code = "wrong_identity"           // the credentials belong to another role than the ARN says
	CodePropagating           Code = "propagating"              // AWS may not have applied the change yet; retryable
	CodeInconclusive          Code = "inconclusive"             // a check could not be carried out; retryable
	CodeNotVerified           Code = "not_verified"             // there is no integration in use, or no report
	CodeStaleVerification     Code = "stale_verification"       // the report is older than 15 minutes
)

// Codes of trouble on our side.
const (
	CodeConflict  Code = "conflict"  // somebody else changed the record first; retryable
	CodeStorage   Code = "storage"   // the storage failed; retryable
	CodeDecrypt   Code = "decrypt"   // a sealed value cannot be opened: wrong key, or moved or altered record
	CodeRandom    Code = "random"    // the random source failed; nothing was generated
	CodePublish   Code = "publish"   // the template could not be published; retryable
	CodeAWS       Code = "aws"       // an AWS call with our own credentials failed; retryable
	CodeTemplate  Code = "template"  // AWS would refuse the template, or it breaks a rule
	CodeCancelled Code = "cancelled" // the caller's context ended; retryable

	CodeShuttingDown Code = "shutting_down" // this process is about to end; retryable
)

// Error returns the code itself.
func (c Code) Error() string { return string(c) }

// Retryable reports whether the same call may succeed later without anybody
// changing its arguments.
func (c Code) Retryable() bool {
	switch c {
	case CodePropagating, CodeInconclusive, CodeConflict, CodeStorage, CodePublish, CodeAWS, CodeRateLimited, CodeCancelled, CodeShuttingDown:
		return true
	default:
		return false
	}
}

// An Error is every error that this package returns. Message and Remedy are
// safe to show to a customer: they never contain an external ID, credentials,
// the vendor's internal role names or the text of an AWS error.
type Error struct {
	Code    Code
	Message string // what happened
	Remedy  string // what to do next; may be empty

	cause error
}

// NewError makes an [Error]. The cause may be nil; it is kept for logs only (see
// [Error.Cause]). Storage and encryption adapters outside this package use it.
func NewError(code Code, message, remedy string, cause error) *Error {
	return &Error{Code: code, Message: message, Remedy: remedy, cause: cause}
}

// Error returns the message and the remedy.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Message
	}
	return e.Message + "; " + e.Remedy
}

// Is makes errors.Is(err, code) true for the error's own code, and for
// everything the cause is, such as [context.Canceled].
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Code:
		return e.Code == t
	case *Error:
		return e == t
	}
	return errors.Is(e.cause, target)
}

// Cause returns what led to the error, or nil. It is meant for the vendor's
// logs: it may name internal roles or quote AWS, so it must not be shown to
// customers. It is not reachable through [errors.Unwrap] on purpose.
func (e *Error) Cause() error { return e.cause }

// Retryable reports whether the same call may succeed later.
func (e *Error) Retryable() bool { return e.Code.Retryable() }

// MarshalJSON writes code, message, remedy and retryable, without the cause.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Code      Code   `json:"code"`
		Message   string `json:"message"`
		Remedy    string `json:"remedy,omitempty"`
		Retryable bool   `json:"retryable"`
	}{e.Code, e.Message, e.Remedy, e.Retryable()})
}

// CodeOf returns the code of err, or "" if err is not an [Error].
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/crossaccount/crossaccount"
)

// Codes of problems that only an API can have, beside those of package
// crossaccount.
const (
	CodeUnauthenticated  crossaccount.Code = "unauthenticated"        // no credentials, or wrong ones
	CodeNoSuchRoute      crossaccount.Code = "no_such_route"          // there is nothing at this path
	CodeMethodNotAllowed crossaccount.Code = "method_not_allowed"     // not with this method
	CodeTooSlow          crossaccount.Code = "request_too_slow"       // the body did not arrive in time
	CodeTooLarge         crossaccount.Code = "request_too_large"      // the body is larger than the limit
	CodeMediaType        crossaccount.Code = "unsupported_media_type" // the body is not JSON
	CodeKeyReused        crossaccount.Code = "idempotency_key_reused" // the key was used for another request
	CodeKeyInUse         crossaccount.Code = "idempotency_key_in_use" // the first request with the key is not answered yet
	CodeBusy             crossaccount.Code = "busy"                   // too much is going on; retryable
	CodeNotReady         crossaccount.Code = "not_ready"              // the server starts, stops or has no storage; retryable
	CodeInterrupted      crossaccount.Code = "interrupted"            // the process that verified has ended; retryable
	CodeNoSetupPage      crossaccount.Code = "no_setup_page"          // the server has no public URL for setup links
	CodeNotHandedOut     crossaccount.Code = "not_handed_out"         // the server does not hand out credentials to operators
	CodeInternal         crossaccount.Code = "internal"               // a fault of ours
)

// StatusOf is the one table from codes to HTTP statuses. What it does not know
// is a fault of ours.
func StatusOf(code crossaccount.Code) int {
	switch code {
	case CodeUnauthenticated:
		return http.StatusUnauthorized
	case CodeNoSuchRoute:
		return http.StatusNotFound
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeTooSlow:
		return http.StatusRequestTimeout
	case CodeKeyInUse, CodeNoSetupPage:
		return http.StatusConflict
	case CodeNotHandedOut:
		return http.StatusForbidden
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeMediaType:
		return http.StatusUnsupportedMediaType
	case CodeKeyReused:
		return http.StatusUnprocessableEntity
	case CodeBusy:
		return http.StatusTooManyRequests
	case CodeNotReady, CodeInterrupted:
		return http.StatusServiceUnavailable
	default:
		return crossaccount.StatusOf(code)
	}
}

// Retryable reports whether the same request may succeed later, also for the
// codes that only an API has.
func Retryable(code crossaccount.Code) bool {
	switch code {
	case CodeTooSlow, CodeKeyInUse, CodeBusy, CodeNotReady, CodeInterrupted:
		return true
	default:
		return code.Retryable()
	}
}

// A Problem is the body of every answer that reports an error: problem details
// for HTTP APIs, RFC 9457. It never contains an external ID, credentials or the
// text of an AWS error.
type Problem struct {
	Type      string            `json:"type" doc:"Names the kind of problem: urn:crossaccount:problem:CODE." format:"uri"`
	Title     string            `json:"title" doc:"The status in words."`
	Status    int               `json:"status" doc:"The HTTP status."`
	Detail    string            `json:"detail" doc:"What happened."`
	Code      crossaccount.Code `json:"code" doc:"The same for programs; stable."`
	Remedy    string            `json:"remedy,omitempty" doc:"What to do next."`
	Retryable bool              `json:"retryable" doc:"Whether the same request may succeed later without any change."`
	RequestID string            `json:"request_id,omitempty" doc:"Find the request in the server's log with it."`
	Errors    []FieldError      `json:"errors,omitempty" doc:"The parts of the request that are wrong."`

	header http.Header
	cause  error
}

// A FieldError says what is wrong with one part of a request. It never repeats
// what was sent.
type FieldError struct {
	Location string `json:"location,omitempty" doc:"Such as body.role_arn or query.limit."`
	Message  string `json:"message"`
}

// problemOf makes a problem of any error. One that is not of package
// crossaccount is a fault of ours, and its text is kept for the log.
func problemOf(err error) *Problem {
	var problem *Problem
	if errors.As(err, &problem) {
		return problem
	}
	var ours *crossaccount.Error
	if !errors.As(err, &ours) {
		p := newProblem(CodeInternal, "something went wrong", "the cause is in the server's log under the request's id")
		p.cause = err
		return p
	}
	p := newProblem(ours.Code, ours.Message, ours.Remedy)
	p.cause = ours.Cause()
	return p
}

// newProblem makes the problem of a code.
func newProblem(code crossaccount.Code, detail, remedy string) *Problem {
	status := StatusOf(code)
	p := &Problem{
		Type: "urn:crossaccount:problem:" + string(code), Title: http.StatusText(status), Status: status,
		Detail: detail, Code: code, Remedy: remedy, Retryable: Retryable(code), header: http.Header{},
	}
	switch {
	case status == http.StatusUnauthorized:
		p.header.Set("WWW-Authenticate", `Bearer realm="crossaccount"`)
	case status == http.StatusTooManyRequests:
		p.retryAfter(6 * time.Second)
	case p.Retryable:
		p.retryAfter(2 * time.Second)
	}
	return p
}

func (p *Problem) retryAfter(d time.Duration) {
	p.header.Set("Retry-After", strconv.Itoa(int(d/time.Second)))
}

// Error returns the detail and the remedy.
func (p *Problem) Error() string {
	if p.Remedy == "" {
		return p.Detail
	}
	return p.Detail + "; " + p.Remedy
}

// GetStatus returns the status that the problem is sent with.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns the headers that go with the problem.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType is the media type of problem details.
func (*Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// write sends the problem where huma is not involved.
func (p *Problem) write(w http.ResponseWriter) {
	p.RequestID = w.Header().Get(requestIDHeader)
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the connection is gone
}

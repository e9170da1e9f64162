package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// An Error is a refusal as an AWS service answers it, whatever the protocol.
// Message is shown to the caller, so it must hold neither a credential nor an
// external ID.
type Error struct {
	Status  int     // HTTP status
	Code    string  // "AccessDenied", "NoSuchEntity"
	Message string  // AWS's wording
	Fields  []Field // further elements of the error body, in order
	Cause   error   // for logs and errors.Is; never sent

	// Members are further members of a JSON error that are not texts. What
	// they are must marshal.
	Members map[string]any
}

// A Field is an extra element of an error's body, such as S3's BucketName.
type Field struct{ Name, Value string }

// Error returns the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an error with a formatted message.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// BadRequest is Errorf with status 400.
func BadRequest(code, format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, code, format, args...)
}

// NotImplemented is the answer to an operation the sandbox does not have. It
// is never a false success.
func NotImplemented(service, operation string) *Error {
	return Errorf(http.StatusNotImplemented, "NotImplemented",
		"the sandbox does not implement %s:%s; docs/sandbox.md lists what it does", service, operation)
}

// Clip shortens what a client sent, so that a message stays readable and valid
// when somebody sends ten thousand characters.
func Clip(s string) string {
	const limit = 200 // bytes
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// NewUUID returns a random id in the form of AWS's. Random must be safe for
// concurrent use.
func NewUUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// AsError returns err as an [*Error]. An error of any other type is a fault of
// the sandbox itself: it becomes InternalFailure with status 500, and what it
// says is kept as the cause and not shown.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{
		Status:  http.StatusInternalServerError,
		Code:    "InternalFailure",
		Message: "The request processing has failed because of an unknown error, exception or failure.",
		Cause:   err,
	}
}

// WriteJSONError answers with an error in the form of AWS's JSON protocols. The
// code is in the body and, for the REST protocols, in a header.
//
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
func WriteJSONError(w http.ResponseWriter, requestID string, err *Error) {
	members := map[string]any{"__type": err.Code, "message": err.Message}
	for _, f := range err.Fields {
		members[f.Name] = f.Value
	}
	maps.Copy(members, err.Members)
	body, _ := json.Marshal(members) // strings always marshal, and Members does
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Errortype", err.Code)
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.WriteHeader(err.Status)
	_, _ = w.Write(body) // fails only if the client is gone
}

package server

import (
	"errors"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/broker"
)

// EndpointError is an error of the client or of the API in the form that a
// [broker.Endpoint] answers with: what a retry cannot mend must not be retried by
// SDKs. The text is shown to whoever asked for credentials.
func EndpointError(err error) *broker.Error {
	var ours *crossaccount.Error
	if !errors.As(err, &ours) {
		return &broker.Error{Code: broker.CodeUnavailable, Message: "the credentials could not be obtained"}
	}
	code := broker.CodeUnavailable
	switch ours.Code {
	case crossaccount.CodeUnknownCustomer, crossaccount.CodeUnknownIntegration, crossaccount.CodeAmbiguousIntegration, crossaccount.CodeInvalidRequest:
		code = broker.CodeInvalidRequest
	case crossaccount.CodeNotVerified:
		code = broker.CodeRevoked
	case crossaccount.CodeRoleRefused, crossaccount.CodeForbidden, crossaccount.CodeInvalidConfig, api.CodeUnauthenticated, api.CodeNotHandedOut:
		code = broker.CodeRefused
	case crossaccount.CodePropagating:
		code = broker.CodePropagating
	case crossaccount.CodeShuttingDown:
		code = broker.CodeClosed
	}
	return &broker.Error{Code: code, Message: ours.Error()}
}

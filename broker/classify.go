package broker

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// A verdict is what an answer of STS means.
type verdict struct {
	code       Code   // "" for success
	text       string // code of STS, or of the failure to reach it, for metrics
	connection bool   // it was not reached; the same endpoint may answer on another connection
	ours       bool   // the credentials that the role was to be assumed with were not accepted
	duration   bool   // the session was to last longer than the role allows
}

// judge says what an error of AssumeRole means.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html#API_AssumeRole_Errors
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
func judge(err error) verdict {
	if err == nil {
		return verdict{}
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		text := "connection"
		if errors.Is(err, context.DeadlineExceeded) {
			text = "timeout"
		}
		var response *awshttp.ResponseError
		if errors.As(err, &response) && response.HTTPStatusCode() < 500 && response.HTTPStatusCode() >= 400 {
			// Not STS but something before it, for example a proxy.
			return verdict{code: CodeUnavailable, text: "http"}
		}
		return verdict{code: CodeUnavailable, text: text, connection: true}
	}
	v := verdict{text: api.ErrorCode()}
	if _, ok := retry.DefaultThrottleErrorCodes[v.text]; ok {
		v.code = CodeThrottled
		return v
	}
	if (v.text == "" || v.text == "UnknownError") && statusOf(err) != http.StatusTooManyRequests {
		// What the SDK calls an answer without a code: something before STS.
		return verdict{code: CodeUnavailable, text: "http"}
	}
	switch v.text {
	case "AccessDenied", "AccessDeniedException":
		v.code = CodeRefused
		return v
	case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
		"SignatureDoesNotMatch", "IncompleteSignature", "InvalidSignatureException",
		"RequestExpired", "RequestTimeTooSkewed", "NotAuthorized", "MissingAuthenticationToken":
		v.code, v.ours = CodeUnavailable, true
		return v
	case "RegionDisabledException":
		v.code = CodeUnavailable
		return v
	}
	if s := statusOf(err); s >= 500 || s == 0 {
		v.code = CodeUnavailable
		return v
	} else if s == http.StatusTooManyRequests {
		v.code = CodeThrottled
		return v
	}
	v.code = CodeInvalidRequest
	v.duration = v.text == "ValidationError" && (strings.Contains(api.ErrorMessage(), "DurationSeconds") || strings.Contains(api.ErrorMessage(), "MaxSessionDuration"))
	return v
}

func statusOf(err error) int {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// byAWS reports whether it is STS that answered, and not a proxy or the like.
func (v verdict) byAWS() bool { return !v.connection && v.text != "http" }

// dateOf returns the time at which AWS answered with this error.
func dateOf(err error) time.Time {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil || response.Response.Response == nil {
		return time.Time{}
	}
	date, err := http.ParseTime(response.Response.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}

var (
	errClosed    = &Error{Code: CodeClosed, Message: "the broker was closed"}
	errRevoked   = Revoked(nil)
	errForgotten = &Error{Code: CodeUnavailable, Message: "the entry was dropped meanwhile; try again"}
)

// failure puts a verdict into words.
func failure(v verdict, roleARN string, cause error) *Error {
	e := &Error{Code: v.code, cause: cause}
	switch {
	case v.code == CodeRefused:
		e.Message = "AWS does not let us assume " + roleARN + "; check that the role exists and that its trust policy names our identity and the external ID agreed on"
	case v.code == CodeThrottled:
		e.Message = "AWS throttles our calls of STS; try again later"
	case v.code == CodeInvalidRequest:
		e.Message = "AWS does not accept the request for a session of " + roleARN + " (" + clip(v.text) + "); check its session policies, tags and duration"
	case v.ours:
		e.Message = "AWS does not accept the credentials that " + roleARN + " is assumed with (" + clip(v.text) + "); check the broker's own identity and its clock"
	default:
		e.Message = "STS could not be asked for a session of " + roleARN + " (" + clip(v.text) + "); try again later"
	}
	return e
}

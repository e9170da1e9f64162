package sandbox

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/sigv4"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// refusal puts why a request was not authenticated into the words of the
// service. The signature may be nil if it could not be read.
func (x *exchange) refusal(err error, signature *sigv4.Signature) *wire.Error {
	var e *wire.Error
	switch {
	case x.name == "s3":
		e = x.storageRefusal(err, signature)
	case x.service != nil && x.service.protocol != queryProtocol:
		e = jsonRefusal(err)
	default:
		e = queryRefusal(err)
	}
	if e == nil {
		return wire.AsError(err)
	}
	return e
}

// queryRefusal has the words of IAM, STS and CloudFormation.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
func queryRefusal(err error) *wire.Error {
	switch {
	case errors.Is(err, authz.ErrExpiredToken):
		return wire.Errorf(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	case errors.Is(err, authz.ErrUnknownKey), errors.Is(err, authz.ErrInvalidToken):
		return wire.Errorf(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	var wrong *sigv4.Error
	if !errors.As(err, &wrong) {
		return nil
	}
	switch wrong.Reason {
	case sigv4.Malformed, sigv4.Unsupported, sigv4.Ambiguous:
		return wire.BadRequest("IncompleteSignature", "%s", capitalised(wrong.Detail))
	case sigv4.TooLarge:
		return wire.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "%s", capitalised(wrong.Detail))
	case sigv4.PayloadMalformed:
		return wire.BadRequest("MalformedInput", "%s", capitalised(wrong.Detail))
	default:
		return wire.Errorf(http.StatusForbidden, "SignatureDoesNotMatch", "%s", wrong.Detail)
	}
}

// jsonRefusal has the words of the services with JSON protocols: those of the
// query services with codes of their own.
//
// https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html
func jsonRefusal(err error) *wire.Error {
	e := queryRefusal(err)
	if e == nil {
		return nil
	}
	e.Status = http.StatusBadRequest
	switch e.Code {
	case "ExpiredToken":
		e.Code = "ExpiredTokenException"
	case "InvalidClientTokenId":
		e.Code = "UnrecognizedClientException"
	case "IncompleteSignature":
		e.Code = "IncompleteSignatureException"
	case "SignatureDoesNotMatch":
		e.Code = "InvalidSignatureException"
	case "MalformedInput":
		e.Code = "SerializationException"
	}
	return e
}

// storageRefusal has the words of S3.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func (x *exchange) storageRefusal(err error, signature *sigv4.Signature) *wire.Error {
	key := wire.Field{Name: "AWSAccessKeyId", Value: x.keyID}
	refuse := func(status int, code, message string, fields ...wire.Field) *wire.Error {
		return &wire.Error{Status: status, Code: code, Message: message, Fields: fields}
	}
	switch {
	case errors.Is(err, authz.ErrExpiredToken):
		return refuse(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
	case errors.Is(err, authz.ErrInvalidToken):
		return refuse(http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	case errors.Is(err, authz.ErrUnknownKey):
		return refuse(http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", key)
	}
	var wrong *sigv4.Error
	if !errors.As(err, &wrong) {
		return nil
	}
	presigned := signature != nil && signature.Presigned
	server := wire.Field{Name: "ServerTime", Value: wire.FormatTime(x.now)}
	switch wrong.Reason {
	case sigv4.Malformed:
		if presigned || x.request.URL.Query().Has("X-Amz-Signature") {
			return refuse(http.StatusBadRequest, "AuthorizationQueryParametersError", capitalised(wrong.Detail))
		}
		return refuse(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed; "+wrong.Detail)
	case sigv4.Unsupported:
		return refuse(http.StatusBadRequest, "InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
	case sigv4.Ambiguous:
		return refuse(http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified")
	case sigv4.Unsigned:
		return refuse(http.StatusForbidden, "AccessDenied", wrong.Detail, wire.Field{Name: "HeadersNotSigned", Value: strings.Join(wrong.Headers, ", ")})
	case sigv4.Expired:
		return refuse(http.StatusForbidden, "AccessDenied", "Request has expired",
			wire.Field{Name: "X-Amz-Expires", Value: strconv.Itoa(int(signature.Expires / time.Second))},
			wire.Field{Name: "Expires", Value: wire.FormatTime(signature.Time.Add(signature.Expires))}, server)
	case sigv4.NotYetValid, sigv4.TooOld:
		if presigned {
			return refuse(http.StatusForbidden, "AccessDenied", "Request is not yet valid", server)
		}
		return refuse(http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.",
			wire.Field{Name: "RequestTime", Value: wire.FormatTime(signature.Time)}, server,
			wire.Field{Name: "MaxAllowedSkewMilliseconds", Value: strconv.FormatInt(sigv4.MaxSkew.Milliseconds(), 10)})
	case sigv4.Mismatch:
		return refuse(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.", key)
	case sigv4.PayloadMismatch:
		return refuse(http.StatusBadRequest, "XAmzContentSHA256Mismatch", wrong.Detail)
	case sigv4.PayloadMalformed:
		return refuse(http.StatusBadRequest, "IncompleteBody", capitalised(wrong.Detail))
	case sigv4.TooLarge:
		return refuse(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
	case sigv4.MissingHash:
		return refuse(http.StatusBadRequest, "InvalidRequest", wrong.Detail)
	}
	return nil
}

// wrongScope refuses a signature made for another service or region.
func (x *exchange) wrongScope(what, expected, got string) *wire.Error {
	if x.name == "s3" {
		e := wire.BadRequest("AuthorizationHeaderMalformed", "The authorization header is malformed; the %s '%s' is wrong; expecting '%s'", what, got, expected)
		if what == "region" {
			e.Fields = []wire.Field{{Name: "Region", Value: expected}}
		}
		return e
	}
	code := "SignatureDoesNotMatch"
	if x.service != nil && x.service.protocol != queryProtocol {
		code = "InvalidSignatureException"
	}
	if what == "service" {
		return wire.Errorf(http.StatusForbidden, code, "Credential should be scoped to correct service: '%s'. ", expected)
	}
	return wire.Errorf(http.StatusForbidden, code, "Credential should be scoped to a valid region. ")
}

// missingSignature answers an unsigned request to a query service.
func (x *exchange) missingSignature() error {
	if x.name == "sts" && x.parseForm() == nil {
		// It is called without a signature.
		if action := x.request.Form.Get("Action"); action == "AssumeRoleWithSAML" {
			return wire.NotImplemented("sts", action)
		}
	}
	if x.service.protocol != queryProtocol {
		return wire.BadRequest("MissingAuthenticationTokenException", "Request is missing Authentication Token")
	}
	return wire.Errorf(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
}

func capitalised(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"

	"github.com/aws/smithy-go"
	"github.com/gin-gonic/gin"

	"github.com/crossaccount/crossaccount"
)

// Codes of this service, beside those of crossaccount.
const (
	codeUnauthenticated  crossaccount.Code = "unauthenticated"
	codeNotFound         crossaccount.Code = "not_found"
	codeMethodNotAllowed crossaccount.Code = "method_not_allowed"
	codeNotJSON          crossaccount.Code = "not_json"
	codeTooLarge         crossaccount.Code = "too_large"
	codeRefusedByAWS     crossaccount.Code = "refused_by_aws"
	codeInternal         crossaccount.Code = "internal"
)

// statuses are those of our own codes; [crossaccount.StatusOf] has the others.
var statuses = map[crossaccount.Code]int{
	codeUnauthenticated:  http.StatusUnauthorized,
	codeNotFound:         http.StatusNotFound,
	codeMethodNotAllowed: http.StatusMethodNotAllowed,
	codeNotJSON:          http.StatusUnsupportedMediaType,
	codeTooLarge:         http.StatusRequestEntityTooLarge,
	codeRefusedByAWS:     http.StatusForbidden,
}

// answering makes a gin handler from a function that returns what to answer.
func answering(handle func(*gin.Context) (any, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		value, err := handle(c)
		if err != nil {
			fail(c, err)
			return
		}
		c.Header("Cache-Control", "no-store") // the answer to start has an external ID
		c.JSON(http.StatusOK, value)
	}
}

// fail answers with an error, which customers may see as it is: its cause goes
// to the log only.
func fail(c *gin.Context, err error) {
	var problem *crossaccount.Error
	if !errors.As(err, &problem) {
		problem = crossaccount.NewError(codeInternal, "something went wrong on our side", "tell us if it happens again", err)
	}
	status, ok := statuses[problem.Code]
	if !ok {
		status = crossaccount.StatusOf(problem.Code)
	}
	if cause := problem.Cause(); cause != nil {
		c.Error(cause)
	}
	if problem.Retryable() {
		c.Header("Retry-After", "5")
	}
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
	c.AbortWithStatusJSON(status, gin.H{"error": problem})
}

func panicked(c *gin.Context, value any) {
	fail(c, fmt.Errorf("panic: %v\n%s", value, debug.Stack()))
}

// readJSON reads a body that is one JSON object with known fields.
func readJSON(c *gin.Context, into any) error {
	if mediaType, _, err := mime.ParseMediaType(c.GetHeader("Content-Type")); err != nil || mediaType != "application/json" {
		return crossaccount.NewError(codeNotJSON, "the body must be JSON", "send it with Content-Type: application/json", nil)
	}
	decoder := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			return nil
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return crossaccount.NewError(codeTooLarge, fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit), "", nil)
	}
	return crossaccount.NewError(crossaccount.CodeInvalidRequest, "the body is not one JSON object with the fields of this request", "see the README for the fields", nil)
}

// storageError says in our words what S3 answered in the customer's account.
func storageError(err error) error {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return crossaccount.NewError(crossaccount.CodeAWS, "S3 could not be asked", "try again later", err)
	}
	switch answer.ErrorCode() {
	case "AccessDenied":
		return crossaccount.NewError(codeRefusedByAWS, "your AWS account does not let us read this object",
			"check the bucket's name and policy, and that the stack is the current one", err)
	case "NoSuchKey", "NoSuchBucket":
		return crossaccount.NewError(codeNotFound, "there is no such object", "check the bucket and the key", err)
	}
	return crossaccount.NewError(crossaccount.CodeAWS, "S3 could not read the object", "try again later", err)
}

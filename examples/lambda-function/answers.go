package main

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/aws/aws-lambda-go/events"

	"github.com/crossaccount/crossaccount"
)

// Codes of this function, beside those of crossaccount.
const (
	codeUnauthenticated  crossaccount.Code = "unauthenticated"
	codeNotFound         crossaccount.Code = "not_found"
	codeMethodNotAllowed crossaccount.Code = "method_not_allowed"
	codeTooLarge         crossaccount.Code = "too_large"
	codeRefusedByAWS     crossaccount.Code = "refused_by_aws"
	codeInternal         crossaccount.Code = "internal"
)

// statuses are those of our own codes; [crossaccount.StatusOf] has the others.
var statuses = map[crossaccount.Code]int{
	codeUnauthenticated:  http.StatusUnauthorized,
	codeNotFound:         http.StatusNotFound,
	codeMethodNotAllowed: http.StatusMethodNotAllowed,
	codeTooLarge:         http.StatusRequestEntityTooLarge,
	codeRefusedByAWS:     http.StatusForbidden,
}

// fail answers with an error, which customers may see as it is: its cause goes
// to the log only.
func (f *function) fail(r request, err error) events.APIGatewayProxyResponse {
	var problem *crossaccount.Error
	if !errors.As(err, &problem) {
		problem = crossaccount.NewError(codeInternal, "something went wrong on our side", "tell us if it happens again", err)
	}
	status, ok := statuses[problem.Code]
	if !ok {
		status = crossaccount.StatusOf(problem.Code)
	}
	attributes := []any{"status", status, "code", problem.Code, "customer", r.customerID}
	if _, known := routes[r.Resource]; known { // else it is anybody's text
		attributes = append(attributes, "resource", r.Resource)
	}
	if cause := problem.Cause(); cause != nil {
		attributes = append(attributes, "cause", cause.Error())
	}
	f.log.Info("request", attributes...)
	answer := answerJSON(status, map[string]any{"error": problem})
	if problem.Retryable() {
		answer.Headers["Retry-After"] = "5"
	}
	return answer
}

func answerJSON(status int, value any) events.APIGatewayProxyResponse {
	body, err := json.Marshal(value)
	if err != nil { // only for types that JSON cannot hold, and we have none
		panic(err)
	}
	return events.APIGatewayProxyResponse{
		StatusCode: status,
		Headers: map[string]string{
			"Content-Type":           "application/json",
			"Cache-Control":          "no-store", // the answer to start has an external ID
			"X-Content-Type-Options": "nosniff",
		},
		Body: string(body),
	}
}

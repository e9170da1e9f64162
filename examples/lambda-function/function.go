package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-lambda-go/events"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount"
)

const (
	maxBody   = 16 << 10
	maxReport = 1 << 20 // Lambda answers with at most 6 MB

	// timeToAnswer is kept of the function's time for saying that it is over.
	timeToAnswer = time.Second
)

// A function serves API Gateway's proxy events (REST APIs). It may be used by
// several goroutines.
type function struct {
	client *crossaccount.Client
	claim  string // the authorizer's claim that has the customer's id
	log    *slog.Logger
}

// A request is an event of an authenticated customer.
type request struct {
	events.APIGatewayProxyRequest
	customerID string
}

// routes are the resources of the API and their methods.
var routes = map[string]map[string]func(*function, context.Context, request) (any, error){
	"/integration/start":    {http.MethodPost: (*function).start},
	"/integration/complete": {http.MethodPost: (*function).complete},
	"/customer/{id}/data":   {http.MethodGet: (*function).data},
}

// handle answers one event. The error is always nil: everything that goes wrong
// is an answer.
func (f *function) handle(ctx context.Context, event events.APIGatewayProxyRequest) (answer events.APIGatewayProxyResponse, _ error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-timeToAnswer))
		defer cancel()
	}
	r := request{event, customerOf(event, f.claim)}
	defer func() {
		if value := recover(); value != nil {
			answer = f.fail(r, fmt.Errorf("panic: %v\n%s", value, debug.Stack()))
		}
	}()
	methods, known := routes[event.Resource]
	serve, allowed := methods[event.HTTPMethod]
	switch {
	case r.customerID == "":
		return f.fail(r, crossaccount.NewError(codeUnauthenticated, "you are not signed in", "sign in and try again", nil)), nil
	case !known:
		return f.fail(r, crossaccount.NewError(codeNotFound, "there is nothing here", "", nil)), nil
	case !allowed:
		answer := f.fail(r, crossaccount.NewError(codeMethodNotAllowed, "the method is not allowed here", "", nil))
		for method := range methods {
			answer.Headers["Allow"] = method // each resource has one
		}
		return answer, nil
	}
	value, err := serve(f, crossaccount.WithActor(ctx, "customer "+r.customerID), r)
	if err != nil {
		return f.fail(r, err), nil
	}
	f.log.Info("request", "resource", event.Resource, "status", http.StatusOK, "customer", r.customerID)
	return answerJSON(http.StatusOK, value), nil
}

// customerOf returns the customer that API Gateway's authorizer found. Claims of
// a Cognito user pool are under "claims", a Lambda authorizer's context is not.
// Nothing else in the event says who is calling.
func customerOf(event events.APIGatewayProxyRequest, claim string) string {
	authorizer := event.RequestContext.Authorizer
	if claims, ok := authorizer["claims"].(map[string]any); ok {
		authorizer = claims
	}
	customerID, _ := authorizer[claim].(string)
	return customerID
}

// start begins the caller's onboarding and answers with the launch link.
func (f *function) start(ctx context.Context, r request) (any, error) {
	var in crossaccount.IntegrationRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := r.own(&in.CustomerID); err != nil {
		return nil, err
	}
	return f.client.GenerateIntegrationURL(ctx, &in)
}

// complete verifies the role that the caller presents and takes it into use. A
// role that AWS does not know yet is answered with 409 and Retry-After.
func (f *function) complete(ctx context.Context, r request) (any, error) {
	var in crossaccount.VerificationRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := r.own(&in.CustomerID); err != nil {
		return nil, err
	}
	return f.client.Complete(ctx, &in)
}

// A Report is an object of the customer's.
type Report struct {
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	Content []byte `json:"content"` // base64
}

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// data answers with an object of the customer's: ?bucket=acme-reports&key=q3.csv.
func (f *function) data(ctx context.Context, r request) (any, error) {
	if r.PathParameters["id"] != r.customerID {
		return nil, forbidden()
	}
	bucket, key := r.QueryStringParameters["bucket"], r.QueryStringParameters["key"]
	if !bucketPattern.MatchString(bucket) || key == "" || len(key) > 1024 || strings.ContainsFunc(key, unicode.IsControl) {
		return nil, crossaccount.NewError(crossaccount.CodeInvalidRequest, "bucket and key must name an object in S3", "", nil)
	}
	config, err := f.client.AssumeCustomerRole(ctx, r.customerID)
	if err != nil {
		return nil, err
	}
	credentials, err := config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	get := &s3.GetObjectInput{
		Bucket: &bucket, Key: &key,
		// Whoever else lets this role read a bucket, it is not this customer's.
		ExpectedBucketOwner: &credentials.AccountID,
	}
	object, err := s3.NewFromConfig(config).GetObject(ctx, get)
	if elsewhere := bucketRegion(err); elsewhere != "" && elsewhere != config.Region {
		config.Region = elsewhere // the stack was made in another region
		object, err = s3.NewFromConfig(config).GetObject(ctx, get)
	}
	if err != nil {
		return nil, storageError(err)
	}
	defer object.Body.Close()
	content, err := io.ReadAll(io.LimitReader(object.Body, maxReport+1))
	switch {
	case err != nil:
		return nil, storageError(err)
	case len(content) > maxReport:
		return nil, crossaccount.NewError(codeTooLarge, fmt.Sprintf("the object has more than %d bytes", maxReport), "ask for a smaller one", nil)
	}
	return Report{bucket, key, content}, nil
}

// bucketRegion returns where S3 says the bucket is, if it says so.
func bucketRegion(err error) string {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) {
		return ""
	}
	return answer.Response.Header.Get("X-Amz-Bucket-Region")
}

// storageError says in our words what S3 answered in the customer's account.
func storageError(err error) error {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		switch answer.ErrorCode() {
		case "AccessDenied":
			return crossaccount.NewError(codeRefusedByAWS, "your AWS account does not let us read this object",
				"check the bucket's name and policy, and that the stack is the current one", err)
		case "NoSuchKey", "NoSuchBucket":
			return crossaccount.NewError(codeNotFound, "there is no such object", "check the bucket and the key", err)
		}
	}
	return crossaccount.NewError(crossaccount.CodeAWS, "S3 could not read the object", "try again later", err)
}

// read reads a body that is one JSON object with known fields.
func (r request) read(into any) error {
	body := r.Body
	if len(body) <= 2*maxBody && r.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			return crossaccount.NewError(crossaccount.CodeInvalidRequest, "the body is not base64 as announced", "", nil)
		}
		body = string(decoded)
	}
	if len(body) > maxBody {
		return crossaccount.NewError(codeTooLarge, fmt.Sprintf("the body has more than %d bytes", maxBody), "", nil)
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			return nil
		}
	}
	return crossaccount.NewError(crossaccount.CodeInvalidRequest, "the body is not one JSON object with the fields of this request", "see the README for the fields", nil)
}

// own fills in the caller's id. If the request names a customer, it must be the
// caller.
func (r request) own(customerID *string) error {
	if *customerID != "" && *customerID != r.customerID {
		return forbidden()
	}
	*customerID = r.customerID
	return nil
}

func forbidden() error {
	return crossaccount.NewError(crossaccount.CodeForbidden, "this is not your customer id", "leave customer_id out, or give your own", nil)
}

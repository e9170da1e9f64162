package crossaccount

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// Every AWS call has a deadline, and is tried at most callTries times. The SDK's
// own retries are off, so that ours are the only ones.
const (
	callTimeout = 5 * time.Second
	callTries   = 3
	callPause   = 300 * time.Millisecond // before the second try; doubled after that
)

// An answer is what AWS said to a call, as far as verification cares.
type answer int

const (
	accepted    answer = iota // the call succeeded
	refused                   // AccessDenied, and nothing else
	unavailable               // anything else: nothing was found out
)

func (c *Client) stsClient(config aws.Config) *sts.Client {
	return sts.NewFromConfig(config, func(o *sts.Options) { o.Retryer = aws.NopRetryer{} })
}

func (c *Client) iamClient(config aws.Config) *iam.Client {
	return iam.NewFromConfig(config, func(o *iam.Options) { o.Retryer = aws.NopRetryer{} })
}

// call makes an AWS call with a deadline for each try, and tries again after
// throttling, server faults and timeouts.
func (c *Client) call(ctx context.Context, do func(context.Context) error) (answer, error) {
	pause := callPause
	for try := 1; ; try++ {
		err := callOnce(ctx, do)
		switch {
		case err == nil:
			return accepted, nil
		case ctx.Err() != nil:
			return unavailable, cancelled(ctx.Err())
		case apiCode(err) == "AccessDenied":
			return refused, failure(err)
		case try == callTries || !transient(err):
			return unavailable, failure(err)
		}
		if err := c.wait(ctx, pause); err != nil {
			return unavailable, cancelled(err)
		}
		pause *= 2
	}
}

func callOnce(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return do(ctx)
}

func apiCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// transient reports whether trying again soon makes sense. Errors without an
// API code come from the network, except those of finding credentials.
func transient(err error) bool {
	if retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary {
		return true
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() >= http.StatusInternalServerError {
		return response.HTTPStatusCode() != http.StatusNotImplemented
	}
	return errors.Is(err, context.DeadlineExceeded) ||
		retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// lackingCredentials returns an error if a call was not made because our own
// credentials could not be obtained, and nil if it was made or the network is to
// blame. The SDK has no type for it, only words.
func lackingCredentials(err error) error {
	switch text := err.Error(); {
	case !strings.Contains(text, "failed to refresh cached credentials") && !strings.Contains(text, "get identity: get credentials"):
		return nil
	case apiCode(err) != "" && !transient(err):
		return NewError(CodeAWS, "AWS does not accept the credentials of this process, or does not let it assume the broker's role ("+clip(apiCode(err))+")",
			"check whose they are (aws sts get-caller-identity), and that they may assume broker_role_arn if assume_broker_role is set", failure(err))
	case apiCode(err) != "" || strings.Contains(text, "request send failed") && !strings.Contains(text, "ec2imds"):
		return nil
	}
	return NewError(CodeAWS, "this process has no AWS credentials, or cannot obtain those it is configured for",
		"give it those of the service's account: AWS_PROFILE (after aws sso login), AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role of its machine or container", failure(err))
}

// A callError is an AWS error without its message: the message of an
// AccessDenied names the vendor's internal role, and some quote parameters.
type callError struct {
	operation string
	code      string // AWS's error code, "" if AWS did not answer
	status    int
	requestID string
	cause     error // only if AWS did not answer
}

func (f *callError) Error() string {
	if f.code == "" && f.status == 0 {
		return fmt.Sprintf("%s: no answer: %v", f.operation, f.cause)
	}
	return fmt.Sprintf("%s: %s, status %d, request %s", f.operation, f.code, f.status, f.requestID)
}

func (f *callError) Unwrap() error { return f.cause }

// failure turns an SDK error into a callError.
func failure(err error) error {
	f := &callError{operation: "aws", code: apiCode(err)}
	var operation *smithy.OperationError
	if errors.As(err, &operation) {
		f.operation = strings.ToLower(operation.Service()) + ":" + operation.Operation()
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		f.status = response.HTTPStatusCode()
		f.requestID = response.ServiceRequestID()
	}
	if f.code == "" && f.status == 0 {
		f.cause = err
	}
	return f
}

// assumeRole makes one AssumeRole call of a verification, with our retries.
func (c *Client) assumeRole(ctx context.Context, client *sts.Client, input *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, answer, error) {
	var output *sts.AssumeRoleOutput
	result, err := c.call(ctx, func(ctx context.Context) (err error) {
		output, err = client.AssumeRole(ctx, input)
		return err
	})
	if result == accepted && (output.Credentials == nil || output.Credentials.Expiration == nil) {
		return nil, unavailable, NewError(CodeAWS, "AWS answered without credentials", "try again later", nil)
	}
	return output, result, err
}

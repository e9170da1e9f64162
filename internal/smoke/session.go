package smoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/iam"
)

// parts takes an ARN apart, also one with wildcards.
func parts(s string) iam.ARN {
	arn, err := iam.ParseARN(s)
	if err != nil {
		return iam.ARN{}
	}
	return arn
}

// identify finds out who the given credentials are, and becomes the consumer's
// role.
func (y *trying) identify(ctx context.Context) error {
	t := y.trial
	config, err := y.Config(ctx, t.Consumer)
	if err != nil {
		return err
	}
	config = config.Copy()
	config.Region = t.Consumer.Region
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := sts.NewFromConfig(config).GetCallerIdentity(call, &sts.GetCallerIdentityInput{})
	if err != nil {
		return fmt.Errorf("whose the credentials for %s are could not be found out: %s", t.Consumer.Account, unanswered(err))
	}
	y.base = &caller{config: config, arn: aws.ToString(out.Arn), now: y.Now}
	if matches(y.base.arn, t.Principal) {
		y.as[t.Principal] = y.base
		return nil
	}
	if !y.Assume {
		return fmt.Errorf("%w: %s, and the grant is for %s; run this with the role's credentials, or with --assume if %s may be assumed", errOther, y.base.arn, t.Principal, t.Principal)
	}
	if parts(t.Principal).Resource == "root" {
		return fmt.Errorf("%w: %s, and the grant is for the account %s", errOther, y.base.arn, t.Consumer.ID)
	}
	session, code := y.session(ctx, y.base, t.Principal, "")
	if session == nil {
		return fmt.Errorf("%s could not be assumed by %s (%s): %w", t.Principal, y.base.arn, code, errAssume)
	}
	y.as[t.Principal] = session
	return nil
}

// unanswered says why STS gave no answer that helps, without its message.
func unanswered(err error) string {
	var e smithy.APIError
	switch {
	case errors.As(err, &e):
		return fmt.Sprintf("AWS answered %s; renew the credentials, and check that they are for this partition", e.ErrorCode())
	case errors.Is(err, context.DeadlineExceeded):
		return "STS did not answer in time; check the network, and AWS_ENDPOINT_URL if it is set"
	}
	return "STS could not be asked; check the network, the region, and AWS_ENDPOINT_URL if it is set"
}

// session assumes a role. Without a session it returns AWS's error code; the
// message is never kept, because it may hold the external ID.
func (y *trying) session(ctx context.Context, who *caller, role, externalID string) (*caller, string) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String(probeName), DurationSeconds: aws.Int32(900)}
	if externalID != "" {
		in.ExternalId = &externalID
	}
	out, err := sts.NewFromConfig(who.config).AssumeRole(ctx, in)
	if err != nil {
		var e smithy.APIError
		if errors.As(err, &e) {
			return nil, e.ErrorCode()
		}
		return nil, "no answer"
	}
	config := who.config.Copy()
	config.Credentials = credentials.NewStaticCredentialsProvider(aws.ToString(out.Credentials.AccessKeyId), aws.ToString(out.Credentials.SecretAccessKey), aws.ToString(out.Credentials.SessionToken))
	return &caller{config: config, arn: role, now: y.Now}, ""
}

// assume tries to assume a role and keeps the session if that was declared.
func (y *trying) assume(ctx context.Context, a *Attempt, who *caller, externalID string) {
	session, code := y.session(ctx, who, a.Resource, externalID)
	a.Code = code
	answer := &answer{status: http.StatusForbidden, code: code}
	switch {
	case session != nil:
		a.Outcome = Allowed
		if a.Case == "declared" {
			y.as[a.Resource] = session
		}
	case answer.denied():
		a.Outcome, a.Denial = Refused, denial(a, "")
	default:
		a.Outcome, a.Reason = Inconclusive, "STS answered "+code+", which does not say whether it is allowed"
	}
}

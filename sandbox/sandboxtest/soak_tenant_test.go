package sandboxtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
)

// A tenant is one account of a customer, which onboards again and again under
// another customer id.
type tenant struct {
	*soak
	account string
	admin   aws.Config
	content string // of the object that only the role of this account may read

	customer atomic.Pointer[string] // in use, or nil

	// Of the owner's goroutine.
	generation          int
	integration, role   string
	stack, launchedWith string
}

func (w *tenant) bucket() *string { return aws.String("data-" + w.account) }

// own is what the customer's administrator and the vendor's background jobs do.
func (w *tenant) own(ctx context.Context) {
	for ctx.Err() == nil {
		if !w.onboard(ctx) {
			continue
		}
		for range 2 + rand.IntN(6) {
			switch pause(ctx, time.Duration(rand.IntN(300))*time.Millisecond); rand.IntN(4) {
			case 0:
				w.spoil(ctx)
			case 1:
				id := *w.customer.Load()
				if w.noted("disconnect", w.client().Disconnect(ctx, id, w.integration)) == nil {
					w.check(ctx, crossaccount.Failed) // the role is still there
				}
			case 2:
				w.deploy(rand.IntN(2))
			default:
				w.check(ctx, crossaccount.Failed)
			}
		}
		w.offboard(ctx)
	}
}

// onboard takes a new customer through everything. It reports whether it got
// to the end.
func (w *tenant) onboard(ctx context.Context) bool {
	w.generation++
	id := fmt.Sprintf("customer-%s-%d", w.account, w.generation)
	var link *crossaccount.IntegrationResponse
	if !w.insist(ctx, "start", func() (err error) {
		link, err = w.client().GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: id})
		return err
	}) {
		return false
	}
	w.integration = link.IntegrationID
	if !w.launch(ctx, link.LaunchURL) {
		return false
	}
	if !w.insist(ctx, "verify", func() error {
		return w.client().VerifyIntegration(ctx, &crossaccount.VerificationRequest{CustomerID: id, RoleARN: w.role})
	}) || !w.insist(ctx, "store", func() error {
		return w.client().StoreCustomerCredentials(ctx, &crossaccount.StoreCredentialsRequest{CustomerID: id, RoleARN: w.role})
	}) {
		return false
	}
	w.customer.Store(&id)
	return true
}

// insist repeats a call until it works, as a customer who reads "try again"
// does. It reports whether it did before the time was over.
func (w *tenant) insist(ctx context.Context, what string, call func() error) bool {
	for ctx.Err() == nil {
		if w.noted(what, call()) == nil {
			return true
		}
		pause(ctx, 100*time.Millisecond)
	}
	return false
}

// launch makes the stack, as the customer's console does.
func (w *tenant) launch(ctx context.Context, url string) bool {
	link, err := crossaccount.ParseLaunchLink(url)
	if err != nil {
		w.Error(err)
		return false
	}
	var parameters []cfntypes.Parameter
	for id, value := range link.Parameters {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(id), ParameterValue: aws.String(value)})
	}
	w.stack, w.launchedWith = link.StackName, link.Parameters[crossaccount.ParameterExternalID]
	client := cloudformation.NewFromConfig(w.admin)
	if _, err := client.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &link.StackName, TemplateURL: &link.TemplateURL, Parameters: parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}); err != nil {
		return w.ownCall(ctx, "create stack", err)
	}
	out, err := cloudformation.NewStackCreateCompleteWaiter(client, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	}).WaitForOutput(ctx, &cloudformation.DescribeStacksInput{StackName: &link.StackName}, time.Minute)
	if err != nil {
		return w.ownCall(ctx, "wait for stack", err)
	}
	for _, output := range out.Stacks[0].Outputs {
		if *output.OutputKey == crossaccount.OutputRoleARN {
			w.role = *output.OutputValue
		}
	}
	return true
}

// ownCall fails the test if one of the customer's own calls went wrong, to which
// no faults are added.
func (w *tenant) ownCall(ctx context.Context, what string, err error) bool {
	if err != nil && ctx.Err() == nil {
		w.Errorf("%s in %s: %v", what, w.account, err)
	}
	return err == nil
}

// check has the vendor look at the role again. The result must not be the one
// that the state of the role forbids. It reports whether a result was had.
func (w *tenant) check(ctx context.Context, never crossaccount.Result) bool {
	report, err := w.client().Check(ctx, *w.customer.Load(), w.integration)
	if w.noted("check", err) != nil {
		return false
	}
	if report.Result == never {
		w.Errorf("%s: a check said %s (%s), which it is not", w.role, report.Result, report.Code)
	}
	return report.Result != crossaccount.Inconclusive
}

// spoil changes the role's trust policy to one that no vendor may accept, and
// then back. Checks must notice both.
func (w *tenant) spoil(ctx context.Context) {
	for _, trust := range []struct {
		externalID, condition string
		never                 crossaccount.Result
		what                  string
	}{
		{"", "", crossaccount.Passed, "spoiled"},
		{w.launchedWith, "StringEquals", crossaccount.Failed, "mended"},
		{w.launchedWith + "0", "StringEquals", crossaccount.Passed, "spoiled"},
		{w.launchedWith, "StringEquals", crossaccount.Failed, "mended"},
	} {
		// Even if the time is over: it must be mended.
		if !w.ownCall(ctx, "change trust", w.trust(context.WithoutCancel(ctx), trust.condition, trust.externalID)) {
			return
		}
		pause(context.WithoutCancel(ctx), soakIAMDelay+50*time.Millisecond)
		for ctx.Err() == nil && !w.check(ctx, trust.never) {
		}
		if ctx.Err() == nil {
			w.seen.add(trust.what + ": noticed")
		}
	}
}

func (w *tenant) trust(ctx context.Context, operator, externalID string) error {
	condition := ""
	if operator != "" {
		condition = `,"Condition":{"` + operator + `":{"sts:ExternalId":"` + externalID + `"}}`
	}
	_, err := iam.NewFromConfig(w.admin).UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String(w.role[strings.LastIndexByte(w.role, '/')+1:]),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole"` + condition + `},
			{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":["sts:TagSession","sts:SetSourceIdentity"]}]}`),
	})
	return err
}

// offboard ends the integration and removes the stack.
func (w *tenant) offboard(ctx context.Context) {
	id := *w.customer.Load()
	if !w.insist(ctx, "revoke", func() error { return w.client().Revoke(ctx, id, w.integration) }) {
		return
	}
	w.customer.Store(nil)
	for _, client := range w.everyInstance() {
		_, byCustomer := client.AssumeCustomerRole(ctx, id)
		_, byIntegration := client.AssumeIntegrationRole(ctx, id, w.integration)
		for _, err := range []error{byCustomer, byIntegration} {
			if code := crossaccount.CodeOf(err); code != crossaccount.CodeNotVerified && code != crossaccount.CodeUnknownCustomer && ctx.Err() == nil {
				w.Errorf("%s was revoked and got credentials, or another answer: %v", id, err)
			}
		}
	}
	client := cloudformation.NewFromConfig(w.admin)
	if _, err := client.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &w.stack}); !w.ownCall(ctx, "delete stack", err) {
		return
	}
	w.ownCall(ctx, "wait for deletion", cloudformation.NewStackDeleteCompleteWaiter(client, func(o *cloudformation.StackDeleteCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	}).Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &w.stack}, time.Minute))
}

// use is what the vendor's service does with the role.
func (w *tenant) use(ctx context.Context) {
	for ctx.Err() == nil {
		id := w.customer.Load()
		if id == nil {
			pause(ctx, 10*time.Millisecond)
			continue
		}
		once, cancel := ctx, func() {}
		if rand.IntN(5) == 0 { // a caller with little patience
			once, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(10_000))*time.Microsecond)
		}
		w.useOnce(once, *id)
		cancel()
		pause(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
	}
}

func (w *tenant) useOnce(ctx context.Context, id string) {
	config, err := w.client().AssumeCustomerRole(ctx, id)
	// The customer may be offboarded, or the role spoiled, at any moment.
	if w.noted("assume", err, crossaccount.CodeNotVerified, crossaccount.CodeUnknownCustomer, crossaccount.CodeRoleRefused) != nil {
		return
	}
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, nil)
	if w.outcome("identity", err) && *who.Account != w.account {
		w.Errorf("%s got credentials of account %s", id, *who.Account)
	}
	client := s3.NewFromConfig(config)
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: w.bucket(), Key: aws.String("report")})
	if w.outcome("read", err) {
		data, err := io.ReadAll(out.Body)
		if err = errors.Join(err, out.Body.Close()); err == nil && string(data) != w.content {
			w.Errorf("%s read %q", id, data)
		}
	}
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: w.bucket(), Key: aws.String("report"), Body: strings.NewReader("changed")})
	if w.outcome("write", err) {
		w.Errorf("%s could write, which was not asked for", id)
	}
	neighbour := w.tenants[rand.IntN(len(w.tenants))]
	if neighbour == w {
		return
	}
	_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: neighbour.bucket(), Key: aws.String("report")})
	if w.outcome("read another's", err) {
		w.Errorf("%s could read from %s", id, *neighbour.bucket())
	}
}

// outcome counts what a call of the SDK gave and reports whether it worked.
func (w *tenant) outcome(what string, err error) bool {
	var api interface{ ErrorCode() string }
	switch {
	case err == nil:
		w.seen.add(what + ": done")
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		w.seen.add(what + ": gave up")
	case errors.As(err, &api):
		w.seen.add(what + ": " + api.ErrorCode())
	default:
		w.seen.add(what + ": no answer")
	}
	return err == nil
}

// settle brings the tenant to an end at which everything has been said: what is
// in use must pass a last check.
func (w *tenant) settle(ctx context.Context) {
	if id := w.customer.Load(); id != nil && !w.check(ctx, crossaccount.Failed) {
		w.Errorf("%s: the last check had no result, and no faults were made any more", *id)
	}
}

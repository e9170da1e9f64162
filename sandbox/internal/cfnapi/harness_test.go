package cfnapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	customer = "111122223333"
	vendor   = "444455556666"
)

// A bench is a sandbox with a customer and a vendor, and the customer's
// administrator working on stacks through the real SDK.
type bench struct {
	*sandboxtest.Sandbox
	t   *testing.T
	cfn *cloudformation.Client
	iam *iam.Client
}

func newBench(t *testing.T) *bench { return newBenchWith(t, sandbox.Options{}) }

func newBenchWith(t *testing.T, o sandbox.Options) *bench {
	t.Helper()
	box := sandboxtest.NewWith(t, o, customer, vendor)
	return (&bench{Sandbox: box, t: t}).as(box.Account(customer).Config())
}

// as returns the bench as another principal uses it.
func (b *bench) as(cfg aws.Config) *bench {
	return &bench{Sandbox: b.Sandbox, t: b.t, cfn: cloudformation.NewFromConfig(cfg), iam: iam.NewFromConfig(cfg)}
}

var ctx = context.Background()

var everyCapability = []types.Capability{types.CapabilityCapabilityNamedIam}

// parameters makes parameters of "Name=value" pairs; "Name" alone means the
// previous value.
func parameters(pairs ...string) []types.Parameter {
	var list []types.Parameter
	for _, pair := range pairs {
		name, value, given := strings.Cut(pair, "=")
		p := types.Parameter{ParameterKey: &name}
		if given {
			p.ParameterValue = &value
		} else {
			p.UsePreviousValue = aws.Bool(true)
		}
		list = append(list, p)
	}
	return list
}

// create makes a stack and returns it once it is complete.
func (b *bench) create(name, template string, pairs ...string) types.Stack {
	b.t.Helper()
	if err := b.tryCreate(name, template, pairs...); err != nil {
		b.t.Fatal(err)
	}
	waiter := cloudformation.NewStackCreateCompleteWaiter(b.cfn, fastCreate)
	if err := waiter.Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &name}, 10*time.Second); err != nil {
		b.t.Fatalf("%v\n%s", err, strings.Join(b.events(name), "\n"))
	}
	return b.stack(name)
}

func fastCreate(o *cloudformation.StackCreateCompleteWaiterOptions) {
	o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond
}

func (b *bench) tryCreate(name, template string, pairs ...string) error {
	_, err := b.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &name, TemplateBody: &template, Parameters: parameters(pairs...), Capabilities: everyCapability,
	})
	return err
}

// update changes a stack and returns it once it is at rest.
func (b *bench) update(name, template string, pairs ...string) types.Stack {
	b.t.Helper()
	if err := b.tryUpdate(name, template, pairs...); err != nil {
		b.t.Fatal(err)
	}
	return b.stack(name)
}

func (b *bench) tryUpdate(name, template string, pairs ...string) error {
	in := &cloudformation.UpdateStackInput{StackName: &name, Parameters: parameters(pairs...), Capabilities: everyCapability}
	if template == "" {
		in.UsePreviousTemplate = aws.Bool(true)
	} else {
		in.TemplateBody = &template
	}
	_, err := b.cfn.UpdateStack(ctx, in)
	return err
}

func (b *bench) delete(nameOrID string) {
	b.t.Helper()
	if _, err := b.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &nameOrID}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) stack(nameOrID string) types.Stack {
	b.t.Helper()
	out, err := b.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &nameOrID})
	if err != nil {
		b.t.Fatal(err)
	}
	return out.Stacks[0]
}

// events returns a stack's history, oldest first, as "LogicalID STATUS", and
// the reason in parentheses if there is one.
func (b *bench) events(nameOrID string) []string {
	b.t.Helper()
	var lines []string
	pages := cloudformation.NewDescribeStackEventsPaginator(b.cfn, &cloudformation.DescribeStackEventsInput{StackName: &nameOrID})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range page.StackEvents {
			line := *e.LogicalResourceId + " " + string(e.ResourceStatus)
			if r := aws.ToString(e.ResourceStatusReason); r != "" {
				line += " (" + r + ")"
			}
			lines = append([]string{line}, lines...)
		}
	}
	return lines
}

// eventsSince returns the history after the first n lines.
func (b *bench) eventsSince(nameOrID string, n int) []string { return b.events(nameOrID)[n:] }

func output(s types.Stack, key string) string {
	for _, o := range s.Outputs {
		if *o.OutputKey == key {
			return *o.OutputValue
		}
	}
	return ""
}

// refusal returns the code and the message of an AWS error, as "Code: message".
func refusal(t *testing.T, err error) string {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("got %v, want an AWS error", err)
	}
	return api.ErrorCode() + ": " + api.ErrorMessage()
}

func wantRefusal(t *testing.T, err error, parts ...string) {
	t.Helper()
	got := refusal(t, err)
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("got %q, want it to contain %q", got, part)
		}
	}
}

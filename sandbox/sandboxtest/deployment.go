package sandboxtest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A Deployment puts the stacks of a plan into the accounts of a sandbox and
// removes them, as the plan's deploy.sh and remove.sh do: through CloudFormation,
// with the outputs of earlier stacks as parameters of later ones. It needs no
// test, so that a program can show its grants at work. The sandbox must have the
// plan's accounts. It is for one goroutine.
type Deployment struct {
	// Plan must be compiled as CloudFormation.
	Plan *grant.Plan

	// Out, if not nil, is told each wave and stack.
	Out io.Writer

	// Apply does what commands of the plan do after a stack was made: it writes a
	// document of something that CloudFormation did not create, and what
	// [grant.Stack.Then] has to follow. The configuration is of the account's
	// administrator. Without Apply, a plan with such commands is an error. Remove
	// leaves these documents where they are.
	Apply func(ctx context.Context, account aws.Config, document *grant.Apply) error

	// Values are of parameters that no stack of the plan gives, by their names: where
	// the manifest says id_from, deploy.sh asks AWS for them.
	Values map[string]string

	box     *sandbox.Sandbox
	outputs map[output]string
}

// An output of a stack. Stacks of several accounts may have the same name.
type output struct{ account, region, stack, name string }

// NewDeployment returns a deployment of which nothing is done yet.
func NewDeployment(box *sandbox.Sandbox, plan *grant.Plan) *Deployment {
	return &Deployment{Plan: plan, box: box, outputs: map[output]string{}}
}

// Deploy creates all stacks, wave by wave.
func (d *Deployment) Deploy(ctx context.Context) error {
	for _, wave := range d.Plan.Waves {
		d.say("Wave %d\n", wave.Number)
		for _, s := range wave.Stacks {
			d.say("  %-18s %s\n", s.Account, s.Name)
			if err := d.Create(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Deployment) say(format string, args ...any) {
	if d.Out != nil {
		fmt.Fprintf(d.Out, format, args...)
	}
}

// Remove deletes all stacks, the last wave first.
func (d *Deployment) Remove(ctx context.Context) error {
	for _, wave := range slices.Backward(d.Plan.Waves) {
		for _, s := range wave.Stacks {
			if err := d.Delete(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// Account returns a configuration of the stack's account and region, of its
// administrator.
func (d *Deployment) Account(s *grant.Stack) (aws.Config, error) {
	for _, a := range d.box.Accounts() {
		if a.ID() == s.AccountID {
			root := a.Root()
			return aws.Config{
				Region: s.Region, HTTPClient: d.box.Client(),
				Credentials: credentials.NewStaticCredentialsProvider(root.AccessKeyID, root.SecretAccessKey, root.SessionToken),
			}, nil
		}
	}
	return aws.Config{}, fmt.Errorf("stack %s: the sandbox has no account %s; create it first", s.Name, s.AccountID)
}

// Create creates one stack and waits for it. Those it takes values from must be
// there.
func (d *Deployment) Create(ctx context.Context, s *grant.Stack) error {
	if d.Plan.Format != grant.CloudFormation {
		return fmt.Errorf("the plan is compiled as %s; a sandbox takes %s", d.Plan.Format, grant.CloudFormation)
	}
	account, err := d.Account(s)
	if err != nil {
		return err
	}
	if d.Apply == nil && (len(s.Then) > 0 || slices.ContainsFunc(s.Applies, written)) {
		return fmt.Errorf("stack %s: commands of the plan write documents beside it; set Apply", s.Name)
	}
	if s.Template != nil {
		if err := d.stack(ctx, account, s); err != nil {
			return err
		}
	}
	for i := range s.Applies {
		if a := &s.Applies[i]; written(*a) {
			if err := d.Apply(ctx, account, a); err != nil {
				return fmt.Errorf("stack %s: %s: %w", s.Name, a.Title, err)
			}
		}
	}
	return nil
}

// written reports whether a command writes the document. Others are for people
// or for Kubernetes.
func written(a grant.Apply) bool { return len(a.Put) > 0 }

// stack creates the stack itself and keeps its outputs.
func (d *Deployment) stack(ctx context.Context, account aws.Config, s *grant.Stack) error {
	body, err := cfn.Write(s.Template)
	if err != nil {
		return fmt.Errorf("stack %s: %w", s.Name, err)
	}
	in := &cloudformation.CreateStackInput{StackName: &s.Name, TemplateBody: aws.String(string(body)), Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}
	for _, i := range s.Inputs {
		value, ok := d.outputs[output{i.FromAccount, i.FromRegion, i.FromStack, i.FromOutput}]
		if !ok {
			value, ok = d.Values[i.Parameter]
		}
		switch {
		case !ok && i.Elsewhere:
			return fmt.Errorf("stack %s: its parameter %s comes from outside the plan; give it in Values", s.Name, i.Parameter)
		case !ok:
			return fmt.Errorf("stack %s: its parameter %s is an output of the stack %s, which this deployment did not create", s.Name, i.Parameter, i.FromStack)
		}
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: &i.Parameter, ParameterValue: &value})
	}
	client := cloudformation.NewFromConfig(account)
	if _, err := client.CreateStack(ctx, in); err != nil {
		return fmt.Errorf("stack %s: %w", s.Name, err)
	}
	made, err := cloudformation.NewStackCreateCompleteWaiter(client, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = stackPause, time.Second
	}).WaitForOutput(ctx, &cloudformation.DescribeStacksInput{StackName: &s.Name}, stackPatience)
	if err != nil {
		return fmt.Errorf("stack %s: %w%s", s.Name, err, reasons(ctx, client, s))
	}
	for _, o := range made.Stacks[0].Outputs {
		d.outputs[output{s.AccountID, s.Region, s.Name, *o.OutputKey}] = *o.OutputValue
	}
	return nil
}

// A stack of a sandbox is made within milliseconds. One that takes minutes hangs.
const (
	stackPause    = time.Millisecond
	stackPatience = time.Minute
)

// Delete deletes one stack and waits until it is gone.
func (d *Deployment) Delete(ctx context.Context, s *grant.Stack) error {
	account, err := d.Account(s)
	if err != nil || s.Template == nil {
		return err
	}
	client := cloudformation.NewFromConfig(account)
	if _, err := client.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.Name}); err != nil {
		return fmt.Errorf("stack %s: %w", s.Name, err)
	}
	if err := cloudformation.NewStackDeleteCompleteWaiter(client, func(o *cloudformation.StackDeleteCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = stackPause, time.Second
	}).Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &s.Name}, stackPatience); err != nil {
		return fmt.Errorf("stack %s: %w%s", s.Name, err, reasons(ctx, client, s))
	}
	return nil
}

// reasons tells what CloudFormation says about a failure.
func reasons(ctx context.Context, client *cloudformation.Client, s *grant.Stack) string {
	out, err := client.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &s.Name})
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range out.StackEvents {
		if e.ResourceStatusReason != nil {
			fmt.Fprintf(&b, "\n%s: %s", aws.ToString(e.LogicalResourceId), *e.ResourceStatusReason)
		}
	}
	return b.String()
}

// PhysicalID returns the id that AWS gave to something the plan created; see
// [grant.Plan.Source] and [grant.Plan.Created].
func (d *Deployment) PhysicalID(ctx context.Context, source grant.Source) (string, error) {
	account, err := d.Account(source.Stack)
	if err != nil {
		return "", err
	}
	out, err := cloudformation.NewFromConfig(account).DescribeStackResource(ctx, &cloudformation.DescribeStackResourceInput{StackName: &source.Stack.Name, LogicalResourceId: &source.LogicalID})
	if err != nil {
		return "", fmt.Errorf("stack %s: %w", source.Stack.Name, err)
	}
	return *out.StackResourceDetail.PhysicalResourceId, nil
}

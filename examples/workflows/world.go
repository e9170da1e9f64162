package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A world is AWS accounts in this process, and what was deployed into them.
type world struct {
	box      *sandbox.Sandbox
	accounts map[string]*sandbox.Account // :: name in the manifest
	outputs  map[string]string           // :: stack and output → value
}

// config returns an administrator's configuration of an account.
func (w *world) config(account string) aws.Config {
	c := w.accounts[account].Root()
	return aws.Config{Region: region, HTTPClient: w.box.Client(), Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)}
}

// deploy does what the plan's deploy.sh does: wave by wave, with the outputs of
// earlier stacks as parameters of later ones.
func (w *world) deploy(ctx context.Context, plan *grant.Plan, out io.Writer) error {
	for _, wave := range plan.Waves {
		fmt.Fprintf(out, "Wave %d\n", wave.Number)
		for _, s := range wave.Stacks {
			fmt.Fprintf(out, "  %-18s %s\n", s.Account, s.Name)
			if err := w.create(ctx, s); err != nil {
				return fmt.Errorf("stack %s: %w", s.Name, err)
			}
		}
	}
	return nil
}

func (w *world) create(ctx context.Context, s *grant.Stack) error {
	body, err := cfn.Write(s.Template)
	if err != nil {
		return err
	}
	in := &cloudformation.CreateStackInput{StackName: &s.Name, TemplateBody: aws.String(string(body)), Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}
	for _, i := range s.Inputs {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(i.Parameter), ParameterValue: aws.String(w.outputs[i.FromStack+" "+i.FromOutput])})
	}
	client := cloudformation.NewFromConfig(w.config(s.Account))
	if _, err := client.CreateStack(ctx, in); err != nil {
		return err
	}
	made, err := cloudformation.NewStackCreateCompleteWaiter(client, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	}).WaitForOutput(ctx, &cloudformation.DescribeStacksInput{StackName: &s.Name}, time.Minute)
	if err != nil {
		return err
	}
	for _, o := range made.Stacks[0].Outputs {
		w.outputs[s.Name+" "+*o.OutputKey] = *o.OutputValue
	}
	return nil
}

// remove does what remove.sh does.
func (w *world) remove(ctx context.Context, plan *grant.Plan) error {
	for i := len(plan.Waves) - 1; i >= 0; i-- {
		for _, s := range plan.Waves[i].Stacks {
			client := cloudformation.NewFromConfig(w.config(s.Account))
			if _, err := client.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.Name}); err != nil {
				return fmt.Errorf("stack %s: %w", s.Name, err)
			}
			if err := cloudformation.NewStackDeleteCompleteWaiter(client, func(o *cloudformation.StackDeleteCompleteWaiterOptions) {
				o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
			}).Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &s.Name}, time.Minute); err != nil {
				return fmt.Errorf("stack %s: %w", s.Name, err)
			}
		}
	}
	return nil
}

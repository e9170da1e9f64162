package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// deployedPlan deploys a manifest into a sandbox of its own, with the roles of
// consumers, which their accounts may assume, and lets the script's programs be
// administrators of each account with the profile of its name:
//
//	deployed-plan FILE
//
// It sets AWS_ENDPOINT_URL and AWS_CONFIG_FILE.
func deployedPlan(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: deployed-plan FILE")
	}
	m, err := grant.Parse([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	ts.Check(err)
	var ids []string
	for _, a := range m.Accounts {
		ids = append(ids, a.ID)
	}
	box := sandboxtest.New(testingT(ts), ids...)
	var profiles strings.Builder
	for name, a := range m.Accounts {
		c := box.Account(a.ID).UserCredentials("admin", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
		fmt.Fprintf(&profiles, "[profile %s]\naws_access_key_id = %s\naws_secret_access_key = %s\nregion = %s\n", name, c.AccessKeyID, c.SecretAccessKey, a.Regions[0])
	}
	file := ts.MkAbs("aws.config")
	ts.Check(os.WriteFile(file, []byte(profiles.String()), 0o600))
	made := map[string]bool{}
	for _, t := range plan.Trials() {
		if name := t.Principal[strings.LastIndexByte(t.Principal, '/')+1:]; !made[t.Principal] {
			made[t.Principal] = true
			box.Account(t.Consumer.ID).Role(name, trusting("arn:aws:iam::"+t.Consumer.ID+":root"), nil)
		}
	}
	outputs := map[string]string{}
	for _, s := range plan.Stacks() {
		deployStack(ts, box.Account(s.AccountID).Config(), s, outputs)
	}
	server := httptest.NewServer(box)
	ts.Defer(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_CONFIG_FILE": file, "AWS_CA_BUNDLE": "", "AWS_REGION": "us-east-1"} {
		ts.Setenv(name, value)
	}
}

func deployStack(ts *testscript.TestScript, c aws.Config, s *grant.Stack, outputs map[string]string) {
	body, err := cfn.Write(s.Template)
	ts.Check(err)
	in := &cloudformation.CreateStackInput{StackName: &s.Name, TemplateBody: aws.String(string(body)), Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam}}
	for _, i := range s.Inputs {
		in.Parameters = append(in.Parameters, cfntypes.Parameter{ParameterKey: aws.String(i.Parameter), ParameterValue: aws.String(outputs[i.FromStack+" "+i.FromOutput])})
	}
	client := cloudformation.NewFromConfig(c)
	_, err = client.CreateStack(context.Background(), in)
	ts.Check(err)
	out, err := client.DescribeStacks(context.Background(), &cloudformation.DescribeStacksInput{StackName: &s.Name})
	ts.Check(err)
	if status := out.Stacks[0].StackStatus; status != cfntypes.StackStatusCreateComplete {
		ts.Fatalf("stack %s: %s", s.Name, status)
	}
	for _, o := range out.Stacks[0].Outputs {
		outputs[s.Name+" "+*o.OutputKey] = *o.OutputValue
	}
}

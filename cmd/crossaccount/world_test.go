package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	vendorID   = "111122223333"
	customerID = "444455556666"
	templates  = "example-templates"

	servicePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":["arn:aws:iam::` + vendorID + `:role/broker","arn:aws:iam::` + vendorID + `:role/probe"]}]}`
	brokerPolicy  = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Condition":{"StringLike":{"sts:ExternalId":"?*"}}},
		{"Effect":"Allow","Action":["sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"},
		{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::` + templates + `/*"}]}`
	probePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"}]}`
)

func trusting(arn string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + arn + `"},"Action":"sts:AssumeRole"}]}`
}

// worlds are the *sandboxtest.Sandbox of scripts, by their URL. Scripts run at the
// same time.
var worlds sync.Map

// awsWorld makes a sandbox with a prepared vendor and one customer, and lets the
// script's programs be the vendor's service in it:
//
//	aws-world
//
// It sets AWS_…, CUSTOMER_ACCOUNT, and URL and LISTEN to an address that is free.
// SERVICE_… and ADMIN_… are credentials of the service and of the vendor's
// administrator.
func awsWorld(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: aws-world")
	}
	box := sandboxtest.New(testingT(ts), vendorID, customerID)
	vendor := box.Account(vendorID)
	service := vendor.UserCredentials("service", servicePolicy)
	user := "arn:aws:iam::" + vendorID + ":user/service"
	vendor.Role("broker", trusting(user), []string{brokerPolicy})
	probe := vendor.Role("probe", trusting(user), []string{probePolicy})
	vendor.Role("canary", trusting(probe), nil)
	admin, err := crossaccount.New(&crossaccount.Config{
		ServiceName: "Example", ServiceAccountID: vendorID, AWSConfig: vendor.Config(), TemplateS3Bucket: templates,
	}, crossaccount.WithLogger(nil))
	ts.Check(err)
	_, err = admin.PrepareTemplateBucket(context.Background())
	ts.Check(err)
	server := httptest.NewTLSServer(box) // the template bucket demands TLS
	ts.Defer(server.Close)
	bundle := ts.MkAbs("aws.pem")
	ts.Check(os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	worlds.Store(server.URL, box)
	freeAddress(ts, false, []string{"LISTEN"})
	ts.Setenv("URL", "http://"+ts.Getenv("LISTEN"))
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_CA_BUNDLE": bundle, "AWS_REGION": "us-east-1", "CUSTOMER_ACCOUNT": customerID,
		"AWS_ACCESS_KEY_ID": service.AccessKeyID, "AWS_SECRET_ACCESS_KEY": service.SecretAccessKey,
		"SERVICE_KEY_ID": service.AccessKeyID, "SERVICE_SECRET": service.SecretAccessKey,
		"ADMIN_KEY_ID": vendor.Root().AccessKeyID, "ADMIN_SECRET": vendor.Root().SecretAccessKey,
	} {
		ts.Setenv(name, value)
	}
}

// testingT gives sandboxtest what it needs of a test.
func testingT(ts *testscript.TestScript) testing.TB { return scriptTB{ts: ts} }

type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (s scriptTB) Helper()           {}
func (s scriptTB) Fatal(args ...any) { s.ts.Fatalf("%v", args) }
func (s scriptTB) Fatalf(f string, args ...any) {
	s.ts.Fatalf(f, args...)
}

// await waits until a server is ready:
//
//	await URL
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0]+"/readyz", nil)
		ts.Check(err)
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("the server does not become ready: %v", err)
		case <-again.C:
		}
	}
}

// awaitFile waits until a program has made a file:
//
//	await-file FILE
func awaitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await-file FILE")
	}
	limit := time.After(30 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		select {
		case <-limit:
			ts.Fatalf("%s was not made", args[0])
		case <-again.C:
		}
	}
}

// jsonEnv sets environment variables to fields of a JSON file:
//
//	jsonenv FILE NAME=field…
func jsonEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: jsonenv FILE NAME=field…")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	for _, arg := range args[1:] {
		for i := range arg {
			if arg[i] == '=' {
				value, ok := object[arg[i+1:]].(string)
				if !ok {
					ts.Fatalf("%s has no text %s", args[0], arg[i+1:])
				}
				ts.Setenv(arg[:i], value)
			}
		}
	}
}

// customerRole makes a role in the customer's account, and sets ROLE to it:
//
//	customer-role NAME TRUST-POLICY-FILE
func customerRole(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: customer-role NAME TRUST-POLICY-FILE")
	}
	ts.Setenv("ROLE", customerAccount(ts).Role(args[0], ts.ReadFile(args[1]), nil))
}

func customerAccount(ts *testscript.TestScript) *sandboxtest.Account {
	box, ok := worlds.Load(ts.Getenv("AWS_ENDPOINT_URL"))
	if !ok {
		ts.Fatalf("aws-world comes first")
	}
	return box.(*sandboxtest.Sandbox).Account(customerID)
}

// launch does what the customer does with a launch link, and sets ROLE to the
// role it makes:
//
//	launch LINK
func launch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: launch LINK")
	}
	link, err := crossaccount.ParseLaunchLink(args[0])
	ts.Check(err)
	var parameters []cfntypes.Parameter
	for name, value := range link.Parameters {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)})
	}
	client := cloudformation.NewFromConfig(customerAccount(ts).Config())
	ctx := context.Background()
	_, err = client.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &link.StackName, TemplateURL: &link.TemplateURL, Parameters: parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	})
	ts.Check(err)
	described, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &link.StackName})
	ts.Check(err)
	for _, output := range described.Stacks[0].Outputs {
		if aws.ToString(output.OutputKey) == crossaccount.OutputRoleARN {
			ts.Setenv("ROLE", aws.ToString(output.OutputValue))
			return
		}
	}
	ts.Fatalf("the stack is %s", described.Stacks[0].StackStatus)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// The accounts of the tests. They are also in testdata and policies.
const (
	vendorAccount = "111122223333"
	acmeAccount   = "444455556666"
	globexAccount = "777788889999"

	bucket     = "example-templates"
	brokerRole = "arn:aws:iam::" + vendorAccount + ":role/example-broker"
	probeRole  = "arn:aws:iam::" + vendorAccount + ":role/example-probe"
	canaryRole = "arn:aws:iam::" + vendorAccount + ":role/example-canary"
)

// A world is the function, with the accounts of its vendor and two customers. At
// the end of its test it fails if the log has an external ID.
type world struct {
	*testing.T
	box      *sandboxtest.Sandbox
	broker   aws.Config // what Lambda gives to the function
	function *function
	handler  lambda.Handler
	log      bytes.Buffer
	secrets  []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sandboxtest.ClearEnvironment(t)
	w := &world{T: t, box: sandboxtest.New(t, vendorAccount, acmeAccount, globexAccount)}
	vendor := w.box.Account(vendorAccount)
	// The role that Lambda gives to the function is played by a user who may
	// assume it.
	service := vendor.User("lambda", policy("sts:AssumeRole", brokerRole))
	vendor.Role("example-broker", trust(vendorAccount), []string{readPolicy(t, "broker")})
	vendor.Role("example-probe", trust(brokerRole), []string{readPolicy(t, "probe")})
	vendor.Role("example-canary", trust(probeRole), nil)
	for customer, account := range map[string]string{"acme": acmeAccount, "globex": globexAccount} {
		w.putReport(account, customer+"-reports", "2026/q3.csv", customer+",42\n")
	}

	environment := w.environment()
	lookup := func(name string) (string, bool) { value, ok := environment[name]; return value, ok }
	prepareBucket(t, vendor.Config())
	w.broker = w.box.Assume(service, brokerRole)
	log := slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := newClient(lookup, w.broker, crossaccount.NewMemoryStorage(), log)
	if err != nil {
		t.Fatal(err)
	}
	w.function = &function{client: client, claim: "custom:customer_id", log: log}
	w.handler = lambda.NewHandler(w.function.handle)
	t.Cleanup(func() {
		for _, secret := range w.secrets {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the log contains the external ID %s:\n%s", secret, &w.log)
			}
		}
	})
	return w
}

// environment returns the function's variables as the README describes them.
func (w *world) environment() map[string]string {
	w.Helper()
	keys, err := crossaccount.GenerateKeySet(nil)
	if err != nil {
		w.Fatal(err)
	}
	exported, err := keys.Export()
	if err != nil {
		w.Fatal(err)
	}
	return map[string]string{
		"SERVICE_ACCOUNT_ID": vendorAccount,
		"TEMPLATE_S3_BUCKET": bucket,
		"CROSSACCOUNT_KEYS":  string(exported),
		"BROKER_ROLE_ARN":    brokerRole,
		"PROBE_ROLE_ARN":     probeRole,
		"CANARY_ROLE_ARN":    canaryRole,
	}
}

func prepareBucket(t *testing.T, administrator aws.Config) {
	t.Helper()
	client, err := crossaccount.New(&crossaccount.Config{
		ServiceName: "Example", ServiceAccountID: vendorAccount, AWSConfig: administrator, TemplateS3Bucket: bucket,
	}, crossaccount.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.PrepareTemplateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func readPolicy(t *testing.T, name string) string {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("policies", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

func trust(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"}]}`
}

func policy(action, resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}]}`
}

func (w *world) putReport(account, bucket, key, content string) {
	w.Helper()
	client := s3.NewFromConfig(w.box.Account(account).Config())
	if _, err := client.CreateBucket(w.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		w.Fatal(err)
	}
	if _, err := client.PutObject(w.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)}); err != nil {
		w.Fatal(err)
	}
}

// An event is what API Gateway sends, read from testdata. Changes may alter it.
type event map[string]any

func (w *world) read(name string) event {
	w.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		w.Fatal(err)
	}
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		w.Fatal(err)
	}
	return e
}

// with returns the event with another value of a field.
func (e event) with(field string, value any) event {
	e[field] = value
	return e
}

// from returns the event as if another customer had sent it.
func (e event) from(customer string) event {
	context := e["requestContext"].(map[string]any)
	context["authorizer"].(map[string]any)["claims"].(map[string]any)["custom:customer_id"] = customer
	return e
}

// An answer is what the function gives to API Gateway.
type answer struct{ events.APIGatewayProxyResponse }

// invoke sends an event through Lambda's own handler.
func (w *world) invoke(e event) answer {
	w.Helper()
	return w.invokeContext(w.Context(), e)
}

func (w *world) invokeContext(ctx context.Context, e event) answer {
	w.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		w.Fatal(err)
	}
	output, err := w.handler.Invoke(ctx, payload)
	if err != nil {
		w.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(output, &a.APIGatewayProxyResponse); err != nil {
		w.Fatal(err)
	}
	// Nothing that was sent comes back in a form that a browser could take for
	// part of a page.
	if a.Headers["Content-Type"] != "application/json" || a.Headers["X-Content-Type-Options"] != "nosniff" || strings.ContainsAny(a.Body, "<>\x00\r\n") {
		w.Errorf("an answer is not harmless: %v %q", a.Headers, a.Body)
	}
	return a
}

func (a answer) code() crossaccount.Code {
	var failure struct {
		Error struct{ Code crossaccount.Code }
	}
	if json.Unmarshal([]byte(a.Body), &failure) != nil {
		return ""
	}
	return failure.Error.Code
}

// want fails the test unless the event is answered so.
func (w *world) want(e event, status int, code crossaccount.Code) answer {
	w.Helper()
	a := w.invoke(e)
	if a.StatusCode != status || a.code() != code {
		w.Errorf("%v %v: status %d, code %q, want %d, %q\n%s", e["httpMethod"], e["path"], a.StatusCode, a.code(), status, code, a.Body)
	}
	return a
}

func (w *world) start(customer string) crossaccount.IntegrationResponse {
	w.Helper()
	a := w.want(w.read("start").from(customer).with("body", `{}`), 200, "")
	var started crossaccount.IntegrationResponse
	if err := json.Unmarshal([]byte(a.Body), &started); err != nil || started.ExternalID == "" {
		w.Fatalf("%v: %s", err, a.Body)
	}
	w.secrets = append(w.secrets, started.ExternalID)
	return started
}

// launch does what a customer does with the launch link in the AWS console.
func (w *world) launch(account, link string) (roleARN string) {
	w.Helper()
	l, err := crossaccount.ParseLaunchLink(link)
	if err != nil {
		w.Fatal(err)
	}
	create := &cloudformation.CreateStackInput{
		StackName: &l.StackName, TemplateURL: &l.TemplateURL,
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam},
	}
	for name, value := range l.Parameters {
		create.Parameters = append(create.Parameters, types.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)})
	}
	config := w.box.Account(account).Config()
	config.Region = l.Region
	client := cloudformation.NewFromConfig(config)
	if _, err := client.CreateStack(w.Context(), create); err != nil {
		w.Fatal(err)
	}
	described, err := client.DescribeStacks(w.Context(), &cloudformation.DescribeStacksInput{StackName: &l.StackName})
	if err != nil {
		w.Fatal(err)
	}
	for _, output := range described.Stacks[0].Outputs {
		if aws.ToString(output.OutputKey) == crossaccount.OutputRoleARN {
			return aws.ToString(output.OutputValue)
		}
	}
	w.Fatalf("the stack is %s and has no role", described.Stacks[0].StackStatus)
	return ""
}

func completion(roleARN string) string {
	body, err := json.Marshal(map[string]string{"role_arn": roleARN})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// onboardAcme takes Acme through everything.
func (w *world) onboardAcme() (roleARN string) {
	w.Helper()
	roleARN = w.launch(acmeAccount, w.start("acme").LaunchURL)
	w.want(w.read("complete"), 200, "")
	return roleARN
}

package grant_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// apiBody is an API with one method that asks for IAM authorization.
const apiBody = `
      Body:
        openapi: 3.0.1
        info: {title: api, version: "1"}
        components: {securitySchemes: {sigv4: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authtype: awsSigv4}}}
        paths:
          /items:
            get: &method
              security: [{sigv4: []}]
              responses: {"200": {description: done}}
              x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: '{"statusCode": 200}'}, responses: {default: {statusCode: "200"}}}
            post: *method
`

const apis = `
version: 1
accounts:
  shop: {id: "111111111111", regions: [us-east-1]}
  bi: {id: "333333333333", regions: [us-east-1]}
apps: {shop: {accounts: {alpha: shop}}}
consumers: {bi: {accounts: {testing: bi}, role: {name: reader}}}
resources:
  prices: {kind: rest-api, id_from: {stack: "shop-{stage}", output: ApiId}}
  orders:
    kind: rest-api
    name: orders
    create:` + apiBody + `
grants:
  - {name: prices, consumer: bi, resource: prices, access: read}
  - {name: orders, consumer: bi, resource: orders, access: read}
`

// otherStack creates an API that the manifest finds by an output.
const otherStack = `{"Resources": {"Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "prices", "Body": {
  "openapi": "3.0.1", "info": {"title": "prices", "version": "1"},
  "components": {"securitySchemes": {"sigv4": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"}}},
  "paths": {"/items": {"get": {"security": [{"sigv4": []}], "responses": {"200": {"description": "done"}},
    "x-amazon-apigateway-integration": {"type": "mock", "requestTemplates": {"application/json": "{\"statusCode\": 200}"}, "responses": {"default": {"statusCode": "200"}}}}}}}}}},
  "Outputs": {"ApiId": {"Value": {"Ref": "Api"}}}}`

// The commands of a plan are runnable as they stand: the scripts deploy both
// accounts with the aws CLI, the ids of an API that the plan creates and of one
// that another stack has created reach the consumer's policy by themselves,
// signed calls pass and others are refused, and afterwards everything is removed.
func TestScriptsDeployAndRemove(t *testing.T) {
	testenv.Tool(t, "aws")
	testenv.IsolateAWS(t)
	box := sandboxtest.New(t, "111111111111", "333333333333")
	shop := cloudformation.NewFromConfig(box.Account("111111111111").Config())
	if _, err := shop.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String("shop-alpha"), TemplateBody: aws.String(otherStack)}); err != nil {
		t.Fatal(err)
	}
	waiter := cloudformation.NewStackCreateCompleteWaiter(shop, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
	})
	out, err := waiter.WaitForOutput(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String("shop-alpha")}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	prices := *out.Stacks[0].Outputs[0].OutputValue
	bi := box.Account("333333333333")
	reader := box.Assume(bi.User("app", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`),
		bi.Role("reader", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:root"},"Action":"sts:AssumeRole"}]}`, nil))

	dir := t.TempDir()
	files, err := compile(t, []byte(apis), grant.CloudFormation).Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var profiles strings.Builder
	for name, id := range map[string]string{"shop": "111111111111", "bi": "333333333333"} {
		c := box.Account(id).Root()
		fmt.Fprintf(&profiles, "[profile %s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", name, c.AccessKeyID, c.SecretAccessKey)
	}
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte(profiles.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_ENDPOINT_URL=" + box.Serve(), "AWS_CONFIG_FILE=" + config,
		"AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(dir, "none"), "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "NO_PROXY=*"}
	run := func(script string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "sh", filepath.Join(dir, script))
		c.Env = environment
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}

	calls := func(api, method string, signed bool, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+api+".execute-api.us-east-1.amazonaws.com/alpha/items", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if signed {
			credentials, err := reader.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
			if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, nothing, "execute-api", "us-east-1", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := box.RoundTripper().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s %s, signed: %v: %d %s, want %d", method, api, signed, answer.StatusCode, body, want)
		}
	}

	run("deploy.sh")
	orders := ""
	list, err := shop.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Stacks {
		for _, o := range s.Outputs {
			if *s.StackName != "shop-alpha" && *o.OutputKey == "OrdersId" {
				orders = *o.OutputValue
			}
		}
	}
	for _, api := range []string{orders, prices} {
		calls(api, http.MethodGet, true, http.StatusOK)
		calls(api, http.MethodGet, false, http.StatusForbidden)
		calls(api, http.MethodPost, true, http.StatusForbidden)
	}
	run("deploy.sh") // again changes nothing
	calls(prices, http.MethodGet, true, http.StatusOK)

	run("remove.sh")
	calls(prices, http.MethodGet, true, http.StatusForbidden)
	left, err := shop.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{})
	if err != nil || len(left.Stacks) != 1 {
		t.Errorf("%d stacks are left, want that of the API that existed: %v", len(left.Stacks), err)
	}
}

// A change of an API's policy comes with another deployment, and a change that
// leaves the API alone does not.
func TestPolicyChangeDeploysAgain(t *testing.T) {
	deployment := func(manifest string) string {
		t.Helper()
		found := ""
		for _, s := range compile(t, []byte(manifest), grant.CloudFormation).Stacks() {
			if s.Template == nil {
				continue
			}
			for _, r := range s.Template.Resources {
				if r.Kind.Type() == "AWS::ApiGateway::Deployment" {
					found += r.ID
				}
			}
		}
		if found == "" {
			t.Fatal("there is no deployment")
		}
		return found
	}
	before := deployment(apis)
	for name, change := range map[string][2]string{
		"another access":        {"resource: orders, access: read}", "resource: orders, access: write}"},
		"a path":                {"resource: orders, access: read}", "resource: orders, access: read, only: {paths: [items]}}"},
		"another role":          {"role: {name: reader}", "role: {name: writer}"},
		"another method of API": {"post: *method", "put: *method"},
		"a preflight":           {"name: orders\n", "name: orders\n    cors: true\n"},
	} {
		changed := strings.Replace(apis, change[0], change[1], 1)
		if changed == apis {
			t.Fatalf("%s: nothing was changed", name)
		}
		if deployment(changed) == before {
			t.Errorf("%s: the API is not deployed again", name)
		}
	}
	same := strings.Replace(apis, "resource: prices, access: read}", "resource: prices, access: invoke}", 1)
	if same == apis || deployment(same) != before {
		t.Error("the API is deployed again although only another one changed")
	}
}

package services

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const apiTemplate = `{"Resources":{
	"API":{"Type":"AWS::ApiGateway::RestApi","Properties":{"Name":"orders","EndpointConfiguration":{"Types":["REGIONAL"]},"Policy":%s}},
	"Orders":{"Type":"AWS::ApiGateway::Resource","Properties":{"RestApiId":{"Ref":"API"},"ParentId":{"Fn::GetAtt":["API","RootResourceId"]},"PathPart":"orders"}},
	"Get":{"Type":"AWS::ApiGateway::Method","Properties":{"RestApiId":{"Ref":"API"},"ResourceId":{"Ref":"Orders"},"HttpMethod":"GET","AuthorizationType":"AWS_IAM",
		"MethodResponses":[{"StatusCode":"200"}],
		"Integration":{"Type":"MOCK","RequestTemplates":{"application/json":"{\"statusCode\": 200}"},"IntegrationResponses":[{"StatusCode":"200","ResponseTemplates":{"application/json":"%s"}}]}}},
	"Deployment%s":{"Type":"AWS::ApiGateway::Deployment","DependsOn":"Get","Properties":{"RestApiId":{"Ref":"API"}}},
	"Stage":{"Type":"AWS::ApiGateway::Stage","Properties":{"RestApiId":{"Ref":"API"},"StageName":"alpha","DeploymentId":{"Ref":"Deployment%s"},"Tags":[{"Key":"app","Value":"orders"}]}}},
	"Outputs":{"Id":{"Value":{"Ref":"API"}}}}`

// The API's stack tells its id, the consumer's stack takes it: two phases.
func TestRESTAPIStacks(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	producer := cloudformation.NewFromConfig(box.Account(owner).User("admin", allowAll))
	consumer := cloudformation.NewFromConfig(box.Account(friend).User("admin", allowAll))
	policy := apiPolicy(friend, "arn:aws:iam::222222222222:role/shop-*", "execute-api:/alpha/GET/orders")
	body := func(policy, answer, deployment string) *string {
		return aws.String(fmt.Sprintf(apiTemplate, policy, answer, deployment, deployment))
	}
	if _, err := producer.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("api"), TemplateBody: body(policy, "one", "1")}); err != nil {
		t.Fatal(err)
	}
	shown, err := producer.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("api")})
	if err != nil || len(shown.Stacks[0].Outputs) != 1 {
		t.Fatalf("%+v %v", shown, err)
	}
	id := shown.Stacks[0].Outputs[0].OutputValue
	role := `{"Parameters":{"ApiId":{"Type":"String"}},"Resources":{"Role":{"Type":"AWS::IAM::Role","Properties":{"RoleName":"shop-web","AssumeRolePolicyDocument":` + friendTrust + `,
		"Policies":[{"PolicyName":"invoke","PolicyDocument":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"execute-api:Invoke","Resource":{"Fn::Sub":"arn:aws:execute-api:us-east-1:111111111111:${ApiId}/alpha/GET/orders"}}}}]}}}}`
	if _, err := consumer.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("shop"), TemplateBody: &role, Capabilities: []cftypes.Capability{cftypes.CapabilityCapabilityNamedIam},
		Parameters: []cftypes.Parameter{{ParameterKey: aws.String("ApiId"), ParameterValue: id}}}); err != nil {
		t.Fatal(err)
	}
	app := box.Assume(box.Account(friend).User("starter", allowAssume), "arn:aws:iam::222222222222:role/shop-web")
	in := invocation{url: "https://" + *id + ".execute-api.us-east-1.amazonaws.com/alpha/orders", config: app}
	want := func(why string, status int, body string) {
		t.Helper()
		if got, answer, _ := in.send(t, box.Client()); got != status || body != "" && answer != body {
			t.Fatalf("%s: %d %s", why, got, answer)
		}
	}
	want("both stacks", 200, "one")
	update := func(body *string) {
		t.Helper()
		if _, err := producer.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("api"), TemplateBody: body}); err != nil {
			t.Fatal(err)
		}
		shown, err := producer.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("api")})
		if err != nil || shown.Stacks[0].StackStatus != "UPDATE_COMPLETE" {
			t.Fatalf("%+v %v", shown, err)
		}
	}
	nobody := apiPolicy(owner, "", "execute-api:/*")
	update(body(nobody, "two", "1"))
	want("the same deployment", 200, "one")
	update(body(nobody, "two", "2"))
	want("a new deployment", 403, "")
	update(body(policy, "two", "3"))
	want("the policy again", 200, "two")
	for _, stack := range []struct {
		client *cloudformation.Client
		name   string
	}{{consumer, "shop"}, {producer, "api"}} {
		if _, err := stack.client.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &stack.name}); err != nil {
			t.Fatal(err)
		}
	}
	in.config = box.Account(owner).Config()
	want("deleted", 403, `{"message":"Forbidden"}`)
	apis, err := apigateway.NewFromConfig(in.config).GetRestApis(ctx, &apigateway.GetRestApisInput{})
	if err != nil || len(apis.Items) != 0 {
		t.Fatalf("left over: %+v %v", apis, err)
	}
}

const apiDocument = `{"openapi":"3.0.1","info":{"title":"orders","version":"1"},
	"components":{"securitySchemes":{"sigv4":{"type":"apiKey","name":"Authorization","in":"header","x-amazon-apigateway-authtype":"awsSigv4"}}},
	"paths":{"/orders/{id}":{
		"get":{"security":[{"sigv4":[]}],"responses":{"200":{"description":"an order"}},
			"x-amazon-apigateway-integration":{"type":"mock","requestTemplates":{"application/json":"{\"statusCode\": 200}"},"responses":{"default":{"statusCode":"200","responseTemplates":{"application/json":"order $input.params('id')"}}}}},
		"options":{"responses":{"204":{"description":"what may be sent","headers":{"Access-Control-Allow-Origin":{"schema":{"type":"string"}}}}},
			"x-amazon-apigateway-integration":{"type":"mock","passthroughBehavior":"when_no_match","requestTemplates":{"application/json":"{\"statusCode\": 204}"},"responses":{"default":{"statusCode":204,"responseParameters":{"method.response.header.Access-Control-Allow-Origin":"'*'"}}}}}}}}`

// An API may come from an OpenAPI document.
func TestRESTAPIFromDocument(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	stacks := cloudformation.NewFromConfig(config)
	body := `{"Resources":{
		"API":{"Type":"AWS::ApiGateway::RestApi","Properties":{"Name":"orders","Body":` + apiDocument + `,"Policy":` + apiPolicy(friend, "", "execute-api:/alpha/GET/orders/*") + `}},
		"Deployment":{"Type":"AWS::ApiGateway::Deployment","Properties":{"RestApiId":{"Ref":"API"}}},
		"Stage":{"Type":"AWS::ApiGateway::Stage","Properties":{"RestApiId":{"Ref":"API"},"StageName":"alpha","DeploymentId":{"Ref":"Deployment"}}}},
		"Outputs":{"Id":{"Value":{"Ref":"API"}}}}`
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("api"), TemplateBody: &body}); err != nil {
		t.Fatal(err)
	}
	shown, err := stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("api")})
	if err != nil || len(shown.Stacks[0].Outputs) != 1 {
		t.Fatalf("%+v %v", shown, err)
	}
	api := &restAPI{t, apigateway.NewFromConfig(config, func(o *apigateway.Options) { o.Retryer = aws.NopRetryer{} }), *shown.Stacks[0].Outputs[0].OutputValue}
	app := box.Account(friend).User("app", allowInvoke)
	for _, test := range []struct {
		in     invocation
		status int
		body   string
	}{
		{invocation{url: api.url("/orders/7"), config: app}, 200, "order 7"},
		{invocation{url: api.url("/orders/7")}, 403, `{"message":"Missing Authentication Token"}`},
		{invocation{url: api.url("/orders"), config: app}, 403, `{"message":"Missing Authentication Token"}`},
	} {
		if status, body, _ := test.in.send(t, box.Client()); status != test.status || body != test.body {
			t.Errorf("%s: %d %s", test.in.url, status, body)
		}
	}
	if status, body, _ := (invocation{method: "OPTIONS", url: api.url("/orders/7")}).send(t, box.Client()); status != 403 {
		t.Errorf("the policy admits only signed requests: %d %s", status, body)
	}
	api.deploy("")
	if status, _, header := (invocation{method: "OPTIONS", url: api.url("/orders/7")}).send(t, box.Client()); status != 204 || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight: %d %v", status, header)
	}
	for name, test := range map[string]struct{ document, want string }{
		"not OpenAPI":        {`{"info":{}}`, "BadRequestException"},
		"another scheme":     {strings.Replace(apiDocument, "awsSigv4", "custom", 1), "NotImplemented"},
		"a policy inside":    {strings.Replace(apiDocument, `"info"`, `"x-amazon-apigateway-policy":{},"info"`, 1), "NotImplemented"},
		"HTTP integrations":  {strings.Replace(apiDocument, `"mock"`, `"http"`, 1), "NotImplemented"},
		"undeclared status":  {strings.Replace(apiDocument, `"statusCode":"200"`, `"statusCode":"201"`, 1), "NotFoundException"},
		"the same once more": {apiDocument, ""},
	} {
		_, err := api.client.PutRestApi(ctx, &apigateway.PutRestApiInput{RestApiId: &api.id, Mode: types.PutModeOverwrite, Body: []byte(test.document)})
		if got := code(t, err); got != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	resources, err := api.client.GetResources(ctx, &apigateway.GetResourcesInput{RestApiId: &api.id})
	if err != nil || len(resources.Items) != 3 {
		t.Errorf("%+v %v", resources, err)
	}
}

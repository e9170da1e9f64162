package services

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// sayWho answers an API's event with who called what, and with what is missing
// from the event.
func sayWho(_ context.Context, in sandbox.Invocation) ([]byte, error) {
	var event struct {
		Resource       string            `json:"resource"`
		HTTPMethod     string            `json:"httpMethod"`
		PathParameters map[string]string `json:"pathParameters"`
		Query          map[string]string `json:"queryStringParameters"`
		Headers        map[string]string `json:"headers"`
		Body           string            `json:"body"`
		RequestContext struct {
			Identity struct {
				UserARN string `json:"userArn"`
			} `json:"identity"`
		} `json:"requestContext"`
	}
	if err := json.Unmarshal(in.Payload, &event); err != nil {
		return nil, err
	}
	switch {
	case event.Headers["Authorization"] != "" || event.Headers["X-Amz-Security-Token"] != "":
		return nil, errors.New("the event shows the signature")
	case event.Query["fail"] != "":
		return nil, errors.New("asked to fail")
	case event.Query["nonsense"] != "":
		return []byte(`"nonsense"`), nil
	}
	return json.Marshal(map[string]any{
		"statusCode": 201, "headers": map[string]any{"X-App": "orders"},
		"body": event.HTTPMethod + " " + event.Resource + " " + event.PathParameters["id"] + event.Body + " " + event.RequestContext.Identity.UserARN,
	})
}

// An API calls its function in its own name, with a role, or as the caller, who
// then needs permissions for the function besides those for the API.
func TestRESTAPIWithFunction(t *testing.T) {
	const (
		gateway = "apigateway.amazonaws.com"
		trusts  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"sts:AssumeRole"}}`
		invokes = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*"}}`
		both    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["execute-api:Invoke","lambda:InvokeFunction"],"Resource":"*"}}`
	)
	const answer = "GET /orders/{id} 7 arn:aws:iam::222222222222:user/app"
	for _, test := range []struct {
		name, credentials, principal, source, identity, query string
		want                                                  int
	}{
		{name: "permission for the API", principal: gateway, source: "/*/GET/orders/*", want: 201},
		{name: "permission for another method", principal: gateway, source: "/*/POST/orders/*", want: 500},
		{name: "no permission", want: 500},
		{name: "with a role", credentials: "arn:aws:iam::111111111111:role/calls", want: 201},
		{name: "as the caller", credentials: "arn:aws:iam::*:user/*", principal: friend, identity: both, want: 201},
		{name: "as the caller, without permission", credentials: "arn:aws:iam::*:user/*", principal: gateway, identity: both, want: 500},
		{name: "as the caller, without identity policy", credentials: "arn:aws:iam::*:user/*", principal: friend, want: 500},
		{name: "the function fails", principal: gateway, query: "?fail=1", want: 502},
		{name: "the function answers nonsense", principal: gateway, query: "?nonsense=1", want: 502},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			box.RegisterFunction("handle", sayWho)
			admin := box.Account(owner).User("admin", allowAll)
			newFunction(t, admin, box.Account(owner).Role("runs", trustsLambda, nil), "index.handler")
			box.Account(owner).Role("calls", trusts, []string{invokes})
			api := newAPI(t, admin)
			if test.principal != "" {
				in := &lambda.AddPermissionInput{FunctionName: aws.String("handle"), StatementId: aws.String("api"), Action: aws.String("lambda:InvokeFunction"), Principal: &test.principal}
				if test.source != "" {
					in.SourceArn = aws.String("arn:aws:execute-api:us-east-1:111111111111:" + api.id + test.source)
				}
				if _, err := lambda.NewFromConfig(admin).AddPermission(ctx, in); err != nil {
					t.Fatal(err)
				}
			}
			integrate(t, api, "/orders/{id}", "GET", test.credentials)
			api.deploy(apiPolicy(friend, "", "execute-api:/*"))
			identity := allowInvoke
			if test.identity != "" {
				identity = test.identity
			}
			status, body, header := invocation{url: api.url("/orders/7" + test.query), config: box.Account(friend).User("app", identity)}.send(t, box.Client())
			if status != test.want || status == 201 && (body != answer || header.Get("X-App") != "orders") {
				t.Errorf("%d %s %v", status, body, header)
			}
		})
	}
}

// integrate lets the function answer for a method.
func integrate(t *testing.T, api *restAPI, path, verb, credentials string) {
	t.Helper()
	resources, err := api.client.GetResources(ctx, &apigateway.GetResourcesInput{RestApiId: &api.id})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resources.Items {
		if *r.Path != path {
			continue
		}
		in := &apigateway.PutIntegrationInput{RestApiId: &api.id, ResourceId: r.Id, HttpMethod: &verb, Type: types.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"),
			Uri: aws.String("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" + functionARN + "/invocations")}
		if credentials != "" {
			in.Credentials = &credentials
		}
		if _, err := api.client.PutIntegration(ctx, in); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no resource %s", path)
}

// To give an API a role takes iam:PassRole.
func TestRESTAPIPassRole(t *testing.T) {
	box := sandboxtest.New(t, owner)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	role := box.Account(owner).Role("calls", ownerTrust, nil)
	client := apigateway.NewFromConfig(box.Account(owner).User("developer", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"apigateway:*","Resource":"*"}}`))
	resources, err := client.GetResources(ctx, &apigateway.GetResourcesInput{RestApiId: &api.id, Embed: []string{"methods"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resources.Items {
		if *r.Path == "/orders" {
			_, err = client.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: &api.id, ResourceId: r.Id, HttpMethod: aws.String("GET"), Type: types.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"),
				Uri: aws.String("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" + functionARN + "/invocations"), Credentials: &role})
			wantCode(t, err, "AccessDeniedException")
			return
		}
	}
	t.Fatal("no resource /orders")
}

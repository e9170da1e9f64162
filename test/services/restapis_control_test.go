package services

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// The control plane asks for the HTTP method on the path, as in AWS.
func TestRESTAPIControlPlaneRights(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	policy := apiPolicy(friend, "", "execute-api:/*")
	may := func(name, statements string) *restAPI {
		return &restAPI{t, apigateway.NewFromConfig(box.Account(owner).User(name, `{"Version":"2012-10-17","Statement":[`+statements+`]}`)), api.id}
	}
	allow := func(action, path string) string {
		return `{"Effect":"Allow","Action":"apigateway:` + action + `","Resource":"arn:aws:apigateway:us-east-1::` + path + `"}`
	}
	reader := may("reader", allow("GET", "/restapis/"+api.id))
	shown, err := reader.client.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: &api.id})
	if err != nil || *shown.Name != "orders" || shown.Policy != nil {
		t.Fatalf("%+v %v", shown, err)
	}
	wantCode(t, reader.setPolicy(policy), "AccessDeniedException")
	_, err = reader.client.GetResources(ctx, &apigateway.GetResourcesInput{RestApiId: &api.id})
	wantCode(t, err, "AccessDeniedException")
	// To know whether an API exists takes a permission for it.
	_, err = reader.client.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: aws.String("a1b2c3d4e5")})
	wantCode(t, err, "AccessDeniedException")
	_, err = api.client.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: aws.String("a1b2c3d4e5")})
	wantCode(t, err, "NotFoundException")
	// A policy needs a permission of its own.
	patcher := may("patcher", allow("PATCH", "/restapis/*"))
	wantCode(t, patcher.setPolicy(policy), "AccessDeniedException")
	wantCode(t, may("publisher", allow("PATCH", "/restapis/*")+","+allow("UpdateRestApiPolicy", "/restapis/*")).setPolicy(policy), "")
	_, err = may("maker", allow("POST", "/restapis")).client.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("x"), Tags: map[string]string{"app": "orders"}})
	wantCode(t, err, "AccessDeniedException")
	// The policy is shown with its resources in full.
	shown, err = reader.client.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: &api.id})
	if err != nil || !strings.Contains(*shown.Policy, `\"Resource\":\"arn:aws:execute-api:us-east-1:111111111111:`+api.id+`\/*\"`) {
		t.Fatalf("%v %v", aws.ToString(shown.Policy), err)
	}
	// Nobody of another account works on an API, and another region has none of it.
	_, err = apigateway.NewFromConfig(box.Account(friend).User("stranger", allowAll)).GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: &api.id})
	wantCode(t, err, "NotFoundException")
	_, err = api.client.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: &api.id}, func(o *apigateway.Options) { o.Region = "eu-west-1" })
	wantCode(t, err, "NotFoundException")
	list, err := api.client.GetRestApis(ctx, &apigateway.GetRestApisInput{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
}

func TestRESTAPIPolicyChecks(t *testing.T) {
	box := sandboxtest.New(t, owner)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	for _, test := range []struct{ name, policy, want string }{
		{"not JSON", "{", "BadRequestException"},
		{"another service", strings.Replace(apiPolicy(owner, "", "execute-api:/*"), "execute-api:Invoke", "s3:GetObject", 1), "BadRequestException"},
		{"a role that does not exist", apiPolicy("arn:aws:iam::111111111111:role/ghost", "", "execute-api:/*"), "BadRequestException"},
		{"too long", apiPolicy(owner, "", "execute-api:/*") + strings.Repeat(" ", 8192), "BadRequestException"},
		{"well", apiPolicy(owner, "", "execute-api:/*"), ""},
	} {
		t.Run(test.name, func(t *testing.T) { wantCode(t, api.setPolicy(test.policy), test.want) })
	}
}

// What the sandbox does not have says so.
func TestRESTAPINotImplemented(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := apigateway.NewFromConfig(box.Account(owner).User("admin", allowAll), func(o *apigateway.Options) { o.Retryer = aws.NopRetryer{} })
	api, err := client.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("x")})
	if err != nil {
		t.Fatal(err)
	}
	resource := api.RootResourceId
	for name, call := range map[string]func() error{
		"private": func() error {
			_, err := client.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("x"), EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{types.EndpointTypePrivate}}})
			return err
		},
		"authorizers": func() error {
			_, err := client.PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: api.Id, ResourceId: resource, HttpMethod: aws.String("PUT"), AuthorizationType: aws.String("CUSTOM")})
			return err
		},
		"HTTP integrations": func() error {
			if _, err := client.PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: api.Id, ResourceId: resource, HttpMethod: aws.String("GET"), AuthorizationType: aws.String("AWS_IAM")}); err != nil {
				return err
			}
			_, err := client.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: api.Id, ResourceId: resource, HttpMethod: aws.String("GET"), Type: types.IntegrationTypeHttp, Uri: aws.String("https://shop.example")})
			return err
		},
		"templates with directives": func() error {
			if _, err := client.PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: api.Id, ResourceId: resource, HttpMethod: aws.String("POST"), AuthorizationType: aws.String("AWS_IAM")}); err != nil {
				return err
			}
			_, err := client.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: api.Id, ResourceId: resource, HttpMethod: aws.String("POST"), Type: types.IntegrationTypeMock, RequestTemplates: map[string]string{"application/json": `#set($x = 1) {"statusCode":200}`}})
			return err
		},
		"API keys": func() error {
			_, err := client.CreateApiKey(ctx, &apigateway.CreateApiKeyInput{Name: aws.String("x")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, call(), "NotImplemented") })
	}
}

func TestRESTAPITags(t *testing.T) {
	box := sandboxtest.New(t, owner)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	arn := aws.String("arn:aws:apigateway:us-east-1::/restapis/" + api.id)
	if _, err := api.client.TagResource(ctx, &apigateway.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"app": "orders", "stage": "alpha"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.client.UntagResource(ctx, &apigateway.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"stage"}}); err != nil {
		t.Fatal(err)
	}
	got, err := api.client.GetTags(ctx, &apigateway.GetTagsInput{ResourceArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"app": "orders"}, got.Tags); diff != "" {
		t.Error(diff)
	}
	// Tags decide who may change the API.
	tagged := apigateway.NewFromConfig(box.Account(owner).User("tagged", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"apigateway:DELETE","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/app":"orders"}}}}`))
	other, err := api.client.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("other")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tagged.DeleteRestApi(ctx, &apigateway.DeleteRestApiInput{RestApiId: other.Id})
	wantCode(t, err, "AccessDeniedException")
	_, err = tagged.DeleteRestApi(ctx, &apigateway.DeleteRestApiInput{RestApiId: &api.id})
	wantCode(t, err, "")
}

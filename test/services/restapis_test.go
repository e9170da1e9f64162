package services

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	friendTrust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"sts:AssumeRole"}}`
	ownerTrust  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole"}}`
	allowInvoke = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"}}`
	allowAssume = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`
)

// A restAPI is an API of the owner's with these methods, of which open and the
// preflight need no signature.
type restAPI struct {
	t      *testing.T
	client *apigateway.Client
	id     string
}

var methods = map[string][]string{
	"/":                {"GET"},
	"/orders":          {"GET", "POST", "OPTIONS"},
	"/orders/{id}":     {"GET", "HEAD"},
	"/orders/latest":   {"GET"},
	"/files/{proxy+}":  {"ANY"},
	"/open":            {"GET"},
	"/orders/{id}/pay": {"POST"},
}

func newAPI(t *testing.T, config aws.Config) *restAPI {
	t.Helper()
	client := apigateway.NewFromConfig(config)
	made, err := client.CreateRestApi(ctx, &apigateway.CreateRestApiInput{Name: aws.String("orders"), EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{types.EndpointTypeRegional}}})
	if err != nil {
		t.Fatal(err)
	}
	a := &restAPI{t, client, *made.Id}
	ids := map[string]string{"/": *made.RootResourceId}
	var resource func(path string) string
	resource = func(path string) string {
		if id, ok := ids[path]; ok {
			return id
		}
		i := strings.LastIndexByte(path, '/')
		parent := path[:i]
		if i == 0 {
			parent = "/"
		}
		out, err := client.CreateResource(ctx, &apigateway.CreateResourceInput{RestApiId: &a.id, ParentId: aws.String(resource(parent)), PathPart: aws.String(path[i+1:])})
		if err != nil {
			t.Fatal(err)
		}
		if *out.Path != path {
			t.Fatalf("path %s, want %s", *out.Path, path)
		}
		ids[path] = *out.Id
		return *out.Id
	}
	for path, verbs := range methods {
		for _, verb := range verbs {
			authorization := "AWS_IAM"
			if verb == "OPTIONS" || path == "/open" {
				authorization = "NONE"
			}
			a.method(resource(path), verb, authorization)
		}
	}
	return a
}

// method makes a method that answers who calls it how.
func (a *restAPI) method(resource, verb, authorization string) {
	a.t.Helper()
	must := func(_ any, err error) {
		a.t.Helper()
		if err != nil {
			a.t.Fatal(err)
		}
	}
	must(a.client.PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: &a.id, ResourceId: &resource, HttpMethod: &verb, AuthorizationType: &authorization}))
	must(a.client.PutMethodResponse(ctx, &apigateway.PutMethodResponseInput{RestApiId: &a.id, ResourceId: &resource, HttpMethod: &verb, StatusCode: aws.String("200"),
		ResponseParameters: map[string]bool{"method.response.header.Access-Control-Allow-Origin": true}}))
	must(a.client.PutIntegration(ctx, &apigateway.PutIntegrationInput{RestApiId: &a.id, ResourceId: &resource, HttpMethod: &verb, Type: types.IntegrationTypeMock,
		RequestTemplates: map[string]string{"application/json": `{"statusCode": 200}`}}))
	must(a.client.PutIntegrationResponse(ctx, &apigateway.PutIntegrationResponseInput{RestApiId: &a.id, ResourceId: &resource, HttpMethod: &verb, StatusCode: aws.String("200"),
		ResponseParameters: map[string]string{"method.response.header.Access-Control-Allow-Origin": "'https://shop.example'"},
		ResponseTemplates:  map[string]string{"application/json": "$context.httpMethod $context.resourcePath $input.params('id')$input.params('proxy') $context.identity.userArn"}}))
}

func (a *restAPI) setPolicy(policy string) error {
	op := types.PatchOperation{Op: types.OpReplace, Path: aws.String("/policy"), Value: &policy}
	if policy == "" {
		op = types.PatchOperation{Op: types.OpRemove, Path: aws.String("/policy")}
	}
	_, err := a.client.UpdateRestApi(ctx, &apigateway.UpdateRestApiInput{RestApiId: &a.id, PatchOperations: []types.PatchOperation{op}})
	return err
}

// deploy shows the API as it is on the stage alpha.
func (a *restAPI) deploy(policy string) {
	a.t.Helper()
	if err := a.setPolicy(policy); err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.client.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: &a.id, StageName: aws.String("alpha")}); err != nil {
		a.t.Fatal(err)
	}
}

func (a *restAPI) url(path string) string {
	return "https://" + a.id + ".execute-api.us-east-1.amazonaws.com/alpha" + path
}

// An invocation is a request to an API. The zero one is an unsigned GET.
type invocation struct {
	method  string
	url     string
	config  aws.Config // signs if it has credentials
	service string     // execute-api unless given
	region  string
	at      time.Time
	header  http.Header
}

func (in invocation) send(t *testing.T, client *http.Client) (status int, body string, header http.Header) {
	t.Helper()
	if in.method == "" {
		in.method = http.MethodGet
	}
	payload := ""
	if in.method == http.MethodPost {
		payload = `{"item":"tea"}`
	}
	r, err := http.NewRequest(in.method, in.url, strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range in.header {
		r.Header[name] = values
	}
	if in.config.Credentials != nil {
		credentials, err := in.config.Credentials.Retrieve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		service, region, at := "execute-api", "us-east-1", time.Now()
		if in.service != "" {
			service = in.service
		}
		if in.region != "" {
			region = in.region
		}
		if !in.at.IsZero() {
			at = in.at
		}
		hash := sha256.Sum256([]byte(payload))
		if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(hash[:]), service, region, at); err != nil {
			t.Fatal(err)
		}
	}
	out, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out.StatusCode, string(data), out.Header
}

// apiPolicy admits an account's principals whose ARNs match.
func apiPolicy(account, principalARN, resource string) string {
	condition := ""
	if principalARN != "" {
		condition = `,"Condition":{"ArnLike":{"aws:PrincipalArn":"` + principalARN + `"}}`
	}
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"execute-api:Invoke","Resource":"` + resource + `"` + condition + `}}`
}

// Who may call an API is decided by the caller's own account and by the API's
// policy: both must allow across accounts, one is enough within.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
func TestRESTAPIAccess(t *testing.T) {
	const (
		nothing  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
		denied   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"execute-api:*","Resource":"*"},{"Effect":"Deny","Action":"execute-api:*","Resource":"*"}]}`
		onlyBeta = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:us-east-1:111111111111:*/beta/*"}}`
		onlyRead = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:us-east-1:111111111111:*/alpha/GET/*"}}`
		deny     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/POST/*"}]}`
	)
	web := "arn:aws:iam::222222222222:role/alpha-web"
	read := "execute-api:/alpha/GET/orders"
	for _, test := range []struct {
		name, account, role, identity, policy, method string
		want                                          int
	}{
		{name: "direct, narrowed to a role", account: friend, role: "alpha-web", identity: allowInvoke, policy: apiPolicy(friend, web, read), want: 200},
		{name: "direct, another role", account: friend, role: "alpha-job", identity: allowInvoke, policy: apiPolicy(friend, web, read), want: 403},
		{name: "direct, prefix of role names", account: friend, role: "alpha-job", identity: allowInvoke, policy: apiPolicy(friend, "arn:aws:iam::222222222222:role/alpha-*", read), want: 200},
		{name: "direct, outside the prefix", account: friend, role: "beta-job", identity: allowInvoke, policy: apiPolicy(friend, "arn:aws:iam::222222222222:role/alpha-*", read), want: 403},
		{name: "direct, role named", account: friend, role: "alpha-web", identity: allowInvoke, policy: apiPolicy(web, "", read), want: 200},
		{name: "direct, role named, no identity policy", account: friend, role: "alpha-web", identity: nothing, policy: apiPolicy(web, "", read), want: 403},
		{name: "direct, identity policy for another stage", account: friend, role: "alpha-web", identity: onlyBeta, policy: apiPolicy(friend, "", read), want: 403},
		{name: "direct, no resource policy", account: friend, role: "alpha-web", identity: allowInvoke, want: 403},
		{name: "direct, another method", account: friend, role: "alpha-web", identity: allowInvoke, policy: apiPolicy(friend, "", read), method: "POST", want: 403},
		{name: "direct, another stage", account: friend, role: "alpha-web", identity: allowInvoke, policy: apiPolicy(friend, "", "execute-api:/beta/GET/orders"), want: 403},
		{name: "direct, another path", account: friend, role: "alpha-web", identity: allowInvoke, policy: apiPolicy(friend, "", "execute-api:/alpha/GET/orders/*"), want: 403},
		{name: "direct, method of the caller's policy", account: friend, role: "alpha-web", identity: onlyRead, policy: apiPolicy(friend, "", "execute-api:/*"), method: "POST", want: 403},
		{name: "direct, everything", account: friend, role: "alpha-web", identity: onlyRead, policy: apiPolicy(friend, "", "execute-api:/*"), want: 200},
		{name: "denied by the API", account: friend, role: "alpha-web", identity: allowInvoke, policy: deny, method: "POST", want: 403},
		{name: "not denied by the API", account: friend, role: "alpha-web", identity: allowInvoke, policy: deny, want: 200},
		{name: "same account, identity policy alone", account: owner, role: "alpha-web", identity: allowInvoke, want: 200},
		{name: "same account, API's policy for others", account: owner, role: "alpha-web", identity: allowInvoke, policy: apiPolicy(friend, "", read), want: 200},
		{name: "same account, API's policy alone", account: owner, role: "alpha-web", identity: nothing, policy: apiPolicy("arn:aws:iam::111111111111:role/alpha-web", "", read), want: 200},
		{name: "same account, neither", account: owner, role: "alpha-web", identity: nothing, policy: apiPolicy(friend, "", read), want: 403},
		{name: "same account, denied by identity policy", account: owner, role: "alpha-web", identity: denied, policy: apiPolicy("arn:aws:iam::111111111111:role/alpha-web", "", read), want: 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			api := newAPI(t, box.Account(owner).User("admin", allowAll))
			account, trust := box.Account(test.account), friendTrust
			if test.account == owner {
				trust = ownerTrust
			}
			caller := box.Assume(account.User("starter", allowAssume), account.Role(test.role, trust, []string{test.identity}))
			api.deploy(test.policy)
			status, body, _ := invocation{method: test.method, url: api.url("/orders"), config: caller}.send(t, box.Client())
			if status != test.want {
				t.Fatalf("%d %s", status, body)
			}
			method := "GET"
			if test.method != "" {
				method = test.method
			}
			session := "arn:aws:sts::" + test.account + ":assumed-role/" + test.role + "/test"
			want := method + " /orders  " + session
			if status == 403 {
				want = `{"Message":"User: ` + session + ` is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:us-east-1:********1111:` + api.id + `/alpha/` + method + `/orders`
				if strings.Contains(test.name, "denied") {
					want += ` with an explicit deny`
				}
				want += `"}`
			}
			if diff := cmp.Diff(want, body); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// The consumer's account may use a role of the API's account that only reads.
func TestRESTAPIThroughReadOnlyRole(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	api.deploy("")
	arn := "arn:aws:execute-api:us-east-1:111111111111:" + api.id + "/alpha/"
	role := box.Account(owner).Role("readonly-invoke-alpha-orders-by-shop-testing", friendTrust, []string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"execute-api:Invoke","Resource":["` + arn + `GET/*","` + arn + `HEAD/*"]}}`,
	})
	consumer := box.Account(friend).User("app", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+role+`"}}`)
	session := box.Assume(consumer, role)
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/orders", 200}, {"GET", "/orders/7", 200}, {"HEAD", "/orders/7", 200}, {"POST", "/orders", 403}, {"POST", "/orders/7/pay", 403},
		{"GET", "/files/a/b", 200}, {"PUT", "/files/a/b", 403},
	} {
		status, body, _ := invocation{method: test.method, url: api.url(test.path), config: session}.send(t, box.Client())
		if status != test.want {
			t.Errorf("%s %s: %d %s", test.method, test.path, status, body)
		}
	}
	// The consumer itself, without the role, comes from another account.
	if status, body, _ := (invocation{url: api.url("/orders"), config: consumer}).send(t, box.Client()); status != 403 {
		t.Errorf("without the role: %d %s", status, body)
	}
}

func TestRESTAPIPolicyTakesEffectWithDeployment(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	api := newAPI(t, admin)
	consumer := invocation{url: api.url("/orders"), config: box.Account(friend).User("app", allowInvoke)}
	want := func(why string, status int) {
		t.Helper()
		if got, body, _ := consumer.send(t, box.Client()); got != status {
			t.Fatalf("%s: %d %s", why, got, body)
		}
	}
	want("nothing is deployed", 403)
	api.deploy("")
	want("deployed without a policy", 403)
	if err := api.setPolicy(apiPolicy(friend, "", "execute-api:/*")); err != nil {
		t.Fatal(err)
	}
	want("the policy is not deployed", 403)
	first, err := api.client.GetStage(ctx, &apigateway.GetStageInput{RestApiId: &api.id, StageName: aws.String("alpha")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.client.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: &api.id}); err != nil {
		t.Fatal(err)
	}
	want("the deployment is on no stage", 403)
	api.deploy(apiPolicy(friend, "", "execute-api:/*"))
	want("deployed", 200)
	if err := api.setPolicy(""); err != nil {
		t.Fatal(err)
	}
	want("the removal is not deployed", 200)
	_, err = api.client.UpdateStage(ctx, &apigateway.UpdateStageInput{RestApiId: &api.id, StageName: aws.String("alpha"), PatchOperations: []types.PatchOperation{
		{Op: types.OpReplace, Path: aws.String("/deploymentId"), Value: first.DeploymentId},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want("back to the first deployment", 403)
	_, err = api.client.DeleteDeployment(ctx, &apigateway.DeleteDeploymentInput{RestApiId: &api.id, DeploymentId: first.DeploymentId})
	wantCode(t, err, "BadRequestException")
}

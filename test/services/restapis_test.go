package services

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/internal/testenv"
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

// What cannot be signed for is refused in API Gateway's words.
func TestRESTAPIRefusals(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	api.deploy("")
	user := box.Account(owner).User("app", allowInvoke)
	thief := box.Account(owner).UserCredentials("thief", allowInvoke)
	thief.SecretAccessKey = "wrong" + thief.SecretAccessKey
	stranger := thief
	stranger.AccessKeyID = "AKIAIOSFODNN7EXAMPLE"
	const missing = `{"message":"Missing Authentication Token"}`
	for _, test := range []struct {
		name string
		in   invocation
		want string
	}{
		{"unsigned", invocation{url: api.url("/orders")}, missing},
		{"unknown path", invocation{url: api.url("/nothing"), config: user}, missing},
		{"unknown path, unsigned", invocation{url: api.url("/nothing")}, missing},
		{"unknown method", invocation{url: api.url("/orders"), method: "DELETE", config: user}, missing},
		{"a slash too many", invocation{url: api.url("/orders/"), config: user}, missing},
		{"unknown stage", invocation{url: strings.Replace(api.url("/orders"), "alpha", "beta", 1), config: user}, `{"message":"Forbidden"}`},
		{"unknown API", invocation{url: strings.Replace(api.url("/orders"), api.id, "a1b2c3d4e5", 1), config: user}, `{"message":"Forbidden"}`},
		{"API of another region", invocation{url: strings.Replace(api.url("/orders"), "us-east-1", "eu-west-1", 1), config: user, region: "eu-west-1"}, `{"message":"Forbidden"}`},
		{"signed for another region", invocation{url: api.url("/orders"), config: user, region: "eu-west-1"}, `{"message":"Credential should be scoped to a valid region. "}`},
		{"signed for another service", invocation{url: api.url("/orders"), config: user, service: "lambda"}, `{"message":"Credential should be scoped to correct service: 'execute-api'. "}`},
		{"wrong secret", invocation{url: api.url("/orders"), config: box.Config(thief)}, `{"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}`},
		{"unknown key", invocation{url: api.url("/orders"), config: box.Config(stranger)}, `{"message":"The security token included in the request is invalid."}`},
		{"a token of another kind", invocation{url: api.url("/orders"), header: http.Header{"Authorization": {"Bearer abc"}}}, `{"message":"The authorization mechanism you have provided is not supported; use AWS4-HMAC-SHA256"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body, header := test.in.send(t, box.Client())
			if diff := cmp.Diff(test.want, body); status != 403 || diff != "" || header.Get("X-Amzn-Errortype") == "" {
				t.Errorf("%d %v -want +got\n%s", status, header, diff)
			}
		})
	}
	status, body, _ := invocation{url: api.url("/orders"), config: user, at: time.Now().Add(-time.Hour)}.send(t, box.Client())
	if status != 403 || !strings.HasPrefix(body, `{"message":"Signature expired: `) {
		t.Errorf("an old signature: %d %s", status, body)
	}
}

// Methods without authorization are open, whoever signs, unless the API has a
// policy: then it must admit everybody.
func TestRESTAPIWithoutAuthorization(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	user := box.Account(owner).User("app", allowInvoke)
	refused := func(method, path string) string {
		return `{"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:us-east-1:********1111:` + api.id + `/alpha/` + method + path + `"}`
	}
	preflight := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/alpha/OPTIONS/*"}}`
	for _, test := range []struct{ name, policy, open, options string }{
		{"no policy", "", "GET /open  ", "OPTIONS /orders  "},
		{"policy for an account", apiPolicy(owner, "", "execute-api:/*"), refused("GET", "/open"), refused("OPTIONS", "/orders")},
		{"policy for preflight requests", preflight, refused("GET", "/open"), "OPTIONS /orders  "},
	} {
		t.Run(test.name, func(t *testing.T) {
			api.deploy(test.policy)
			for _, in := range []invocation{{}, {config: user}, {config: user, region: "eu-west-1"}, {header: http.Header{"Authorization": {"Bearer abc"}}}} {
				in.url = api.url("/open")
				if _, body, _ := in.send(t, box.Client()); body != test.open {
					t.Errorf("open: %s", body)
				}
			}
			_, body, header := invocation{method: "OPTIONS", url: api.url("/orders"), header: http.Header{"Origin": {"https://shop.example"}}}.send(t, box.Client())
			if body != test.options || (body[0] == 'O') != (header.Get("Access-Control-Allow-Origin") == "https://shop.example") {
				t.Errorf("preflight: %s %v", body, header)
			}
		})
	}
}

func TestRESTAPIPaths(t *testing.T) {
	box := sandboxtest.New(t, owner)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	api.deploy("")
	root := box.Account(owner).Config()
	for path, want := range map[string]string{
		"": "GET / ", "/": "GET / ",
		"/orders/7":          "GET /orders/{id} 7",
		"/orders/latest":     "GET /orders/latest ",
		"/orders/a%20b":      "GET /orders/{id} a b",
		"/orders/7?id=8&x=1": "GET /orders/{id} 7",
		"/files/a/b%2Fc/d":   "GET /files/{proxy+} a/b/c/d",
		"/files":             "",
		"/orders/7/8":        "",
	} {
		status, body, _ := invocation{url: api.url(path), config: root}.send(t, box.Client())
		if want == "" && status != 403 || want != "" && body != want+" arn:aws:iam::111111111111:root" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	status, body, header := invocation{method: "HEAD", url: api.url("/orders/7"), config: root}.send(t, box.Client())
	if status != 200 || body != "" || header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d %q %v", status, body, header)
	}
}

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
			_, err := client.PutMethod(ctx, &apigateway.PutMethodInput{RestApiId: api.Id, ResourceId: resource, HttpMethod: aws.String("GET"), AuthorizationType: aws.String("CUSTOM")})
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

// On a port the API is named by the path, and clients sign that path.
func TestRESTAPIServed(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	api := newAPI(t, box.Account(owner).User("admin", allowAll))
	api.deploy(apiPolicy(friend, "", "execute-api:/alpha/GET/*"))
	credentials := box.Account(friend).UserCredentials("app", allowInvoke)
	base := box.Serve()
	url := base + "/execute-api/" + api.id + "/alpha/orders/7"
	t.Run("Go", func(t *testing.T) {
		status, body, _ := invocation{url: url, config: box.Config(credentials)}.send(t, http.DefaultClient)
		if status != 200 || body != "GET /orders/{id} 7 arn:aws:iam::222222222222:user/app" {
			t.Errorf("%d %s", status, body)
		}
		if status, body, _ := (invocation{url: url}).send(t, http.DefaultClient); status != 403 || body != `{"message":"Missing Authentication Token"}` {
			t.Errorf("unsigned: %d %s", status, body)
		}
		if status, body, _ := (invocation{url: base + "/elsewhere", config: box.Config(credentials)}).send(t, http.DefaultClient); status != 404 || !strings.Contains(body, "/execute-api/API/STAGE/PATH") {
			t.Errorf("without an API: %d %s", status, body)
		}
	})
	t.Run("Python", func(t *testing.T) {
		program := `
import os, sys, requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
url = sys.argv[1]
keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
session = requests.Session()
session.trust_env = False
def call(method, url, **rest):
    request = AWSRequest(method=method, url=url, **rest)
    SigV4Auth(keys, "execute-api", "us-east-1").add_auth(request)
    answer = session.request(method, url, headers=dict(request.headers), data=rest.get("data"))
    print(answer.status_code, answer.text)
call("GET", url)
call("POST", url + "/pay", data="{}")
answer = session.get(url)
print(answer.status_code, answer.text)
`
		command := exec.Command(testenv.Python(t, "botocore", "requests"), "-c", program, url)
		command.Env = box.Environment(base, credentials)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		want := `200 GET /orders/{id} 7 arn:aws:iam::222222222222:user/app
403 {"Message":"User: arn:aws:iam::222222222222:user/app is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:us-east-1:********1111:` + api.id + `/alpha/POST/orders/7/pay"}
403 {"message":"Missing Authentication Token"}
`
		if diff := cmp.Diff(want, string(out)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
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

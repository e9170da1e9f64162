package services

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

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

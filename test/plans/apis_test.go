package plans

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const ordersAPI = `
resources:
  orders:
    kind: rest-api
    name: "{stage}-orders"
    create:
      Body:
        openapi: 3.0.1
        info: {title: orders, version: "1"}
        components:
          securitySchemes:
            sigv4: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authtype: awsSigv4}
        paths:
          /orders:
            get: &signed
              security: [{sigv4: []}]
              responses: {"200": {description: done}}
              x-amazon-apigateway-integration:
                type: mock
                requestTemplates: {application/json: '{"statusCode": 200}'}
                responses: {default: {statusCode: "200", responseTemplates: {application/json: "$context.httpMethod $context.identity.userArn"}}}
            head: *signed
            post: *signed
          /secret:
            get: *signed
`

// A refusal is API Gateway's answer to a request that is not allowed.
type refusal struct{ message string }

func (r *refusal) Error() string                 { return r.message }
func (r *refusal) ErrorCode() string             { return "AccessDeniedException" }
func (r *refusal) ErrorMessage() string          { return r.message }
func (r *refusal) ErrorFault() smithy.ErrorFault { return smithy.FaultClient }

// invoke calls an API as a role; without credentials it is not signed.
func invoke(t *testing.T, box *sandboxtest.Sandbox, c aws.Config, method, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if c.Credentials != nil {
		credentials, err := c.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		empty := sha256.Sum256(nil)
		if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(empty[:]), "execute-api", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	response, err := box.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case response.StatusCode == http.StatusForbidden && strings.Contains(string(body), "is not authorized to perform: execute-api:Invoke"):
		return "", &refusal{string(body)}
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), nil
}

// apiTest is what is done with the API, directly or through a role.
func apiTest(grants, caller string) *kindTest {
	ids := map[string]string{}
	url := func(stage, path string) string {
		return "https://" + ids[stage] + ".execute-api.us-east-1.amazonaws.com/" + stage + path
	}
	call := func(method, path string) func(*testing.T, *deployment, aws.Config, string) error {
		return func(t *testing.T, d *deployment, c aws.Config, stage string) error {
			body, err := invoke(t, d.box, c, method, url(stage, path))
			if err == nil && method == http.MethodGet && !strings.Contains(body, caller) {
				t.Errorf("the API was called by %q, want %q", body, caller)
			}
			return err
		}
	}
	return &kindTest{
		manifest: ordersAPI + grants,
		prepare: func(t *testing.T, d *deployment, _ aws.Config, stage string) {
			ids[stage] = d.resource("orders", stage)
			if _, err := invoke(t, d.box, aws.Config{}, http.MethodGet, url(stage, "/orders")); err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "Missing Authentication Token") {
				t.Errorf("without a signature: %v", err)
			}
		},
		use: call(http.MethodGet, "/orders"),
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"POST":         call(http.MethodPost, "/orders"),
			"another path": call(http.MethodGet, "/secret"),
		},
	}
}

func TestRESTAPI(t *testing.T) {
	apiTest(`
grants:
  - {name: orders, consumer: bi, resource: orders, access: read, only: {paths: [orders]}}
`, "-bi/").run(t)
}

// The role is the one of B3: read-only, named for those who use it.
func TestRESTAPIThroughReadOnlyRole(t *testing.T) {
	k := apiTest(`
grants:
  - {name: orders, consumer: bi, resource: orders, access: read, via: role, only: {paths: [orders]}}
`, "readonly-invoke-")
	k.session = func(t *testing.T, d *deployment, c aws.Config, stage string) (aws.Config, error) {
		return assume(t, d, c, "arn:aws:iam::"+owners[stage]+":role/readonly-invoke-"+stage+"-shop-by-bi-"+map[string]string{"alpha": "testing", "prod": "production"}[stage], "")
	}
	k.run(t)
}

// The same for whoever the consumer's account allows.
func TestRESTAPIForAWholeAccount(t *testing.T) {
	box := sandboxtest.New(t, ownerA, ownerP, consumerT, consumerP, stranger)
	d := newDeployment(t, box, parties+ordersAPI+`
grants:
  - {name: orders, consumer: bi, resource: orders, access: read, trust: account, stages: [alpha]}
`)
	allowed := newRole(box, consumerT, "any", allowAll)
	not := newRole(box, consumerT, "nothing")
	outside := newRole(box, stranger, "any", allowAll)
	d.t = t
	for _, role := range []string{"testing-bi"} {
		newRole(box, consumerT, role)
	}
	d.deploy()
	const role = "arn:aws:iam::111111111111:role/readonly-invoke-alpha-shop-by-bi-testing"
	url := "https://" + d.resource("orders", "alpha") + ".execute-api.us-east-1.amazonaws.com/alpha/orders"
	session, err := assume(t, d, allowed, role, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := invoke(t, box, session, http.MethodGet, url); err != nil {
		t.Error(err)
	}
	_, err = invoke(t, box, session, http.MethodPost, url)
	wantRefused(t, "POST", err)
	_, err = assume(t, d, not, role, "")
	wantRefused(t, "a role that its account allows nothing", err)
	_, err = assume(t, d, outside, role, "")
	wantRefused(t, "a stranger's role", err)
	d.remove()
}

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
)

func TestACustomerConnectsAndReadsAReport(t *testing.T) {
	w := newWorld(t)
	w.want(w.read("data"), 404, crossaccount.CodeUnknownCustomer)

	var started crossaccount.IntegrationResponse
	if err := json.Unmarshal([]byte(w.want(w.read("start"), 200, "").Body), &started); err != nil {
		t.Fatal(err)
	}
	if again := w.start("acme"); again.ExternalID != started.ExternalID || again.ExternalID == "" {
		t.Error("asking again gave another external ID")
	}
	w.want(w.read("data"), 409, crossaccount.CodeNotVerified)
	w.launch(acmeAccount, started.LaunchURL)
	completed := w.want(w.read("complete"), 200, "")
	if !strings.Contains(completed.Body, `"controlled":true`) {
		t.Errorf("the verification is not controlled: %s", completed.Body)
	}
	w.want(w.read("complete-base64"), 200, "") // as often as one likes

	// Another customer goes the same way.
	started = crossaccount.IntegrationResponse{}
	inFrankfurt := w.read("start").from("globex").with("body", `{"region": "eu-central-1"}`) // its bucket is elsewhere
	if err := json.Unmarshal([]byte(w.want(inFrankfurt, 200, "").Body), &started); err != nil {
		t.Fatal(err)
	}
	role := w.launch(globexAccount, started.LaunchURL)
	w.want(w.read("complete").from("globex").with("body", completion(role)), 200, "")

	for customer, e := range map[string]event{
		"acme": w.read("data"),
		"globex": w.read("data").from("globex").with("pathParameters", map[string]any{"id": "globex"}).
			with("queryStringParameters", map[string]any{"bucket": "globex-reports", "key": "2026/q3.csv"}),
	} {
		var report Report
		if err := json.Unmarshal([]byte(w.want(e, 200, "").Body), &report); err != nil || string(report.Content) != customer+",42\n" {
			t.Errorf("%s: %q, %v", customer, report.Content, err)
		}
	}
}

func TestOnlyTheAuthorizerSaysWhoIsCalling(t *testing.T) {
	w := newWorld(t)
	role := w.onboardAcme()

	w.want(w.read("data-unauthenticated"), 401, codeUnauthenticated)
	w.want(w.read("data").from(""), 401, codeUnauthenticated)
	noClaim := w.read("data")
	noClaim["requestContext"].(map[string]any)["authorizer"] = map[string]any{"claims": map[string]any{"sub": "acme"}}
	w.want(noClaim, 401, codeUnauthenticated)
	notText := w.read("data")
	notText["requestContext"].(map[string]any)["authorizer"] = map[string]any{"claims": map[string]any{"custom:customer_id": []string{"acme"}}}
	w.want(notText, 401, codeUnauthenticated)
	believed := w.read("data-unauthenticated").with("headers", map[string]any{"custom:customer_id": "acme", "X-Customer-Id": "acme"})
	w.want(believed, 401, codeUnauthenticated)

	// The context of a Lambda authorizer, whose field has another name.
	w.want(w.read("data-lambda-authorizer"), 401, codeUnauthenticated)
	w.function.claim = "customer_id"
	w.want(w.read("data-lambda-authorizer"), 200, "")
	w.function.claim = "custom:customer_id"

	// Globex says that it is Acme.
	w.start("globex")
	calls := len(w.box.Calls())
	w.want(w.read("start").from("globex"), 403, crossaccount.CodeForbidden)
	w.want(w.read("complete").from("globex"), 403, crossaccount.CodeForbidden)
	w.want(w.read("data").from("globex"), 403, crossaccount.CodeForbidden)
	w.want(w.read("complete").from("globex").with("body", `{"customer_id":"globex","customer_id":"acme","role_arn":"`+role+`"}`), 403, crossaccount.CodeForbidden)
	if now := len(w.box.Calls()); now != calls {
		t.Errorf("refused events led to %d calls of AWS", now-calls)
	}
	w.want(w.read("data"), 200, "")
}

func TestForeignRolesAreRefused(t *testing.T) {
	w := newWorld(t)
	acmeRole := w.onboardAcme()
	started := w.start("globex")
	lookAlike := w.box.Account(globexAccount).Role("example-access", trust(vendorAccount), nil)
	for _, test := range []struct {
		name, role string
		status     int
		code       crossaccount.Code
	}{
		// AWS refuses it; who uses it is not told.
		{"the role of another customer", acmeRole, 409, crossaccount.CodePropagating},
		{"a role that needs no external ID", lookAlike, 422, crossaccount.CodeExternalIDNotRequired},
		{"a role of the vendor", brokerRole, 400, crossaccount.CodeInvalidRole},
		{"another partition", "arn:aws-cn:iam::777788889999:role/Example", 400, crossaccount.CodeInvalidRole},
		{"no ARN", "<script>alert(1)</script>", 400, crossaccount.CodeInvalidRole},
		{"nothing", "", 400, crossaccount.CodeInvalidRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.want(w.read("complete").from("globex").with("body", completion(test.role)), test.status, test.code)
		})
	}
	globexData := w.read("data").from("globex").with("pathParameters", map[string]any{"id": "globex"})
	w.want(globexData, 409, crossaccount.CodeNotVerified)

	wrong := strings.ToUpper(started.ExternalID)
	w.secrets = append(w.secrets, wrong)
	a := w.want(w.read("complete").from("globex").with("body", `{"role_arn":"`+lookAlike+`","external_id":"`+wrong+`"}`), 400, crossaccount.CodeExternalIDMismatch)
	if strings.Contains(a.Body, wrong) || strings.Contains(a.Body, started.ExternalID) {
		t.Errorf("the answer has an external ID: %s", a.Body)
	}
	w.want(w.read("data"), 200, "")
}

func TestMethodsAndResources(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		file, method string
		allow        string
	}{
		{"start", "GET", "POST"}, {"start", "PUT", "POST"}, {"start", "OPTIONS", "POST"}, {"start", "post", "POST"},
		{"complete", "GET", "POST"}, {"complete", "DELETE", "POST"},
		{"data", "POST", "GET"}, {"data", "HEAD", "GET"}, {"data", "", "GET"},
	} {
		a := w.want(w.read(test.file).with("httpMethod", test.method), 405, codeMethodNotAllowed)
		if a.Headers["Allow"] != test.allow {
			t.Errorf("%s %s: Allow: %q", test.method, test.file, a.Headers["Allow"])
		}
	}
	for _, resource := range []string{"", "/", "/{proxy+}", "/integration", "/customer/{id}", "/integration/start/", "<script>"} {
		w.want(w.read("start").with("resource", resource), 404, codeNotFound)
	}
}

func TestBodiesAreChecked(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name   string
		body   any
		base64 bool
		status int
	}{
		{"none", nil, false, 400},
		{"empty", "", false, 400},
		{"no object", "[]", false, 400},
		{"cut off", `{"customer_id": "ac`, false, 400},
		{"two objects", "{}{}", false, 400},
		{"unknown field", `{"customer": "acme"}`, false, 400},
		{"wrong type", `{"customer_id": 1}`, false, 400},
		{"not base64", "{}", true, 400},
		{"too large", `{"customer_name": "` + strings.Repeat("x", maxBody) + `"}`, false, 413},
		{"too large in base64", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(" "), maxBody+1)), true, 413},
		{"much too large in base64", strings.Repeat("IA", 1<<20), true, 413},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, file := range []string{"start", "complete"} {
				a := w.invoke(w.read(file).with("body", test.body).with("isBase64Encoded", test.base64))
				if a.StatusCode != test.status || a.code() == "" {
					t.Errorf("%s: status %d, want %d: %s", file, a.StatusCode, test.status, a.Body)
				}
			}
		})
	}
}

func TestStrangeIDsAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{
		`<script>alert(1)</script>`, `"><img src=x>`, "../acme", "acme/../acme", "acme\x00", "\x00", "ácme", "аcme", /* a Cyrillic а */
		"ACME", "acme ", `acme' OR '1'='1`, "acme\r\nX-Injected: yes", strings.Repeat("a", 10_000),
	} {
		body, err := json.Marshal(map[string]string{"customer_id": id})
		if err != nil {
			t.Fatal(err)
		}
		w.want(w.read("start").with("body", string(body)), 403, crossaccount.CodeForbidden)
		w.want(w.read("data").with("pathParameters", map[string]any{"id": id}), 403, crossaccount.CodeForbidden)
		body, err = json.Marshal(map[string]string{"region": id})
		if err != nil {
			t.Fatal(err)
		}
		w.want(w.read("start").with("body", string(body)), 400, crossaccount.CodeInvalidRequest)
	}
	w.want(w.read("data").with("pathParameters", nil), 403, crossaccount.CodeForbidden)
}

func TestDataIsTheCustomersOwn(t *testing.T) {
	w := newWorld(t)
	w.onboardAcme()
	w.putReport(acmeAccount, "acme-private", "k", "x")
	w.putReport(acmeAccount, "acme-large-reports", "k", strings.Repeat("x", maxReport+1))
	// Globex lets Acme read its reports. They are still not Acme's data.
	if _, err := s3.NewFromConfig(w.box.Account(globexAccount).Config()).PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{
		Bucket: aws.String("globex-reports"),
		Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + acmeAccount + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::globex-reports/*"}]}`),
	}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		bucket, key string
		status      int
	}{
		{"acme-reports", "2026/q3.csv", 200},
		{"globex-reports", "2026/q3.csv", 403},
		{"acme-private", "k", 403},
		{"acme-large-reports", "k", 413},
		{"acme-reports", "", 400},
		{"", "k", 400},
		{"acme-reports", "a\x00b", 400},
		{"../acme-reports", "k", 400},
		{"arn:aws:s3:us-east-1:777788889999:accesspoint/x", "k", 400},
	} {
		a := w.invoke(w.read("data").with("queryStringParameters", map[string]any{"bucket": test.bucket, "key": test.key}))
		if a.StatusCode != test.status {
			t.Errorf("%s %q: status %d, want %d: %s", test.bucket, test.key, a.StatusCode, test.status, a.Body)
		}
	}
	w.want(w.read("data").with("queryStringParameters", nil), 400, crossaccount.CodeInvalidRequest)
}

// Lambda ends a function that exceeds its time without an answer, and API Gateway
// waits for 29 seconds. Ours answers before that: a new role that does not work
// yet is no failure, and running out of time is one that says so. The time of
// this test is that of a synctest bubble.
func TestAnAnswerComesBeforeTheTimeIsOver(t *testing.T) {
	for _, test := range []struct {
		time   time.Duration
		status int
		code   crossaccount.Code
	}{
		{29 * time.Second, 409, crossaccount.CodePropagating},
		{4 * time.Second, 409, crossaccount.CodePropagating},
		{timeToAnswer, 503, crossaccount.CodeCancelled},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.start("acme") // and nobody creates the stack
			ctx, cancel := context.WithTimeout(t.Context(), test.time)
			defer cancel()
			a := w.invokeContext(ctx, w.read("complete"))
			if a.StatusCode != test.status || a.code() != test.code || a.Headers["Retry-After"] == "" {
				t.Errorf("within %s: status %d, %v, %s", test.time, a.StatusCode, a.Headers, a.Body)
			}
			if test.time > timeToAnswer && ctx.Err() != nil {
				t.Errorf("within %s: the answer came too late", test.time)
			}
		})
	}
}

func TestEnvironmentIsChecked(t *testing.T) {
	w := newWorld(t)
	complete := w.environment()
	complete["FORGET_EVERYTHING"] = "true"
	for _, test := range []struct{ name, value, want string }{
		{"FORGET_EVERYTHING", "", "openStorage"},
		{"SERVICE_ACCOUNT_ID", "12", "service_account_id"},
		{"CROSSACCOUNT_KEYS", "secret", "keys"},
		{"PROBE_ROLE_ARN", "arn:aws:iam::999999999999:role/x", "WithProbeRole"},
		{"CUSTOMER_CLAIM", "customer_id", ""},
	} {
		lookup := func(name string) (string, bool) {
			if name == test.name {
				return test.value, true
			}
			value, ok := complete[name]
			return value, ok
		}
		_, err := newFunction(t.Context(), lookup, slog.New(slog.DiscardHandler))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s=%s: got error %v, want %q", test.name, test.value, err, test.want)
		}
	}
}

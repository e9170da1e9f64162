package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/examples/gin-service/demo"
	"github.com/crossaccount/crossaccount/sandbox"
)

const (
	start    = "/api/integration/start"
	complete = "/api/integration/complete"
	report   = "/api/customer/acme/data?bucket=acme-reports&key=2026/q3.csv"
)

// strange ids, as they might reach a log, a page, a path or a query.
var strange = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `../globex`, `acme/../globex`, "acme\x00", "\x00",
	"ácme", "аcme" /* a Cyrillic а */, "acme\u202e", "ACME", "acme ", `acme' OR '1'='1`, "acme\r\nX-Injected: yes", strings.Repeat("a", 10_000),
}

func TestCallersAreAuthenticated(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	f.onboard("acme", acmeToken)
	for name, authorization := range map[string]string{
		"nothing":            "",
		"no token":           "Bearer ",
		"a wrong token":      "Bearer " + acmeToken + "x",
		"part of a token":    "Bearer " + acmeToken[:5],
		"the hash":           "Bearer " + strings.TrimPrefix(configured("acme", acmeToken), "acme:"),
		"another scheme":     "Digest " + acmeToken,
		"the customer's id":  "Bearer acme",
		"a wrong password":   "Basic YWNtZTphY21l", // acme:acme
		"no password at all": "Basic YWNtZTo=",
		"garbage":            "Basic \xff\xfe",
	} {
		for _, route := range []string{"GET /integrate", "POST /integrate", "POST " + start, "POST " + complete, "GET " + report} {
			method, path, _ := strings.Cut(route, " ")
			a := f.send("", method, path, `{"customer_id": "acme"}`, func(r *http.Request) {
				r.Header.Set("Authorization", authorization)
				// Headers that some services believe.
				r.Header.Set("X-Customer-Id", "acme")
				r.Header.Set("X-Forwarded-User", "acme")
			})
			if a.StatusCode != http.StatusUnauthorized || a.code() != codeUnauthenticated || a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s: status %d, %s", route, name, a.StatusCode, a.body)
			}
		}
	}
}

func TestAnotherCustomersIDIsRefused(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	role := f.onboard("acme", acmeToken)
	f.onboard("globex", globexToken)
	calls := len(f.world.Box.Calls())

	f.want(f.send(globexToken, "POST", start, `{"customer_id": "acme"}`), http.StatusForbidden, crossaccount.CodeForbidden)
	f.want(f.send(globexToken, "POST", start, `{"customer_id": "globex", "customer_id": "acme"}`), http.StatusForbidden, crossaccount.CodeForbidden)
	f.want(f.send(globexToken, "POST", complete, `{"customer_id": "acme", "role_arn": "`+role+`"}`), http.StatusForbidden, crossaccount.CodeForbidden)
	f.want(f.send(globexToken, "GET", report, ""), http.StatusForbidden, crossaccount.CodeForbidden)
	for _, id := range strange {
		a := f.send(acmeToken, "GET", "/api/customer/"+url.PathEscape(id)+"/data?bucket=acme-reports&key=2026/q3.csv", "")
		// An id with a slash is another path, and there is nothing.
		if a.StatusCode != http.StatusForbidden && a.StatusCode != http.StatusNotFound || a.code() == "" {
			t.Errorf("id %.40q: status %d, %s", id, a.StatusCode, a.body)
		}
		f.wantHarmless(a, id)
	}
	if now := len(f.world.Box.Calls()); now != calls {
		t.Errorf("refused requests led to %d calls of AWS", now-calls)
	}

	// Nobody's integration changed.
	f.want(f.report(acmeToken, "acme"), http.StatusOK, "")
	f.want(f.report(globexToken, "globex"), http.StatusOK, "")
}

// wantHarmless fails the test if an answer repeats what was sent so that a
// browser could take it for part of a page.
func (f *fixture) wantHarmless(a answer, sent string) {
	f.Helper()
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") || a.Header.Get("X-Content-Type-Options") != "nosniff" {
		f.Errorf("after %.40q: %v", sent, a.Header)
	}
	if strings.ContainsAny(a.body, "<>\x00\r") || a.Header.Get("X-Injected") != "" {
		f.Errorf("after %.40q the answer repeats it: %s", sent, a.body)
	}
}

func TestForeignRolesAreRefused(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	acmeRole := f.onboard("acme", acmeToken)
	f.begin(globexToken, `{}`)

	// Globex makes a role by hand and forgets the external ID.
	lookAlike, err := iam.NewFromConfig(f.world.Customers["globex"]).CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName:                 aws.String("example-access"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + demo.VendorAccount + `"},"Action":"sts:AssumeRole"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, role string
		status     int
		code       crossaccount.Code
	}{
		// AWS refuses it; who uses it is not told.
		{"the role of another customer", acmeRole, 409, crossaccount.CodePropagating},
		{"the same in other words", strings.Replace(acmeRole, "role/Example/", "role/elsewhere/", 1), 409, crossaccount.CodePropagating},
		{"a role that does not exist", acmeRole + "-nobodys", 409, crossaccount.CodePropagating},
		{"a role that needs no external ID", *lookAlike.Role.Arn, 422, crossaccount.CodeExternalIDNotRequired},
		{"a role of the vendor", demo.CanaryRole, 400, crossaccount.CodeInvalidRole},
		{"the vendor's broker", demo.BrokerRole, 400, crossaccount.CodeInvalidRole},
		{"another partition", "arn:aws-cn:iam::777788889999:role/Example", 400, crossaccount.CodeInvalidRole},
		{"a user", "arn:aws:iam::777788889999:user/Example", 400, crossaccount.CodeInvalidRole},
		{"no ARN", "<script>alert(1)</script>", 400, crossaccount.CodeInvalidRole},
		{"nothing", "", 400, crossaccount.CodeInvalidRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := f.complete(globexToken, test.role)
			f.want(a, test.status, test.code)
			f.wantHarmless(a, test.role)
			f.want(f.report(globexToken, "globex"), http.StatusConflict, crossaccount.CodeNotVerified)
		})
	}
	f.want(f.report(acmeToken, "acme"), http.StatusOK, "")
}

func TestACompletionMayBeRepeated(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	started := f.begin(acmeToken, `{}`)
	role := f.launch("acme", started.LaunchURL)
	f.want(f.complete(acmeToken, role), http.StatusOK, "")
	f.want(f.complete(acmeToken, role), http.StatusOK, "")
	f.want(f.send(acmeToken, "POST", complete, `{"role_arn": "`+role+`", "external_id": "`+started.ExternalID+`"}`), http.StatusOK, "")

	// The external ID cannot be chosen, and a wrong one changes nothing.
	wrong := strings.ToUpper(started.ExternalID)
	f.secrets = append(f.secrets, wrong)
	a := f.send(acmeToken, "POST", complete, `{"role_arn": "`+role+`", "external_id": "`+wrong+`"}`)
	f.want(a, http.StatusBadRequest, crossaccount.CodeExternalIDMismatch)
	if strings.Contains(a.body, wrong) || strings.Contains(a.body, started.ExternalID) {
		t.Errorf("the answer has an external ID: %s", a.body)
	}
	f.want(f.report(acmeToken, "acme"), http.StatusOK, "")

	// Repeating what is done asks AWS nothing. Endless repetition of anything else
	// would use up the vendor's share of STS.
	for range 20 {
		f.want(f.complete(acmeToken, role), http.StatusOK, "")
	}
	for range 20 {
		if a = f.complete(acmeToken, role+"-2"); a.StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	f.want(a, http.StatusTooManyRequests, crossaccount.CodeRateLimited)
	if a.Header.Get("Retry-After") == "" {
		t.Error("the answer does not say when to come back")
	}
	f.want(f.report(acmeToken, "acme"), http.StatusOK, "")
}

func TestBodiesAreChecked(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	for _, test := range []struct {
		name, body string
		status     int
	}{
		{"empty", "", 400},
		{"no object", "[]", 400},
		{"cut off", `{"customer_id": "ac`, 400},
		{"two objects", `{}{}`, 400},
		{"text behind", `{} x`, 400},
		{"unknown field", `{"customer": "acme"}`, 400},
		{"wrong type", `{"customer_id": 1}`, 400},
		{"too large", `{"customer_name": "` + strings.Repeat("x", maxBody) + `"}`, 413},
		{"too large with spaces", strings.Repeat(" ", maxBody+1), 413},
		{"too deep", strings.Repeat(`{"a":`, 5000), 413},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{start, complete} {
				a := f.send(acmeToken, "POST", path, test.body)
				if a.StatusCode != test.status && !(test.name == "too deep" && a.StatusCode == 400) || a.code() == "" {
					t.Errorf("%s: status %d, want %d: %s", path, a.StatusCode, test.status, a.body)
				}
				f.wantHarmless(a, test.body)
			}
		})
	}
	form := func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
	f.want(f.send(acmeToken, "POST", start, `{}`, form), http.StatusUnsupportedMediaType, codeNotJSON)
}

func TestStrangeTextIsRefusedOrKeptHarmless(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	for _, text := range strange {
		quoted := func(field string) string {
			body, err := json.Marshal(map[string]string{field: text})
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		a := f.send(acmeToken, "POST", start, quoted("customer_id"))
		f.want(a, http.StatusForbidden, crossaccount.CodeForbidden)
		f.wantHarmless(a, text)
		for _, field := range []string{"region", "integration_id", "account_id"} {
			a := f.send(acmeToken, "POST", start, quoted(field))
			if text == "ACME" && field == "integration_id" {
				continue // a legal id for an integration
			}
			f.want(a, http.StatusBadRequest, crossaccount.CodeInvalidRequest)
			f.wantHarmless(a, text)
		}
	}
}

func TestOtherSitesCannotUseABrowsersPassword(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	for _, path := range []string{"/integrate", start, complete} {
		a := f.send("", "POST", path, `{}`, func(r *http.Request) {
			r.SetBasicAuth("acme", acmeToken)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		})
		if a.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", path, a.StatusCode)
		}
	}
	page, err := f.store.List(t.Context(), crossaccount.IntegrationQuery{CustomerID: "acme"})
	if err != nil || len(page.Integrations) != 0 {
		t.Errorf("a forged request began an onboarding: %v, %v", page, err)
	}
}

func TestOtherRoutesAndMethods(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	for route, status := range map[string]int{
		"GET /":                        404,
		"GET /api/customer//data":      404,
		"GET /api/customer/acme/":      404,
		"GET /integrate/":              404,
		"GET " + start:                 405,
		"DELETE " + complete:           405,
		"POST /api/customer/acme/data": 405,
		"PUT /integrate":               405,
	} {
		method, path, _ := strings.Cut(route, " ")
		a := f.send(acmeToken, method, path, "")
		if a.StatusCode != status && !(path == "/api/customer//data" && a.StatusCode == 403) || a.code() == "" {
			t.Errorf("%s: status %d, want %d: %s", route, a.StatusCode, status, a.body)
		}
	}
}

// The role reads only what the template permits, and only what is the
// customer's.
func TestDataIsTheCustomersOwn(t *testing.T) {
	f := newFixture(t, sandbox.Options{})
	f.onboard("acme", acmeToken)
	// Globex lets everybody read its reports. They are still not Acme's data.
	if _, err := s3.NewFromConfig(f.world.Customers["globex"]).PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{
		Bucket: aws.String("globex-reports"),
		Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + demo.AcmeAccount + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::globex-reports/*"}]}`),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s3.NewFromConfig(f.world.Customers["acme"]).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("acme-private")}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		bucket, key string
		status      int
	}{
		{"acme-reports", "2026/q3.csv", 200},
		{"globex-reports", "2026/q3.csv", 403},
		{"acme-private", "anything", 403},
		{"example-templates", "anything", 403},
		{"acme-reports", "", 400},
		{"", "2026/q3.csv", 400},
		{"acme-reports", "a\x00b", 400},
		{"acme-reports", strings.Repeat("k", 1025), 400},
		{"../acme-reports", "2026/q3.csv", 400},
		{"acme-reports/2026", "q3.csv", 400},
		{"arn:aws:s3:us-east-1:777788889999:accesspoint/x", "k", 400},
		{"<script>", "k", 400},
	} {
		a := f.send(acmeToken, "GET", "/api/customer/acme/data?"+url.Values{"bucket": {test.bucket}, "key": {test.key}}.Encode(), "")
		if a.StatusCode != test.status {
			t.Errorf("%s %.20q: status %d, want %d: %s", test.bucket, test.key, a.StatusCode, test.status, a.body)
		}
		if test.status != 200 {
			f.wantHarmless(a, test.bucket)
		}
	}
}

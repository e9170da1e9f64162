package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/api"
)

// hostile is what nobody sends by mistake.
var hostile = map[string]string{
	"long":       strings.Repeat("a", 10_000),
	"very long":  strings.Repeat("é", 40_000),
	"SQL":        `1'; DROP TABLE integrations; --`,
	"HTML":       `"><script>alert(1)</script>`,
	"traversal":  `../../../etc/passwd`,
	"null byte":  "one\x00two",
	"line break": "one\r\nSet-Cookie: a=b",
	"bidi":       "\u202Eeno",
	"zero width": "one\u200b",
	"not UTF-8":  "one\xff",
	"template":   `{{.}}${jndi:ldap://x}%s%n`,
	"emoji":      "👩‍🚀",
}

// What is legal in a customer's id although it looks bad: any text without
// control characters. It must do no harm.
var legalCustomer = map[string]bool{"SQL": true, "HTML": true, "traversal": true, "template": true}

// Whatever comes in, in whatever place: a clear 4xx with a problem as its body,
// never a 5xx, nothing reflected that a browser could run, and nothing stored.
func TestHostileInput(t *testing.T) {
	w := newWorld(t)
	id := w.start(w.operator, "one").IntegrationID
	role := "arn:aws:iam::" + oneID + ":role/x"
	for name, bad := range hostile {
		path, query := url.PathEscape(bad), url.QueryEscape(bad)
		encoded, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		field := string(encoded)
		for _, r := range []struct{ method, path, body string }{
			// as an integration's id
			{"GET", "/v1/integrations/" + path + "?customer_id=one", ""},
			{"GET", "/v1/integrations/" + path + "/audit?customer_id=one", ""},
			{"POST", "/v1/integrations/" + path + "/verify", `{"customer_id":"one","role_arn":"` + role + `"}`},
			{"POST", "/v1/integrations/" + path + "/complete", `{"customer_id":"one","role_arn":"` + role + `"}`},
			{"POST", "/v1/integrations/" + path + "/check", `{"customer_id":"one"}`},
			{"POST", "/v1/integrations/" + path + "/revoke", `{"customer_id":"one"}`},
			{"POST", "/v1/integrations/" + path + "/disconnect", `{"customer_id":"one"}`},
			{"POST", "/v1/integrations", `{"customer_id":"one","integration_id":` + field + `}`},
			// as a customer's id
			{"GET", "/v1/integrations/" + id + "?customer_id=" + query, ""},
			{"GET", "/v1/integrations/" + id + "/audit?customer_id=" + query, ""},
			{"POST", "/v1/integrations/" + id + "/verify", `{"customer_id":` + field + `,"role_arn":"` + role + `"}`},
			{"POST", "/v1/integrations/" + id + "/complete", `{"customer_id":` + field + `,"role_arn":"` + role + `"}`},
			{"POST", "/v1/integrations/" + id + "/check", `{"customer_id":` + field + `}`},
			{"POST", "/v1/integrations/" + id + "/revoke", `{"customer_id":` + field + `}`},
			{"POST", "/v1/integrations/" + id + "/disconnect", `{"customer_id":` + field + `}`},
			// elsewhere
			{"GET", "/" + path, ""},
			{"GET", "/v1/" + path, ""},
			{"GET", "/v1/integrations?account_id=" + query, ""},
			{"GET", "/v1/integrations?state=" + query, ""},
			{"GET", "/v1/integrations?limit=" + query, ""},
			{"GET", "/v1/integrations?cursor=" + query, ""},
			{"GET", "/v1/integrations?" + query + "=1", ""},
			{"GET", "/v1/integrations/" + id + "/audit?customer_id=one&from=" + query, ""},
			{"GET", "/v1/integrations/" + id + "/audit?customer_id=one&cursor=" + query, ""},
			{"GET", "/v1/template?format=" + query, ""},
			{"POST", "/v1/integrations", `{"customer_id":"one","region":` + field + `}`},
			{"POST", "/v1/integrations", `{"customer_id":"one","account_id":` + field + `}`},
			{"POST", "/v1/integrations", `{"customer_id":"one",` + field + `:1}`},
			{"POST", "/v1/integrations", `{"customer_id":{` + field + `:[` + field + `]}}`},
			{"POST", "/v1/integrations", field},
			{"POST", "/v1/integrations", bad},
			{"POST", "/v1/integrations/" + id + "/verify", `{"customer_id":"one","role_arn":"` + role + `","external_id":` + field + `}`},
			{"POST", "/v1/imports", `{"customer_id":"one","role_arn":` + field + `,"external_id":"abc","reason":"x"}`},
			{"POST", "/v1/imports", `{"customer_id":"one","role_arn":"` + role + `","external_id":` + strings.Replace(field, "/", "#", 1) + `,"reason":"x"}`},
			{"POST", "/v1/imports", `{"customer_id":"one","role_arn":"` + role + `","external_id":"abc","reason":"x","integration_id":` + field + `}`},
		} {
			w.expectRefused(name, r.method, r.path, r.body)
		}
		// These end up in records as they are, if they are legal at all.
		for _, body := range []string{
			`{"customer_id":` + field + `}`, `{"customer_id":"name","customer_name":` + field + `}`,
		} {
			response, answer := w.request("POST", "/v1/integrations", body)
			if legal := response.StatusCode == http.StatusOK; legal != legalCustomer[name] || !legal && response.StatusCode >= 500 {
				t.Errorf("%s: POST %.100s: %s: %.300s", name, body, response.Status, answer)
			}
		}
		response, answer := w.request("GET", "/v1/integrations?customer_id="+query, "")
		if response.StatusCode >= 500 || strings.Contains(answer, "<script") {
			t.Errorf("%s: listing: %s: %.300s", name, response.Status, answer)
		}
		// A verification of a role that is none is a report, not an error.
		response, answer = w.request("POST", "/v1/integrations/"+id+"/verify", `{"customer_id":"one","role_arn":`+field+`}`)
		if response.StatusCode >= 500 || strings.Contains(answer, "<script") || response.StatusCode == http.StatusOK && !strings.Contains(answer, `"invalid_role"`) {
			t.Errorf("%s: verifying: %s: %.300s", name, response.Status, answer)
		}
	}
	integration, err := w.operator.Integration(t.Context(), "one", id)
	if err != nil || integration.State != "pending" || integration.RoleARN != "" {
		t.Errorf("the integration became %+v, %v", integration, err)
	}
}

// expectRefused sends a request that must be answered with a clear 4xx.
func (w *world) expectRefused(name, method, path, body string) {
	w.Helper()
	response, answer := w.request(method, path, body)
	var problem api.Problem
	switch {
	case response.StatusCode < 400 || response.StatusCode >= 500:
		w.Errorf("%s: %s %.100s %.100s: %s: %.300s", name, method, path, body, response.Status, answer)
	case json.Unmarshal([]byte(answer), &problem) != nil || problem.Code == "" || problem.Detail == "" || problem.Status != response.StatusCode:
		w.Errorf("%s: %s %.100s: %s without a problem: %.300s", name, method, path, response.Status, answer)
	case response.Header.Get("Content-Type") != "application/problem+json" || response.Header.Get("X-Content-Type-Options") != "nosniff":
		w.Errorf("%s: %s %.100s: a browser could take the answer for something else: %v", name, method, path, response.Header)
	case strings.ContainsAny(answer, "<>") || len(answer) > 2000 || response.Header.Get("Set-Cookie") != "":
		w.Errorf("%s: %s %.100s: reflected: %.300s", name, method, path, answer)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	w := newWorld(t)
	for name, tt := range map[string]struct {
		method, path, body string
		header             []string
		want               int
	}{
		"no token":             {"GET", "/v1/integrations", "", []string{"Authorization", ""}, 401},
		"wrong token":          {"GET", "/v1/integrations", "", []string{"Authorization", "Bearer nonsense"}, 401},
		"empty token":          {"GET", "/v1/integrations", "", []string{"Authorization", "Bearer "}, 401},
		"other scheme":         {"GET", "/v1/integrations", "", []string{"Authorization", "Negotiate abc"}, 401},
		"empty customer":       {"GET", "/v1/integrations", "", []string{api.CustomerHeader, " "}, 401},
		"another site":         {"POST", "/v1/integrations", "{}", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"unknown route":        {"GET", "/v2/integrations", "", nil, 404},
		"trailing slash":       {"GET", "/v1/integrations/", "", nil, 404},
		"root":                 {"GET", "/", "", nil, 404},
		"dots":                 {"GET", "/v1/../v1/integrations", "", nil, 404},
		"encoded dots":         {"GET", "/v1/integrations/%2e%2e/audit", "", nil, 404},
		"wrong method":         {"DELETE", "/v1/integrations", "", nil, 405},
		"trace":                {"TRACE", "/v1/integrations", "", nil, 405},
		"not JSON":             {"POST", "/v1/integrations", "customer_id=one", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"odd content type":     {"POST", "/v1/integrations", "{}", []string{"Content-Type", "a;+"}, 415},
		"cut off":              {"POST", "/v1/integrations", `{"customer_id":"one"`, nil, 400},
		"no body":              {"POST", "/v1/integrations", "", nil, 400},
		"null":                 {"POST", "/v1/integrations", "null", nil, 400},
		"a list":               {"POST", "/v1/integrations", "[]", nil, 400},
		"deep":                 {"POST", "/v1/integrations", strings.Repeat("[", 30_000), nil, 400},
		"large":                {"POST", "/v1/integrations", `{"customer_id":"` + strings.Repeat("a", 70_000) + `"}`, nil, 413},
		"nobody named":         {"POST", "/v1/integrations", "{}", nil, 400},
		"empty customer id":    {"POST", "/v1/integrations", `{"customer_id":" "}`, nil, 400},
		"number for text":      {"POST", "/v1/integrations", `{"customer_id":1}`, nil, 400},
		"unknown field":        {"POST", "/v1/integrations", `{"customer_id":"one","external_id":"mine"}`, nil, 400},
		"unknown parameter":    {"GET", "/v1/integrations?all=true", "", nil, 400},
		"limit too large":      {"GET", "/v1/integrations?limit=101", "", nil, 400},
		"limit of zero":        {"GET", "/v1/integrations?limit=0", "", nil, 400},
		"limit is huge":        {"GET", "/v1/integrations?limit=99999999999999999999", "", nil, 400},
		"broken query":         {"GET", "/v1/integrations?customer_id=%zz", "", nil, 400},
		"unknown integration":  {"GET", "/v1/integrations/int-none?customer_id=one", "", nil, 404},
		"integration of whom?": {"GET", "/v1/integrations/int-none", "", nil, 400},
	} {
		response, answer := w.request(tt.method, tt.path, tt.body, tt.header...)
		var problem api.Problem
		if response.StatusCode != tt.want || json.Unmarshal([]byte(answer), &problem) != nil || problem.Status != tt.want || problem.RequestID == "" {
			t.Errorf("%s: %s, want %d: %.300s", name, response.Status, tt.want, answer)
		}
		if tt.want == 401 && response.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
		if tt.want == 405 && response.Header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", name)
		}
	}
}

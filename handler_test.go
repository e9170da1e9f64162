package crossaccount_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/crossaccount/crossaccount"
)

func TestSetupPageWorksWithoutJavaScript(t *testing.T) {
	for name, options := range map[string][]crossaccount.Option{
		"signed in": {crossaccount.WithTenantResolver(signedIn)},
		"open":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options...)
			w.prepareBucket()
			page := visit(w.client, "one", nil)
			if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "s3:GetObject") {
				t.Fatalf("GET: %d\n%s", page.Code, page.Body)
			}
			start := fill(t, page, "start", url.Values{"customer_id": {"one"}})
			page = visit(w.client, "one", start)
			link := regexp.MustCompile(`href="(https://us-east-1\.console\.aws\.amazon\.com/[^"]+)"`).FindStringSubmatch(page.Body.String())
			if page.Code != http.StatusOK || link == nil {
				t.Fatalf("start: %d\n%s", page.Code, page.Body)
			}
			role := w.launch(oneID, html.UnescapeString(link[1]))
			page = visitAt(w.client, "one", "", fill(t, page, "complete", url.Values{"role_arn": {" " + role + "\n"}}), cookiesOf(page)...)
			if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "Your account is connected") {
				t.Fatalf("complete: %d\n%s", page.Code, page.Body)
			}
			if i := w.only("one"); i.State != crossaccount.StateActive {
				t.Errorf("the integration is %s", i.State)
			}
			if warned := strings.Count(w.log.String(), "believes the customer id"); (warned == 1) != (options == nil) {
				t.Errorf("the log warns %d times that the page believes its visitors", warned)
			}
			if !strings.Contains(w.dump(), `"actor":"setup page"`) {
				t.Error("audit records do not say where the change came from")
			}
			if script := inlineScript.FindString(page.Body.String()); script != "" {
				t.Errorf("the page contains %s", script)
			}
		})
	}
}

// inlineScript matches what the Content-Security-Policy would refuse to run.
var inlineScript = regexp.MustCompile(`(?i)<script>|<script [^>]*>[^<]|<[^>]*\son[a-z]+\s*=|<[^>]*javascript:|<[^>]*\sstyle=`)

// fill returns what a browser sends for the form with the given action: its own
// values, overwritten by what the user typed.
func fill(t *testing.T, page *httptest.ResponseRecorder, action string, typed url.Values) url.Values {
	t.Helper()
	for _, form := range regexp.MustCompile(`(?s)<form.*?</form>`).FindAllString(page.Body.String(), -1) {
		values := url.Values{}
		for _, input := range regexp.MustCompile(`<input[^>]*>`).FindAllString(form, -1) {
			name := regexp.MustCompile(`name="([^"]*)"`).FindStringSubmatch(input)
			value := regexp.MustCompile(`value="([^"]*)"`).FindStringSubmatch(input)
			if name == nil {
				continue
			}
			values.Set(name[1], "")
			if value != nil {
				values.Set(name[1], html.UnescapeString(value[1]))
			}
			if typed.Has(name[1]) {
				values.Set(name[1], typed.Get(name[1]))
			}
		}
		if values.Get("action") == action {
			return values
		}
	}
	t.Fatalf("there is no form for %s:\n%s", action, page.Body)
	return nil
}

func TestRule6_TheTenantComesFromTheAuthenticatedCaller(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
	started := w.start("one")
	role := w.launch(oneID, started.LaunchURL)
	for name, test := range map[string]struct {
		customer string
		form     url.Values
		status   int
	}{
		"not signed in":            {"", nil, 401},
		"not signed in, posting":   {"", url.Values{"action": {"start"}, "customer_id": {"one"}}, 401},
		"another customer's start": {"two", url.Values{"action": {"start"}, "customer_id": {"one"}}, 403},
		"another customer's form":  {"two", url.Values{"action": {"complete"}, "customer_id": {"one"}, "role_arn": {role}}, 403},
		"another's integration":    {"two", url.Values{"action": {"complete"}, "integration_id": {started.IntegrationID}, "role_arn": {role}}, 404},
		"unknown action":           {"one", url.Values{"action": {"delete"}}, 400},
		"no action":                {"one", url.Values{}, 400},
		"too large":                {"one", url.Values{"action": {"start"}, "x": {strings.Repeat("x", 1<<20)}}, 400},
		"own form":                 {"one", url.Values{"action": {"complete"}, "customer_id": {"one"}, "role_arn": {role}}, 200},
	} {
		if name == "own form" {
			continue // last
		}
		if page := visit(w.client, test.customer, test.form); page.Code != test.status {
			t.Errorf("%s: status %d, want %d", name, page.Code, test.status)
		}
	}
	if i := w.only("one"); i.State != crossaccount.StatePending {
		t.Errorf("after refused requests the integration is %s", i.State)
	}
	if page := visit(w.client, "one", url.Values{"action": {"complete"}, "customer_id": {"one"}, "role_arn": {role}}); page.Code != 200 {
		t.Errorf("the customer's own form: status %d\n%s", page.Code, page.Body)
	}
}

func TestFault19_FormsFromOtherSitesAreRefused(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
	w.prepareBucket()
	for name, header := range map[string]http.Header{
		"cross-site":     {"Sec-Fetch-Site": {"cross-site"}},
		"another origin": {"Origin": {"https://evil.example"}},
	} {
		request := httptest.NewRequest(http.MethodPost, "https://vendor.example/integrate", strings.NewReader("action=start"))
		request.Header = header
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("X-Customer", "one")
		recorder := httptest.NewRecorder()
		w.client.Handler().ServeHTTP(recorder, request)
		if recorder.Code != http.StatusForbidden {
			t.Errorf("%s: status %d", name, recorder.Code)
		}
	}
	if strings.Contains(w.dump(), `"one"`) {
		t.Error("a forged form started an onboarding")
	}
	request := httptest.NewRequest(http.MethodDelete, "https://vendor.example/integrate", nil)
	recorder := httptest.NewRecorder()
	w.client.ServeSetupUI(recorder, request)
	if recorder.Code != http.StatusMethodNotAllowed || recorder.Header().Get("Allow") == "" {
		t.Errorf("DELETE: status %d", recorder.Code)
	}
}

func TestSetupPageEscapesAndConfines(t *testing.T) {
	w := newWorld(t)
	w.config.ServiceName = `<img src=x onerror=alert(1)>`
	w.config.BrandingOptions = map[string]string{
		"logo_url": "https://cdn.vendor.example/logo.svg", "primary_color": "#a1b2c3", "support_url": "https://help.vendor.example/", "unheard_of": "x",
	}
	w.client = w.newClient()
	page := visit(w.client, "", url.Values{"action": {"complete"}, "customer_id": {`"><script>1</script>`}, "role_arn": {`"><script>2</script>`}})
	body := page.Body.String()
	if strings.Contains(body, "<script>") || strings.Contains(body, "<img src=x") {
		t.Errorf("the page is not escaped:\n%s", body)
	}
	csp := page.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "img-src https://cdn.vendor.example", "style-src 'sha256-"} {
		if !strings.Contains(csp, part) {
			t.Errorf("Content-Security-Policy %q lacks %s", csp, part)
		}
	}
	if strings.Contains(csp, "unsafe") || page.Header().Get("Cache-Control") != "no-store" || page.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", page.Header())
	}
	for _, part := range []string{"--primary:#a1b2c3", `src="https://cdn.vendor.example/logo.svg"`, `href="https://help.vendor.example/"`} {
		if !strings.Contains(body, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	if !strings.Contains(w.log.String(), "unheard_of") {
		t.Error("New did not warn about an unknown branding option")
	}
}

// The page of an account in use checks its role on demand, and shows what is
// wrong with it until it is mended.
func TestSetupPageChecksTheRoleInUse(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
	role := w.onboard("one", oneID)
	credentials, err := w.client.CustomerCredentials(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	id := w.only("one").ID
	check := url.Values{"action": {"check"}, "integration_id": {id}}
	trust := func(policy string) {
		w.Helper()
		_, err := iam.NewFromConfig(w.box.Account(oneID).Config()).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{
			RoleName: aws.String(role[strings.LastIndex(role, "/")+1:]), PolicyDocument: &policy,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		do            func()
		state         crossaccount.State
		heading, says string
	}{
		{func() {}, crossaccount.StateActive, "Your account is connected", "Remove the setup permissions"},
		{func() { trust(trustWith("", "")) }, crossaccount.StateDegraded, "The connection needs attention", "The role can be assumed without an external ID."},
		{func() { trust(trustWith("StringEquals", credentials.ExternalID)) }, crossaccount.StateActive, "Your account is connected", "End the access"},
	} {
		step.do()
		page := visit(w.client, "one", check)
		body := page.Body.String()
		if page.Code != 200 || !strings.Contains(body, step.heading) || !strings.Contains(body, step.says) {
			t.Errorf("want %q and %q: %d\n%s", step.heading, step.says, page.Code, body)
		}
		if i := w.only("one"); i.State != step.state {
			t.Errorf("the integration is %s, want %s", i.State, step.state)
		}
	}
	if page := visit(w.client, "two", check); page.Code != 404 {
		t.Errorf("another customer's check: status %d", page.Code)
	}
	for range 20 {
		if page := visit(w.client, "one", check); page.Code == 429 {
			return
		}
	}
	t.Error("checks are not limited")
}

// Every state has a page of its own, and what is over can be begun again.
func TestSetupPageOfEveryState(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
	w.prepareBucket()
	w.onboard("one", oneID)
	id := w.only("one").ID
	if err := w.client.Disconnect(t.Context(), "one", id); err != nil {
		t.Fatal(err)
	}
	body := visit(w.client, "one", nil).Body.String()
	if !strings.Contains(body, "The account is disconnected") || !strings.Contains(body, "Check the role again") {
		t.Errorf("disconnected:\n%s", body)
	}
	if err := w.client.Revoke(t.Context(), "one", id); err != nil {
		t.Fatal(err)
	}
	body = visitAt(w.client, "one", "?integration="+id, nil).Body.String()
	if !strings.Contains(body, "The connection was ended") || strings.Contains(body, "Check the role again") {
		t.Errorf("revoked:\n%s", body)
	}
	page := visit(w.client, "one", nil)
	if !strings.Contains(page.Body.String(), "Get your launch link") {
		t.Errorf("afterwards:\n%s", page.Body)
	}
	page = visit(w.client, "one", fill(t, page, "start", nil))
	if !strings.Contains(page.Body.String(), "Create the role in AWS") {
		t.Errorf("begun again:\n%s", page.Body)
	}
	// The link stays the same, and looking at the page writes nothing.
	before := w.dump()
	again := visit(w.client, "one", nil)
	if again.Body.String() != page.Body.String() || w.dump() != before {
		t.Error("looking at the page changed something")
	}
}

// A launch link that cannot be made leaves the other ways.
func TestSetupPageWithoutALink(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
	started := w.start("one")
	w.config.TemplateS3Bucket = ""
	w.client = w.newClient(crossaccount.WithTenantResolver(signedIn))
	page := visit(w.client, "one", nil)
	if body := page.Body.String(); page.Code != 200 || !strings.Contains(body, "cannot be prepared at the moment") || !strings.Contains(body, started.ExternalID) {
		t.Errorf("%d\n%s", page.Code, body)
	}
}

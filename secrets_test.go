package crossaccount_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount"
)

// A witness remembers every secret that AWS hands out. Access key ids are not
// among them: audit records have them, because CloudTrail does.
type witness struct {
	next    aws.HTTPClient
	mu      sync.Mutex
	secrets []string
}

var credential = regexp.MustCompile(`<(?:SecretAccessKey|SessionToken)>([^<]+)<`)

func (w *witness) Do(r *http.Request) (*http.Response, error) {
	response, err := w.next.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, found := range credential.FindAllSubmatch(body, -1) {
		w.secrets = append(w.secrets, string(found[1]))
	}
	return response, nil
}

func TestRule5_NothingSecretIsStoredLoggedOrReported(t *testing.T) {
	w := newWorld(t)
	seen := &witness{next: w.box.Client()}
	w.client = w.newClient(crossaccount.WithHTTPClient(seen))
	var said strings.Builder // every error and report
	say := func(value any) {
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&said, "%s %+v %#v\n", encoded, value, value)
	}

	one, two := w.start("one"), w.start("two")
	ids := []string{one.ExternalID, two.ExternalID}
	role := w.launch(oneID, one.LaunchURL)
	request := func(customer, role, id string) {
		in := &crossaccount.VerificationRequest{CustomerID: customer, RoleARN: role, ExternalID: id}
		if report, err := w.client.Verify(t.Context(), in); err != nil {
			say(err)
		} else {
			say(report)
			say(report.Err())
		}
		store := crossaccount.StoreCredentialsRequest(*in)
		say(w.client.StoreCustomerCredentials(t.Context(), &store))
	}
	request("one", w.box.Account(oneID).Role("open", trustWith("", ""), nil), "")
	request("one", w.box.Account(oneID).Role("prefix", trustWith("StringLike", "acme-*"), nil), one.ExternalID)
	request("one", "arn:aws:iam::"+oneID+":role/missing", "")
	request("one", role, two.ExternalID)
	request("two", role, one.ExternalID)
	request("one", role, one.ExternalID)
	request("two", role, two.ExternalID)
	config, err := w.client.AssumeCustomerRole(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Credentials.Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = w.client.AssumeCustomerRole(t.Context(), "two")
	say(err)
	if report, err := w.client.Check(t.Context(), "one", w.only("one").ID); err != nil {
		t.Fatal(err)
	} else {
		say(report)
	}
	if len(seen.secrets) < 8 {
		t.Fatalf("the witness saw only %d credentials", len(seen.secrets))
	}

	places := map[string]string{"the storage": w.dump(), "the log": w.log.String(), "errors and reports": said.String()}
	for place, text := range places {
		if len(text) < 1000 {
			t.Errorf("%s holds only %q; the scan is worth nothing", place, text)
		}
		for _, secret := range append(ids, seen.secrets...) {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) || strings.Contains(text, url.QueryEscape(secret)) {
				t.Errorf("%s contains %.12s…", place, secret)
			}
		}
		for _, internal := range []string{"secret-broker-name", "secret-probe-name", "not authorized to perform"} {
			if strings.Contains(text, internal) {
				t.Errorf("%s contains %q", place, internal)
			}
		}
	}
}

func TestRule5_ACustomersPageShowsNothingOfAnother(t *testing.T) {
	w := newWorld(t)
	one := w.start("one")
	role := w.onboard("one", oneID)
	client := w.newClient(crossaccount.WithTenantResolver(signedIn))
	for _, form := range []url.Values{
		nil,
		{"action": {"start"}},
		{"action": {"complete"}, "role_arn": {role}},
		{"action": {"complete"}, "role_arn": {role}, "integration_id": {one.IntegrationID}},
		{"action": {"complete"}, "role_arn": {role}, "external_id": {one.ExternalID}},
	} {
		body := visit(client, "two", form).Body.String()
		if strings.Contains(body, one.ExternalID) || form.Get("role_arn") == "" && strings.Contains(body, role) || strings.Contains(body, "account is connected") {
			t.Errorf("the page of customer two after %v shows customer one's integration:\n%s", form, body)
		}
	}
}

// signedIn is a resolver that believes a header. Real ones check a session.
func signedIn(r *http.Request) (string, error) {
	if customer := r.Header.Get("X-Customer"); customer != "" {
		return customer, nil
	}
	return "", http.ErrNoCookie
}

// visit requests the setup page as a browser of the customer would: GET without
// a form, POST with one, and GET again where the answer points to.
func visit(client *crossaccount.Client, customer string, form url.Values) *httptest.ResponseRecorder {
	return visitAt(client, customer, "", form)
}

func visitAt(client *crossaccount.Client, customer, query string, form url.Values, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, "https://vendor.example/integrate"+query, nil)
	if form != nil {
		request = httptest.NewRequest(http.MethodPost, "https://vendor.example/integrate", strings.NewReader(form.Encode()))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, cookie := range cookies {
		request.AddCookie(cookie)
	}
	if customer != "" {
		request.Header.Set("X-Customer", customer)
	}
	recorder := httptest.NewRecorder()
	client.ServeSetupUI(recorder, request)
	if recorder.Code == http.StatusSeeOther {
		cookies = append(cookies, cookiesOf(recorder)...)
		page := visitAt(client, customer, recorder.Header().Get("Location"), nil, cookies...)
		for _, cookie := range cookies {
			http.SetCookie(page, cookie)
		}
		return page
	}
	return recorder
}

func cookiesOf(answer *httptest.ResponseRecorder) []*http.Cookie {
	return (&http.Response{Header: answer.Header()}).Cookies()
}

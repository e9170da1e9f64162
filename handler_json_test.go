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
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox"
)

// send sends a request of a customer to a handler.
func send(h http.Handler, customer, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://vendor.example"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if customer != "" {
		r.Header.Set("X-Customer", customer)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func decoded[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		t.Fatalf("status %d, %q: %v", w.Code, w.Body, err)
	}
	return value
}

// An onboarding works wherever the handler is mounted, whether the router strips
// the prefix or not.
func TestHandlerWorksUnderAnyPrefix(t *testing.T) {
	for name, mount := range map[string]func(*http.ServeMux, http.Handler) string{
		"root":     func(m *http.ServeMux, h http.Handler) string { m.Handle("/", h); return "" },
		"prefix":   func(m *http.ServeMux, h http.Handler) string { m.Handle("/a/b/", h); return "/a/b" },
		"stripped": func(m *http.ServeMux, h http.Handler) string { m.Handle("/a/", http.StripPrefix("/a", h)); return "/a" },
		"wildcard": func(m *http.ServeMux, h http.Handler) string { m.Handle("/{tenant}/aws/{rest...}", h); return "/x/aws" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
			w.prepareBucket()
			mux := http.NewServeMux()
			prefix := mount(mux, w.client.Handler())

			answer := send(mux, "one", "POST", prefix+"/api/integration/start", `{"customer_id": "one"}`)
			started := decoded[crossaccount.IntegrationResponse](t, answer)
			if answer.Code != 200 || started.ExternalID == "" || answer.Header().Get("Cache-Control") != "no-store" {
				t.Fatalf("start: %d %v", answer.Code, answer.Header())
			}
			role := w.launch(oneID, started.LaunchURL)
			answer = send(mux, "one", "POST", prefix+"/api/integration/complete", `{"role_arn": "`+role+`"}`)
			if report := decoded[crossaccount.Report](t, answer); answer.Code != 200 || report.Result != crossaccount.Passed {
				t.Fatalf("complete: %d %s", answer.Code, answer.Body)
			}
			answer = send(mux, "one", "GET", prefix+"/api/integration/status", "")
			status := decoded[crossaccount.IntegrationStatus](t, answer)
			if answer.Code != 200 || status.State != crossaccount.StateActive || status.RoleARN != role || status.Verifying || status.IntegrationID != started.IntegrationID {
				t.Errorf("status: %d %s", answer.Code, answer.Body)
			}
			page := send(mux, "one", "GET", prefix+"/integrate", "")
			if page.Code != 200 || !strings.Contains(page.Body.String(), "Your account is connected") {
				t.Errorf("page: %d", page.Code)
			}
			script := regexp.MustCompile(`<script src="(\?asset=[^"]+)"`).FindStringSubmatch(page.Body.String())
			if got := send(mux, "", "GET", prefix+"/integrate"+script[1], ""); got.Code != 200 || !strings.Contains(got.Body.String(), "EventSource") {
				t.Errorf("script: %d", got.Code)
			}
			if got := send(mux, "one", "GET", prefix+"/unknown", ""); got.Code != 404 {
				t.Errorf("an unknown path: %d", got.Code)
			}
		})
	}
}

func TestHandlerRefuses(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
	w.start("one")
	h := w.client.Handler()
	const start, complete, status = "/x/api/integration/start", "/x/api/integration/complete", "/x/api/integration/status"
	for name, test := range map[string]struct {
		customer, method, path, body string
		status                       int
		code                         crossaccount.Code
	}{
		"not signed in":           {"", "POST", start, `{}`, 401, crossaccount.CodeForbidden},
		"status, not signed in":   {"", "GET", status, "", 401, crossaccount.CodeForbidden},
		"another customer":        {"two", "POST", start, `{"customer_id": "one"}`, 403, crossaccount.CodeForbidden},
		"another's completion":    {"two", "POST", complete, `{"customer_id": "one", "role_arn": "x"}`, 403, crossaccount.CodeForbidden},
		"another's status":        {"two", "GET", status + "?customer_id=one", "", 403, crossaccount.CodeForbidden},
		"another's integration":   {"two", "GET", status + "?integration_id=" + w.only("one").ID, "", 404, crossaccount.CodeUnknownIntegration},
		"nothing started":         {"two", "GET", status, "", 404, crossaccount.CodeUnknownCustomer},
		"method":                  {"one", "GET", start, "", 405, crossaccount.CodeInvalidRequest},
		"method of status":        {"one", "POST", status, "", 405, crossaccount.CodeInvalidRequest},
		"no JSON":                 {"one", "POST", start, `customer_id=one`, 400, crossaccount.CodeInvalidRequest},
		"two values":              {"one", "POST", start, `{}{}`, 400, crossaccount.CodeInvalidRequest},
		"unknown field":           {"one", "POST", start, `{"customer": "one"}`, 400, crossaccount.CodeInvalidRequest},
		"too large":               {"one", "POST", start, `{"customer_name": "` + strings.Repeat("x", 1<<20) + `"}`, 400, crossaccount.CodeInvalidRequest},
		"name of 10,000":          {"one", "POST", start, `{"customer_name": "` + strings.Repeat("x", 10_000) + `"}`, 400, crossaccount.CodeInvalidRequest},
		"role of 10,000":          {"one", "POST", complete, `{"role_arn": "` + strings.Repeat("x", 10_000) + `"}`, 400, crossaccount.CodeInvalidRequest},
		"null bytes":              {"one", "POST", complete, `{"role_arn": "a\u0000b"}`, 400, ""},
		"path as id":              {"one", "GET", status + "?integration_id=../../two", "", 404, crossaccount.CodeUnknownIntegration},
		"markup as id":            {"one", "GET", status + "?integration_id=%3Cscript%3E", "", 404, crossaccount.CodeUnknownIntegration},
		"no role":                 {"one", "POST", complete, `{}`, 400, crossaccount.CodeInvalidRequest},
		"a role that is none":     {"one", "POST", complete, `{"role_arn": "arn:aws:iam::222222222222:user/x"}`, 400, crossaccount.CodeInvalidRole},
		"another external ID":     {"one", "POST", complete, `{"role_arn": "arn:aws:iam::222222222222:role/x", "external_id": "guessed"}`, 400, crossaccount.CodeExternalIDMismatch},
		"events of nobody":        {"", "GET", "/x/integrate?events=1", "", 401, crossaccount.CodeForbidden},
		"events of another":       {"two", "GET", "/x/integrate?events=" + w.only("one").ID, "", 404, crossaccount.CodeUnknownIntegration},
		"download of nobody":      {"", "GET", "/x/integrate?download=terraform", "", 401, "page"},
		"download of what is not": {"one", "GET", "/x/integrate?download=../etc", "", 400, "page"},
		"page of another":         {"two", "GET", "/x/integrate?integration=" + w.only("one").ID, "", 404, "page"},
	} {
		answer := send(h, test.customer, test.method, test.path, test.body)
		if answer.Code != test.status {
			t.Errorf("%s: status %d, want %d: %.300s", name, answer.Code, test.status, answer.Body)
			continue
		}
		if test.code == "page" {
			continue
		}
		var problem crossaccount.Error
		if err := json.Unmarshal(answer.Body.Bytes(), &problem); err != nil || test.code != "" && problem.Code != test.code {
			t.Errorf("%s: code %q, want %q: %.300s", name, problem.Code, test.code, answer.Body)
		}
		if strings.Contains(answer.Body.String(), "<script>") || answer.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v %.300s", name, answer.Header(), answer.Body)
		}
	}
	cross := httptest.NewRequest("POST", "https://vendor.example"+start, strings.NewReader("{}"))
	cross.Header.Set("Sec-Fetch-Site", "cross-site")
	cross.Header.Set("X-Customer", "one")
	answer := httptest.NewRecorder()
	if h.ServeHTTP(answer, cross); answer.Code != 403 {
		t.Errorf("from another site: status %d", answer.Code)
	}
}

// A body that does not come is not waited for. The deadline of one that came
// whole does not stay, that of one that did not come whole does: before the
// server answers, it waits for the rest.
func TestSlowBodiesAreCutOff(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
	for sent, stays := range map[string]bool{`{`: true, `[]`: true, `{"customer_id":"one"}`: false} {
		body := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest("POST", "https://vendor.example/api/integration/start", strings.NewReader(sent))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Customer", "one")
		w.client.Handler().ServeHTTP(body, r)
		if len(body.deadlines) == 0 || body.deadlines[0].IsZero() || stays == body.deadlines[len(body.deadlines)-1].IsZero() {
			t.Errorf("%s: deadlines for the body: %v", sent, body.deadlines)
		}
	}
}

type deadlineRecorder struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (d *deadlineRecorder) SetReadDeadline(t time.Time) error {
	d.deadlines = append(d.deadlines, t)
	return nil
}

// A role that AWS does not know yet is answered with where to look; the
// verification goes on by itself and ends in use.
func TestLongVerificationGoesOnWithoutTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 45 * time.Second
		w := newWorldIn(t, sandbox.Options{IAMDelay: delay})
		time.Sleep(delay)
		w.client = w.newClient(crossaccount.WithTenantResolver(signedIn), crossaccount.WithPatience(20*time.Second))
		started := w.start("one")
		role := w.launch(oneID, started.LaunchURL)
		h := w.client.Handler()
		began := time.Now()
		answer := send(h, "one", "POST", "/api/integration/complete", `{"role_arn": "`+role+`"}`)
		if answer.Code != http.StatusAccepted || answer.Header().Get("Retry-After") == "" || time.Since(began) > 25*time.Second {
			t.Fatalf("complete: status %d after %s: %s", answer.Code, time.Since(began), answer.Body)
		}
		where, err := url.Parse("https://vendor.example/api/integration/complete")
		if err != nil {
			t.Fatal(err)
		}
		if where, err = where.Parse(answer.Header().Get("Location")); err != nil {
			t.Fatal(err)
		}
		status := decoded[crossaccount.IntegrationStatus](t, send(h, "one", "GET", where.RequestURI(), ""))
		if status.State != crossaccount.StateVerifying || !status.Verifying {
			t.Errorf("meanwhile: %+v", status)
		}
		page := visitAt(w.client, "one", "", nil).Body.String()
		for _, part := range []string{"Checking the role", `<noscript><meta http-equiv="refresh"`, "2 of 10 checks passed", "up to a few minutes"} {
			if !strings.Contains(page, part) {
				t.Errorf("the page lacks %q", part)
			}
		}

		events := regexp.MustCompile(`data-follow="([^"]+)"`).FindStringSubmatch(page)
		stream := send(h, "one", "GET", "/integrate"+strings.ReplaceAll(events[1], "&amp;", "&"), "") // ends with the verification
		said := stream.Body.String()
		if stream.Header().Get("Content-Type") != "text/event-stream" || !strings.HasSuffix(said, "event: done\ndata: {}\n\n") {
			t.Errorf("events: %v\n%s", stream.Header(), said)
		}
		for _, part := range []string{`"name":"assume","result":"running"`, `"name":"missing","result":"passed"`, `"waiting":true`} {
			if !strings.Contains(said, part) {
				t.Errorf("no event says %s:\n%s", part, said)
			}
		}
		if strings.Contains(said, started.ExternalID) {
			t.Error("events contain the external ID")
		}
		status = decoded[crossaccount.IntegrationStatus](t, send(h, "one", "GET", where.RequestURI(), ""))
		if status.State != crossaccount.StateActive || status.RoleARN != role || status.Verifying {
			t.Errorf("in the end: %+v", status)
		}
	})
}

// A wrong role is waited for as long as a new one may need, and then refused.
// Another role takes its place at once.
func TestAnotherRoleReplacesTheOneThatIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
		started := w.start("one")
		wrong := w.box.Account(oneID).Role("wrong", trustWith("StringEquals", "another"), nil)
		form := url.Values{"action": {"complete"}, "integration_id": {started.IntegrationID}, "role_arn": {wrong}}
		if page := visit(w.client, "one", form).Body.String(); !strings.Contains(page, "Checking the role") || !strings.Contains(page, wrong) {
			t.Fatalf("the page does not wait:\n%s", page)
		}
		time.Sleep(10 * time.Minute)
		if page := visitAt(w.client, "one", "", nil).Body.String(); !strings.Contains(page, "This role cannot be used") || !strings.Contains(page, "AWS does not let us assume the role") {
			t.Errorf("after the wait:\n%s", page)
		}
		if n := len(w.box.Calls()); n > 100 {
			t.Errorf("waiting made %d calls", n)
		}
		wrong = w.box.Account(oneID).Role("wrong-too", trustWith("StringEquals", "another"), nil)
		form.Set("role_arn", wrong)
		visit(w.client, "one", form)
		form.Set("role_arn", w.launch(oneID, started.LaunchURL))
		if page := visit(w.client, "one", form).Body.String(); !strings.Contains(page, "Your account is connected") {
			t.Errorf("the right role:\n%s", page)
		}
	})
}

// A verification that the end of the process interrupted is continued with one
// button.
func TestInterruptedVerificationIsContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 30 * time.Second
		w := newWorldIn(t, sandbox.Options{IAMDelay: delay})
		time.Sleep(delay)
		role := w.launch(oneID, w.start("one").LaunchURL)
		w.verify("one", role) // without patience; nobody goes on
		w.client = w.newClient(crossaccount.WithTenantResolver(signedIn))
		page := visitAt(w.client, "one", "", nil)
		if !strings.Contains(page.Body.String(), "Continue it where it stopped") || strings.Contains(page.Body.String(), `http-equiv="refresh"`) {
			t.Fatalf("the page:\n%s", page.Body)
		}
		time.Sleep(delay)
		page = visit(w.client, "one", fill(t, page, "complete", nil))
		if !strings.Contains(page.Body.String(), "Your account is connected") {
			t.Errorf("continued:\n%s", page.Body)
		}
	})
}

func TestDownloads(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(signedIn))
	started := w.start("one")
	for format, file := range map[crossaccount.TemplateFormat]string{
		crossaccount.FormatCloudFormation: "template.json", crossaccount.FormatTerraform: "main.tf.json", crossaccount.FormatScript: "create-role.sh",
	} {
		answer := send(w.client.Handler(), "one", "GET", "/integrate?download="+string(format), "")
		want, err := w.client.Template(format)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Code != 200 || !bytes.Equal(answer.Body.Bytes(), want) || answer.Header().Get("Content-Disposition") != fmt.Sprintf("attachment; filename=%q", file) {
			t.Errorf("%s: %d %v", format, answer.Code, answer.Header())
		}
		if strings.Contains(answer.Body.String(), started.ExternalID) {
			t.Errorf("%s contains the external ID", format)
		}
	}
}

// The page over a real connection, whose answers can be cut short.
func TestEventsOverHTTP(t *testing.T) {
	w := newWorld(t, crossaccount.WithTenantResolver(func(*http.Request) (string, error) { return "one", nil }))
	w.onboard("one", oneID)
	server := httptest.NewServer(w.client.Handler())
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/integrate?events=" + w.only("one").ID)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "event: done\ndata: {}\n\n" {
		t.Errorf("events of what is over: %q, %v", body, err)
	}
}

// Without a resolver the page is told who it is for, and stays so.
func TestOpenPageKeepsTheCustomer(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	cookies := cookiesOf(send(w.client.Handler(), "", "POST", "/api/integration/start", `{"customer_id":"a b&c"}`))
	w.onboard("a b&c", oneID)
	page := visitAt(w.client, "", "?customer_id=a+b%26c", nil, cookies...).Body.String()
	if !strings.Contains(page, "Your account is connected") || !strings.Contains(page, `name="customer_id" value="a b&amp;c"`) {
		t.Errorf("the page:\n%s", page)
	}
}

// Without a resolver, knowing a customer's id shows nothing of an onboarding
// that began elsewhere, above all no external ID.
func TestRule6_OpenPageBelongsToTheBrowserThatBegan(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	begun := send(w.client.Handler(), "", "POST", "/api/integration/start", `{"customer_id":"victim"}`)
	externalID := decoded[crossaccount.IntegrationResponse](t, begun).ExternalID
	cookies := cookiesOf(begun)
	if page := visitAt(w.client, "", "?customer_id=victim", nil, cookies...).Body.String(); externalID == "" || !strings.Contains(page, externalID) {
		t.Fatalf("the browser that began does not see the link:\n%s", page)
	}
	if len(cookies) != 1 || !cookies[0].HttpOnly || !cookies[0].Secure || cookies[0].SameSite != http.SameSiteLaxMode || strings.Contains(cookies[0].Value, "victim") {
		t.Errorf("the cookie is %v", cookies)
	}
	other := cookiesOf(send(w.client.Handler(), "", "POST", "/api/integration/start", `{"customer_id":"attacker"}`))
	start := url.Values{"action": {"start"}, "customer_id": {"victim"}}
	for name, answer := range map[string]*httptest.ResponseRecorder{
		"page":                    visitAt(w.client, "", "?customer_id=victim", nil),
		"form":                    visitAt(w.client, "", "", start),
		"another one's cookie":    visitAt(w.client, "", "?customer_id=victim", nil, other...),
		"form with that cookie":   visitAt(w.client, "", "", start, other...),
		"start":                   send(w.client.Handler(), "", "POST", "/api/integration/start", `{"customer_id":"victim"}`),
		"status":                  send(w.client.Handler(), "", "GET", "/api/integration/status?customer_id=victim", ""),
		"download":                visitAt(w.client, "", "?customer_id=victim&download=cli", nil),
		"events":                  visitAt(w.client, "", "?customer_id=victim&events=", nil),
		"complete":                send(w.client.Handler(), "", "POST", "/api/integration/complete", `{"customer_id":"victim","role_arn":"arn:aws:iam::222222222222:role/x"}`),
		"form that is completing": visitAt(w.client, "", "", url.Values{"action": {"complete"}, "customer_id": {"victim"}, "role_arn": {"arn:aws:iam::222222222222:role/x"}}),
	} {
		if strings.Contains(answer.Body.String(), externalID) || strings.Contains(answer.Header().Get("Location"), externalID) {
			t.Errorf("%s: shows the external ID", name)
		}
		if answer.Code == http.StatusOK && name != "download" {
			t.Errorf("%s: %d", name, answer.Code)
		}
	}
}

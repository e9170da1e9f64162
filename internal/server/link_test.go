package server_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/servetest"
)

// A browser keeps cookies as browsers do, follows nothing by itself, and sends
// no credentials unless it has some.
type browser struct {
	*testing.T
	cookies  map[string]*http.Cookie // :: path → cookie
	password string                  // the operator's token, if it has one
}

func newBrowser(t *testing.T) *browser {
	return &browser{T: t, cookies: map[string]*http.Cookie{}}
}

func (b *browser) send(method, address string, form url.Values) (*http.Response, string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if b.password != "" {
		r.SetBasicAuth("operator", b.password)
	}
	for path, cookie := range b.cookies {
		if r.URL.EscapedPath() == path || strings.HasPrefix(r.URL.EscapedPath(), path+"/") {
			r.AddCookie(cookie)
		}
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	for _, cookie := range response.Cookies() {
		b.cookies[cookie.Path] = cookie
	}
	return response, string(body)
}

// follow opens a link and returns the address it leads to.
func (b *browser) follow(link string) string {
	b.Helper()
	response, body := b.send(http.MethodGet, link, nil) //nolint:bodyclose // send closes it
	if response.StatusCode != http.StatusSeeOther {
		b.Fatalf("the link: %s: %s", response.Status, body)
	}
	to, err := response.Location()
	if err != nil {
		b.Fatal(err)
	}
	return to.String()
}

// A customer connects an account with nothing but the link that an operator has
// sent, and reaches nothing else with it.
func TestSetupLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w, "CROSSACCOUNT_LOG_LEVEL=debug")
	operator, err := p.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	begin := func(customer, id string) *crossaccount.IntegrationResponse {
		started, err := operator.Start(ctx, &api.StartRequest{CustomerID: customer, IntegrationID: id})
		if err != nil {
			t.Fatal(err)
		}
		return started
	}
	const acme = `acme & "söhne"/1`
	started, second, globex := begin(acme, ""), begin(acme, "second"), begin("globex", "")
	link := started.SetupURL
	if !strings.HasPrefix(link, p.URL+"/connect?link=") || strings.Contains(link, "acme") || time.Until(started.SetupURLExpiresAt) > 7*24*time.Hour {
		t.Fatalf("the link is %s until %s", link, started.SetupURLExpiresAt)
	}
	token := link[strings.Index(link, "link=")+len("link="):]
	b := newBrowser(t)
	opened, _ := b.send(http.MethodGet, link, nil) //nolint:bodyclose // send closes it
	cookie := opened.Cookies()
	if opened.StatusCode != http.StatusSeeOther || opened.Header.Get("Referrer-Policy") != "no-referrer" || opened.Header.Get("Cache-Control") != "no-store" ||
		len(cookie) != 1 || !cookie[0].HttpOnly || cookie[0].SameSite != http.SameSiteLaxMode || strings.Contains(opened.Header.Get("Location"), token) {
		t.Errorf("opening: %s %v", opened.Status, opened.Header)
	}
	page := newBrowser(t).follow(link)
	if strings.Contains(page, token) {
		t.Errorf("the token is in the page's address %s", page)
	}
	shown, body := b.send(http.MethodGet, page, nil) //nolint:bodyclose // send has closed it
	if shown.StatusCode != http.StatusOK || !strings.Contains(body, started.ExternalID) || strings.Contains(body, second.ExternalID) || strings.Contains(body, second.IntegrationID) || strings.Contains(body, token) {
		t.Errorf("the page: %s: %s", shown.Status, body)
	}

	// What the link is not for.
	globexPage := newBrowser(t).follow(globex.SetupURL)
	for what, address := range map[string]string{
		"the other integration":            page + "?integration=second",
		"its events":                       page + "?events=second",
		"another customer by name":         page + "?customer_id=globex",
		"an altered link":                  p.URL + "/connect?link=" + token[:len(token)-2] + flip(token[len(token)-2:]),
		"an altered beginning":             p.URL + "/connect?link=" + flip(token[:1]) + token[1:],
		"a cut link":                       p.URL + "/connect?link=" + token[:len(token)-8],
		"no token":                         p.URL + "/connect?link=",
		"nonsense":                         p.URL + "/connect?link=" + strings.Repeat("%00<script>", 500),
		"another value of the same sealer": p.URL + "/connect?link=" + token + token,
	} {
		response, body := b.send(http.MethodGet, address, nil) //nolint:bodyclose // send has closed it
		if response.StatusCode != http.StatusForbidden || strings.Contains(body, second.ExternalID) || strings.Contains(body, "<script>") || response.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %s: %s", what, response.Status, body)
		}
	}
	if response, body := b.send(http.MethodGet, globexPage, nil); response.StatusCode != http.StatusUnauthorized || strings.Contains(body, globex.ExternalID) { //nolint:bodyclose // send has closed it
		t.Errorf("another customer's page: %s", response.Status)
	}
	for _, c := range b.cookies { // the cookie itself, sent where it does not belong
		u, err := url.Parse(globexPage)
		if err != nil {
			t.Fatal(err)
		}
		thief := newBrowser(t)
		thief.cookies[u.EscapedPath()] = c
		if response, body := thief.send(http.MethodGet, globexPage, nil); response.StatusCode != http.StatusForbidden || strings.Contains(body, globex.ExternalID) { //nolint:bodyclose // send has closed it
			t.Errorf("another customer's page with our cookie: %s", response.Status)
		}
	}
	// Who sends credentials is who they say, whatever links the browser has
	// opened.
	for token, want := range map[string]int{servetest.Token: http.StatusOK, "wrong": http.StatusUnauthorized} {
		known := newBrowser(t)
		known.password, known.cookies = token, maps.Clone(b.cookies)
		if response, _ := known.send(http.MethodGet, page+"?integration=second", nil); response.StatusCode != want { //nolint:bodyclose // send has closed it
			t.Errorf("the token %q beside the cookie: %s", token, response.Status)
		}
	}
	for _, path := range []string{"/v1/integrations", "/connect"} {
		if response, _ := b.send(http.MethodGet, p.URL+path, nil); response.StatusCode != http.StatusUnauthorized { //nolint:bodyclose // send has closed it
			t.Errorf("%s with the cookie: %s", path, response.Status)
		}
	}
	for what, form := range map[string]url.Values{
		"complete another integration": {"action": {"complete"}, "integration_id": {"second"}, "role_arn": {"arn:aws:iam::" + servetest.AccountID(1) + ":role/x"}},
		"start another integration":    {"action": {"start"}, "integration_id": {"third"}},
		"another customer":             {"action": {"start"}, "customer_id": {"globex"}},
	} {
		if response, body := b.send(http.MethodPost, page, form); response.StatusCode != http.StatusForbidden { //nolint:bodyclose // send has closed it
			t.Errorf("%s: %s: %s", what, response.Status, body)
		}
	}

	// What it is for.
	role, err := w.Launch(ctx, servetest.AccountID(1), started.LaunchURL)
	if err != nil {
		t.Fatal(err)
	}
	b.send(http.MethodPost, page, url.Values{"action": {"complete"}, "integration_id": {started.IntegrationID}, "role_arn": {role}})          //nolint:bodyclose // send has closed it
	if _, body := b.send(http.MethodGet, page, nil); !strings.Contains(body, "Your account is connected") || strings.Contains(body, "?new") { //nolint:bodyclose // send has closed it
		t.Errorf("in the end: %s", body)
	}
	audit, err := operator.Audit(ctx, acme, started.IntegrationID, 10, "")
	if err != nil || audit.Records[0].Actor != "customer with a setup link" {
		t.Errorf("the audit: %+v, %v", audit, err)
	}

	// Afterwards neither the link nor the cookie works.
	if _, err := operator.Revoke(ctx, acme, started.IntegrationID); err != nil {
		t.Fatal(err)
	}
	for what, address := range map[string]string{"the link": link, "the page": page} {
		if response, body := b.send(http.MethodGet, address, nil); response.StatusCode != http.StatusForbidden || !strings.Contains(body, "no longer valid") { //nolint:bodyclose // send has closed it
			t.Errorf("%s after the end: %s: %s", what, response.Status, body)
		}
	}
	if _, err := operator.SetupLink(ctx, started.IntegrationID, &api.SetupLinkRequest{CustomerID: acme}); crossaccount.CodeOf(err) != crossaccount.CodeForbidden {
		t.Errorf("a link to what was revoked: %v", err)
	}
	if err := p.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	if log := p.Log(); strings.Contains(log, token) || strings.Contains(log, "link=") || !strings.Contains(log, `"path":"/connect"`) {
		t.Errorf("the log tells the token, or nothing:\n%s", log)
	}
}

func flip(text string) string {
	return strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return 'A'
	}, text)
}

// Behind a proxy, links begin with the public URL, and cookies are for it.
func TestSetupLinksBehindAProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w, "CROSSACCOUNT_PUBLIC_URL=https://vendor.example/portal/")
	operator, err := p.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	started, err := operator.Start(t.Context(), &api.StartRequest{CustomerID: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	link, err := operator.SetupLink(t.Context(), started.IntegrationID, &api.SetupLinkRequest{CustomerID: "acme", ValidForSeconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(link.URL, "https://vendor.example/portal/connect?link=")
	if !ok || time.Until(link.ExpiresAt) > time.Minute {
		t.Fatalf("%+v", link)
	}
	response, _ := newBrowser(t).send(http.MethodGet, p.URL+"/connect?link="+rest, nil) //nolint:bodyclose // send has closed it
	cookies := response.Cookies()
	if len(cookies) != 1 || cookies[0].Path != "/portal/connect/acme" || !cookies[0].Secure || response.Header.Get("Location") != "connect/acme" {
		t.Errorf("%s %v", response.Status, response.Header)
	}
	if _, err := operator.SetupLink(context.Background(), started.IntegrationID, &api.SetupLinkRequest{CustomerID: "globex"}); crossaccount.CodeOf(err) != crossaccount.CodeUnknownIntegration {
		t.Errorf("a link for another customer: %v", err)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
}

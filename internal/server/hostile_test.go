package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/servetest"
)

// hostile is what nobody sends by mistake.
var hostile = map[string]string{
	"10,000 characters":  strings.Repeat("a", 10_000),
	"long and not ASCII": strings.Repeat("é", 10_000),
	"SQL":                `1'; DROP TABLE integrations; --`,
	"HTML":               `"><script>alert(1)</script><img src=x onerror=alert(1)>`,
	"traversal":          `../../../../etc/passwd`,
	"null byte":          "one\x00two",
	"line break":         "one\r\nSet-Cookie: stolen=1",
	"bidi":               "\u202Eeno",
	"not UTF-8":          "one\xff",
	"template":           `{{.}}${jndi:ldap://x}%s%n`,
}

// Whatever is sent to whatever route of the served site: no 5xx, nothing
// reflected that a browser could run, no header smuggled in, nothing made.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w)
	operator, err := p.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	started, err := operator.Start(t.Context(), &api.StartRequest{CustomerID: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	send := func(name, method, path, contentType, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		r.SetBasicAuth("operator", servetest.Token)
		r.Header.Set("Content-Type", contentType)
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %s %.100s: %v", name, method, path, err)
			return
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		where := fmt.Sprintf("%s: %s %.100s %.60s: %s", name, method, path, body, response.Status)
		switch page := string(answer); {
		case err != nil || response.StatusCode >= 500:
			t.Errorf("%s: %v: %.300s", where, err, page)
		case strings.Contains(page, "<script>alert") || strings.Contains(page, "onerror=alert(1)>") || strings.Contains(page, started.ExternalID) && !strings.HasPrefix(path, "/connect/acme"):
			t.Errorf("%s: reflected or told: %.2000s", where, page)
		case response.Header.Get("Set-Cookie") != "" || response.Header.Get("Content-Security-Policy") == "" || response.Header.Get("X-Content-Type-Options") != "nosniff":
			t.Errorf("%s: headers %v", where, response.Header)
		}
	}
	const form, json = "application/x-www-form-urlencoded", "application/json"
	for name, bad := range hostile {
		path, query := url.PathEscape(bad), url.QueryEscape(bad)
		for _, at := range []string{
			"/" + path, "/connect/" + path, "/connect?customer_id=" + query, "/connect?link=" + query, "/connect?" + query + "=1",
			"/connect/acme?integration=" + query, "/connect/acme?events=" + query, "/connect/acme?customer_id=" + query,
			"/connect/acme?download=" + query, "/connect/acme?asset=" + query, "/connect/acme/" + path,
			"/v1/integrations/" + path + "?customer_id=acme", "/v1/integrations/" + path + "/setup-link",
			"/v1/integrations?cursor=" + query, "/healthz?" + query, "/readyz/" + path, "/openapi.json?" + query,
		} {
			send(name, http.MethodGet, at, form, "")
		}
		for field := range strings.FieldsSeq("customer_id customer_name region integration_id role_arn external_id action") {
			values := url.Values{"action": {"complete"}, "integration_id": {started.IntegrationID}, "role_arn": {"x"}}
			values.Set(field, bad)
			if field == "region" || field == "customer_name" || field == "integration_id" {
				values.Set("action", "start")
			}
			if field == "customer_name" && name != "10,000 characters" {
				continue // people's names may be odd, and are escaped
			}
			send(name, http.MethodPost, "/connect/acme", form, values.Encode())
		}
		send(name, http.MethodPost, "/connect/acme", json, bad)
		send(name, http.MethodPost, "/connect/acme", "multipart/form-data; boundary="+query[:min(20, len(query))], bad)
		send(name, http.MethodPost, "/v1/integrations/"+started.IntegrationID+"/setup-link", json, fmt.Sprintf(`{"customer_id":%q,"valid_for_seconds":-1}`, bad))
		send(name, http.MethodPost, "/v1/integrations", "text/plain", bad)
	}
	large := strings.Repeat("a", 10<<20)
	send("10 MB", http.MethodPost, "/connect/acme", form, "action=start&customer_name="+large)
	for i, err := range operator.All(t.Context(), api.ListRequest{}) {
		if err != nil || i.CustomerID != "acme" || i.ID != started.IntegrationID || i.State != crossaccount.StatePending {
			t.Errorf("there is %+v, %v", i, err)
		}
	}
	if err := errors.Join(p.Interrupt(), p.Wait()); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
	for line := range strings.Lines(p.Log()) {
		if strings.Contains(line, "panic") || strings.Contains(line, `"level":"ERROR"`) {
			t.Errorf("the log has %.500s", line)
		}
	}
}

// Requests that are none, and clients that send a byte now and then, do not keep
// others from being served, nor the server from ending.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w)
	address := strings.TrimPrefix(p.URL, "http://")
	dial := func() net.Conn {
		t.Helper()
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { connection.Close() })
		if err := connection.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return connection
	}
	for request, want := range map[string]int{
		"GET /connect/a\x00b HTTP/1.1\r\nHost: x\r\n\r\n":                                                               400,
		"GET /v1/integrations/%00 HTTP/1.1\r\nHost: x\r\n\r\n":                                                          404,
		"GET /" + strings.Repeat("a", 100_000) + " HTTP/1.1\r\nHost: x\r\n\r\n":                                         431,
		"GET / HTTP/1.1\r\n\r\n":                                                                                        400,
		"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 100_000) + "\r\n\r\n":                             431,
		"POST /v1/integrations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 401,
		"POST /v1/integrations HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n":                                       400,
		"nonsense\r\n\r\n": 400,
	} {
		connection := dial()
		// The server may answer and close before everything was sent.
		_, _ = io.WriteString(connection, request)
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil || response.StatusCode != want {
			t.Errorf("%.60q: %v, %v, want %d", request, response, err, want)
			continue
		}
		response.Body.Close()
	}
	// Slow ones: of the header, and of the body.
	for range 50 {
		if _, err := io.WriteString(dial(), "GET / HTTP/1.1\r\nHost: "); err != nil {
			t.Fatal(err)
		}
	}
	slow := dial()
	if _, err := io.WriteString(slow, "POST /v1/integrations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+servetest.Token+
		"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	client, err := p.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Start(t.Context(), &api.StartRequest{CustomerID: "acme"}); err != nil {
		t.Errorf("while others are slow: %v", err)
	}
	for _, path := range []string{"/connect/acme", "/connect/acme/nothing", "/v1/imports"} { // read, and not wanted at all
		if _, err := io.WriteString(dial(), "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na"); err != nil {
			t.Fatal(err)
		}
	}
	if response, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || response.StatusCode != http.StatusRequestTimeout { //nolint:bodyclose // the connection is closed
		t.Errorf("a slow body: %v, %v", response, err)
	}
	if err := errors.Join(p.Interrupt(), p.Wait()); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
}

// Many do different things with one integration at the same time. Each is
// answered with what happened or a conflict, and what is left is whole.
func TestManyAtOneIntegration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w)
	client, err := p.Client(servetest.Transport(64))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		customer := servetest.CustomerID(round)
		var mu sync.Mutex
		ids := map[string]bool{}
		atOnce := func(do ...func(context.Context) error) {
			t.Helper()
			var group sync.WaitGroup
			for _, each := range do {
				for range 8 {
					group.Go(func() {
						err := each(t.Context())
						if status := api.StatusOf(crossaccount.CodeOf(err)); err != nil && status >= 500 {
							t.Errorf("%s: %v (%d)", customer, err, status)
						}
					})
				}
			}
			group.Wait()
		}
		var started *crossaccount.IntegrationResponse
		begin := func(ctx context.Context) error {
			s, err := client.Start(ctx, &api.StartRequest{CustomerID: customer})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				started = s
				ids[s.IntegrationID+" "+s.ExternalID] = true
			}
			return err
		}
		atOnce(begin, begin, begin)
		if len(ids) != 1 {
			t.Fatalf("%s was told %v", customer, ids)
		}
		role, err := w.Launch(t.Context(), servetest.AccountID(round), started.LaunchURL)
		if err != nil {
			t.Fatal(err)
		}
		request := &api.RoleRequest{CustomerID: customer, RoleARN: role}
		verify := func(ctx context.Context) error {
			_, err := client.Verify(ctx, started.IntegrationID, request)
			return err
		}
		complete := func(ctx context.Context) error {
			_, err := client.Complete(ctx, started.IntegrationID, request)
			return err
		}
		revoke := func(ctx context.Context) error {
			_, err := client.Revoke(ctx, customer, started.IntegrationID)
			return err
		}
		disconnect := func(ctx context.Context) error {
			_, err := client.Disconnect(ctx, customer, started.IntegrationID)
			return err
		}
		check := func(ctx context.Context) error {
			_, err := client.Check(ctx, customer, started.IntegrationID)
			return err
		}
		want := crossaccount.StateActive
		atOnce(verify, complete, begin)
		if round == 1 {
			atOnce(check, disconnect, verify, complete, revoke)
			want = crossaccount.StateRevoked
		}
		if err := complete(t.Context()); err != nil && want == crossaccount.StateActive {
			t.Errorf("%s: %v", customer, err)
		}
		shown, err := client.Integration(t.Context(), customer, started.IntegrationID)
		if err != nil || shown.State != want {
			t.Errorf("%s is %+v, %v", customer, shown, err)
		}
		audit, err := client.Audit(t.Context(), customer, started.IntegrationID, 100, "")
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for _, record := range audit.Records {
			counts[record.Action]++
		}
		if counts[crossaccount.ActionStarted] != 1 || counts[crossaccount.ActionRevoked] > 1 {
			t.Errorf("%s: %v", customer, counts)
		}
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
}

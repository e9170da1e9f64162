package broker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/broker"
)

func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = values }
}

func host(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }

// Every row that is refused differs from one that is served in one thing, so each
// fails when its guard is removed.
func TestEndpointGuards(t *testing.T) {
	e, token := withToken(t, broker.EndpointConfig{TokenRate: broker.Rate{Burst: 1000, Every: time.Millisecond}}, "acme")
	for _, test := range []struct {
		name    string
		request func(*http.Request)
		status  int
		code    string
	}{
		{"as it should be", func(*http.Request) {}, 200, ""},
		{"headers of SDKs", func(r *http.Request) {
			r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47")
			r.Header.Set("Accept", "application/json")
			r.Header.Set("Accept-Encoding", "gzip")
			r.Header.Set("Connection", "keep-alive")
			r.Header.Set("Amz-Sdk-Invocation-Id", "1")
			r.Header.Set("Amz-Sdk-Request", "attempt=1; max=3")
		}, 200, ""},
		{"scheme of the token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, 200, ""},
		{"HEAD", func(r *http.Request) { r.Method = "HEAD" }, 405, "method_not_allowed"},
		{"POST", func(r *http.Request) { r.Method = "POST" }, 405, "method_not_allowed"},
		{"OPTIONS", func(r *http.Request) { r.Method = "OPTIONS" }, 405, "method_not_allowed"},
		{"PUT", func(r *http.Request) { r.Method = "PUT" }, 405, "method_not_allowed"},
		{"a body", func(r *http.Request) { r.ContentLength = 1 }, 400, "body_not_allowed"},
		{"a body of unknown length", func(r *http.Request) { r.ContentLength = -1 }, 400, "body_not_allowed"},
		{"a chunked body", func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 400, "body_not_allowed"},
		{"localhost", host("localhost:9911"), 200, ""},
		{"LOCALHOST", host("LOCALHOST"), 200, ""},
		{"127.1.2.3", host("127.1.2.3:1"), 200, ""},
		{"::1", host("[::1]:9911"), 200, ""},
		{"::1 without port", host("[::1]"), 200, ""},
		{"no host", host(""), 403, "host_not_allowed"},
		{"another name", host("attacker.example:9911"), 403, "host_not_allowed"},
		{"a name that looks like it", host("localhost.attacker.example"), 403, "host_not_allowed"},
		{"a name that begins like it", host("127.0.0.1.attacker.example"), 403, "host_not_allowed"},
		{"user information", host("localhost@attacker.example"), 403, "host_not_allowed"},
		{"0.0.0.0", host("0.0.0.0:9911"), 403, "host_not_allowed"},
		{"an address of a network", host("10.0.0.1:9911"), 403, "host_not_allowed"},
		{"instance metadata", host("169.254.169.254"), 403, "host_not_allowed"},
		{"127 in octal", host("0177.0.0.1"), 403, "host_not_allowed"},
		{"127 in short", host("127.1"), 403, "host_not_allowed"},
		{"::1 with a zone", host("[::1%25eth0]"), 403, "host_not_allowed"},
		{"::1 without brackets", host("::1"), 403, "host_not_allowed"},
		{"two colons", host("localhost:1:2"), 403, "host_not_allowed"},
		{"a bracket", host("["), 403, "host_not_allowed"},
		{"Origin", header("Origin", "null"), 403, "header_not_allowed"},
		{"Referer", header("Referer", "http://127.0.0.1/"), 403, "header_not_allowed"},
		{"Cookie", header("Cookie", "a=b"), 403, "header_not_allowed"},
		{"Sec-Fetch-Mode", header("Sec-Fetch-Mode", "cors"), 403, "header_not_allowed"},
		{"Sec-Fetch-Site", header("Sec-Fetch-Site", "same-origin"), 403, "header_not_allowed"},
		{"preflight", header("Access-Control-Request-Method", "GET"), 403, "header_not_allowed"},
		{"Forwarded", header("Forwarded", "for=1.2.3.4"), 403, "header_not_allowed"},
		{"X-Forwarded-For", header("X-Forwarded-For", "1.2.3.4"), 403, "header_not_allowed"},
		{"X-Forwarded-Host", header("X-Forwarded-Host", "a"), 403, "header_not_allowed"},
		{"an empty one", header("X-Forwarded-Proto", ""), 403, "header_not_allowed"},
		{"Via", header("Via", "1.1 proxy"), 403, "header_not_allowed"},
		{"X-Real-Ip", header("X-Real-Ip", "1.2.3.4"), 403, "header_not_allowed"},
		{"X-Client-Ip", header("X-Client-Ip", "1.2.3.4"), 403, "header_not_allowed"},
		{"True-Client-Ip", header("True-Client-Ip", "1.2.3.4"), 403, "header_not_allowed"},
		{"Cf-Connecting-Ip", header("Cf-Connecting-Ip", "1.2.3.4"), 403, "header_not_allowed"},
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, 401, "unauthorized"},
		{"an empty token", header("Authorization", ""), 401, "unauthorized"},
		{"two tokens", header("Authorization", token, token), 401, "unauthorized"},
		{"another secret", header("Authorization", flipLast(token)), 401, "unauthorized"},
		{"another id", header("Authorization", token[:4]+"0123456789abcdef"+token[20:]), 401, "unauthorized"},
		{"a shorter one", header("Authorization", token[:63]), 401, "unauthorized"},
		{"a longer one", header("Authorization", token+"a"), 401, "unauthorized"},
		{"a line end", header("Authorization", token+"\n"), 401, "unauthorized"},
		{"another prefix", header("Authorization", "xyz_"+token[4:]), 401, "unauthorized"},
		{"a query", func(r *http.Request) { r.URL.RawQuery = "a=b" }, 404, "not_found"},
		{"the root", func(r *http.Request) { r.URL.Path = "/" }, 404, "not_found"},
		{"no customer", func(r *http.Request) { r.URL.Path = "/credentials/" }, 404, "not_found"},
		{"an empty purpose", func(r *http.Request) { r.URL.Path = "/credentials/acme/" }, 404, "not_found"},
		{"an empty integration", func(r *http.Request) { r.URL.Path = "/credentials/acme/-/" }, 404, "not_found"},
		{"too many parts", func(r *http.Request) { r.URL.Path = "/credentials/acme/-/i/more" }, 404, "not_found"},
		{"another customer", func(r *http.Request) { r.URL.Path = "/credentials/globex" }, 403, "forbidden"},
		{"another purpose", func(r *http.Request) { r.URL.Path = "/credentials/acme/backup" }, 403, "forbidden"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := e.get(token, "/credentials/acme", test.request)
			var got struct{ Code string }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != test.status || got.Code != test.code {
				t.Errorf("got %d %q, want %d %q", w.Code, got.Code, test.status, test.code)
			}
			if w.Code == 405 && w.Header().Get("Allow") != "GET" {
				t.Error("the answer does not say what is allowed")
			}
		})
	}
	for outcome, want := range map[broker.Outcome]bool{broker.Served: true, broker.Guarded: true, broker.Unauthorized: true, broker.Forbidden: true, broker.Unavailable: false} {
		if got := e.Count(outcome) > 0; got != want {
			t.Errorf("%s was counted: %t, want %t", outcome, got, want)
		}
	}
}

func flipLast(token string) string {
	last := byte('A')
	if token[len(token)-1] == last {
		last = 'Q'
	}
	return token[:len(token)-1] + string(last)
}

func TestEndpointHosts(t *testing.T) {
	e, token := withToken(t, broker.EndpointConfig{Hosts: []string{"169.254.170.23", "Broker.internal:8080", "[fd00:ec2::23]"}}, "acme")
	for name, want := range map[string]int{
		"169.254.170.23": 200, "169.254.170.23:80": 200, "broker.internal:8080": 200, "broker.internal": 403, "broker.internal:80": 403,
		"[fd00:ec2::23]": 200, "[fd00:ec2::23]:80": 200, "localhost": 403, "127.0.0.1": 403,
	} {
		if got := e.get(token, "/credentials/acme", host(name)); got.Code != want {
			t.Errorf("%s: got %d, want %d", name, got.Code, want)
		}
	}
}

func TestTokensAreBound(t *testing.T) {
	bound := func(customers, purposes, integrations []string) broker.TokenRecord {
		return broker.TokenRecord{Customers: customers, Purposes: purposes, Integrations: integrations}
	}
	for _, test := range []struct {
		record broker.TokenRecord
		path   string
		want   int
	}{
		{bound([]string{"b", "a", "a/c", "ä %"}, []string{""}, nil), "/credentials/a", 200},
		{bound([]string{"b", "a", "a/c", "ä %"}, []string{""}, nil), "/credentials/a%2Fc", 200},
		{bound([]string{"b", "a", "a/c", "ä %"}, []string{""}, nil), broker.CredentialsPath("ä %", "", ""), 200},
		{bound([]string{"b", "a", "a/c", "ä %"}, []string{""}, nil), "/credentials/a/c", 403},
		{bound([]string{"b", "a", "a/c", "ä %"}, []string{""}, nil), "/credentials/c", 403},
		{bound([]string{"b", "a", "a/c", "ä %"}, []string{""}, nil), "/credentials/A", 403},
		{bound([]string{"a"}, []string{""}, nil), "/credentials/a/-", 200},
		{bound([]string{"a"}, []string{""}, nil), "/credentials/a/-/i-1", 200},
		{bound([]string{"a"}, []string{"backup"}, nil), "/credentials/a", 403},
		{bound([]string{"a"}, []string{"backup"}, nil), "/credentials/a/-", 403},
		{bound([]string{"a"}, []string{"backup"}, nil), "/credentials/a/backup", 200},
		{bound([]string{"a"}, []string{"backup"}, nil), "/credentials/a/backup/i-1", 200},
		{bound([]string{"a"}, []string{"backup", ""}, nil), "/credentials/a", 200},
		{bound([]string{"a"}, []string{""}, []string{"i-2", "i-1"}), "/credentials/a/-/i-1", 200},
		{bound([]string{"a"}, []string{""}, []string{"i-2", "i-1"}), "/credentials/a/-/i-3", 403},
		{bound([]string{"a"}, []string{""}, []string{"i-2", "i-1"}), "/credentials/a", 403},
	} {
		test.record.ExpiresAt = noon.Add(time.Hour)
		token, record, err := broker.IssueToken(nil, noon, "worker", test.record)
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := broker.NewTokens(record)
		if err != nil {
			t.Fatal(err)
		}
		if got := newEndpoint(t, broker.EndpointConfig{Tokens: tokens}).get(token, test.path); got.Code != test.want {
			t.Errorf("%v asks %s: got %d, want %d", test.record, test.path, got.Code, test.want)
		}
	}
}

func TestCredentialsPath(t *testing.T) {
	for _, test := range []struct{ customer, integration, purpose, want string }{
		{"acme", "", "", "/credentials/acme"},
		{"acme", "", "backup", "/credentials/acme/backup"},
		{"acme", "i-1", "", "/credentials/acme/-/i-1"},
		{"acme", "i-1", "backup", "/credentials/acme/backup/i-1"},
		{"a/b c?", "#", "%", "/credentials/a%2Fb%20c%3F/%25/%23"},
	} {
		if got := broker.CredentialsPath(test.customer, test.integration, test.purpose); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
		var asked []string
		record := broker.TokenRecord{Customers: []string{test.customer}, Purposes: []string{test.purpose}, ExpiresAt: noon.Add(time.Hour)}
		token, record, err := broker.IssueToken(nil, noon, "worker", record)
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := broker.NewTokens(record)
		if err != nil {
			t.Fatal(err)
		}
		e := newEndpoint(t, broker.EndpointConfig{Tokens: tokens, Resolve: func(_ context.Context, customer, integration, purpose string) (broker.Source, error) {
			asked = []string{customer, integration, purpose}
			return aSource(customer, integration, purpose), nil
		}})
		e.get(token, test.want)
		if diff := cmp.Diff([]string{test.customer, test.integration, test.purpose}, asked); diff != "" {
			t.Errorf("%s asks for (-want +got):\n%s", test.want, diff)
		}
	}
}

func TestTokensEnd(t *testing.T) {
	now := noon
	token, record := issueToken(t, "acme")
	tokens, err := broker.NewTokens(record)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, broker.EndpointConfig{Tokens: tokens, Now: func() time.Time { return now }})
	status := func(want int) {
		t.Helper()
		if got := e.get(token, "/credentials/acme"); got.Code != want {
			t.Errorf("got %d, want %d", got.Code, want)
		}
	}
	now = record.ExpiresAt.Add(-time.Second)
	status(200)
	now = record.ExpiresAt
	status(401)
	now = noon
	status(200)
	record.Revoked = true
	if err := tokens.Replace([]broker.TokenRecord{record}); err != nil {
		t.Fatal(err)
	}
	status(401)
}

func TestTokenRate(t *testing.T) {
	now := noon
	one, first := issueToken(t, "acme")
	other, second := issueToken(t, "acme")
	tokens, err := broker.NewTokens(first, second)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, broker.EndpointConfig{Tokens: tokens, TokenRate: broker.Rate{Burst: 3, Every: 10 * time.Second}, Now: func() time.Time { return now }})
	status := func(token string, want int) {
		t.Helper()
		if got := e.get(token, "/credentials/acme"); got.Code != want {
			t.Errorf("got %d, want %d", got.Code, want)
		}
	}
	for range 3 {
		status(one, 200)
	}
	limited := e.get(one, "/credentials/acme")
	if limited.Code != 429 || limited.Header().Get("Retry-After") != "10" {
		t.Errorf("got %d, try again after %q; want 429 and 10", limited.Code, limited.Header().Get("Retry-After"))
	}
	status(other, 200)
	now = now.Add(9 * time.Second)
	status(one, 429)
	if err := tokens.Replace([]broker.TokenRecord{first}); err != nil { // does not give it new requests
		t.Fatal(err)
	}
	status(one, 429)
	now = now.Add(time.Second)
	status(one, 200)
	status(one, 429)
	now = now.Add(time.Hour) // saves up the burst and no more
	for range 3 {
		status(one, 200)
	}
	status(one, 429)
}

// FuzzEndpoint sends what anybody could send, and checks that credentials are
// handed out for exactly what the token is bound to.
func FuzzEndpoint(f *testing.F) {
	e, token := withToken(f, broker.EndpointConfig{TokenRate: broker.Rate{Burst: 1 << 30, Every: 1}}, "acme", "a/b")
	for _, path := range []string{"/credentials/acme", "/credentials/a%2Fb/-/i", "/credentials/acme/../globex", "//credentials/acme", "http://evil/credentials/acme", "/credentials/acme?a"} {
		f.Add("GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:9911\r\nAuthorization: TOKEN\r\n\r\n")
	}
	f.Add("GET /credentials/acme HTTP/1.1\r\nHost: evil\r\nAuthorization: Bearer TOKEN\r\nX-Forwarded-For: a\r\nContent-Length: 5\r\n\r\nhello")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "TOKEN", token))))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			if strings.Contains(w.Body.String(), "AccessKeyId") || !json.Valid(w.Body.Bytes()) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			return
		}
		name, _, _ := strings.Cut(r.Host, ":")
		if strings.HasPrefix(r.Host, "[") {
			name, _, _ = strings.Cut(r.Host[1:], "]")
		}
		local := strings.EqualFold(name, "localhost") || strings.HasPrefix(name, "127.") || strings.Contains(name, "::") || strings.Contains(name, "0:0")
		authorized := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") == token
		parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/credentials/"), "/")
		customer, err := url.PathUnescape(parts[0])
		if err != nil || r.Method != "GET" || !local || !authorized || customer != "acme" && customer != "a/b" || r.URL.RawQuery != "" ||
			len(parts) > 1 && parts[1] != "-" && parts[1] != "%2D" && parts[1] != "%2d" {
			t.Errorf("credentials were handed out for %q", text)
		}
	})
}

package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crossaccount/crossaccount/broker"
)

// A constant source always has the same credentials or error.
type constant struct {
	subject     broker.Subject
	credentials aws.Credentials
	err         error
}

func (c *constant) RetrieveLasting(context.Context, time.Duration) (aws.Credentials, error) {
	return c.credentials, c.err
}
func (c *constant) Subject() broker.Subject { return c.subject }

func aSource(customer, integration, purpose string) *constant {
	return &constant{
		subject: broker.Subject{Customer: customer, Integration: integration, Purpose: purpose, RoleARN: "arn:aws:iam::222222222222:role/" + customer,
			Key: broker.Key([]byte(fmt.Sprintf("%32s", customer+integration+purpose)))},
		credentials: aws.Credentials{AccessKeyID: "ASIA" + customer + integration + purpose, SecretAccessKey: "a secret", SessionToken: "a token",
			AccountID: "222222222222", CanExpire: true, Expires: noon.Add(time.Hour)},
	}
}

type testEndpoint struct {
	*broker.Endpoint
	t testing.TB
}

// newEndpoint returns an endpoint whose clock stands at noon and whose customers
// are acme, globex and initech, unless the configuration says otherwise.
func newEndpoint(t testing.TB, config broker.EndpointConfig) *testEndpoint {
	t.Helper()
	if config.Now == nil {
		config.Now = at(noon)
	}
	if config.Resolve == nil {
		config.Resolve = func(_ context.Context, customer, integration, purpose string) (broker.Source, error) {
			return aSource(customer, integration, purpose), nil
		}
	}
	e, err := broker.NewEndpoint(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &testEndpoint{e, t}
}

// withToken returns an endpoint and a token for a customer.
func withToken(t testing.TB, config broker.EndpointConfig, customers ...string) (*testEndpoint, string) {
	t.Helper()
	token, record := issueToken(t, customers...)
	tokens, err := broker.NewTokens(record)
	if err != nil {
		t.Fatal(err)
	}
	config.Tokens = tokens
	return newEndpoint(t, config), token
}

func (e *testEndpoint) get(token, path string, options ...func(*http.Request)) *httptest.ResponseRecorder {
	e.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), "GET", "http://127.0.0.1:9911"+path, nil)
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	for _, option := range options {
		option(r)
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Header().Get("Cache-Control") != "no-store" {
		e.t.Error("the answer may be cached")
	}
	if w.Header().Get("Content-Type") != "application/json" {
		e.t.Errorf("the answer is %s", w.Header().Get("Content-Type"))
	}
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") {
			e.t.Errorf("the answer has the header %s", name)
		}
	}
	if got, want := w.Header().Get("Content-Length"), fmt.Sprint(w.Body.Len()); got != want {
		e.t.Errorf("the answer has %s bytes and says %s", want, got)
	}
	if w.Code != http.StatusOK {
		var refused map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &refused); err != nil || refused["code"] == "" || refused["message"] == "" ||
			refused["Code"] != refused["code"] || refused["Message"] != refused["message"] {
			e.t.Errorf("the answer is not in the form of the SDKs: %s", w.Body)
		}
		if strings.Contains(w.Body.String(), "a secret") || strings.Contains(w.Body.String(), "AccessKeyId") {
			e.t.Errorf("the answer has a secret: %s", w.Body)
		}
	}
	return w
}

func TestEndpointAnswers(t *testing.T) {
	e, token := withToken(t, broker.EndpointConfig{}, "acme")
	w := e.get(token, "/credentials/acme")
	want := `{"AccessKeyId":"ASIAacme","SecretAccessKey":"a secret","Token":"a token","Expiration":"2026-11-22T13:00:00Z",` +
		`"AccountId":"222222222222","RoleArn":"arn:aws:iam::222222222222:role/acme"}`
	if w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("got %d %s\nwant %s", w.Code, w.Body, want)
	}
	if w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Error("a browser may guess what the answer is")
	}
	if got := e.Count(broker.Served); got != 1 {
		t.Errorf("counted %d", got)
	}
}

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

func TestEndpointErrors(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		code   string
		after  string
	}{
		{&broker.Error{Code: broker.CodeInvalidRequest, Message: "no such customer"}, 404, "invalid_request", ""},
		{&broker.Error{Code: broker.CodeRefused, Message: "AWS refuses", RetryAfter: time.Minute}, 403, "refused", ""},
		{&broker.Error{Code: broker.CodeWithdrawn, Message: "withdrawn"}, 403, "withdrawn", ""},
		{broker.Revoked(nil), 403, "revoked", ""},
		{&broker.Error{Code: broker.CodePropagating, Message: "not yet", RetryAfter: 1500 * time.Millisecond}, 503, "propagating", "2"},
		{&broker.Error{Code: broker.CodeThrottled, Message: "too fast", RetryAfter: time.Second}, 429, "throttled", "1"},
		{&broker.Error{Code: broker.CodeUnavailable, Message: "down"}, 503, "unavailable", ""},
		{&broker.Error{Code: broker.CodeClosed, Message: "closed"}, 503, "closed", ""},
		{&broker.Error{Code: broker.CodeCanceled, Message: "gone"}, 503, "canceled", ""},
		{fmt.Errorf("wrapped: %w", &broker.Error{Code: broker.CodeRefused, Message: "AWS refuses"}), 403, "refused", ""},
		{errors.New("a secret text of a database"), 500, "internal", ""},
	} {
		for from, config := range map[string]broker.EndpointConfig{
			"resolver": {Resolve: func(context.Context, string, string, string) (broker.Source, error) { return nil, test.err }},
			"source": {Resolve: func(context.Context, string, string, string) (broker.Source, error) {
				return &constant{err: test.err}, nil
			}},
		} {
			e, token := withToken(t, config, "acme")
			w := e.get(token, "/credentials/acme")
			var got struct{ Code, Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != test.status || got.Code != test.code || w.Header().Get("Retry-After") != test.after {
				t.Errorf("%v of the %s: got %d %s, after %q", test.err, from, w.Code, got.Code, w.Header().Get("Retry-After"))
			}
			var known *broker.Error
			if errors.As(test.err, &known) && got.Message != known.Message {
				t.Errorf("the message is %q, want %q", got.Message, known.Message)
			}
		}
	}
}

// A renewable source has credentials that last for left, and others after some
// time.
type renewable struct {
	constant
	renewing time.Duration
	renewed  aws.Credentials
}

func (r *renewable) RetrieveLasting(ctx context.Context, least time.Duration) (aws.Credentials, error) {
	if least == 0 || time.Until(r.credentials.Expires) >= least {
		return r.credentials, nil
	}
	select {
	case <-time.After(r.renewing):
		return r.renewed, nil
	case <-ctx.Done():
		return r.credentials, nil
	}
}

func TestEndpointPrefersLastingCredentials(t *testing.T) {
	for _, test := range []struct {
		name           string
		left, renewing time.Duration
		want           string
		waits          time.Duration
	}{
		{"enough left", 15 * time.Minute, time.Hour, "ASIAacme", 0},
		{"renewed in time", 15*time.Minute - time.Second, 600 * time.Millisecond, "ASIArenewed", 600 * time.Millisecond},
		{"renewed too late", 14 * time.Minute, time.Second, "ASIAacme", 700 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &renewable{constant: *aSource("acme", "", ""), renewing: test.renewing}
				source.credentials.Expires = time.Now().Add(test.left)
				source.renewed = source.credentials
				source.renewed.AccessKeyID, source.renewed.Expires = "ASIArenewed", time.Now().Add(time.Hour)
				token, record, err := broker.IssueToken(nil, time.Now(), "worker", broker.TokenRecord{Customers: []string{"acme"}, Purposes: []string{""}, ExpiresAt: time.Now().Add(time.Hour)})
				if err != nil {
					t.Fatal(err)
				}
				tokens, err := broker.NewTokens(record)
				if err != nil {
					t.Fatal(err)
				}
				e := newEndpoint(t, broker.EndpointConfig{Tokens: tokens, Now: time.Now, Resolve: func(context.Context, string, string, string) (broker.Source, error) { return source, nil }})
				began := time.Now()
				w := e.get(token, "/credentials/acme")
				var got struct{ AccessKeyID string }
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				if got.AccessKeyID != test.want || time.Since(began) != test.waits {
					t.Errorf("got %s after %s, want %s after %s", got.AccessKeyID, time.Since(began), test.want, test.waits)
				}
			})
		})
	}
}

// The answer that is kept must not be that of credentials that were replaced, of
// another source with the same key, or longer valid than they are.
func TestEndpointAnswersAnew(t *testing.T) {
	source := aSource("acme", "", "")
	e, token := withToken(t, broker.EndpointConfig{Resolve: func(context.Context, string, string, string) (broker.Source, error) { return source, nil }}, "acme")
	seen := map[string]bool{}
	for _, change := range []func(*aws.Credentials){
		func(*aws.Credentials) {},
		func(c *aws.Credentials) { c.AccessKeyID += "2" },
		func(c *aws.Credentials) { c.SecretAccessKey += "2" },
		func(c *aws.Credentials) { c.SessionToken += "2" },
		func(c *aws.Credentials) { c.AccountID += "2" },
		func(c *aws.Credentials) { c.Expires = c.Expires.Add(-time.Second) },
		func(c *aws.Credentials) { c.CanExpire = false },
	} {
		change(&source.credentials)
		seen[e.get(token, "/credentials/acme").Body.String()] = true
		seen[e.get(token, "/credentials/acme").Body.String()] = true
	}
	if len(seen) != 7 {
		t.Errorf("%d different answers, want 7", len(seen))
	}
	source.credentials.CanExpire, source.credentials.Expires = true, noon.Add(time.Hour+time.Second-1)
	if got := e.get(token, "/credentials/acme").Body.String(); !strings.Contains(got, `"Expiration":"2026-11-22T13:00:00Z"`) {
		t.Errorf("got %s, want an expiry that is not later than the true one", got)
	}
}

func TestHandOuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []broker.HandOut
		fails := false
		now := func() time.Time { return time.Now() }
		record := func(name string) (string, broker.TokenRecord) {
			token, record, err := broker.IssueToken(nil, now(), name, broker.TokenRecord{Customers: []string{"acme", "globex"}, Purposes: []string{""}, ExpiresAt: now().Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			return token, record
		}
		one, first := record("one")
		two, second := record("two")
		tokens, err := broker.NewTokens(first, second)
		if err != nil {
			t.Fatal(err)
		}
		e, err := broker.NewEndpoint(broker.EndpointConfig{
			Tokens: tokens, Now: now,
			Resolve: func(_ context.Context, customer, integration, purpose string) (broker.Source, error) {
				source := aSource(customer, integration, purpose)
				source.credentials.Expires = now().Add(time.Hour)
				return source, nil
			},
			HandedOut: func(_ context.Context, handOuts []broker.HandOut) error {
				mu.Lock()
				defer mu.Unlock()
				if fails {
					return errors.New("the database is away")
				}
				told = append(told, handOuts...)
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		endpoint := &testEndpoint{e, t}
		started := now().Truncate(time.Minute).UTC()
		wait := func() { time.Sleep(time.Minute); synctest.Wait() }
		expect := func(want ...broker.HandOut) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			ignored := cmpopts.IgnoreFields(broker.HandOut{}, "Subject.RoleARN", "Subject.Key", "TokenID", "Expires")
			sorted := cmpopts.SortSlices(func(a, b broker.HandOut) bool {
				return a.Minute.Before(b.Minute) || a.Minute.Equal(b.Minute) && a.Caller+a.AccessKeyID < b.Caller+b.AccessKeyID
			})
			if diff := cmp.Diff(want, told, ignored, sorted); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			told = nil
		}
		handOut := func(caller, customer string, minute, count int) broker.HandOut {
			return broker.HandOut{Subject: broker.Subject{Customer: customer}, Caller: caller, AccessKeyID: "ASIA" + customer,
				Minute: started.Add(time.Duration(minute) * time.Minute), Count: count}
		}

		for range 3 {
			endpoint.get(one, "/credentials/acme")
		}
		endpoint.get(two, "/credentials/acme")
		endpoint.get(one, "/credentials/globex")
		endpoint.get(one, "/credentials/initech") // refused
		endpoint.get("", "/credentials/acme")
		expect() // nothing before a minute is over
		wait()
		expect(handOut("one", "acme", 0, 3), handOut("two", "acme", 0, 1), handOut("one", "globex", 0, 1))

		mu.Lock()
		fails = true
		mu.Unlock()
		endpoint.get(one, "/credentials/acme")
		wait()
		mu.Lock()
		fails = false
		mu.Unlock()
		endpoint.get(one, "/credentials/acme")
		wait()
		expect(handOut("one", "acme", 1, 1), handOut("one", "acme", 2, 1))

		endpoint.get(two, "/credentials/globex")
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		expect(handOut("two", "globex", 3, 1))
		if got := endpoint.get(two, "/credentials/globex"); got.Code != 503 {
			t.Errorf("a closed endpoint answers %d", got.Code)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	})
}

func TestEndpointCloseSaysWhatWasNotRecorded(t *testing.T) {
	token, record := issueToken(t, "acme")
	tokens, err := broker.NewTokens(record)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		tell func(context.Context, []broker.HandOut) error
		want broker.Code
	}{
		"fails": {func(context.Context, []broker.HandOut) error { return errors.New("no") }, broker.CodeUnavailable},
		"hangs": {func(ctx context.Context, _ []broker.HandOut) error { <-ctx.Done(); return ctx.Err() }, broker.CodeCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, err := broker.NewEndpoint(broker.EndpointConfig{Tokens: tokens, Now: at(noon), HandedOut: test.tell,
					Resolve: func(context.Context, string, string, string) (broker.Source, error) {
						return aSource("acme", "", ""), nil
					}})
				if err != nil {
					t.Fatal(err)
				}
				(&testEndpoint{e, t}).get(token, "/credentials/acme")
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := e.Close(ctx); broker.CodeOf(err) != test.want {
					t.Errorf("got %v, want %s", err, test.want)
				}
			})
		})
	}
}

func TestNewEndpointRefuses(t *testing.T) {
	tokens, err := broker.NewTokens()
	if err != nil {
		t.Fatal(err)
	}
	resolve := func(context.Context, string, string, string) (broker.Source, error) { return nil, errors.New("nobody") }
	for name, config := range map[string]broker.EndpointConfig{
		"no tokens":     {Resolve: resolve},
		"no resolver":   {Tokens: tokens},
		"negative wait": {Tokens: tokens, Resolve: resolve, RefreshWait: -1},
		"negative rate": {Tokens: tokens, Resolve: resolve, TokenRate: broker.Rate{Burst: -1}},
		"any host":      {Tokens: tokens, Resolve: resolve, Hosts: []string{"*"}},
		"empty host":    {Tokens: tokens, Resolve: resolve, Hosts: []string{""}},
	} {
		if _, err := broker.NewEndpoint(config); broker.CodeOf(err) != broker.CodeInvalidRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
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

// A discarding response writer costs nothing itself.
type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) WriteHeader(int)             {}
func (d *discarding) Write(p []byte) (int, error) { return len(p), nil }

// steady returns a request that is served again and again.
func steady(t testing.TB) func() {
	t.Helper()
	source := aSource("acme", "", "")
	source.credentials.SessionToken = string(bytes.Repeat([]byte("t"), 800))
	e, token := withToken(t, broker.EndpointConfig{
		TokenRate: broker.Rate{Burst: 1 << 30, Every: 1},
		Resolve:   func(context.Context, string, string, string) (broker.Source, error) { return source, nil },
		HandedOut: func(context.Context, []broker.HandOut) error { return nil },
	}, "acme")
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:9911/credentials/acme", nil)
	r.Header.Set("Authorization", token)
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47")
	r.Header.Set("Accept-Encoding", "gzip")
	w := &discarding{make(http.Header)}
	return func() { e.ServeHTTP(w, r) }
}

func TestEndpointAllocatesNothing(t *testing.T) {
	serve := steady(t)
	serve()
	if got := testing.AllocsPerRun(100, serve); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkEndpoint(b *testing.B) {
	serve := steady(b)
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}

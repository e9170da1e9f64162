package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

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
	progress.Add(1)
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

// A once source may be asked once.
type once struct {
	*constant
	asked int
}

func (o *once) RetrieveLasting(ctx context.Context, least time.Duration) (aws.Credentials, error) {
	o.asked++
	return o.constant.RetrieveLasting(ctx, least)
}

// For credentials that last for ever, or for long enough, no others are asked for.
func TestEndpointAsksOnce(t *testing.T) {
	for _, expires := range []bool{true, false} {
		source := &once{constant: aSource("acme", "", "")}
		source.credentials.CanExpire = expires
		if !expires {
			source.credentials.Expires = time.Time{}
		}
		e, token := withToken(t, broker.EndpointConfig{Resolve: func(context.Context, string, string, string) (broker.Source, error) { return source, nil }}, "acme")
		if w := e.get(token, "/credentials/acme"); w.Code != 200 || strings.Contains(w.Body.String(), "Expiration") != expires {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		if source.asked != 1 {
			t.Errorf("asked %d times", source.asked)
		}
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

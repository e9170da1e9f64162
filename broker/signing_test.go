package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// anAPI is a stack with a REST API that wants IAM authorization and answers who
// called it how.
const anAPI = `{"Resources": {
	"Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "orders", "EndpointConfiguration": {"Types": ["REGIONAL"]}}},
	"Item": {"Type": "AWS::ApiGateway::Resource", "Properties": {"RestApiId": {"Ref": "Api"}, "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]}, "PathPart": "{proxy+}"}},
	"Any": {"Type": "AWS::ApiGateway::Method", "Properties": {"RestApiId": {"Ref": "Api"}, "ResourceId": {"Ref": "Item"}, "HttpMethod": "ANY", "AuthorizationType": "AWS_IAM",
		"MethodResponses": [{"StatusCode": "200"}],
		"Integration": {"Type": "MOCK", "RequestTemplates": {"application/json": "{\"statusCode\": 200}"},
			"IntegrationResponses": [{"StatusCode": "200", "ResponseTemplates": {"application/json": "$context.httpMethod $context.identity.userArn"}}]}}},
	"Deployment": {"Type": "AWS::ApiGateway::Deployment", "DependsOn": "Any", "Properties": {"RestApiId": {"Ref": "Api"}, "StageName": "prod"}}
}, "Outputs": {"Id": {"Value": {"Ref": "Api"}}}}`

// signingWorld is an account with an API, a bucket and a session that may use
// both.
type signingWorld struct {
	*sandboxtest.Sandbox
	session aws.Config
	api     string // URL of the API's stage
	bucket  string // URL of the bucket
	content func(key string) string
}

func newSigningWorld(t *testing.T) *signingWorld {
	t.Helper()
	box := sandboxtest.New(t, "222222222222")
	account := box.Account("222222222222")
	role := account.Role("caller", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"sts:AssumeRole"}}`,
		[]string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["execute-api:Invoke","s3:*"],"Resource":"*"}}`})
	admin := account.User("admin", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	w := &signingWorld{Sandbox: box, session: box.Assume(admin, role)}

	stacks := cloudformation.NewFromConfig(admin)
	if _, err := stacks.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String("api"), TemplateBody: aws.String(anAPI)}); err != nil {
		t.Fatal(err)
	}
	described, err := stacks.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String("api")})
	if err != nil {
		t.Fatal(err)
	}
	if len(described.Stacks[0].Outputs) != 1 {
		t.Fatalf("stack: %s %s", described.Stacks[0].StackStatus, aws.ToString(described.Stacks[0].StackStatusReason))
	}
	w.api = "https://" + *described.Stacks[0].Outputs[0].OutputValue + ".execute-api.us-east-1.amazonaws.com/prod"

	objects := s3.NewFromConfig(admin)
	if _, err := objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("signing-bucket")}); err != nil {
		t.Fatal(err)
	}
	w.bucket = "https://signing-bucket.s3.us-east-1.amazonaws.com"
	w.content = func(key string) string {
		t.Helper()
		out, err := objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("signing-bucket"), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		defer out.Body.Close()
		data, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return w
}

func (w *signingWorld) transport(service string) *broker.SigningTransport {
	return broker.NewSigningTransport(w.RoundTripper(), w.session.Credentials, service, sandboxtest.Region)
}

// onlyOnce hides that a body could be read again.
func onlyOnce(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) }

func aFile(t *testing.T, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(name, []byte("skipped "+text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if _, err := file.Seek(int64(len("skipped ")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return file
}

func aPipe(t *testing.T, text string) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	if _, err := writer.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return reader
}

func do(t *testing.T, client *http.Client, r *http.Request) (int, string) {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func newRequest(t *testing.T, method, address string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The sandbox verifies every signature as AWS does, so each of these shows that
// method, path, query, headers and body were signed as they were sent.
func TestSigningTransportCallsAPIs(t *testing.T) {
	w := newSigningWorld(t)
	client := &http.Client{Transport: w.transport("execute-api")}
	for _, test := range []struct {
		method, path string
		body         io.Reader
	}{
		{"GET", "/orders", nil},
		{"HEAD", "/orders", nil},
		{"GET", "/orders/a%20b%2Fc/ä?z=1&a=%2B+%20&a=", nil},
		{"GET", "/orders?empty&b=2&b=1&a=c+d", nil},
		{"DELETE", "/orders/1", http.NoBody},
		{"POST", "/orders", strings.NewReader(`{"a": 1}`)},
		{"POST", "/orders", bytes.NewReader(nil)},
		{"PUT", "/orders", onlyOnce(`{"a": 1}`)},
		{"PATCH", "/orders", aFile(t, `{"a": 1}`)},
		{"PATCH", "/orders", aPipe(t, `{"a": 1}`)},
	} {
		t.Run(test.method+test.path, func(t *testing.T) {
			r := newRequest(t, test.method, w.api+test.path, test.body)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Amz-Security-Token", "of somebody else")
			before := r.Header.Clone()
			status, body := do(t, client, r)
			want := test.method + " arn:aws:sts::222222222222:assumed-role/caller/test"
			if test.method == "HEAD" {
				want = ""
			}
			if status != http.StatusOK || body != want {
				t.Errorf("got %d %q, want 200 %q", status, body, want)
			}
			if len(r.Header) != len(before) || r.Header.Get("X-Amz-Security-Token") != before.Get("X-Amz-Security-Token") {
				t.Errorf("the caller's headers became %v", r.Header)
			}
		})
	}
	t.Run("unsigned", func(t *testing.T) { // so that it is known to matter
		if status, _ := do(t, w.Client(), newRequest(t, "GET", w.api+"/orders", nil)); status != http.StatusForbidden {
			t.Errorf("got %d, want 403", status)
		}
	})
	t.Run("another region", func(t *testing.T) {
		elsewhere := w.transport("execute-api")
		elsewhere.Region = "eu-central-1"
		if status, _ := do(t, &http.Client{Transport: elsewhere}, newRequest(t, "GET", w.api+"/orders", nil)); status != http.StatusForbidden {
			t.Errorf("got %d, want 403", status)
		}
	})
}

func TestSigningTransportSendsWholeBodies(t *testing.T) {
	w := newSigningWorld(t)
	client := &http.Client{Transport: w.transport("s3")}
	for name, body := range map[string]io.Reader{
		"get-body": strings.NewReader("all of it"),
		"file":     aFile(t, "all of it"),
		"once":     onlyOnce("all of it"),
		"pipe":     aPipe(t, "all of it"),
		"a ä+b/c":  strings.NewReader("all of it"),
		"%2B+%":    strings.NewReader("all of it"),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest(t, "PUT", w.bucket+"/"+(&url.URL{Path: name}).EscapedPath(), body)
			if name == "once" || name == "pipe" {
				r.ContentLength = int64(len("all of it")) // S3 insists, and cannot be told afterwards
			}
			if status, answer := do(t, client, r); status != http.StatusOK {
				t.Fatalf("got %d %s", status, answer)
			}
			if got := w.content(name); got != "all of it" {
				t.Errorf("the object has %q", got)
			}
		})
	}
}

// recorded is a transport that keeps what it was asked and answers with a
// status.
type recorded struct {
	requests []*http.Request
	bodies   []string
	answer   func(r *http.Request) *http.Response
}

func (f *recorded) RoundTrip(r *http.Request) (*http.Response, error) {
	f.requests = append(f.requests, r)
	body := ""
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(data)
		r.Body.Close()
	}
	f.bodies = append(f.bodies, body)
	if f.answer != nil {
		return f.answer(r), nil
	}
	return answerWith(r, http.StatusOK, ""), nil
}

func answerWith(r *http.Request, status int, location string) *http.Response {
	w := httptest.NewRecorder()
	if location != "" {
		w.Header().Set("Location", location)
	}
	w.WriteHeader(status)
	response := w.Result()
	response.Request = r
	return response
}

var someCredentials = credentials.NewStaticCredentialsProvider("ASIAEXAMPLE", "secret", "session-token")

func TestSigningTransportKeepsCredentialsFromOtherHosts(t *testing.T) {
	for _, test := range []struct {
		name   string
		hops   []string // where each answer sends the client
		signed []bool
	}{
		{"same host", []string{"https://api.example.com/b"}, []bool{true, true}},
		{"same host, relative", []string{"/b"}, []bool{true, true}},
		{"another host", []string{"https://evil.example.com/"}, []bool{true, false}},
		{"another port", []string{"https://api.example.com:8443/"}, []bool{true, false}},
		{"without TLS", []string{"http://api.example.com/b"}, []bool{true, false}},
		{"there and back", []string{"https://evil.example.com/", "https://api.example.com/b"}, []bool{true, false, false}},
		{"there, back and on", []string{"https://evil.example.com/", "https://api.example.com/b", "/c"}, []bool{true, false, false, false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := &recorded{}
			base.answer = func(r *http.Request) *http.Response {
				if hop := len(base.requests) - 1; hop < len(test.hops) {
					return answerWith(r, http.StatusTemporaryRedirect, test.hops[hop])
				}
				return answerWith(r, http.StatusOK, "")
			}
			client := &http.Client{Transport: broker.NewSigningTransport(base, someCredentials, "execute-api", "us-east-1")}
			response, err := client.Do(newRequest(t, "POST", "https://api.example.com/a", strings.NewReader("body")))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			for i, want := range test.signed {
				r := base.requests[i]
				if got := r.Header.Get("Authorization") != ""; got != want {
					t.Errorf("request %d to %s: signed is %t, want %t", i, r.URL, got, want)
				}
				if got := r.Header.Get("X-Amz-Security-Token") != ""; got != want {
					t.Errorf("request %d to %s: has a session token is %t, want %t", i, r.URL, got, want)
				}
				if base.bodies[i] != "body" {
					t.Errorf("request %d has the body %q", i, base.bodies[i])
				}
			}
			if response.Request.Header.Get("Authorization") != "" {
				t.Error("the response refers to the signed request")
			}
		})
	}
}

// A closing body notices that it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestSigningTransportRefuses(t *testing.T) {
	for _, test := range []struct {
		name      string
		transport broker.SigningTransport
		request   func(r *http.Request)
		says      string
	}{
		{"no credentials", broker.SigningTransport{Service: "s3", Region: "us-east-1"}, nil, "no credentials provider"},
		{"no service", broker.SigningTransport{Credentials: someCredentials, Region: "us-east-1"}, nil, "signing name"},
		{"no region", broker.SigningTransport{Credentials: someCredentials, Service: "s3"}, nil, "region"},
		{"signed already", broker.SigningTransport{}, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "Authorization"},
		{"presigned already", broker.SigningTransport{}, func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=1" }, "presigned"},
		{"semicolon in query", broker.SigningTransport{}, func(r *http.Request) { r.URL.RawQuery = "a=1;b=2" }, "semicolon"},
		{"other host", broker.SigningTransport{Hosts: []string{"another.example.com"}}, nil, "not among the hosts"},
		{"other port", broker.SigningTransport{Hosts: []string{"api.example.com:8443"}}, nil, "not among the hosts"},
		{"names another host", broker.SigningTransport{}, func(r *http.Request) { r.Host = "victim.example.com" }, "names the host"},
		{"names another port", broker.SigningTransport{}, func(r *http.Request) { r.Host = "api.example.com:8443" }, "names the host"},
		{"names another host than those allowed", broker.SigningTransport{Hosts: []string{"api.example.com"}}, func(r *http.Request) { r.Host = "victim.example.com" }, "names the host"},
		{"goes elsewhere with an allowed name", broker.SigningTransport{Hosts: []string{"victim.example.com"}}, func(r *http.Request) { r.Host = "victim.example.com" }, "not among the hosts"},
		{"relative URL", broker.SigningTransport{}, func(r *http.Request) { r.URL = &url.URL{Path: "/"} }, "absolute"},
		{"opaque URL", broker.SigningTransport{}, func(r *http.Request) { r.URL.Opaque = "//victim.example.com/" }, "absolute"},
		{"no headers", broker.SigningTransport{}, func(r *http.Request) { r.Header = nil }, "header map"},
		{"large stream", broker.SigningTransport{Buffer: 7}, nil, "larger than 7 bytes"},
		{"large stream to S3 in clear", broker.SigningTransport{Buffer: 7, Service: "s3"}, func(r *http.Request) { r.URL.Scheme = "http" }, "larger than 7 bytes"},
		{"credentials fail", broker.SigningTransport{Credentials: failing{}}, nil, "without credentials: no luck"},
		{"body fails", broker.SigningTransport{}, func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		}, "cannot be read to sign it: gone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := &recorded{}
			transport := &test.transport
			transport.Base = base
			if transport.Credentials == nil && test.name != "no credentials" {
				transport.Credentials = someCredentials
			}
			if transport.Service == "" && test.name != "no service" {
				transport.Service = "execute-api"
			}
			if transport.Region == "" && test.name != "no region" {
				transport.Region = "us-east-1"
			}
			body := &closing{Reader: onlyOnce("8 bytes.")}
			r := newRequest(t, "POST", "https://api.example.com/", body)
			if test.request != nil {
				test.request(r)
			}
			response, err := transport.RoundTrip(r)
			if err == nil {
				response.Body.Close()
				t.Fatal("want an error")
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %q, want it to say %q", err, test.says)
			}
			if len(base.requests) != 0 {
				t.Error("the request was sent")
			}
			if !body.closed {
				t.Error("the body was not closed")
			}
		})
	}
}

// The host that is named is the one that is signed for, so it is the URL's or one
// that was allowed; a port that goes without saying makes no difference.
func TestSigningTransportSignsForHosts(t *testing.T) {
	for _, test := range []struct{ url, host, hosts, signed string }{
		{"https://api.example.com/", "", "", "api.example.com"},
		{"https://api.example.com:443/", "", "", "api.example.com"},
		{"https://api.example.com:/", "", "", "api.example.com"},
		{"https://api.example.com/", "API.example.com:443", "", "API.example.com"},
		{"http://127.0.0.1:80/", "127.0.0.1", "", "127.0.0.1"},
		{"http://127.0.0.1:443/", "", "", "127.0.0.1:443"},
		{"https://vpce-1.execute-api.us-east-1.vpce.amazonaws.com/", "a1.execute-api.us-east-1.amazonaws.com",
			"vpce-1.execute-api.us-east-1.vpce.amazonaws.com A1.execute-api.us-east-1.amazonaws.com", "a1.execute-api.us-east-1.amazonaws.com"},
	} {
		base := &recorded{}
		r := newRequest(t, "GET", test.url, nil)
		if test.host != "" {
			r.Host = test.host
		}
		response, err := broker.NewSigningTransport(base, someCredentials, "execute-api", "us-east-1", strings.Fields(test.hosts)...).RoundTrip(r)
		if err != nil {
			t.Errorf("%s as %s: %v", test.url, test.host, err)
			continue
		}
		response.Body.Close()
		if got := base.requests[0].Host; got != test.signed {
			t.Errorf("%s as %s: signed for %s, want %s", test.url, test.host, got, test.signed)
		}
	}
}

// What is sent says what the caller's request does, in its order, as it was signed.
func TestSigningTransportSendsWhatWasAsked(t *testing.T) {
	base := &recorded{}
	transport := broker.NewSigningTransport(base, someCredentials, "execute-api", "us-east-1")
	for _, test := range []struct {
		url, query string
		change     func(*http.Request)
		length     int64
	}{
		{"https://api.example.com/?b=2&b=1&a=c+d&&e", "b=2&b=1&a=c%20d&e=", func(*http.Request) {}, 4},
		{"https://api.example.com/", "", func(r *http.Request) { r.TransferEncoding, r.ContentLength = []string{"chunked"}, -1 }, -1},
		{"https://api.example.com/", "", func(r *http.Request) { r.ContentLength = 0 }, 4},
		{"https://api.example.com/", "", func(r *http.Request) { r.GetBody, r.ContentLength = nil, -1 }, 4},
		{"https://api.example.com/", "", func(r *http.Request) { r.Body, r.GetBody, r.ContentLength = http.NoBody, nil, 0 }, 0},
	} {
		r := newRequest(t, "POST", test.url, strings.NewReader("body"))
		test.change(r)
		response, err := transport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			continue
		}
		response.Body.Close()
		sent := base.requests[len(base.requests)-1]
		if sent.URL.RawQuery != test.query || sent.ContentLength != test.length {
			t.Errorf("%s: sent the query %q and a length of %d; want %q and %d", test.url, sent.URL.RawQuery, sent.ContentLength, test.query, test.length)
		}
		if got := strings.Contains(sent.Header.Get("Authorization"), "content-length"); got != (test.length > 0) {
			t.Errorf("%s: the length is signed: %t", test.url, got)
		}
		if test.length != 0 && base.bodies[len(base.bodies)-1] != "body" {
			t.Errorf("%s: sent the body %q", test.url, base.bodies[len(base.bodies)-1])
		}
	}
}

// A body that never ends does not hold a request whose context ends.
func TestSigningTransportStopsReading(t *testing.T) {
	body, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r := newRequest(t, "POST", "https://api.example.com/", body).WithContext(ctx)
	go func() {
		_, _ = writer.Write([]byte("the beginning"))
		cancel()
	}()
	response, err := broker.NewSigningTransport(&recorded{}, someCredentials, "execute-api", "us-east-1").RoundTrip(r)
	if err == nil {
		response.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.New("no luck")
}

// A sequence gives other credentials at every call, and fails if the context
// ended.
type sequence struct{ calls int }

func (s *sequence) Retrieve(ctx context.Context) (aws.Credentials, error) {
	s.calls++
	return aws.Credentials{AccessKeyID: fmt.Sprint("ASIA", s.calls), SecretAccessKey: "secret"}, ctx.Err()
}

func TestSigningTransportSignsAgain(t *testing.T) {
	base := &recorded{}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	transport := &broker.SigningTransport{Base: base, Credentials: &sequence{}, Service: "execute-api", Region: "us-east-1", Now: func() time.Time { return now }}
	r := newRequest(t, "GET", "https://api.example.com/", nil)
	for range 2 {
		response, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		now = now.Add(time.Minute)
	}
	for i, want := range []struct{ key, date string }{{"Credential=ASIA1/", "20261122T120000Z"}, {"Credential=ASIA2/", "20261122T120100Z"}} {
		if got := base.requests[i].Header; !strings.Contains(got.Get("Authorization"), want.key) || got.Get("X-Amz-Date") != want.date {
			t.Errorf("request %d: got %s at %s, want %s at %s", i, got.Get("Authorization"), got.Get("X-Amz-Date"), want.key, want.date)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if response, err := transport.RoundTrip(r.WithContext(ctx)); !errors.Is(err, context.Canceled) {
		response.Body.Close()
		t.Errorf("got %v, want the context's error", err)
	}
}

// A telling provider notes what it is told.
type telling struct {
	sequence
	told []string
}

func (p *telling) Invalidate(accessKeyID string) { p.told = append(p.told, accessKeyID) }

func TestSigningTransportInvalidates(t *testing.T) {
	for _, test := range []struct {
		status int
		kind   string
		want   int
	}{
		{403, "ExpiredTokenException", 1},
		{403, "UnrecognizedClientException:http://internal.amazon.com/", 1},
		{403, "AccessDeniedException", 0},
		{403, "", 0},
		{200, "ExpiredTokenException", 0},
	} {
		base := &recorded{answer: func(r *http.Request) *http.Response {
			response := answerWith(r, test.status, "")
			response.Header.Set("X-Amzn-Errortype", test.kind)
			return response
		}}
		provider := &telling{}
		response, err := broker.NewSigningTransport(base, provider, "execute-api", "us-east-1").RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if len(provider.told) != test.want || test.want == 1 && provider.told[0] != "ASIA1" {
			t.Errorf("%d %s: the provider was told %v", test.status, test.kind, provider.told)
		}
	}
}

func TestSigningTransportLeavesLatticeBodiesUnsigned(t *testing.T) {
	base := &recorded{}
	transport := broker.NewSigningTransport(base, someCredentials, "vpc-lattice-svcs", "us-east-1")
	response, err := transport.RoundTrip(newRequest(t, "POST", "https://a.vpc-lattice-svcs.us-east-1.on.aws/", strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := base.requests[0].Header.Get("X-Amz-Content-Sha256"); got != "UNSIGNED-PAYLOAD" {
		t.Errorf("got the payload hash %q", got)
	}
}

func TestPresign(t *testing.T) {
	w := newSigningWorld(t)
	if status, answer := do(t, &http.Client{Transport: w.transport("s3")}, newRequest(t, "PUT", w.bucket+"/a%20b", strings.NewReader("content"))); status != http.StatusOK {
		t.Fatalf("got %d %s", status, answer)
	}
	for name, request := range map[string]struct{ service, method, url, want string }{
		"s3":          {"s3", "GET", w.bucket + "/a%20b", "content"},
		"execute-api": {"execute-api", "GET", w.api + "/orders?page=2", "GET arn:aws:sts::222222222222:assumed-role/caller/test"},
	} {
		t.Run(name, func(t *testing.T) {
			address, _, err := w.transport(request.service).Presign(t.Context(), request.method, request.url, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if status, body := do(t, w.Client(), newRequest(t, request.method, address, nil)); status != http.StatusOK || body != request.want {
				t.Errorf("got %d %q, want 200 %q", status, body, request.want)
			}
			if status, _ := do(t, w.Client(), newRequest(t, "DELETE", address, nil)); status != http.StatusForbidden {
				t.Errorf("another method: got %d, want 403", status)
			}
		})
	}
}

func TestPresignEndsWithTheCredentials(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name           string
		left, lifetime time.Duration
		want           time.Duration
		says           string
	}{
		{"shorter than the credentials", time.Hour, time.Minute, time.Minute, ""},
		{"longer than the credentials", 90*time.Second + 1, time.Hour, 90 * time.Second, ""},
		{"expired", -time.Second, time.Hour, 0, "have expired"},
		{"too long", time.Hour, broker.MaxPresignLifetime + time.Second, 0, "from 1s"},
		{"too short", time.Hour, time.Millisecond, 0, "from 1s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			transport := broker.NewSigningTransport(nil, expiring(now.Add(test.left)), "s3", "us-east-1")
			transport.Now = func() time.Time { return now }
			address, expires, err := transport.Presign(t.Context(), "GET", "https://b.s3.us-east-1.amazonaws.com/k", test.lifetime)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("got %v, want an error with %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := parsed.Query().Get("X-Amz-Expires"), fmt.Sprint(int(test.want.Seconds())); got != want || !expires.Equal(now.Add(test.want)) {
				t.Errorf("got %s seconds until %s, want %s", got, expires, want)
			}
		})
	}
}

type expiring time.Time

func (e expiring) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", CanExpire: true, Expires: time.Time(e)}, nil
}

// FuzzSigning looks for URLs whose signed copy asks for something else.
func FuzzSigning(f *testing.F) {
	for _, seed := range []string{"https://h/", "https://h/a%2Fb//c/../d?x=1&x=2&y", "https://h:443/ä?%20=+", "https://h/?a=;", "https://u:p@h/a b", "http://[::1]:80/?="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
		if err != nil {
			return
		}
		base := &recorded{}
		response, err := broker.NewSigningTransport(base, someCredentials, "execute-api", "us-east-1").RoundTrip(r)
		if err != nil {
			return
		}
		response.Body.Close()
		sent := base.requests[0].URL
		if sent.Host != r.URL.Host || sent.Scheme != r.URL.Scheme || sent.EscapedPath() != r.URL.EscapedPath() {
			t.Errorf("%s became %s", r.URL, sent)
		}
		got, _ := json.Marshal(sent.Query())
		want, _ := json.Marshal(r.URL.Query())
		if string(got) != string(want) {
			t.Errorf("the query %s became %s", r.URL.RawQuery, sent.RawQuery)
		}
	})
}

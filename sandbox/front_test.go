package sandbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

func credentialsOf(c *types.Credentials) sandbox.Credentials {
	return sandbox.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
}

// A raw request to the front door.
type raw struct {
	method, target, body string
	service, region      string
	credentials          sandbox.Credentials
	at                   time.Time
	edit                 func(*http.Request) // after signing
}

const whoAmI = "Action=GetCallerIdentity&Version=2011-06-15"

func (q raw) send(t *testing.T, box http.RoundTripper) (status int, body string) {
	t.Helper()
	if q.method == "" {
		q.method = "POST"
	}
	r, err := http.NewRequest(q.method, q.target, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if q.service != "" {
		sum := sha256.Sum256([]byte(q.body))
		hash := hex.EncodeToString(sum[:])
		if q.service == "s3" {
			r.Header.Set("X-Amz-Content-Sha256", hash)
		}
		if q.region == "" {
			q.region = "us-east-1"
		}
		c := aws.Credentials{AccessKeyID: q.credentials.AccessKeyID, SecretAccessKey: q.credentials.SecretAccessKey, SessionToken: q.credentials.SessionToken}
		if err := v4.NewSigner().SignHTTP(context.Background(), c, r, hash, q.service, q.region, q.at); err != nil {
			t.Fatal(err)
		}
	}
	if q.edit != nil {
		q.edit(r)
	}
	response, err := box.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, html.UnescapeString(string(data))
}

// rawSession makes a session of the root user on a sandbox whose clock stands
// at now.
func rawSession(t *testing.T, box *sandboxtest.Sandbox, now time.Time) sandbox.Credentials {
	t.Helper()
	status, body := raw{
		target: "https://sts.us-east-1.amazonaws.com/", body: "Action=GetSessionToken&Version=2011-06-15",
		service: "sts", credentials: box.Account(vendorID).Root(), at: now,
	}.send(t, box.RoundTripper())
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	return sandbox.Credentials{
		AccessKeyID: element(body, "AccessKeyId"), SecretAccessKey: element(body, "SecretAccessKey"), SessionToken: element(body, "SessionToken"),
	}
}

func element(body, name string) string {
	_, rest, _ := strings.Cut(body, "<"+name+">")
	value, _, _ := strings.Cut(rest, "</"+name+">")
	return value
}

// Each service says in its own words why it does not know who is calling.
func TestAuthenticationErrors(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	clock := sandbox.NewClock(now)
	box := sandboxtest.NewWith(t, sandbox.Options{Clock: clock.Now}, vendorID)
	if _, err := box.CreateAccountIn("aws-cn", strangerID); err != nil {
		t.Fatal(err)
	}
	good := box.Account(vendorID).Root()
	wrongSecret, unknown, withToken := good, good, good
	wrongSecret.SecretAccessKey += "x"
	unknown.AccessKeyID = "AKIAIOSFODNN7EXAMPLE"
	withToken.SessionToken = "made up"
	chinese := box.Account(strangerID).Root()
	session := rawSession(t, box, now)
	noToken, otherToken := session, session
	noToken.SessionToken, otherToken.SessionToken = "", session.SessionToken[:len(session.SessionToken)-1]+"!"

	const stsURL, s3URL, iamURL = "https://sts.us-east-1.amazonaws.com/", "https://s3.us-east-1.amazonaws.com/", "https://iam.amazonaws.com/"
	tests := []struct {
		name    string
		request raw
		status  int
		code    string
		message string // a part of it
	}{
		{"sts, right", raw{target: stsURL, service: "sts", credentials: good}, 200, "", ""},
		{"sts, wrong secret", raw{target: stsURL, service: "sts", credentials: wrongSecret}, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match"},
		{"sts, unknown key", raw{target: stsURL, service: "sts", credentials: unknown}, 403, "InvalidClientTokenId", "The security token included in the request is invalid."},
		{"sts, token that is none", raw{target: stsURL, service: "sts", credentials: withToken}, 403, "InvalidClientTokenId", "The security token included in the request is invalid."},
		{"sts, session", raw{target: stsURL, service: "sts", credentials: session}, 200, "", ""},
		{"sts, session without its token", raw{target: stsURL, service: "sts", credentials: noToken}, 403, "InvalidClientTokenId", ""},
		{"sts, session with another token", raw{target: stsURL, service: "sts", credentials: otherToken}, 403, "InvalidClientTokenId", ""},
		{"s3, session with another token", raw{method: "GET", target: s3URL, service: "s3", credentials: otherToken}, 400, "InvalidToken", ""},
		{"sts, key of another partition", raw{target: stsURL, service: "sts", credentials: chinese}, 403, "InvalidClientTokenId", ""},
		{"sts, key of its own partition", raw{target: "https://sts.cn-north-1.amazonaws.com.cn/", region: "cn-north-1", service: "sts", credentials: chinese}, 200, "", ""},
		{"sts, unsigned", raw{target: stsURL}, 403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
		{"sts, old", raw{target: stsURL, service: "sts", credentials: good, at: now.Add(-16 * time.Minute)}, 403, "SignatureDoesNotMatch", "Signature expired: 20261121T114400Z is now earlier than 20261121T114500Z (20261121T120000Z - 15 min.)"},
		{"sts, early", raw{target: stsURL, service: "sts", credentials: good, at: now.Add(16 * time.Minute)}, 403, "SignatureDoesNotMatch", "Signature not yet current: 20261121T121600Z is still later than 20261121T121500Z (20261121T120000Z + 15 min.)"},
		{"sts, other region", raw{target: stsURL, service: "sts", region: "eu-west-1", credentials: good}, 403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region"},
		{"sts, no region", raw{target: "http://127.0.0.1:1/", service: "sts", region: "nowhere", credentials: good}, 403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region"},
		{"sts, other service", raw{target: stsURL, service: "iam", credentials: good}, 403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'"},
		{"sts, unreadable", raw{target: stsURL, edit: func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 nonsense") }}, 400, "IncompleteSignature", ""},
		{"sts, other body", raw{target: stsURL, service: "sts", credentials: good, edit: func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(whoAmI, "Caller", "Killer", 1)))
		}}, 403, "SignatureDoesNotMatch", ""},
		{"iam, other region", raw{target: iamURL, service: "iam", region: "eu-west-1", credentials: good}, 403, "SignatureDoesNotMatch", "valid region"},
		{"s3, right", raw{method: "GET", target: s3URL, service: "s3", credentials: good}, 200, "", ""},
		{"s3, wrong secret", raw{method: "GET", target: s3URL, service: "s3", credentials: wrongSecret}, 403, "SignatureDoesNotMatch", "Check your key and signing method."},
		{"s3, unknown key", raw{method: "GET", target: s3URL, service: "s3", credentials: unknown}, 403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."},
		{"s3, token that is none", raw{method: "GET", target: s3URL, service: "s3", credentials: withToken}, 400, "InvalidToken", ""},
		{"s3, old", raw{method: "GET", target: s3URL, service: "s3", credentials: good, at: now.Add(-16 * time.Minute)}, 403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."},
		{"s3, unreadable", raw{method: "GET", target: s3URL, edit: func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 nonsense") }}, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed; "},
		{"s3, signature version 2", raw{method: "GET", target: s3URL, edit: func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:abc") }}, 400, "InvalidRequest", "Please use AWS4-HMAC-SHA256."},
		{"s3, other region", raw{method: "GET", target: s3URL, service: "s3", region: "eu-west-1", credentials: good}, 400, "AuthorizationHeaderMalformed", "the region 'eu-west-1' is wrong; expecting 'us-east-1'"},
		{"s3, unsigned header", raw{method: "GET", target: s3URL, service: "s3", credentials: good, edit: func(r *http.Request) { r.Header.Set("X-Amz-Acl", "private") }}, 403, "AccessDenied", "There were headers present in the request which were not signed"},
		{"service the sandbox lacks", raw{target: "https://rds.us-east-1.amazonaws.com/", service: "rds", credentials: good}, 501, "NotImplemented", "no service"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := test.request
			if q.at.IsZero() {
				q.at = now
			}
			if q.body == "" && q.method == "" {
				q.body = whoAmI
			}
			transport := box.RoundTripper()
			if strings.Contains(q.target, "127.0.0.1") {
				transport = handler{box}
			}
			status, body := q.send(t, transport)
			if status != test.status || element(body, "Code") != test.code || !strings.Contains(body, test.message) {
				t.Errorf("got %d %s\nwant %d %s …%s…", status, body, test.status, test.code, test.message)
			}
			calls := box.Calls()
			if last := calls[len(calls)-1]; last.Status != test.status || last.Code != test.code {
				t.Errorf("recorded %+v", last)
			}
		})
	}
}

// handler calls an http.Handler as a server would.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.Host = r.URL.Host
	in.RemoteAddr = "192.0.2.1:1234"
	h.ServeHTTP(w, in)
	return w.Result(), nil
}

// Whatever was signed cannot be used for anything else: every byte of the
// query, the body and each signed header counts.
func TestTamperedCallsAreRefused(t *testing.T) {
	now := time.Now()
	box := sandboxtest.New(t, vendorID)
	base := raw{
		target: "https://sts.us-east-1.amazonaws.com/?x=1", body: whoAmI, service: "sts",
		credentials: box.Account(vendorID).Root(), at: now,
	}
	if status, body := base.send(t, box.RoundTripper()); status != 200 {
		t.Fatalf("unchanged: %d %s", status, body)
	}
	for name, edit := range map[string]func(*http.Request){
		"query":      func(r *http.Request) { r.URL.RawQuery = "x=2" },
		"more query": func(r *http.Request) { r.URL.RawQuery += "&Action=AssumeRole" },
		"path":       func(r *http.Request) { r.URL.Path = "/x" },
		"body":       func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(whoAmI + "&a=b")) },
		"date": func(r *http.Request) {
			r.Header.Set("X-Amz-Date", now.Add(time.Second).UTC().Format("20060102T150405Z"))
		},
		"type": func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"host": func(r *http.Request) { r.Host = "sts.amazonaws.com" },
	} {
		q := base
		q.edit = edit
		status, body := q.send(t, box.RoundTripper())
		if status != 403 || element(body, "Code") != "SignatureDoesNotMatch" {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestPresignedCallerIdentity(t *testing.T) {
	clock := sandbox.NewClock(time.Now())
	box := sandboxtest.NewWith(t, sandbox.Options{Clock: clock.Now}, vendorID)
	signed, err := sts.NewPresignClient(sts.NewFromConfig(box.Account(vendorID).Config())).PresignGetCallerIdentity(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	get := func() (int, string) {
		return raw{method: signed.Method, target: signed.URL}.send(t, box.RoundTripper())
	}
	if status, body := get(); status != 200 || element(body, "Account") != vendorID {
		t.Errorf("%d %s", status, body)
	}
	clock.Advance(16 * time.Minute)
	if status, body := get(); status != 403 || element(body, "Code") != "SignatureDoesNotMatch" {
		t.Errorf("later: %d %s", status, body)
	}
}

func TestOneEndpointServesEverything(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	url := box.Serve()
	cfg := box.Account(vendorID).Config()
	cfg.HTTPClient = &http.Client{}
	cfg.BaseEndpoint = &url
	ctx := context.Background()
	if _, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil); err != nil {
		t.Error(err)
	}
	store := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("some-bucket")}); err != nil {
		t.Fatal(err)
	}
	// Over plain HTTP the SDK signs the payload in chunks or as a whole.
	if _, err := store.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("some-bucket"), Key: aws.String("a b/c+d"), Body: strings.NewReader("hello")}); err != nil {
		t.Fatal(err)
	}
	out, err := store.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("some-bucket"), Key: aws.String("a b/c+d")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if body, err := io.ReadAll(out.Body); err != nil || string(body) != "hello" {
		t.Errorf("%q, %v", body, err)
	}
}

// The same object in process, virtual-host style over "https", with the
// checksum trailers of the current SDK.
func TestStreamedUploadInProcess(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	ctx := context.Background()
	store := s3.NewFromConfig(box.Account(vendorID).Config())
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("some-bucket")}); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	for name, body := range map[string]io.Reader{"seekable": bytes.NewReader(content), "stream": struct{ io.Reader }{bytes.NewReader(content)}} {
		if _, err := store.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String("some-bucket"), Key: &name, Body: body, ContentLength: aws.Int64(int64(len(content))),
		}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out, err := store.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("some-bucket"), Key: &name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := io.ReadAll(out.Body)
		if err := out.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || !bytes.Equal(got, content) || out.ContentEncoding != nil {
			t.Errorf("%s: read %d bytes, encoding %v, %v", name, len(got), out.ContentEncoding, err)
		}
	}
}

func TestOtherHostsAreRefused(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	for _, target := range []string{
		"https://example.com/", "http://169.254.169.254/latest/meta-data/", "http://localhost:8080/", "https://amazonaws.com/",
		"https://sts.amazonaws.com.evil.example/", "https://sts.us-east-1.amazonaws.com.cn/", "https://a.b.c.d.amazonaws.com/",
	} {
		response, err := box.Client().Get(target)
		if err == nil {
			defer response.Body.Close()
			t.Errorf("%s was answered with %s", target, response.Status)
		} else if !strings.Contains(err.Error(), "refusing to reach") {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestCancelledCallsEnd(t *testing.T) {
	box := sandboxtest.New(t, vendorID)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", "https://s3.amazonaws.com/", nil)
	response, err := box.RoundTripper().RoundTrip(r)
	if err == nil {
		defer response.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzServe(f *testing.F) {
	f.Add("GET", "/", "", "", "", "sts.amazonaws.com")
	f.Add("POST", "/", "Action=AssumeRole&Version=2011-06-15", "application/x-www-form-urlencoded", "", "127.0.0.1")
	f.Add("PUT", "/bucket/key?uploads&X-Amz-Signature=x", "5\r\nhello\r\n0\r\n\r\n", "", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "b.s3.eu-west-1.amazonaws.com")
	box := sandbox.New(sandbox.Options{})
	if _, err := box.CreateAccount(vendorID); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, body, contentType, hash, host string) {
		r, err := http.NewRequest(method, "http://127.0.0.1"+target, strings.NewReader(body))
		if err != nil {
			return
		}
		r.Host = host
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Amz-Content-Sha256", hash)
		w := httptest.NewRecorder()
		box.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Fatalf("%s %q: %s", method, target, w.Body)
		}
	})
}

// Every partition has its own host names, first regions and keys.
func TestPartitions(t *testing.T) {
	box := sandboxtest.New(t)
	ctx := context.Background()
	for i, test := range []struct{ partition, region string }{
		{"aws", "us-east-1"}, {"aws", "eu-central-1"}, {"aws-cn", "cn-northwest-1"}, {"aws-us-gov", "us-gov-east-1"},
		{"aws-iso", "us-iso-east-1"}, {"aws-iso-b", "us-isob-east-1"},
	} {
		account, err := box.CreateAccountIn(test.partition, fmt.Sprintf("44444444444%d", i))
		if err != nil {
			t.Fatal(err)
		}
		cfg := box.Config(account.Root())
		cfg.Region = test.region
		who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
		if want := "arn:" + test.partition + ":iam::" + account.ID() + ":root"; err != nil || *who.Arn != want {
			t.Errorf("%s: STS: %+v, %v", test.region, who, err)
		}
		if _, err := iam.NewFromConfig(cfg).ListRoles(ctx, nil); err != nil {
			t.Errorf("%s: IAM: %v", test.region, err)
		}
		bucket := "bucket-" + account.ID()
		in := &s3.CreateBucketInput{Bucket: &bucket}
		if test.region != "us-east-1" {
			in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(test.region)}
		}
		if _, err := s3.NewFromConfig(cfg).CreateBucket(ctx, in); err != nil {
			t.Errorf("%s: S3: %v", test.region, err)
		}
		if _, err := cloudformation.NewFromConfig(cfg).ListStacks(ctx, nil); err != nil {
			t.Errorf("%s: CloudFormation: %v", test.region, err)
		}
	}
	if _, err := box.CreateAccountIn("aws-mars", strangerID); err == nil {
		t.Error("an account in an unknown partition was made")
	}
	if _, err := box.CreateAccount("12345"); err == nil {
		t.Error("an account with a short id was made")
	}
}

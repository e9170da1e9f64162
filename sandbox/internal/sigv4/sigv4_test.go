package sigv4_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/sandbox/internal/sigv4"
)

// AWS's documentation uses these.
const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var signedAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const maxBody = 1 << 20

// received turns a client's request into the server's.
func received(r *http.Request) *http.Request {
	in := r.Clone(context.Background())
	in.Host = r.URL.Host
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		in.Body = io.NopCloser(bytes.NewReader(body))
	} else {
		in.Body = http.NoBody
	}
	return in
}

// sign returns a request signed by the AWS SDK's own signer.
func sign(t *testing.T, method, target, service, body, contentHash string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	sum := sha256.Sum256([]byte(body))
	if contentHash == "" {
		contentHash = hex.EncodeToString(sum[:])
	}
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", contentHash)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	credentials := aws.Credentials{AccessKeyID: exampleKey, SecretAccessKey: exampleSecret, SessionToken: "token"}
	if err := signer.SignHTTP(context.Background(), credentials, r, contentHash, service, "us-east-1", signedAt); err != nil {
		t.Fatal(err)
	}
	return r
}

func presign(t *testing.T, target, service, contentHash string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", target, nil)
	if err != nil {
		t.Fatal(err)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	credentials := aws.Credentials{AccessKeyID: exampleKey, SecretAccessKey: exampleSecret, SessionToken: "token"}
	signed, _, err := signer.PresignHTTP(context.Background(), credentials, r, contentHash, service, "us-east-1", signedAt)
	if err != nil {
		t.Fatal(err)
	}
	r, err = http.NewRequest("GET", signed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verify does all a server does: parse, verify, read the body.
func verify(r *http.Request, now time.Time) (*sigv4.Signature, string, error) {
	signature, err := sigv4.Parse(r)
	if err != nil {
		return nil, "", err
	}
	if signature == nil {
		return nil, "", errors.New("not signed")
	}
	if err := signature.Verify(r, exampleSecret, now, maxBody); err != nil {
		return signature, "", err
	}
	body, err := io.ReadAll(r.Body)
	return signature, string(body), err
}

func reasonOf(err error) sigv4.Reason {
	var e *sigv4.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return 0
}

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// What the SDK signs is accepted, whatever is in path and query.
func TestAcceptsTheSDK(t *testing.T) {
	paths := []string{
		"", "/", "/key", "/a/b//c", "/a%2Fb", "/sp%20ace", "/plus%2Bplus", "/%E2%82%AC", "/~tilde-_.", "/a%3Db%2Cc%3Bd%27%28e%29", "/a%25b",
	}
	queries := []string{"", "?uploads", "?a=1&a=0&b", "?x=%20y+z", "?list-type=2&prefix=a%2Fb", "?q=%E2%82%AC%26"}
	for _, service := range []string{"s3", "sts"} {
		for _, path := range paths {
			if service != "s3" && strings.Contains(path, "//") {
				continue // the SDK does not normalise, other signers do
			}
			for _, query := range queries {
				target := "https://host.example:8443" + path + query
				r := sign(t, "POST", target, service, "Action=X", "", "Content-Type", "application/x-www-form-urlencoded", "X-Amz-Meta-A", "  two   spaces  ")
				signature, body, err := verify(received(r), signedAt)
				if err != nil || body != "Action=X" {
					t.Errorf("%s %s: body %q, %v", service, target, body, err)
					continue
				}
				if signature.AccessKeyID != exampleKey || signature.SessionToken != "token" || signature.Scope.Service != service || signature.Presigned {
					t.Errorf("%s: %+v", target, signature)
				}
			}
		}
	}
}

func TestAcceptsPresigned(t *testing.T) {
	tests := []struct{ target, service, hash string }{
		{"https://bucket.s3.amazonaws.com/a%20b/c%2Bd?versionId=1&X-Amz-Expires=60", "s3", "UNSIGNED-PAYLOAD"},
		{"https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", "sts", emptyHash},
		{"https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15", "sts", emptyHash}, // lives 15 minutes
	}
	for _, test := range tests {
		signature, _, err := verify(received(presign(t, test.target, test.service, test.hash)), signedAt.Add(59*time.Second))
		if err != nil || !signature.Presigned || signature.SessionToken != "token" {
			t.Errorf("%s: %+v, %v", test.target, signature, err)
		}
	}
}

func TestTime(t *testing.T) {
	header := func() *http.Request { return received(sign(t, "GET", "https://h.example/", "s3", "", "")) }
	presigned := func() *http.Request {
		return received(presign(t, "https://h.example/k?X-Amz-Expires=3600", "s3", "UNSIGNED-PAYLOAD"))
	}
	tests := []struct {
		name   string
		make   func() *http.Request
		offset time.Duration
		want   sigv4.Reason
	}{
		{"now", header, 0, 0},
		{"15 minutes old", header, 15 * time.Minute, 0},
		{"older", header, 15*time.Minute + time.Second, sigv4.TooOld},
		{"15 minutes early", header, -15 * time.Minute, 0},
		{"earlier", header, -15*time.Minute - time.Second, sigv4.NotYetValid},
		{"presigned, last second", presigned, time.Hour, 0},
		{"presigned, over", presigned, time.Hour + time.Second, sigv4.Expired},
		{"presigned, from the future", presigned, -16 * time.Minute, sigv4.NotYetValid},
	}
	for _, test := range tests {
		_, _, err := verify(test.make(), signedAt.Add(test.offset))
		if reasonOf(err) != test.want || (err != nil) != (test.want != 0) {
			t.Errorf("%s: %v, want reason %d", test.name, err, test.want)
		}
	}
}

func TestTampering(t *testing.T) {
	tests := []struct {
		name   string
		change func(*http.Request)
		want   sigv4.Reason
	}{
		{"method", func(r *http.Request) { r.Method = "PUT" }, sigv4.Mismatch},
		{"path", func(r *http.Request) { r.URL.Path += "x" }, sigv4.Mismatch},
		{"path case", func(r *http.Request) { r.URL.Path = "/KEY" }, sigv4.Mismatch},
		{"added query", func(r *http.Request) { r.URL.RawQuery += "&versionId=2" }, sigv4.Mismatch},
		{"changed query", func(r *http.Request) { r.URL.RawQuery = "a=2" }, sigv4.Mismatch},
		{"removed query", func(r *http.Request) { r.URL.RawQuery = "" }, sigv4.Mismatch},
		{"broken query", func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, sigv4.Malformed},
		{"host", func(r *http.Request) { r.Host = "other.example" }, sigv4.Mismatch},
		{"signed header", func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }, sigv4.Mismatch},
		{"signed header twice", func(r *http.Request) { r.Header.Add("X-Amz-Acl", "private") }, sigv4.Mismatch},
		{"removed header", func(r *http.Request) { r.Header.Del("X-Amz-Acl") }, sigv4.Mismatch},
		{"added x-amz header", func(r *http.Request) { r.Header.Set("X-Amz-Copy-Source", "/b/k") }, sigv4.Unsigned},
		{"token", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "other") }, sigv4.Mismatch},
		{"second token", func(r *http.Request) { r.Header.Add("X-Amz-Security-Token", "other") }, sigv4.Malformed},
		{"date", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261121T120001Z") }, sigv4.Mismatch},
		{"other day", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261122T120000Z") }, sigv4.Malformed},
		{"body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("evil")) }, sigv4.PayloadMismatch},
		{"no body", func(r *http.Request) { r.Body = http.NoBody }, sigv4.PayloadMismatch},
		{"content hash", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, sigv4.Mismatch},
		{"content hash of a wrong form", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "abc") }, sigv4.Malformed},
		{"no content hash", func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") }, sigv4.MissingHash},
		{"region", replaceAuth("us-east-1", "eu-west-1"), sigv4.Mismatch},
		{"signature", replaceAuth("Signature=", "Signature=00"), sigv4.Malformed},
		{"short signature", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-2])
		}, sigv4.Malformed},
		{"flipped signature", func(r *http.Request) {
			a := []byte(r.Header.Get("Authorization"))
			a[len(a)-1] ^= 1
			r.Header.Set("Authorization", string(a))
		}, sigv4.Mismatch},
		{"host not signed", replaceAuth(";host;", ";"), sigv4.Unsigned},
		{"header dropped from the list", replaceAuth("x-amz-acl;", ""), sigv4.Unsigned},
		{"unsorted list", replaceAuth("content-length;content-type;", "content-type;content-length;"), sigv4.Malformed},
		{"other scheme", replaceAuth("AWS4-HMAC-SHA256", "AWS"), sigv4.Unsupported},
		{"other terminator", replaceAuth("aws4_request", "aws5_request"), sigv4.Malformed},
		{"no credential", replaceAuth("Credential=", "Credentials="), sigv4.Malformed},
		{"field twice", replaceAuth("Credential=", "Signature=x, Credential="), sigv4.Malformed},
		{"two headers", func(r *http.Request) { r.Header.Add("Authorization", "x") }, sigv4.Malformed},
		{"header and query", func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Signature=1" }, sigv4.Ambiguous},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := received(sign(t, "POST", "https://h.example/key?a=1", "s3", "body", "",
				"Content-Type", "text/plain", "X-Amz-Acl", "private"))
			test.change(r)
			if _, _, err := verify(r, signedAt); reasonOf(err) != test.want {
				t.Errorf("got %v, want reason %d", err, test.want)
			}
		})
	}
}

func replaceAuth(old, new string) func(*http.Request) {
	return func(r *http.Request) {
		a := r.Header.Get("Authorization")
		b := strings.Replace(a, old, new, 1)
		if a == b {
			panic("nothing to replace: " + old)
		}
		r.Header.Set("Authorization", b)
	}
}

func TestPresignedTampering(t *testing.T) {
	target := "https://h.example/key?versionId=1&X-Amz-Expires=60"
	tests := []struct {
		name   string
		change func(url.Values)
		want   sigv4.Reason
	}{
		{"longer life", func(v url.Values) { v.Set("X-Amz-Expires", "61") }, sigv4.Mismatch},
		{"too long a life", func(v url.Values) { v.Set("X-Amz-Expires", "604801") }, sigv4.Malformed},
		{"negative life", func(v url.Values) { v.Set("X-Amz-Expires", "-1") }, sigv4.Malformed},
		{"no life", func(v url.Values) { v.Del("X-Amz-Expires") }, sigv4.Malformed},
		{"no date", func(v url.Values) { v.Del("X-Amz-Date") }, sigv4.Malformed},
		{"no signature", func(v url.Values) { v.Del("X-Amz-Signature") }, sigv4.Malformed},
		{"two signatures", func(v url.Values) { v.Add("X-Amz-Signature", "1") }, sigv4.Malformed},
		{"other version", func(v url.Values) { v.Set("versionId", "2") }, sigv4.Mismatch},
		{"added parameter", func(v url.Values) { v.Set("response-content-type", "text/html") }, sigv4.Mismatch},
		{"other token", func(v url.Values) { v.Set("X-Amz-Security-Token", "x") }, sigv4.Mismatch},
		{"other algorithm", func(v url.Values) { v.Set("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256") }, sigv4.Unsupported},
		{"signature version 2", func(v url.Values) { v.Set("AWSAccessKeyId", "x") }, sigv4.Unsupported},
	}
	for _, test := range tests {
		r := received(presign(t, target, "s3", "UNSIGNED-PAYLOAD"))
		values := r.URL.Query()
		test.change(values)
		r.URL.RawQuery = values.Encode()
		if _, _, err := verify(r, signedAt); reasonOf(err) != test.want {
			t.Errorf("%s: got %v, want reason %d", test.name, err, test.want)
		}
	}
}

func TestUnsignedIsNotAnError(t *testing.T) {
	for _, target := range []string{"/", "/key?versionId=1", "/?broken=%zz"} {
		r := httptest.NewRequest("GET", "http://h.example/", nil)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
		if signature, err := sigv4.Parse(r); signature != nil || err != nil {
			t.Errorf("%s: %v, %v", target, signature, err)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	r := received(sign(t, "POST", "https://sts.amazonaws.com/", "sts", strings.Repeat("x", maxBody+1), ""))
	if _, _, err := verify(r, signedAt); reasonOf(err) != sigv4.TooLarge {
		t.Errorf("got %v", err)
	}
}

// A request that is changed in any signed part is refused.
func TestAnyChangeIsRefused(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		word := rapid.StringMatching(`[a-zA-Z0-9 %+/=&?*~-]{0,12}`)
		name := rapid.StringMatching(`[a-z]{1,6}`)
		path, body := "/"+word.Draw(rt, "path"), word.Draw(rt, "body")
		query := url.Values{name.Draw(rt, "parameter"): {word.Draw(rt, "value")}}
		target := "https://h.example" + escapePath(path) + "?" + query.Encode()
		r := received(sign(t, "POST", target, "s3", body, "", "X-Amz-Meta-"+name.Draw(rt, "header"), word.Draw(rt, "metadata")))

		original := r.Clone(context.Background())
		original.Body = io.NopCloser(strings.NewReader(body))
		if _, _, err := verify(original, signedAt); err != nil {
			rt.Fatalf("the unchanged request: %v", err)
		}
		switch rapid.IntRange(0, 4).Draw(rt, "part") {
		case 0:
			r.Method = rapid.SampledFrom([]string{"GET", "PUT", "DELETE", "post"}).Draw(rt, "method")
		case 1:
			r.URL.Path += rapid.StringMatching(`[a-z/]{1,3}`).Draw(rt, "more path")
			r.URL.RawPath = ""
		case 2:
			r.URL.RawQuery += "&" + name.Draw(rt, "more") + "=" + name.Draw(rt, "query")
		case 3:
			r.Body = io.NopCloser(strings.NewReader(body + name.Draw(rt, "more body")))
		case 4:
			signed := rapid.SampledFrom([]string{"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}).Draw(rt, "signed header")
			r.Header.Set(signed, r.Header.Get(signed)+"0")
		}
		if _, _, err := verify(r, signedAt); reasonOf(err) == 0 {
			rt.Fatalf("accepted: %v", err)
		}
	})
}

// escapePath writes a path as the SDK's clients send it.
func escapePath(path string) string {
	escaped := strings.ReplaceAll(url.QueryEscape(path), "+", "%20")
	return strings.ReplaceAll(escaped, "%2F", "/")
}

func FuzzParse(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIA/20261121/us-east-1/s3/aws4_request, SignedHeaders=host, Signature="+emptyHash, "", "20261121T120000Z")
	f.Add("AWS4-HMAC-SHA256 Credential=,,=", "X-Amz-Signature=1&X-Amz-Expires=1", "x")
	f.Add("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A/20261121/r/s3/aws4_request&X-Amz-Date=20261121T120000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1&X-Amz-Signature="+emptyHash, "")
	f.Fuzz(func(t *testing.T, authorization, query, date string) {
		r := httptest.NewRequest("GET", "http://h.example/", nil)
		r.URL.RawQuery = query
		if authorization != "" {
			r.Header["Authorization"] = []string{authorization}
		}
		r.Header["X-Amz-Date"] = []string{date}
		signature, err := sigv4.Parse(r)
		if err != nil {
			if reasonOf(err) == 0 {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if signature == nil {
			return
		}
		if err := signature.Verify(r, "secret", signedAt, maxBody); reasonOf(err) == 0 {
			t.Fatalf("a made-up signature was accepted: %v", err)
		}
	})
}

// The SDK for JavaScript signs :authority where it speaks HTTP/2. It is the host
// under another name, and means nothing over HTTP/1.
func TestAuthorityIsTheHostOfHTTP2(t *testing.T) {
	signed := func(names string, values ...string) *http.Request {
		headers := strings.Split(names, ";")
		canonical := "POST\n/\n\n"
		for i, name := range headers {
			canonical += name + ":" + values[i] + "\n"
		}
		canonical += "\n" + names + "\n" + emptyHash
		mac := func(key []byte, data string) []byte {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(data))
			return h.Sum(nil)
		}
		const scope = "20261121/us-east-1/kinesis/aws4_request"
		key := []byte("AWS4" + exampleSecret)
		for part := range strings.SplitSeq(scope, "/") {
			key = mac(key, part)
		}
		sum := sha256.Sum256([]byte(canonical))
		signature := mac(key, "AWS4-HMAC-SHA256\n20261121T120000Z\n"+scope+"\n"+hex.EncodeToString(sum[:]))
		r := httptest.NewRequest("POST", "/", nil)
		r.Host = "127.0.0.1:4566"
		r.Header.Set("X-Amz-Date", "20261121T120000Z")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+exampleKey+"/"+scope+", SignedHeaders="+names+", Signature="+hex.EncodeToString(signature))
		return r
	}
	const date = "20261121T120000Z"
	for _, test := range []struct {
		name    string
		request *http.Request
		major   int
		want    sigv4.Reason
	}{
		{"the authority", signed(":authority;x-amz-date", "127.0.0.1:4566", date), 2, 0},
		{"authority and host", signed(":authority;host;x-amz-date", "127.0.0.1:4566", "127.0.0.1:4566", date), 2, 0},
		{"another authority", signed(":authority;x-amz-date", "127.0.0.1:4567", date), 2, sigv4.Mismatch},
		{"HTTP/1", signed(":authority;x-amz-date", "127.0.0.1:4566", date), 1, sigv4.Unsigned},
		{"another pseudo-header", signed(":authority;:path;x-amz-date", "127.0.0.1:4566", "/", date), 2, sigv4.Malformed},
		{"neither", signed("x-amz-date", date), 2, sigv4.Unsigned},
	} {
		test.request.ProtoMajor = test.major
		if _, _, err := verify(test.request, signedAt); reasonOf(err) != test.want || (err == nil) != (test.want == 0) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// DefaultSigningBuffer is how much of a body that can be read only once a
// [SigningTransport] holds in memory to sign it: 10 MiB, the most that API
// Gateway accepts.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
const DefaultSigningBuffer = 10 << 20

const (
	emptyPayload    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// A SigningTransport is an [http.RoundTripper] that signs every request with
// Signature Version 4 and sends it on. It makes an ordinary [http.Client] one
// for APIs that use IAM authorization, in another account too:
//
//	client := &http.Client{Transport: broker.NewSigningTransport(nil, handle, "execute-api", "us-east-1")}
//	response, err := client.Get("https://a1b2c3.execute-api.us-east-1.amazonaws.com/prod/orders")
//
// # What it does with a request
//
// The caller's request is not changed, and the response refers to that one, so
// that signature and session token do not end up in a log of either. Credentials
// are retrieved for every request with the request's context, therefore one that
// is tried again is signed again, with a new date and with the credentials of
// then. There are no retries here, and clocks are not corrected: AWS refuses
// signatures that are more than five minutes off. A [Handle] is told when AWS says
// that its credentials have expired, so that the next attempt has others.
//
// The body is part of the signature. It is read twice if it can be: by
// [http.Request.GetBody], or by seeking. One that can be read only once is held
// in memory up to Buffer bytes, and beyond that refused before anything is sent.
// Amazon S3 over HTTPS gets such a body unread and unsigned, which S3 permits,
// and VPC Lattice every body, which it demands.
//
// # Where it sends signatures
//
// When an [http.Client] follows a redirect to another host, port or scheme, the
// request goes there without signature and without session token, and so does
// every later one of that chain: whoever answers must not choose what is asked
// in our name elsewhere. An empty Hosts allows any host as the first one.
//
// A request that brings its own Authorization header, or a presigned URL, is
// refused: AWS would refuse two signatures, and choosing one is not our business.
//
// What is signed is the request's Host. If it differs from the host of the URL,
// which gets the request and could pass it on, it must be among Hosts. That is how
// a private API is called by the name of a VPC endpoint.
//
// A SigningTransport is safe for concurrent use and must not be changed after its
// first use.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
type SigningTransport struct {
	// Base sends what was signed. Nil means [http.DefaultTransport].
	Base http.RoundTripper

	// Credentials sign. A [Handle] is the best there is here, because it never
	// makes a request wait for a refresh.
	Credentials aws.CredentialsProvider

	// Service is the signing name of the service, such as execute-api, s3,
	// lambda (also for function URLs) or vpc-lattice-svcs. Region is the one the
	// endpoint is in.
	Service, Region string

	// Hosts, if there are any, are the only ones that are signed for, as in
	// [url.URL.Host]: with the port if the URL has one. Requests for others are
	// refused; where a redirect leads they are sent without a signature.
	Hosts []string

	// Buffer is how many bytes of a body that can be read only once are held in
	// memory. Zero means [DefaultSigningBuffer].
	Buffer int64

	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// NewSigningTransport returns a [SigningTransport] with these fields. If hosts
// are given, it signs for no other.
func NewSigningTransport(base http.RoundTripper, credentials aws.CredentialsProvider, service, region string, hosts ...string) *SigningTransport {
	return &SigningTransport{Base: base, Credentials: credentials, Service: service, Region: region, Hosts: hosts}
}

// RoundTrip implements [http.RoundTripper].
func (t *SigningTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if redirectedElsewhere(r) {
		return base.RoundTrip(r)
	}
	signed, accessKeyID, err := t.sign(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as every RoundTripper must; err says more
		}
		return nil, err
	}
	response, err := base.RoundTrip(signed)
	if response != nil {
		response.Request = r
		t.invalidate(response, accessKeyID)
	}
	return response, err
}

// invalidate tells the provider, if it wants to know, that AWS did not accept its
// credentials.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
func (t *SigningTransport) invalidate(response *http.Response, accessKeyID string) {
	provider, ok := t.Credentials.(interface{ Invalidate(accessKeyID string) })
	if !ok || response.StatusCode != http.StatusForbidden {
		return
	}
	kind, _, _ := strings.Cut(response.Header.Get("X-Amzn-Errortype"), ":")
	switch kind {
	case "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId":
		provider.Invalidate(accessKeyID)
	}
}

// redirectedElsewhere reports whether the request follows a redirect and not all
// requests of the chain went to one origin.
func redirectedElsewhere(r *http.Request) bool {
	for earlier := r; earlier.Response != nil && earlier.Response.Request != nil; {
		earlier = earlier.Response.Request
		if earlier.URL.Scheme != r.URL.Scheme || !strings.EqualFold(earlier.URL.Host, r.URL.Host) {
			return true
		}
	}
	return false
}

// sign returns a signed copy of the request, whose body is not read yet, and
// whose credentials signed it.
func (t *SigningTransport) sign(r *http.Request) (signed *http.Request, accessKeyID string, err error) {
	if err := t.check(r); err != nil {
		return nil, "", err
	}
	credentials, err := t.Credentials.Retrieve(r.Context())
	if err != nil {
		return nil, "", fmt.Errorf("broker: cannot sign the request without credentials: %w", err)
	}
	signed = r.Clone(r.Context())
	signed.Header.Del("X-Amz-Security-Token") // of other credentials
	if storage(t.Service) {
		escapeKey(signed.URL)
	}
	hash, err := t.payload(signed)
	if err != nil {
		return nil, "", err
	}
	if hash == unsignedPayload || storage(t.Service) {
		signed.Header.Set("X-Amz-Content-Sha256", hash)
	}
	query := escapeQuery(signed.URL.RawQuery)
	if err := t.signer().SignHTTP(r.Context(), credentials, signed, hash, t.Service, t.Region, t.now()); err != nil {
		return nil, "", fmt.Errorf("broker: cannot sign the request: %w", err)
	}
	signed.URL.RawQuery = query // in the caller's order; the signer sorts even the values of one name
	return signed, credentials.AccessKeyID, nil
}

// escapeQuery escapes a query as signatures are computed from it, with a space as
// %20, because services disagree about what a + is.
func escapeQuery(query string) string {
	if query == "" {
		return ""
	}
	var escaped strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		if escaped.Len() > 0 {
			escaped.WriteByte('&')
		}
		name, value, _ := strings.Cut(pair, "=")
		escaped.WriteString(escapeAgain(name) + "=" + escapeAgain(value))
	}
	return escaped.String()
}

func escapeAgain(text string) string {
	plain, _ := url.QueryUnescape(text) // check found it well-formed
	return strings.ReplaceAll(url.QueryEscape(plain), "+", "%20")
}

// check refuses what cannot be signed or would be signed wrongly.
func (t *SigningTransport) check(r *http.Request) error {
	switch {
	case t.Credentials == nil:
		return errors.New("broker: the signing transport has no credentials provider")
	case t.Service == "" || t.Region == "":
		return errors.New("broker: the signing transport needs the service's signing name and the region of the endpoint")
	case r.URL == nil || r.URL.Host == "" || r.URL.Opaque != "":
		return errors.New("broker: a request to sign needs an absolute URL with a host and a path")
	case r.Header == nil:
		return errors.New("broker: a request to sign needs a header map, if an empty one")
	case r.Header.Get("Authorization") != "":
		return errors.New("broker: the request has an Authorization header already; remove it, or do not sign the request")
	case len(t.Hosts) > 0 && !t.names(r.URL.Host):
		return fmt.Errorf("broker: requests for the host %q are not signed; it is not among the hosts of the signing transport", clip(r.URL.Host))
	case r.Host != "" && plainHost(r.Host, r.URL.Scheme) != plainHost(r.URL.Host, r.URL.Scheme) && !t.names(r.Host):
		return fmt.Errorf("broker: the request goes to %q and names the host %q, which is not among the hosts of the signing transport; "+
			"whoever gets it could use the signature there", clip(r.URL.Host), clip(r.Host))
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		// The signer would leave out what it cannot parse.
		return errors.New("broker: the query of the URL cannot be signed: it has a semicolon or a broken percent-encoding")
	}
	if query.Has("X-Amz-Signature") {
		return errors.New("broker: the URL is presigned already; do not sign it again")
	}
	return nil
}

func (t *SigningTransport) names(host string) bool {
	return slices.ContainsFunc(t.Hosts, func(named string) bool { return strings.EqualFold(named, host) })
}

// plainHost returns the host in lower case and without a port that goes without
// saying.
func plainHost(host, scheme string) string {
	host = strings.ToLower(strings.TrimSuffix(host, ":"))
	switch scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

func (t *SigningTransport) signer() *v4.Signer {
	// Amazon S3's keys are signed as they are sent; other services escape the
	// path a second time.
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = storage(t.Service) })
}

func (t *SigningTransport) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// storage reports whether the service speaks Amazon S3's dialect of signatures.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
func storage(service string) bool {
	return service == "s3" || service == "s3-outposts" || service == "s3-object-lambda"
}

// escapeKey gives the path the one form that Amazon S3 computes signatures from,
// where everything but letters, digits, -._~ and / is escaped, so that a + too
// means what it says.
func escapeKey(u *url.URL) {
	u.RawPath = strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(u.Path), "+", "%20"), "%2F", "/")
}

// payload returns what the signature says about the body, and sees to it that
// the request still has all of its body.
func (t *SigningTransport) payload(r *http.Request) (string, error) {
	if t.Service == "vpc-lattice-svcs" {
		// https://docs.aws.amazon.com/vpc-lattice/latest/ug/sigv4-authenticated-requests.html
		return unsignedPayload, nil
	}
	if r.Body == nil || r.Body == http.NoBody {
		return emptyPayload, nil
	}
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return "", bodyError(err)
		}
		defer body.Close()
		return hashBody(r, body)
	}
	if seeker, ok := r.Body.(io.Seeker); ok {
		if at, err := seeker.Seek(0, io.SeekCurrent); err == nil { // a pipe is an *os.File, too
			hash, err := hashBody(r, r.Body)
			if err != nil {
				return "", err
			}
			if _, err := seeker.Seek(at, io.SeekStart); err != nil {
				return "", bodyError(err)
			}
			return hash, nil
		}
	}
	if storage(t.Service) && r.URL.Scheme == "https" {
		return unsignedPayload, nil
	}
	return t.buffer(r)
}

// buffer hashes a body that can be read only once, and keeps it.
func (t *SigningTransport) buffer(r *http.Request) (string, error) {
	limit := t.Buffer
	if limit <= 0 {
		limit = DefaultSigningBuffer
	}
	stop := context.AfterFunc(r.Context(), func() { _ = r.Body.Close() }) // which ends reading from a pipe
	data, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if !stop() {
		err = context.Cause(r.Context())
	}
	if err != nil {
		return "", bodyError(err)
	}
	if int64(len(data)) > limit {
		return "", fmt.Errorf("broker: the body cannot be signed: it can be read only once and is larger than %d bytes; "+
			"give the request a GetBody or a body that can seek, or raise Buffer", limit)
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	r.Body = &bufferedBody{Reader: bytes.NewReader(data), Closer: r.Body}
	return hashBody(r, bytes.NewReader(data))
}

// A bufferedBody is read from memory and closes what it was read from.
type bufferedBody struct {
	io.Reader
	io.Closer
}

// hashBody hashes the body of a request, whose length is known then.
func hashBody(r *http.Request, body io.Reader) (string, error) {
	sum := sha256.New()
	length, err := io.Copy(sum, body)
	if err != nil {
		return "", bodyError(err)
	}
	if r.ContentLength <= 0 && len(r.TransferEncoding) == 0 {
		r.ContentLength = length
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func bodyError(err error) error {
	return fmt.Errorf("broker: the request's body cannot be read to sign it: %w", err)
}

// MaxPresignLifetime is the longest that AWS honours a presigned URL.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
const MaxPresignLifetime = 7 * 24 * time.Hour

// Presign returns a URL with a signature in its query, for whoever shall make
// one request without credentials, and until when it is valid: for the
// lifetime, or earlier, when the credentials expire. Method and URL are signed, and
// that there is no body; with Amazon S3 any body may be sent.
//
// The URL is a secret for as long as it is valid. It contains the session token.
func (t *SigningTransport) Presign(ctx context.Context, method, address string, lifetime time.Duration) (presigned string, expires time.Time, err error) {
	if lifetime < time.Second || lifetime > MaxPresignLifetime {
		return "", time.Time{}, fmt.Errorf("broker: the lifetime of a presigned URL must be from 1s to %s", MaxPresignLifetime)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return "", time.Time{}, errors.New("broker: the method or the URL to presign is malformed")
	}
	if err := t.check(r); err != nil {
		return "", time.Time{}, err
	}
	credentials, err := t.Credentials.Retrieve(ctx)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("broker: cannot presign without credentials: %w", err)
	}
	now := t.now()
	lifetime = lifetime.Truncate(time.Second)
	if left := credentials.Expires.Sub(now).Truncate(time.Second); credentials.CanExpire && left < lifetime {
		lifetime = left
	}
	if lifetime <= 0 {
		return "", time.Time{}, errors.New("broker: the credentials have expired")
	}
	query := r.URL.Query()
	query.Set("X-Amz-Expires", strconv.Itoa(int(lifetime/time.Second)))
	r.URL.RawQuery = query.Encode()
	hash := emptyPayload
	if storage(t.Service) {
		escapeKey(r.URL)
		hash = unsignedPayload
	}
	presigned, _, err = t.signer().PresignHTTP(ctx, credentials, r, hash, t.Service, t.Region, now)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("broker: cannot presign: %w", err)
	}
	return presigned, now.Add(lifetime), nil
}

package s3api

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/sigv4"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// A request is one S3 call: who asks, what for, about what. It belongs to one
// goroutine.
type request struct {
	address
	s         *Service
	call      *authz.Call
	http      *http.Request
	query     url.Values
	partition string

	// The answer. Handlers set the headers at once; status and body are sent
	// when the handler has returned, so that no slow reader holds the lock.
	w      http.ResponseWriter
	status int // 0 means 200
	answer []byte
}

// ServeAPI answers one request to S3. The sandbox has verified its signature
// and found its caller; the body is decoded from aws-chunked, with the trailers
// in r.Trailer after it was read.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	w.Header().Set("Server", "AmazonS3")
	if err := s.serve(w, r, c); err != nil {
		WriteError(w, r, c.RequestID, err)
	}
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request, c *authz.Call) error {
	a, err := parseAddress(r)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.")
	}
	on := onObject
	switch {
	case a.bucket == "":
		on = onService
	case a.key == "":
		on = onBucket
	}
	liftHeaders(r.Header, query)
	op := findOperation(r.Method, on, query, r.Header)
	if op == nil {
		return methodNotAllowed(r.Method, string(on))
	}
	c.Operation = op.name
	if op.serve == nil {
		return wire.NotImplemented("s3", op.name)
	}
	q := &request{address: a, s: s, call: c, http: r, query: query, w: w, partition: "aws"}
	if q.region == "" {
		q.region = c.Region
	}
	if p, ok := iam.PartitionOfRegion(q.region); ok {
		q.partition = p.ID
	}
	w.Header().Set("X-Amz-Request-Id", c.RequestID)
	w.Header().Set("X-Amz-Id-2", hostID(c.RequestID))
	if err := op.serve(q); err != nil {
		return err
	}
	if q.status == 0 {
		q.status = http.StatusOK
	}
	if q.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(q.answer)))
	}
	w.WriteHeader(q.status)
	if r.Method != http.MethodHead {
		w.Write(q.answer)
	}
	return nil
}

// The parameters of a presigned URL that are about its signature.
var signingParameters = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-Signedheaders",
}

// liftHeaders turns the x-amz- parameters of a presigned URL into the headers
// they stand for: whoever presigns a request may put its headers there.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
func liftHeaders(header http.Header, query url.Values) {
	if !query.Has("X-Amz-Signature") {
		return
	}
	for name, values := range query {
		name = http.CanonicalHeaderKey(name)
		if strings.HasPrefix(name, "X-Amz-") && !slices.Contains(signingParameters, name) && header.Get(name) == "" {
			header[name] = values
		}
	}
}

// bucket finds the bucket the request names and checks what concerns every
// request: that it was sent to the bucket's region and that the bucket belongs
// to whom the caller expects. The service's lock must be held.
func (q *request) bucket() (*bucket, error) {
	b, err := q.bucketAnywhere()
	if err != nil {
		return nil, err
	}
	if q.region != "" && q.region != b.region {
		q.w.Header().Set("X-Amz-Bucket-Region", b.region)
		p, _ := iam.PartitionOfRegion(b.region)
		return nil, refuse(http.StatusMovedPermanently, "PermanentRedirect",
			"The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.",
			"Endpoint", b.name+".s3."+b.region+"."+p.DNSSuffix, "Bucket", b.name)
	}
	return b, nil
}

// bucketAnywhere is bucket for requests that any region answers.
func (q *request) bucketAnywhere() (*bucket, error) {
	b := q.s.buckets[bucketID{q.partition, q.address.bucket}]
	if b == nil {
		return nil, noSuchBucket(q.address.bucket)
	}
	return b, expectOwner(b, q.http.Header.Get("X-Amz-Expected-Bucket-Owner"))
}

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
func expectOwner(b *bucket, expected string) error {
	switch {
	case expected == "" || expected == string(b.owner):
		return nil
	case !isAccountID(expected):
		return invalidArgument("x-amz-expected-bucket-owner", expected, "The value of the expected bucket owner parameter must be an AWS Account ID...")
	}
	return accessDenied()
}

func isAccountID(s string) bool {
	_, err := iam.ParseAccountID(s)
	return err == nil
}

// header returns a request header.
func (q *request) header(name string) string { return q.http.Header.Get(name) }

// body reads a request body of at most limit bytes.
func (q *request) body(limit int64) ([]byte, error) {
	if q.http.ContentLength > limit && q.header("X-Amz-Decoded-Content-Length") == "" {
		return nil, entityTooLarge(q.http.ContentLength, limit)
	}
	body, err := io.ReadAll(io.LimitReader(q.http.Body, limit+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if int64(len(body)) > limit {
		return nil, entityTooLarge(int64(len(body)), limit)
	}
	return body, nil
}

// unreadable puts into S3's words why a body could not be read. Bodies are
// verified while they are read.
func unreadable(err error) error {
	var e *wire.Error
	var found *sigv4.Error
	switch errors.As(err, &found); {
	case found != nil && found.Reason == sigv4.PayloadMismatch:
		e = refuse(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	case found != nil && found.Reason == sigv4.Mismatch:
		e = refuse(http.StatusForbidden, "SignatureDoesNotMatch", found.Detail)
	case found != nil:
		e = refuse(http.StatusBadRequest, "InvalidRequest", found.Detail)
	default:
		e = refuse(http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
	}
	e.Cause = err
	return e
}

func entityTooLarge(size, limit int64) error {
	return refuse(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size",
		"ProposedSize", strconv.FormatInt(size, 10), "MaxSizeAllowed", strconv.FormatInt(limit, 10))
}

// maxConfigurationSize limits the XML documents of sub-resources. The largest
// is the list of 1,000 keys of DeleteObjects.
const maxConfigurationSize = 2 << 20

// decodeXML reads the request body, verifies its checksums and fills into.
func (q *request) decodeXML(into any) error {
	body, err := q.body(maxConfigurationSize)
	if err != nil {
		return err
	}
	if _, err := verifyChecksums(q.http.Header, q.http.Trailer, body); err != nil {
		return err
	}
	if err := xml.Unmarshal(body, into); err != nil {
		return malformedXML()
	}
	return nil
}

// writeXML answers with a document.
func (q *request) writeXML(document any) error {
	body, err := xml.Marshal(document)
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/xml")
	q.answer = append([]byte(xml.Header), body...)
	return nil
}

// xmlns is the namespace attribute of an answer's root element.
type xmlns struct {
	XMLNS string `xml:"xmlns,attr"`
}

var inNamespace = xmlns{namespace}

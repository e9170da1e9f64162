package sigv4

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Values of x-amz-content-sha256 that are not the hash of the body.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
const (
	unsignedPayload        = "UNSIGNED-PAYLOAD"
	streamingSigned        = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamingSignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamingUnsigned      = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	contentHashHeader      = "X-Amz-Content-Sha256"
	decodedLengthHeader    = "X-Amz-Decoded-Content-Length"
	chunkedEncoding        = "aws-chunked"
	emptyHash              = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Verify checks that the holder of secret signed this very request, not more
// than [MaxSkew] from now, or for a presigned URL within its life.
//
// It replaces r.Body with the decoded and checked one. The body of a request to
// S3 is checked while it is read: reading fails with an [*Error] instead of
// io.EOF if the body is not the signed one. aws-chunked bodies are decoded, with
// r.ContentLength set to the decoded length, aws-chunked removed from
// Content-Encoding, and the trailers in r.Trailer after the end was read. The
// body for any other service is read here, up to maxBody bytes.
//
// Verify changes r, its header included, so r must belong to the caller.
func (s *Signature) Verify(r *http.Request, secret string, now time.Time, maxBody int64) error {
	if err := s.checkTime(now); err != nil {
		return err
	}
	if err := s.checkHeaders(r); err != nil {
		return err
	}
	hash, err := s.payloadHash(r, maxBody)
	if err != nil {
		return err
	}
	request, err := s.canonicalRequest(r, hash)
	if err != nil {
		return fail(Mismatch, "%v", err)
	}
	key := signingKey(secret, s.Scope)
	want := mac(key, algorithm+"\n"+s.Time.Format(timeFormat)+"\n"+s.Scope.String()+"\n"+hexSHA256([]byte(request)))
	if !hmac.Equal(want, s.signature) {
		return fail(Mismatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return s.wrapBody(r, hash, key)
}

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// payloadHash returns the last line of the canonical request.
func (s *Signature) payloadHash(r *http.Request, maxBody int64) (string, error) {
	if s.Scope.Service != "s3" {
		body, err := readAll(r.Body, maxBody)
		if err != nil {
			return "", err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		return hexSHA256(body), nil
	}
	value := r.Header.Get(contentHashHeader)
	if len(r.Header.Values(contentHashHeader)) > 1 {
		return "", fail(Malformed, "there is more than one x-amz-content-sha256 header")
	}
	if s.Presigned {
		query, _ := parseQuery(r.URL.RawQuery) // Parse has read it before
		for _, p := range query {
			if p.name == contentHashHeader && value == "" {
				value = p.value
			}
		}
		if value == "" {
			return unsignedPayload, nil
		}
	}
	switch {
	case value == "":
		return "", fail(MissingHash, "Missing required header for this request: x-amz-content-sha256")
	case value == unsignedPayload, hashPattern.MatchString(value):
		return value, nil
	case value == streamingSigned, value == streamingSignedTrailer, value == streamingUnsigned:
		if s.Presigned {
			return "", fail(Malformed, "a presigned URL cannot have a body in signed chunks")
		}
		return value, nil
	}
	return "", fail(Malformed, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value")
}

func readAll(body io.Reader, limit int64) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fail(PayloadMalformed, "the body could not be read to its end")
	}
	if int64(len(data)) > limit {
		return nil, fail(TooLarge, "the body is larger than %d bytes", limit)
	}
	return data, nil
}

// wrapBody lets the body be checked and decoded while it is read.
func (s *Signature) wrapBody(r *http.Request, payload string, key []byte) error {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	switch payload {
	case unsignedPayload:
		return nil
	case streamingUnsigned:
		return decodeChunks(r, nil)
	case streamingSigned, streamingSignedTrailer:
		return decodeChunks(r, &chunkSigner{
			key:      key,
			prefix:   s.Time.Format(timeFormat) + "\n" + s.Scope.String() + "\n",
			previous: hex.EncodeToString(s.signature),
		})
	}
	if s.Scope.Service == "s3" {
		r.Body = &hashedBody{body: r.Body, hash: sha256.New(), want: payload}
	}
	return nil
}

// DecodeAnonymous decodes the aws-chunked body of a request that nobody signed,
// which can only be one with unsigned chunks.
func DecodeAnonymous(r *http.Request) error {
	switch r.Header.Get(contentHashHeader) {
	case streamingUnsigned:
		return decodeChunks(r, nil)
	case streamingSigned, streamingSignedTrailer:
		return fail(Malformed, "the chunks claim to be signed but the request is not")
	}
	return nil
}

func decodeChunks(r *http.Request, signer *chunkSigner) error {
	length, err := strconv.ParseInt(r.Header.Get(decodedLengthHeader), 10, 64)
	if err != nil || length < 0 {
		return fail(PayloadMalformed, "x-amz-decoded-content-length must be the length of the body before it was chunked")
	}
	declared := map[string]bool{}
	for _, value := range r.Header.Values("X-Amz-Trailer") {
		for name := range strings.SplitSeq(value, ",") {
			declared[strings.ToLower(strings.TrimSpace(name))] = true
		}
	}
	if r.Header.Get(contentHashHeader) == streamingSigned {
		declared = nil
	}
	r.Trailer = http.Header{}
	r.Body = newChunkReader(r.Body, signer, length, declared, r.Trailer)
	r.ContentLength = length
	dropEncoding(r.Header)
	return nil
}

// dropEncoding removes aws-chunked from Content-Encoding: it is how the body
// travels and not what is stored.
func dropEncoding(h http.Header) {
	var kept []string
	for _, value := range h.Values("Content-Encoding") {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" && !strings.EqualFold(part, chunkedEncoding) {
				kept = append(kept, part)
			}
		}
	}
	if len(kept) == 0 {
		h.Del("Content-Encoding")
		return
	}
	h.Set("Content-Encoding", strings.Join(kept, ","))
}

// A hashedBody fails at its end if what was read is not what was hashed.
type hashedBody struct {
	body io.ReadCloser
	hash hash.Hash
	want string
}

func (b *hashedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.hash.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(b.hash.Sum(nil)) != b.want {
		return n, fail(PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return n, err
}

func (b *hashedBody) Close() error { return b.body.Close() }

// Package sigv4 verifies AWS Signature Version 4 as AWS's servers do: in the
// Authorization header and in presigned URLs, over whole bodies and over
// aws-chunked ones.
//
// Verification has two steps, because the secret must be looked up between
// them: [Parse] reads who claims to have signed, [Signature.Verify] checks it
// and hands back the body to read. Data of a streamed body is only proven once
// it has been read to its end; whoever stores it must not keep anything if
// reading fails.
//
// The package knows nothing of services' error codes: an [*Error] has a
// [Reason], which the caller puts into the words of the service.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
package sigv4

import "fmt"

// A Reason says why a request was not accepted.
type Reason int

// The reasons.
const (
	Malformed        Reason = iota + 1 // the signature's own fields cannot be read
	Unsupported                        // signed by something other than SigV4 with HMAC
	Ambiguous                          // signed twice, in the header and in the query
	Unsigned                           // a header that must be signed is not
	NotYetValid                        // dated more than MaxSkew ahead
	TooOld                             // dated more than MaxSkew ago
	Expired                            // a presigned URL after its time
	Mismatch                           // the signature is not the one of this request
	PayloadMismatch                    // the body is not the one that was hashed
	PayloadMalformed                   // the aws-chunked framing is wrong or breaks off
	TooLarge                           // the body is larger than allowed
	MissingHash                        // S3 needs x-amz-content-sha256 and did not get it
)

// An Error is a request that was not accepted. Detail is text for the
// requester; it holds nothing secret.
type Error struct {
	Reason  Reason
	Detail  string
	Headers []string // Unsigned: the headers in question
}

func (e *Error) Error() string { return "signature version 4: " + e.Detail }

func fail(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

func clip(s string) string {
	if len(s) > 120 {
		s = s[:120] + "…"
	}
	return fmt.Sprintf("%q", s)
}

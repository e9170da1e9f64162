package s3api

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxPolicySize is the limit for bucket policies, in bytes.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html
const maxPolicySize = 20 << 10

// getBucketPolicy serves GetBucketPolicy. Principals are shown as they are
// called now; those that no longer exist by their unique ids.
func (q *request) getBucketPolicy() error {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorizePolicy(b, "s3:GetBucketPolicy"); err != nil {
		return err
	}
	if b.policy == nil {
		return noSuchBucketPolicy(b.name)
	}
	q.w.Header().Set("Content-Type", "application/json")
	q.answer = []byte(q.s.directory.Latest().Text(&b.policy.document))
	return nil
}

func noSuchBucketPolicy(name string) error {
	return refuse(http.StatusNotFound, "NoSuchBucketPolicy", "The bucket policy does not exist", "BucketName", name)
}

// putBucketPolicy serves PutBucketPolicy.
func (q *request) putBucketPolicy() error {
	body, err := q.body(maxConfigurationSize)
	if err != nil {
		return err
	}
	if _, err := verifyChecksums(q.http.Header, q.http.Trailer, body); err != nil {
		return err
	}
	return q.setPolicy(body)
}

func (q *request) setPolicy(document []byte) error {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorizePolicy(b, "s3:PutBucketPolicy"); err != nil {
		return err
	}
	policy, err := q.s.parseBucketPolicy(b, document)
	if err != nil {
		return err
	}
	if policy.public && b.publicAccess != nil && b.publicAccess.BlockPublicPolicy {
		denied := accessDenied()
		denied.Message = "User: " + q.call.Caller.Principal.ARN + " is not authorized to perform: s3:PutBucketPolicy on resource: \"" + b.arn() +
			"\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access."
		return denied
	}
	b.policy = policy
	q.status = http.StatusNoContent
	return nil
}

// deleteBucketPolicy serves DeleteBucketPolicy. Deleting what is not there is a
// success.
func (q *request) deleteBucketPolicy() error {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorizePolicy(b, "s3:DeleteBucketPolicy"); err != nil {
		return err
	}
	b.policy = nil
	q.status = http.StatusNoContent
	return nil
}

type policyStatus struct {
	XMLName xml.Name `xml:"PolicyStatus"`
	xmlns
	IsPublic bool
}

// getBucketPolicyStatus serves GetBucketPolicyStatus.
func (q *request) getBucketPolicyStatus() error {
	return q.readBucket("s3:GetBucketPolicyStatus", func(b *bucket) error {
		if b.policy == nil {
			return noSuchBucketPolicy(b.name)
		}
		return q.writeXML(policyStatus{xmlns: inNamespace, IsPublic: b.policy.public})
	})
}

// parseBucketPolicy checks a bucket policy as S3 does when it is put, and
// compiles it with the unique ids of the principals it names.
func (s *Service) parseBucketPolicy(b *bucket, text []byte) (*bucketPolicy, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, malformedPolicy("Policies must be valid JSON and the first byte must be '{'")
	}
	parsed, err := iam.ParsePolicy(text)
	if err != nil {
		var syntax *iam.SyntaxError
		if errors.As(err, &syntax) {
			return nil, describeProblem(first(syntax.Problems))
		}
		return nil, malformedPolicy(err.Error())
	}
	if size := parsed.Size(); size > maxPolicySize {
		return nil, malformedPolicy("Normalized policy document exceeds the maximum allowed size of 20480 bytes.")
	}
	if problems := parsed.Check(iam.KindResource); len(problems) > 0 {
		return nil, describeProblem(problems[0])
	}
	for i := range parsed.Statements {
		if err := checkBucketStatement(b, &parsed.Statements[i]); err != nil {
			return nil, err
		}
	}
	resolved, err := s.directory.Latest().ResolvePrincipals(parsed)
	var invalid *directory.InvalidPrincipalError
	switch {
	case errors.As(err, &invalid):
		e := malformedPolicy("Invalid principal in policy", "Detail", "\""+invalid.Type+"\" : \""+invalid.Value+"\"")
		e.Cause = err
		return nil, e
	case err != nil:
		return nil, err
	}
	compiled, err := eval.Compile(resolved, iam.KindResource, "bucket policy of "+b.name)
	if err != nil {
		return nil, malformedPolicy("Policy has invalid condition: " + err.Error())
	}
	return &bucketPolicy{
		document: directory.Document{Text: string(text), Compiled: compiled},
		compiled: compiled,
		public:   isPublic(parsed),
	}, nil
}

// checkBucketStatement makes the checks that need to know S3: the actions must
// be S3's, the resources this bucket's, and they must go together.
func checkBucketStatement(b *bucket, s *iam.Statement) error {
	if s.Resource == nil && s.NotResource == nil {
		return malformedPolicy("Missing required field Resource")
	}
	for _, principals := range []*iam.Principals{s.Principal, s.NotPrincipal} {
		if principals != nil && len(principals.CanonicalUser) > 0 {
			return wire.NotImplemented("s3", "bucket policies that name a CanonicalUser")
		}
	}
	resources := append(append([]string(nil), s.Resource...), s.NotResource...)
	wantBucket, wantObjects := false, false
	for _, resource := range resources {
		aboutBucket, aboutObjects := covers(b, resource)
		if !aboutBucket && !aboutObjects {
			return malformedPolicy("Policy has invalid resource", "Detail", resource)
		}
		wantBucket, wantObjects = wantBucket || aboutBucket, wantObjects || aboutObjects
	}
	actions := append(append([]string(nil), s.Action...), s.NotAction...)
	fits := false
	for _, pattern := range actions {
		if pattern != "*" && !strings.HasPrefix(strings.ToLower(pattern), "s3:") {
			return malformedPolicy("Policy has invalid action", "Detail", pattern)
		}
		if pattern != "*" && !reference.MatchesAction(pattern) {
			return malformedPolicy("Policy has invalid action", "Detail", pattern)
		}
		fits = fits || s.NotAction != nil || s.NotResource != nil || pattern == "*" || applies(pattern, wantBucket, wantObjects)
	}
	if !fits {
		return malformedPolicy("Action does not apply to any resource(s) in statement")
	}
	return nil
}

// covers says what of the bucket a resource pattern may match. The bucket's
// name must be spelled out: S3 refuses patterns that could mean others.
func covers(b *bucket, resource string) (aboutBucket, aboutObjects bool) {
	rest, ok := strings.CutPrefix(resource, b.arn())
	switch {
	case !ok:
		return false, false
	case rest == "":
		return true, false
	case strings.HasPrefix(rest, "/"):
		return false, true
	case rest == "*":
		return true, true
	}
	return false, false
}

// applies reports whether an action that the pattern matches is about buckets
// or objects.
func applies(pattern string, buckets, objects bool) bool {
	for _, action := range reference.Expand(pattern) {
		for _, r := range action.Resources {
			if buckets && r.Type.Name == "bucket" || objects && r.Type.Name == "object" {
				return true
			}
		}
	}
	return false
}

// first returns the problem to report: a misspelled element rather than the one
// that is therefore missing.
func first(problems []iam.Problem) iam.Problem {
	for _, p := range problems {
		if p.Code != iam.ProblemMissing {
			return p
		}
	}
	return problems[0]
}

func malformedPolicy(message string, fields ...string) *wire.Error {
	return refuse(http.StatusBadRequest, "MalformedPolicy", message, fields...)
}

// describeProblem words a problem of the document as S3 does, as far as S3 has
// words for it, and adds where it is.
func describeProblem(p iam.Problem) error {
	element := p.Path[strings.LastIndexByte(p.Path, '.')+1:]
	message := "Policy has an invalid element"
	switch p.Code {
	case iam.ProblemJSON:
		message = "Policies must be valid JSON and the first byte must be '{'"
	case iam.ProblemUnknownElement:
		message = "Unknown field"
		if _, rest, ok := strings.Cut(p.Message, `"`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			message += " " + name
		}
	case iam.ProblemOperator:
		message = "Invalid Condition type : " + element
	case iam.ProblemMissing:
		message = "Missing required field"
		for _, name := range []string{"Principal", "Action", "Effect", "Resource", "Statement"} {
			if strings.Contains(p.Message, name) || strings.HasSuffix(p.Path, name) {
				message += " " + name
				break
			}
		}
	}
	return malformedPolicy(message, "Detail", p.String())
}

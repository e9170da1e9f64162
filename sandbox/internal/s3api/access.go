package s3api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
)

// keys adds condition keys to a request's context.
type keys func(*iam.Context)

// authorize asks whether the caller may do action to resource, which is the
// bucket or something in it. It returns nil or S3's AccessDenied.
func (q *request) authorize(b *bucket, action, resource string, more keys) error {
	if err := q.restrictPublicBuckets(b); err != nil {
		return err
	}
	query := q.question(b, action, resource, more)
	if b.policy != nil {
		query.ResourcePolicy = b.policy.compiled
	}
	return q.refusal(b, q.call.Authorize(query))
}

// authorizePolicy is authorize for the bucket policy itself. The root user of
// the bucket's account may always read, replace and delete it, even if it
// denies that; anybody else of another account is told that the method is not
// allowed, even if a policy allows it.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
func (q *request) authorizePolicy(b *bucket, action string) error {
	root := q.call.Caller.Principal.Type == iam.PrincipalRootUser && q.call.Caller.Principal.Account == b.owner
	if root {
		return q.refusal(b, q.call.Authorize(q.question(b, action, b.arn(), nil)))
	}
	if err := q.authorize(b, action, b.arn(), nil); err != nil {
		return err
	}
	if q.call.Caller.Principal.Account != b.owner {
		return methodNotAllowed(q.http.Method, "BUCKETPOLICY")
	}
	return nil
}

// authorizeAccount asks about an action that concerns no existing bucket.
func (q *request) authorizeAccount(action, resource string, more keys) error {
	if q.call.Caller.Anonymous() {
		return accessDenied()
	}
	return q.call.Authorize(authz.Query{
		Action: action, Resource: resource, ResourceAccount: q.call.Caller.Principal.Account,
		Context: q.context(more),
	})
}

// may is authorize for questions whose answer only chooses between refusals.
func (q *request) may(b *bucket, action, resource string) bool {
	return q.authorize(b, action, resource, nil) == nil
}

func (q *request) question(b *bucket, action, resource string, more keys) authz.Query {
	return authz.Query{
		Action: action, Resource: resource, ResourceAccount: b.owner,
		Context: q.context(func(c *iam.Context) {
			c.Set("s3:ResourceAccount", string(b.owner))
			if more != nil {
				more(c)
			}
		}),
	}
}

// restrictPublicBuckets applies the setting of that name: a bucket whose policy
// is public is only for its own account and for services.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
func (q *request) restrictPublicBuckets(b *bucket) error {
	if b.publicAccess == nil || !b.publicAccess.RestrictPublicBuckets || b.policy == nil || !b.policy.public {
		return nil
	}
	p := q.call.Caller.Principal
	if p.Account == b.owner || p.Type == iam.PrincipalService {
		return nil
	}
	return accessDenied()
}

// refusal hides the reason of a refusal from other accounts, as S3 does.
func (q *request) refusal(b *bucket, err error) error {
	if err == nil || q.call.Caller.Principal.Account == b.owner {
		return err
	}
	denied := accessDenied()
	denied.Cause = err
	return denied
}

// context returns the function that adds the condition keys which S3 has for
// every request, and then more.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html#amazons3-policy-keys
func (q *request) context(more keys) keys {
	return func(c *iam.Context) {
		if !q.call.Caller.Anonymous() {
			c.Set("s3:signatureversion", "AWS4-HMAC-SHA256")
			if q.query.Has("X-Amz-Signature") {
				c.Set("s3:authType", "REST-QUERY-STRING")
				c.Set("s3:signatureAge", q.signatureAge())
			} else {
				c.Set("s3:authType", "REST-HEADER")
			}
		}
		if q.call.Secure {
			c.Set("s3:TlsVersion", q.tlsVersion())
		}
		for header, key := range requestHeaderKeys {
			if value := q.header(header); value != "" {
				c.Set(key, value)
			}
		}
		if more != nil {
			more(c)
		}
	}
}

// requestHeaderKeys are the condition keys whose values are request headers.
var requestHeaderKeys = map[string]string{
	"X-Amz-Content-Sha256":         "s3:x-amz-content-sha256",
	"X-Amz-Acl":                    "s3:x-amz-acl",
	"X-Amz-Copy-Source":            "s3:x-amz-copy-source",
	"X-Amz-Metadata-Directive":     "s3:x-amz-metadata-directive",
	"X-Amz-Object-Ownership":       "s3:x-amz-object-ownership",
	"X-Amz-Server-Side-Encryption": "s3:x-amz-server-side-encryption",
	headerKeyID:                    "s3:x-amz-server-side-encryption-aws-kms-key-id",
	"X-Amz-Storage-Class":          "s3:x-amz-storage-class",
}

// signatureAge is how many milliseconds ago a presigned URL was made.
func (q *request) signatureAge() string {
	made, err := parseSigningTime(q.query.Get("X-Amz-Date"))
	if err != nil {
		return "0"
	}
	return strconv.FormatInt(max(0, q.call.Now.Sub(made).Milliseconds()), 10)
}

// tlsVersion is that of the connection. A client that is handed to a request
// inside the process has no connection and counts as an up-to-date one.
func (q *request) tlsVersion() string {
	if t := q.http.TLS; t != nil && t.Version == 0x0303 {
		return "1.2"
	}
	return "1.3"
}

// conditionalWrite adds the keys of a request that creates an object, or that
// only prepares for it.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
func (q *request) conditionalWrite(creates bool) keys {
	return func(c *iam.Context) {
		c.Set("s3:ObjectCreationOperation", strconv.FormatBool(creates))
		if value := q.header("If-Match"); value != "" {
			c.Set("s3:if-match", value)
		}
		if value := q.header("If-None-Match"); value != "" {
			c.Set("s3:if-none-match", value)
		}
	}
}

func existingTags(v *version) keys {
	return func(c *iam.Context) {
		if v == nil {
			return
		}
		for key, value := range v.tags {
			c.Set("s3:ExistingObjectTag/"+key, value)
		}
	}
}

func requestTags(tags map[string]string) keys {
	return func(c *iam.Context) {
		if len(tags) == 0 {
			return
		}
		names := make([]string, 0, len(tags))
		for key, value := range tags {
			c.Set("s3:RequestObjectTag/"+key, value)
			names = append(names, key)
		}
		c.SetMulti("s3:RequestObjectTagKeys", names...)
	}
}

func versionKey(id string) keys {
	return func(c *iam.Context) {
		if id != "" {
			c.Set("s3:VersionId", id)
		}
	}
}

func all(more ...keys) keys {
	return func(c *iam.Context) {
		for _, add := range more {
			add(c)
		}
	}
}

// find returns the version of the object that the request names, for an action
// that needs one. Whoever may not list the bucket is not told whether an object
// exists: for them a missing one is Access Denied.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func (q *request) find(b *bucket, key, versionID, action, versionAction string, more ...keys) (*version, error) {
	v, listAction := b.current(key), "s3:ListBucket"
	if versionID != "" {
		v, action, listAction = b.version(key, versionID), versionAction, "s3:ListBucketVersions"
	}
	if err := q.authorize(b, action, b.objectARN(key), all(append(more, existingTags(v), versionKey(versionID))...)); err != nil {
		return nil, err
	}
	if v != nil && !v.deleteMarker {
		return v, nil
	}
	if !q.may(b, listAction, b.arn()) {
		return nil, accessDenied()
	}
	switch {
	case v == nil && versionID != "":
		return nil, noSuchVersion(key, versionID)
	case v == nil:
		return nil, noSuchKey(key)
	}
	q.w.Header().Set("X-Amz-Delete-Marker", "true")
	q.w.Header().Set("X-Amz-Version-Id", v.id)
	if versionID == "" {
		return nil, noSuchKey(key)
	}
	q.w.Header().Set("Last-Modified", httpTime(v.modified))
	q.w.Header().Set("Allow", http.MethodDelete)
	return nil, methodNotAllowed(q.http.Method, "DeleteMarker")
}

// deniedACL refuses a request that wants an ACL, which buckets whose owner
// owns every object do not have. The one that gives the bucket's owner full
// control says what is the case anyway.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
func (q *request) deniedACL() error {
	acl := q.header("X-Amz-Acl")
	grants := false
	for name := range q.http.Header {
		grants = grants || strings.HasPrefix(name, "X-Amz-Grant-")
	}
	if grants || acl != "" && acl != "bucket-owner-full-control" {
		return aclsNotSupported()
	}
	return nil
}

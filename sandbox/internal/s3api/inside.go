package s3api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
)

// The operations as Go methods, for services that call S3 on somebody's behalf
// such as CloudFormation. They authorise and refuse exactly as the operations
// of the same names do over HTTP; the buckets are those of the call's region.

// CreateBucket creates a bucket of the caller's account in the call's region.
func (s *Service) CreateBucket(c *authz.Call, bucket string, tags map[string]string) error {
	var in createBucketConfiguration
	if c.Region != "us-east-1" {
		in.LocationConstraint = c.Region
	}
	for key, value := range tags {
		in.Tags = append(in.Tags, tag{key, value})
	}
	return s.inside(c, bucket, "CreateBucket").create(in)
}

// Exists reports whether there is a bucket of that name in the partition of the
// call's region, whoever owns it. It needs no permission.
func (s *Service) Exists(c *authz.Call, bucket string) bool {
	id := bucketID{s.inside(c, bucket, "HeadBucket").partition, bucket}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.buckets[id] != nil
}

// DeleteBucket deletes an empty bucket.
func (s *Service) DeleteBucket(c *authz.Call, bucket string) error {
	return s.inside(c, bucket, "DeleteBucket").deleteBucket()
}

// PutBucketPolicy replaces the bucket's policy with a JSON document.
func (s *Service) PutBucketPolicy(c *authz.Call, bucket, document string) error {
	return s.inside(c, bucket, "PutBucketPolicy").setPolicy([]byte(document))
}

// DeleteBucketPolicy removes the bucket's policy, if it has one.
func (s *Service) DeleteBucketPolicy(c *authz.Call, bucket string) error {
	return s.inside(c, bucket, "DeleteBucketPolicy").deleteBucketPolicy()
}

// PutBucketVersioning sets versioning to "Enabled" or "Suspended".
func (s *Service) PutBucketVersioning(c *authz.Call, bucket, status string) error {
	return s.inside(c, bucket, "PutBucketVersioning").setVersioning(versioningState(status))
}

// PutPublicAccessBlock replaces the four settings of Block Public Access.
func (s *Service) PutPublicAccessBlock(c *authz.Call, bucket string, block PublicAccessBlock) error {
	return s.inside(c, bucket, "PutPublicAccessBlock").setPublicAccess(block)
}

// PutBucketEncryption sets how objects are encrypted that do not say it: with
// algorithm "AES256", or with "aws:kms" and a key of KMS; an empty keyID means
// the account's aws/s3. With bucketKey the encryption context names the bucket
// and not the object.
func (s *Service) PutBucketEncryption(c *authz.Call, bucket, algorithm, keyID string, bucketKey bool) error {
	return s.inside(c, bucket, "PutBucketEncryption").setEncryption(encryptionRule{algorithm, keyID, bucketKey})
}

// DeleteBucketEncryption goes back to AES256.
func (s *Service) DeleteBucketEncryption(c *authz.Call, bucket string) error {
	return s.inside(c, bucket, "DeleteBucketEncryption").deleteBucketEncryption()
}

// PutBucketTagging replaces the bucket's tags.
func (s *Service) PutBucketTagging(c *authz.Call, bucket string, tags map[string]string) error {
	if err := checkTags(tags, maxBucketTags); err != nil {
		return err
	}
	return s.inside(c, bucket, "PutBucketTagging").setTags(tags)
}

// inside makes the request for a call that does not come over HTTP.
func (s *Service) inside(c *authz.Call, bucket, operation string) *request {
	c.Operation = operation
	q := &request{
		address: address{bucket: bucket, region: c.Region},
		s:       s, call: c, query: url.Values{}, w: discard{}, partition: "aws",
		http: &http.Request{Header: http.Header{}},
	}
	if p, ok := iam.PartitionOfRegion(c.Region); ok {
		q.partition = p.ID
	}
	return q
}

// discard takes the headers of an answer that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) WriteHeader(int)             {}
func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Overview returns the buckets, for the sandbox's page.
func (s *Service) Overview() []overview.Section {
	buckets := overview.Section{Title: "Buckets", Columns: []string{"Account", "Region", "Bucket", "Objects", "Versioning", "Policy", "Block Public Access"}}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, b := range s.buckets {
		objects, bytes := 0, 0
		for _, key := range b.keys {
			if v := b.object(key); v != nil {
				objects, bytes = objects+1, bytes+len(v.body)
			}
		}
		policy := "none"
		switch {
		case b.policy != nil && b.policy.public:
			policy = "public"
		case b.policy != nil:
			policy = strconv.Itoa(len(b.policy.compiled.Source().Statements)) + " statements"
		}
		buckets.Rows = append(buckets.Rows, []string{
			string(b.owner), b.region, b.name, fmt.Sprintf("%d (%d bytes)", objects, bytes), string(b.versioning), policy, b.publicAccess.String(),
		})
	}
	slices.SortFunc(buckets.Rows, slices.Compare[[]string])
	return []overview.Section{buckets}
}

// String names the settings that are on.
func (p *PublicAccessBlock) String() string {
	if p == nil {
		return "none"
	}
	var on []string
	for _, setting := range []struct {
		name string
		on   bool
	}{
		{"BlockPublicAcls", p.BlockPublicAcls}, {"IgnorePublicAcls", p.IgnorePublicAcls},
		{"BlockPublicPolicy", p.BlockPublicPolicy}, {"RestrictPublicBuckets", p.RestrictPublicBuckets},
	} {
		if setting.on {
			on = append(on, setting.name)
		}
	}
	return strings.Join(on, ", ")
}

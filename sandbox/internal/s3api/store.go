package s3api

import (
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// A bucket and everything in it, guarded by [Service].mu.
type bucket struct {
	name      string
	owner     iam.AccountID
	partition string
	region    string
	created   time.Time

	versioning   versioningState
	policy       *bucketPolicy // nil: none
	publicAccess *PublicAccessBlock
	encryption   encryptionRule
	tags         map[string]string

	keys     []string              // in the order of their bytes
	versions map[string][]*version // :: key → newest first, never empty
	uploads  map[string]*upload    // :: upload id → multipart upload under way
}

type versioningState string

const (
	versioningNever     versioningState = ""
	versioningEnabled   versioningState = "Enabled"
	versioningSuspended versioningState = "Suspended"
)

// A bucketPolicy is kept as it was written for people, and compiled with the
// unique ids of its principals for decisions.
type bucketPolicy struct {
	document directory.Document
	compiled *eval.Policy
	public   bool // in the sense of Block Public Access
}

// nullVersion is the version id of objects written while versioning was off.
const nullVersion = "null"

// A version is one version of an object, or a delete marker. Once it is stored
// it never changes, so it may be read after the lock was released.
type version struct {
	key          string
	id           string
	deleteMarker bool
	modified     time.Time

	body         []byte
	etag         string            // with its quotes
	headers      map[string]string // Content-Type and the like, as given
	metadata     map[string]string // x-amz-meta-*, lower-case names without the prefix
	tags         map[string]string
	checksum     checksum
	storageClass string
	parts        int        // of a multipart upload; 0 for others
	sealed       *objectKey // nil: encrypted with a key of S3's own
}

func newBucket(name string, owner iam.AccountID, partition, region string, now time.Time) *bucket {
	return &bucket{
		name: name, owner: owner, partition: partition, region: region, created: now,
		// Since April 2023 every new bucket blocks public access, and since
		// January 2023 every new object is encrypted.
		// https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-faq.html
		publicAccess: &PublicAccessBlock{true, true, true, true},
		encryption:   encryptionRule{algorithm: sseS3},
		versions:     make(map[string][]*version),
		uploads:      make(map[string]*upload),
	}
}

func (b *bucket) arn() string { return "arn:" + b.partition + ":s3:::" + b.name }

func (b *bucket) objectARN(key string) string { return b.arn() + "/" + key }

// current returns the newest version of key, which may be a delete marker, or
// nil.
func (b *bucket) current(key string) *version {
	if versions := b.versions[key]; len(versions) > 0 {
		return versions[0]
	}
	return nil
}

// object returns the newest version of key unless the object is deleted.
func (b *bucket) object(key string) *version {
	if v := b.current(key); v != nil && !v.deleteMarker {
		return v
	}
	return nil
}

// version returns one version of key, or nil.
func (b *bucket) version(key, id string) *version {
	for _, v := range b.versions[key] {
		if v.id == id {
			return v
		}
	}
	return nil
}

// add makes v the newest version of its key. Unless versioning is enabled it
// becomes the null version and replaces the one there was.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/AddingObjectstoVersionSuspendedBuckets.html
func (b *bucket) add(v *version, newID func() string) {
	if b.versioning == versioningEnabled {
		v.id = newID()
	} else {
		v.id = nullVersion
		b.remove(v.key, nullVersion)
	}
	if len(b.versions[v.key]) == 0 {
		i, _ := slices.BinarySearch(b.keys, v.key)
		b.keys = slices.Insert(b.keys, i, v.key)
	}
	// A new slice, because listings hold on to the old one.
	b.versions[v.key] = append([]*version{v}, b.versions[v.key]...)
}

// remove deletes one version for good and returns it, or nil if there is none.
func (b *bucket) remove(key, id string) *version {
	versions := b.versions[key]
	i := slices.IndexFunc(versions, func(v *version) bool { return v.id == id })
	if i < 0 {
		return nil
	}
	removed := versions[i]
	rest := slices.Concat(versions[:i], versions[i+1:])
	if len(rest) > 0 {
		b.versions[key] = rest
		return removed
	}
	delete(b.versions, key)
	if k, found := slices.BinarySearch(b.keys, key); found {
		b.keys = slices.Delete(b.keys, k, k+1)
	}
	return removed
}

// replace puts a changed copy of a version in its place.
func (b *bucket) replace(old, changed *version) {
	versions := slices.Clone(b.versions[old.key])
	versions[slices.Index(versions, old)] = changed
	b.versions[old.key] = versions
}

// keysFrom returns the keys that begin with prefix and are not less than from.
func (b *bucket) keysFrom(prefix, from string) []string {
	start, _ := slices.BinarySearch(b.keys, max(prefix, from))
	keys := b.keys[start:]
	for i, key := range keys {
		if !strings.HasPrefix(key, prefix) {
			return keys[:i]
		}
	}
	return keys
}

// Package s3api is the S3 of the sandbox: general purpose buckets and their
// objects over S3's REST protocol, path style and virtual-host style.
//
// Every operation authorises itself with the exact action, resource ARN and
// condition keys that S3 uses, with the bucket policy as resource policy, and
// with Block Public Access enforced. [Operations] lists what is real; every
// other operation of S3 answers 501 NotImplemented and names itself, and so do
// headers that ask for something the sandbox does not do (customer keys, two
// layers of encryption, object lock, archive classes). ACLs do not exist: all buckets have the
// BucketOwnerEnforced setting that new buckets have in AWS.
//
// State is in memory. Limits: [MaxObjectSize] for one object, parts of a
// multipart upload together included, and the memory of the machine for all.
package s3api

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
)

// MaxObjectSize is how many bytes one object may have. S3 itself allows more;
// the sandbox keeps objects in memory.
const MaxObjectSize = 64 << 20

// Options are what the service needs from the sandbox. All are required.
type Options struct {
	Directory *directory.Directory // to find the principals of bucket policies
	KMS       *kmsapi.Service      // for objects encrypted with its keys
	Random    io.Reader            // for version ids and upload ids
}

// A Service is the S3 of all accounts of a sandbox. Bucket names are unique
// within a partition, whatever account owns them. It is safe for concurrent
// use.
type Service struct {
	directory *directory.Directory
	kms       *kmsapi.Service

	randomMu sync.Mutex
	random   io.Reader

	mu      sync.RWMutex
	buckets map[bucketID]*bucket
}

// Each partition has bucket names of its own.
type bucketID struct{ partition, name string }

// New returns a service without buckets.
func New(o Options) *Service {
	return &Service{directory: o.Directory, kms: o.KMS, random: o.Random, buckets: make(map[bucketID]*bucket)}
}

// newID returns 32 random characters, for versions and uploads.
func (s *Service) newID() string {
	var b [20]byte
	s.randomMu.Lock()
	defer s.randomMu.Unlock()
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		// Without randomness ids would collide and overwrite each other.
		panic(fmt.Sprintf("s3api: reading randomness: %v", err))
	}
	return base32.StdEncoding.EncodeToString(b[:])
}

// canonicalUser is the id by which S3's listings name an account.
func canonicalUser(account iam.AccountID) string {
	sum := sha256.Sum256([]byte("canonical user of " + account))
	return hex.EncodeToString(sum[:])
}

// hostID stands for the id of the S3 server that answered.
func hostID(requestID string) string {
	sum := sha256.Sum256([]byte(requestID))
	return strings.ToLower(hex.EncodeToString(sum[:]))
}

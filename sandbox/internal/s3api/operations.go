package s3api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
)

// A level is what an operation is about.
type level string

const (
	onService level = "SERVICE"
	onBucket  level = "BUCKET"
	onObject  level = "OBJECT"
)

// An operation is one row of the table of what S3 can do.
type operation struct {
	name   string
	method string
	on     level
	query  string // query parameters that must be there, joined by "&"
	header string // a header that must be there
	serve  func(*request) error
}

// table is the one table of what the sandbox's S3 does. A request is
// served by the first row that fits it, so rows with more demands come first.
// Rows without a function are operations of S3 that answer NotImplemented.
var table = []operation{
	{name: "ListBuckets", method: "GET", on: onService, serve: (*request).listBuckets},

	// Buckets: sub-resources.
	{name: "GetBucketLocation", method: "GET", on: onBucket, query: "location", serve: (*request).getBucketLocation},
	{name: "GetBucketVersioning", method: "GET", on: onBucket, query: "versioning", serve: (*request).getBucketVersioning},
	{name: "PutBucketVersioning", method: "PUT", on: onBucket, query: "versioning", serve: (*request).putBucketVersioning},
	{name: "GetBucketPolicy", method: "GET", on: onBucket, query: "policy", serve: (*request).getBucketPolicy},
	{name: "PutBucketPolicy", method: "PUT", on: onBucket, query: "policy", serve: (*request).putBucketPolicy},
	{name: "DeleteBucketPolicy", method: "DELETE", on: onBucket, query: "policy", serve: (*request).deleteBucketPolicy},
	{name: "GetBucketPolicyStatus", method: "GET", on: onBucket, query: "policyStatus", serve: (*request).getBucketPolicyStatus},
	{name: "GetPublicAccessBlock", method: "GET", on: onBucket, query: "publicAccessBlock", serve: (*request).getPublicAccessBlock},
	{name: "PutPublicAccessBlock", method: "PUT", on: onBucket, query: "publicAccessBlock", serve: (*request).putPublicAccessBlock},
	{name: "DeletePublicAccessBlock", method: "DELETE", on: onBucket, query: "publicAccessBlock", serve: (*request).deletePublicAccessBlock},
	{name: "GetBucketEncryption", method: "GET", on: onBucket, query: "encryption", serve: (*request).getBucketEncryption},
	{name: "PutBucketEncryption", method: "PUT", on: onBucket, query: "encryption", serve: (*request).putBucketEncryption},
	{name: "DeleteBucketEncryption", method: "DELETE", on: onBucket, query: "encryption", serve: (*request).deleteBucketEncryption},
	{name: "GetBucketOwnershipControls", method: "GET", on: onBucket, query: "ownershipControls", serve: (*request).getBucketOwnershipControls},
	{name: "PutBucketOwnershipControls", method: "PUT", on: onBucket, query: "ownershipControls", serve: (*request).putBucketOwnershipControls},
	{name: "DeleteBucketOwnershipControls", method: "DELETE", on: onBucket, query: "ownershipControls"},
	{name: "GetBucketTagging", method: "GET", on: onBucket, query: "tagging", serve: (*request).getBucketTagging},
	{name: "PutBucketTagging", method: "PUT", on: onBucket, query: "tagging", serve: (*request).putBucketTagging},
	{name: "DeleteBucketTagging", method: "DELETE", on: onBucket, query: "tagging", serve: (*request).deleteBucketTagging},
	{name: "GetBucketAcl", method: "GET", on: onBucket, query: "acl", serve: (*request).getBucketACL},
	{name: "PutBucketAcl", method: "PUT", on: onBucket, query: "acl", serve: (*request).putBucketACL},
	{name: "ListObjectVersions", method: "GET", on: onBucket, query: "versions", serve: (*request).listObjectVersions},
	{name: "ListMultipartUploads", method: "GET", on: onBucket, query: "uploads", serve: (*request).listMultipartUploads},
	{name: "DeleteObjects", method: "POST", on: onBucket, query: "delete", serve: (*request).deleteObjects},
	{name: "ListObjectsV2", method: "GET", on: onBucket, query: "list-type", serve: (*request).listObjectsV2},

	{name: "GetBucketAbac", method: "GET", on: onBucket, query: "abac"},
	{name: "PutBucketAbac", method: "PUT", on: onBucket, query: "abac"},
	{name: "GetBucketAccelerateConfiguration", method: "GET", on: onBucket, query: "accelerate", serve: (*request).getBucketAccelerate},
	{name: "PutBucketAccelerateConfiguration", method: "PUT", on: onBucket, query: "accelerate"},
	{name: "GetBucketAnalyticsConfiguration", method: "GET", on: onBucket, query: "analytics&id"},
	{name: "ListBucketAnalyticsConfigurations", method: "GET", on: onBucket, query: "analytics"},
	{name: "PutBucketAnalyticsConfiguration", method: "PUT", on: onBucket, query: "analytics"},
	{name: "DeleteBucketAnalyticsConfiguration", method: "DELETE", on: onBucket, query: "analytics"},
	{name: "GetBucketCors", method: "GET", on: onBucket, query: "cors", serve: (*request).getBucketCORS},
	{name: "PutBucketCors", method: "PUT", on: onBucket, query: "cors"},
	{name: "DeleteBucketCors", method: "DELETE", on: onBucket, query: "cors"},
	{name: "GetBucketIntelligentTieringConfiguration", method: "GET", on: onBucket, query: "intelligent-tiering&id"},
	{name: "ListBucketIntelligentTieringConfigurations", method: "GET", on: onBucket, query: "intelligent-tiering"},
	{name: "PutBucketIntelligentTieringConfiguration", method: "PUT", on: onBucket, query: "intelligent-tiering"},
	{name: "DeleteBucketIntelligentTieringConfiguration", method: "DELETE", on: onBucket, query: "intelligent-tiering"},
	{name: "GetBucketInventoryConfiguration", method: "GET", on: onBucket, query: "inventory&id"},
	{name: "ListBucketInventoryConfigurations", method: "GET", on: onBucket, query: "inventory"},
	{name: "PutBucketInventoryConfiguration", method: "PUT", on: onBucket, query: "inventory"},
	{name: "DeleteBucketInventoryConfiguration", method: "DELETE", on: onBucket, query: "inventory"},
	{name: "GetBucketLifecycleConfiguration", method: "GET", on: onBucket, query: "lifecycle", serve: (*request).getBucketLifecycle},
	{name: "PutBucketLifecycleConfiguration", method: "PUT", on: onBucket, query: "lifecycle"},
	{name: "DeleteBucketLifecycle", method: "DELETE", on: onBucket, query: "lifecycle"},
	{name: "GetBucketLogging", method: "GET", on: onBucket, query: "logging", serve: (*request).getBucketLogging},
	{name: "PutBucketLogging", method: "PUT", on: onBucket, query: "logging"},
	{name: "GetBucketMetadataConfiguration", method: "GET", on: onBucket, query: "metadataConfiguration"},
	{name: "CreateBucketMetadataConfiguration", method: "POST", on: onBucket, query: "metadataConfiguration"},
	{name: "DeleteBucketMetadataConfiguration", method: "DELETE", on: onBucket, query: "metadataConfiguration"},
	{name: "GetBucketMetadataTableConfiguration", method: "GET", on: onBucket, query: "metadataTable"},
	{name: "CreateBucketMetadataTableConfiguration", method: "POST", on: onBucket, query: "metadataTable"},
	{name: "DeleteBucketMetadataTableConfiguration", method: "DELETE", on: onBucket, query: "metadataTable"},
	{name: "UpdateBucketMetadataAnnotationTableConfiguration", method: "PUT", on: onBucket, query: "metadataAnnotationTable"},
	{name: "UpdateBucketMetadataInventoryTableConfiguration", method: "PUT", on: onBucket, query: "metadataInventoryTable"},
	{name: "UpdateBucketMetadataJournalTableConfiguration", method: "PUT", on: onBucket, query: "metadataJournalTable"},
	{name: "GetBucketMetricsConfiguration", method: "GET", on: onBucket, query: "metrics&id"},
	{name: "ListBucketMetricsConfigurations", method: "GET", on: onBucket, query: "metrics"},
	{name: "PutBucketMetricsConfiguration", method: "PUT", on: onBucket, query: "metrics"},
	{name: "DeleteBucketMetricsConfiguration", method: "DELETE", on: onBucket, query: "metrics"},
	{name: "GetBucketNotificationConfiguration", method: "GET", on: onBucket, query: "notification", serve: (*request).getBucketNotification},
	{name: "PutBucketNotificationConfiguration", method: "PUT", on: onBucket, query: "notification"},
	{name: "GetObjectLockConfiguration", method: "GET", on: onBucket, query: "object-lock", serve: (*request).getObjectLock},
	{name: "PutObjectLockConfiguration", method: "PUT", on: onBucket, query: "object-lock"},
	{name: "GetBucketReplication", method: "GET", on: onBucket, query: "replication", serve: (*request).getBucketReplication},
	{name: "PutBucketReplication", method: "PUT", on: onBucket, query: "replication"},
	{name: "DeleteBucketReplication", method: "DELETE", on: onBucket, query: "replication"},
	{name: "GetBucketRequestPayment", method: "GET", on: onBucket, query: "requestPayment", serve: (*request).getBucketRequestPayment},
	{name: "PutBucketRequestPayment", method: "PUT", on: onBucket, query: "requestPayment"},
	{name: "GetBucketWebsite", method: "GET", on: onBucket, query: "website", serve: (*request).getBucketWebsite},
	{name: "PutBucketWebsite", method: "PUT", on: onBucket, query: "website"},
	{name: "DeleteBucketWebsite", method: "DELETE", on: onBucket, query: "website"},
	{name: "CreateSession", method: "GET", on: onBucket, query: "session"},

	// Buckets themselves.
	{name: "CreateBucket", method: "PUT", on: onBucket, serve: (*request).createBucket},
	{name: "DeleteBucket", method: "DELETE", on: onBucket, serve: (*request).deleteBucket},
	{name: "HeadBucket", method: "HEAD", on: onBucket, serve: (*request).headBucket},
	{name: "ListObjects", method: "GET", on: onBucket, serve: (*request).listObjects},
	{name: "PostObject", method: "POST", on: onBucket},

	// Objects: sub-resources.
	{name: "GetObjectTagging", method: "GET", on: onObject, query: "tagging", serve: (*request).getObjectTagging},
	{name: "PutObjectTagging", method: "PUT", on: onObject, query: "tagging", serve: (*request).putObjectTagging},
	{name: "DeleteObjectTagging", method: "DELETE", on: onObject, query: "tagging", serve: (*request).deleteObjectTagging},
	{name: "GetObjectAcl", method: "GET", on: onObject, query: "acl", serve: (*request).getObjectACL},
	{name: "PutObjectAcl", method: "PUT", on: onObject, query: "acl", serve: (*request).putObjectACL},
	{name: "CreateMultipartUpload", method: "POST", on: onObject, query: "uploads", serve: (*request).createMultipartUpload},
	{name: "UploadPartCopy", method: "PUT", on: onObject, query: "partNumber&uploadId", header: "X-Amz-Copy-Source"},
	{name: "UploadPart", method: "PUT", on: onObject, query: "partNumber&uploadId", serve: (*request).uploadPart},
	{name: "CompleteMultipartUpload", method: "POST", on: onObject, query: "uploadId", serve: (*request).completeMultipartUpload},
	{name: "AbortMultipartUpload", method: "DELETE", on: onObject, query: "uploadId", serve: (*request).abortMultipartUpload},
	{name: "ListParts", method: "GET", on: onObject, query: "uploadId", serve: (*request).listParts},

	{name: "GetObjectAnnotation", method: "GET", on: onObject, query: "annotation"},
	{name: "ListObjectAnnotations", method: "GET", on: onObject, query: "annotations"},
	{name: "PutObjectAnnotation", method: "PUT", on: onObject, query: "annotation"},
	{name: "DeleteObjectAnnotation", method: "DELETE", on: onObject, query: "annotation"},
	{name: "GetObjectAttributes", method: "GET", on: onObject, query: "attributes"},
	{name: "UpdateObjectEncryption", method: "PUT", on: onObject, query: "encryption"},
	{name: "GetObjectLegalHold", method: "GET", on: onObject, query: "legal-hold"},
	{name: "PutObjectLegalHold", method: "PUT", on: onObject, query: "legal-hold"},
	{name: "GetObjectRetention", method: "GET", on: onObject, query: "retention"},
	{name: "PutObjectRetention", method: "PUT", on: onObject, query: "retention"},
	{name: "GetObjectTorrent", method: "GET", on: onObject, query: "torrent"},
	{name: "RenameObject", method: "PUT", on: onObject, query: "renameObject"},
	{name: "RestoreObject", method: "POST", on: onObject, query: "restore"},
	{name: "SelectObjectContent", method: "POST", on: onObject, query: "select"},

	// Objects themselves.
	{name: "CopyObject", method: "PUT", on: onObject, header: "X-Amz-Copy-Source", serve: (*request).copyObject},
	{name: "PutObject", method: "PUT", on: onObject, serve: (*request).putObject},
	{name: "GetObject", method: "GET", on: onObject, serve: (*request).getObject},
	{name: "HeadObject", method: "HEAD", on: onObject, serve: (*request).getObject},
	{name: "DeleteObject", method: "DELETE", on: onObject, serve: (*request).deleteObject},
}

const always = "there is none, because none can be put"

// The notes on what real operations leave out.
var notes = map[string]string{
	"CompleteMultipartUpload":            "parts together at most 64 MiB",
	"CopyObject":                         "within the sandbox; no access points",
	"CreateBucket":                       "no object lock, no directory buckets, only BucketOwnerEnforced",
	"CreateMultipartUpload":              "as PutObject",
	"DeleteObject":                       "conditions by ETag only",
	"DeleteObjects":                      "conditions by ETag only",
	"GetBucketAccelerateConfiguration":   always,
	"GetBucketCors":                      always,
	"GetBucketLifecycleConfiguration":    always,
	"GetBucketLogging":                   always,
	"GetBucketNotificationConfiguration": always,
	"GetBucketReplication":               always,
	"GetBucketRequestPayment":            "the bucket owner pays",
	"GetBucketWebsite":                   always,
	"GetObjectLockConfiguration":         always,
	"GetObject":                          "no partNumber, no customer keys",
	"HeadObject":                         "no partNumber, no customer keys",
	"ListMultipartUploads":               "no delimiter, no pages",
	"PutBucketAcl":                       "always AccessControlListNotSupported",
	"PutBucketEncryption":                "AES256 and aws:kms",
	"PutBucketOwnershipControls":         "BucketOwnerEnforced only",
	"PutBucketVersioning":                "no MFA delete",
	"PutObject":                          "at most 64 MiB; AES256 and aws:kms; no object lock, archive classes, redirects, or checksums XXHASH",
	"PutObjectAcl":                       "always AccessControlListNotSupported",
}

// Operations lists all operations of S3 that the sandbox knows of.
func Operations() []overview.Operation {
	list := make([]overview.Operation, len(table))
	for i, op := range table {
		list[i] = overview.Operation{Name: op.name, Real: op.serve != nil, Note: notes[op.name]}
	}
	return list
}

// findOperation returns the first row that fits, or nil.
func findOperation(method string, on level, query url.Values, header http.Header) *operation {
	for i := range table {
		op := &table[i]
		if op.method == method && op.on == on && hasAll(query, op.query) &&
			(op.header == "" || header.Get(op.header) != "") {
			return op
		}
	}
	return nil
}

func hasAll(query url.Values, names string) bool {
	if names == "" {
		return true
	}
	for name := range strings.SplitSeq(names, "&") {
		if !query.Has(name) {
			return false
		}
	}
	return true
}

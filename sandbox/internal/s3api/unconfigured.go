package s3api

import (
	"encoding/xml"
	"net/http"
)

// What cannot be configured here is not configured, and saying so is the truth.
// Tools that survey a bucket, such as Terraform, ask for all of it.

// unconfigured serves the read of a configuration whose absence is an error.
func (q *request) unconfigured(action, code, message string) error {
	return q.readBucket(action, func(b *bucket) error {
		return refuse(http.StatusNotFound, code, message, "BucketName", b.name)
	})
}

func (q *request) getBucketCORS() error {
	return q.unconfigured("s3:GetBucketCORS", "NoSuchCORSConfiguration", "The CORS configuration does not exist")
}

func (q *request) getBucketLifecycle() error {
	return q.unconfigured("s3:GetLifecycleConfiguration", "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
}

func (q *request) getBucketReplication() error {
	return q.unconfigured("s3:GetReplicationConfiguration", "ReplicationConfigurationNotFoundError", "The replication configuration was not found")
}

func (q *request) getBucketWebsite() error {
	return q.unconfigured("s3:GetBucketWebsite", "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration")
}

func (q *request) getObjectLock() error {
	return q.unconfigured("s3:GetBucketObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
}

// emptyConfiguration is a document that says nothing but its name.
type emptyConfiguration struct {
	XMLName xml.Name
	xmlns
	Payer string `xml:",omitempty"`
}

// empty serves the read of a configuration whose absence is an empty document.
func (q *request) empty(action, name, payer string) error {
	return q.readBucket(action, func(*bucket) error {
		return q.writeXML(emptyConfiguration{XMLName: xml.Name{Local: name}, xmlns: inNamespace, Payer: payer})
	})
}

func (q *request) getBucketAccelerate() error {
	return q.empty("s3:GetAccelerateConfiguration", "AccelerateConfiguration", "")
}

func (q *request) getBucketLogging() error {
	return q.empty("s3:GetBucketLogging", "BucketLoggingStatus", "")
}

func (q *request) getBucketNotification() error {
	return q.empty("s3:GetBucketNotification", "NotificationConfiguration", "")
}

func (q *request) getBucketRequestPayment() error {
	return q.empty("s3:GetBucketRequestPayment", "RequestPaymentConfiguration", "BucketOwner")
}

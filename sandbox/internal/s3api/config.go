package s3api

import (
	"encoding/xml"
	"net/http"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// readBucket serves a read of a bucket's configuration.
func (q *request) readBucket(action string, read func(*bucket) error) error {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorize(b, action, b.arn(), nil); err != nil {
		return err
	}
	return read(b)
}

// writeBucket serves a change of a bucket's configuration. If write fails, it
// must not have changed anything.
func (q *request) writeBucket(action string, status int, write func(*bucket) error) error {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorize(b, action, b.arn(), nil); err != nil {
		return err
	}
	q.status = status
	return write(b)
}

type versioningConfiguration struct {
	XMLName   xml.Name `xml:"VersioningConfiguration"`
	XMLNS     string   `xml:"xmlns,attr,omitempty"`
	Status    string   `xml:",omitempty"`
	MFADelete string   `xml:"MfaDelete,omitempty"`
}

// getBucketVersioning serves GetBucketVersioning.
func (q *request) getBucketVersioning() error {
	return q.readBucket("s3:GetBucketVersioning", func(b *bucket) error {
		return q.writeXML(versioningConfiguration{XMLNS: namespace, Status: string(b.versioning)})
	})
}

// putBucketVersioning serves PutBucketVersioning.
func (q *request) putBucketVersioning() error {
	var in versioningConfiguration
	if err := q.decodeXML(&in); err != nil {
		return err
	}
	if in.MFADelete == "Enabled" {
		return wire.NotImplemented("s3", "MFA delete")
	}
	return q.setVersioning(versioningState(in.Status))
}

func (q *request) setVersioning(state versioningState) error {
	if state != versioningEnabled && state != versioningSuspended {
		return refuse(http.StatusBadRequest, "IllegalVersioningConfigurationException", "The Versioning element must be specified")
	}
	return q.writeBucket("s3:PutBucketVersioning", http.StatusOK, func(b *bucket) error {
		b.versioning = state
		return nil
	})
}

// PublicAccessBlock holds the four settings of Block Public Access. The two
// about ACLs have nothing to do, because buckets of the sandbox have no ACLs.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PublicAccessBlockConfiguration.html
type PublicAccessBlock struct {
	BlockPublicAcls       bool // refuse public ACLs
	IgnorePublicAcls      bool // give public ACLs no effect
	BlockPublicPolicy     bool // refuse public bucket policies
	RestrictPublicBuckets bool // a public bucket is for its own account and services only
}

type publicAccessBlockConfiguration struct {
	XMLName xml.Name `xml:"PublicAccessBlockConfiguration"`
	XMLNS   string   `xml:"xmlns,attr,omitempty"`
	PublicAccessBlock
}

// getPublicAccessBlock serves GetPublicAccessBlock.
func (q *request) getPublicAccessBlock() error {
	return q.readBucket("s3:GetBucketPublicAccessBlock", func(b *bucket) error {
		if b.publicAccess == nil {
			return refuse(http.StatusNotFound, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found", "BucketName", b.name)
		}
		return q.writeXML(publicAccessBlockConfiguration{XMLNS: namespace, PublicAccessBlock: *b.publicAccess})
	})
}

// putPublicAccessBlock serves PutPublicAccessBlock. Settings that are left out
// become false.
func (q *request) putPublicAccessBlock() error {
	var in publicAccessBlockConfiguration
	if err := q.decodeXML(&in); err != nil {
		return err
	}
	return q.setPublicAccess(in.PublicAccessBlock)
}

func (q *request) setPublicAccess(block PublicAccessBlock) error {
	return q.writeBucket("s3:PutBucketPublicAccessBlock", http.StatusOK, func(b *bucket) error {
		b.publicAccess = &block
		return nil
	})
}

// deletePublicAccessBlock serves DeletePublicAccessBlock, for which there is no
// action of its own.
func (q *request) deletePublicAccessBlock() error {
	return q.writeBucket("s3:PutBucketPublicAccessBlock", http.StatusNoContent, func(b *bucket) error {
		b.publicAccess = nil
		return nil
	})
}

// ownerEnforced is the object ownership of every bucket of the sandbox.
const ownerEnforced = "BucketOwnerEnforced"

type ownershipControls struct {
	XMLName xml.Name        `xml:"OwnershipControls"`
	XMLNS   string          `xml:"xmlns,attr,omitempty"`
	Rules   []ownershipRule `xml:"Rule"`
}

type ownershipRule struct{ ObjectOwnership string }

// getBucketOwnershipControls serves GetBucketOwnershipControls.
func (q *request) getBucketOwnershipControls() error {
	return q.readBucket("s3:GetBucketOwnershipControls", func(*bucket) error {
		return q.writeXML(ownershipControls{XMLNS: namespace, Rules: []ownershipRule{{ownerEnforced}}})
	})
}

// putBucketOwnershipControls serves PutBucketOwnershipControls. The settings
// that would make ACLs count are not implemented.
func (q *request) putBucketOwnershipControls() error {
	var in ownershipControls
	if err := q.decodeXML(&in); err != nil {
		return err
	}
	if len(in.Rules) != 1 {
		return malformedXML()
	}
	switch ownership := in.Rules[0].ObjectOwnership; ownership {
	case ownerEnforced:
	case "BucketOwnerPreferred", "ObjectWriter":
		return wire.NotImplemented("s3", "object ownership "+ownership+" (only "+ownerEnforced+")")
	default:
		return malformedXML()
	}
	return q.writeBucket("s3:PutBucketOwnershipControls", http.StatusOK, func(*bucket) error { return nil })
}

type accessControlPolicy struct {
	XMLName xml.Name `xml:"AccessControlPolicy"`
	xmlns
	Owner  owner
	Grants []grant `xml:"AccessControlList>Grant"`
}

type grant struct {
	Grantee    grantee
	Permission string
}

type grantee struct {
	XSI  string `xml:"xmlns:xsi,attr"`
	Type string `xml:"xsi:type,attr"`
	ID   string
}

// fullControl is the ACL that buckets without ACLs, and objects in them, have
// for readers.
func (q *request) fullControl(b *bucket) error {
	id := canonicalUser(b.owner)
	return q.writeXML(accessControlPolicy{
		xmlns: inNamespace, Owner: owner{ID: id},
		Grants: []grant{{grantee{"http://www.w3.org/2001/XMLSchema-instance", "CanonicalUser", id}, "FULL_CONTROL"}},
	})
}

func aclsNotSupported() error {
	return refuse(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
}

// getBucketACL serves GetBucketAcl.
func (q *request) getBucketACL() error { return q.readBucket("s3:GetBucketAcl", q.fullControl) }

// putBucketACL serves PutBucketAcl, which a bucket without ACLs refuses.
func (q *request) putBucketACL() error {
	return q.writeBucket("s3:PutBucketAcl", http.StatusOK, func(*bucket) error { return aclsNotSupported() })
}

// getObjectACL serves GetObjectAcl.
func (q *request) getObjectACL() error {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if _, err := q.find(b, q.key, q.query.Get("versionId"), "s3:GetObjectAcl", "s3:GetObjectVersionAcl"); err != nil {
		return err
	}
	return q.fullControl(b)
}

// putObjectACL serves PutObjectAcl, which a bucket without ACLs refuses.
func (q *request) putObjectACL() error {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if _, err := q.find(b, q.key, q.query.Get("versionId"), "s3:PutObjectAcl", "s3:PutObjectVersionAcl"); err != nil {
		return err
	}
	return aclsNotSupported()
}

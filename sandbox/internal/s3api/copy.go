package s3api

import (
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

type copyObjectResult struct {
	XMLName xml.Name `xml:"CopyObjectResult"`
	xmlns
	ETag         string
	LastModified string
	ChecksumType string
	checksumElements
}

// checksumElements are the elements of a document that hold checksums; at most
// one is set.
type checksumElements struct {
	ChecksumCRC32     string `xml:",omitempty"`
	ChecksumCRC32C    string `xml:",omitempty"`
	ChecksumCRC64NVME string `xml:",omitempty"`
	ChecksumSHA1      string `xml:",omitempty"`
	ChecksumSHA256    string `xml:",omitempty"`
	ChecksumSHA512    string `xml:",omitempty"`
	ChecksumMD5       string `xml:",omitempty"`
}

func (c checksum) elements() checksumElements {
	var e checksumElements
	switch c.algorithm {
	case "CRC32":
		e.ChecksumCRC32 = c.value
	case "CRC32C":
		e.ChecksumCRC32C = c.value
	case "CRC64NVME":
		e.ChecksumCRC64NVME = c.value
	case "SHA1":
		e.ChecksumSHA1 = c.value
	case "SHA256":
		e.ChecksumSHA256 = c.value
	case "SHA512":
		e.ChecksumSHA512 = c.value
	case "MD5":
		e.ChecksumMD5 = c.value
	}
	return e
}

func (e checksumElements) get(algorithm string) string {
	switch algorithm {
	case "CRC32":
		return e.ChecksumCRC32
	case "CRC32C":
		return e.ChecksumCRC32C
	case "CRC64NVME":
		return e.ChecksumCRC64NVME
	case "SHA1":
		return e.ChecksumSHA1
	case "SHA256":
		return e.ChecksumSHA256
	case "SHA512":
		return e.ChecksumSHA512
	case "MD5":
		return e.ChecksumMD5
	}
	return ""
}

// copyObject serves CopyObject within the sandbox: reading the source is
// authorised as GetObject, writing the copy as PutObject.
func (q *request) copyObject() error {
	v, err := q.newVersion()
	if err != nil {
		return err
	}
	source, err := q.copySource()
	if err != nil {
		return err
	}
	replace, err := q.directive("X-Amz-Metadata-Directive")
	if err != nil {
		return err
	}
	replaceTags, err := q.directive("X-Amz-Tagging-Directive")
	if err != nil {
		return err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	from, fromBucket, err := q.readSource(source)
	if err != nil {
		return err
	}
	sameObject := source.bucket == q.address.bucket && source.key == q.key && source.version == ""
	if sameObject && !replace && q.header("X-Amz-Storage-Class") == "" && q.header("X-Amz-Server-Side-Encryption") == "" {
		return refuse(http.StatusBadRequest, "InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	v.body = from.body // written in one piece, however the source was
	if !replace {
		v.headers, v.metadata = maps.Clone(from.headers), maps.Clone(from.metadata)
	}
	if !replaceTags {
		v.tags = maps.Clone(from.tags)
	}
	algorithm := q.header("X-Amz-Checksum-Algorithm")
	if algorithm == "" {
		algorithm = from.checksum.algorithm
	}
	a, err := findChecksumAlgorithm(algorithm)
	if err != nil {
		return err
	}
	v.checksum = a.sum(v.body)
	if err := q.store(v); err != nil {
		return err
	}
	if fromBucket.versioning != versioningNever {
		q.w.Header().Set("X-Amz-Copy-Source-Version-Id", from.id)
	}
	return q.writeXML(copyObjectResult{
		xmlns: inNamespace, ETag: v.etag, LastModified: isoTime(v.modified),
		ChecksumType: v.checksum.kind(), checksumElements: v.checksum.elements(),
	})
}

// directive reads a header that is COPY, the default, or REPLACE.
func (q *request) directive(name string) (replace bool, err error) {
	switch value := q.header(name); value {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, invalidArgument(strings.ToLower(name), value, "Unknown directive.")
	}
}

type copySource struct{ bucket, key, version string }

// copySource reads "/bucket/key?versionId=…", which is URL-encoded.
func (q *request) copySource() (copySource, error) {
	header := q.header("X-Amz-Copy-Source")
	if strings.HasPrefix(header, "arn:") {
		return copySource{}, wire.NotImplemented("s3", "copying from an access point")
	}
	path, query, _ := strings.Cut(header, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return copySource{}, invalidArgument("x-amz-copy-source", header, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	bucket, key, ok := strings.Cut(strings.TrimPrefix(decoded, "/"), "/")
	values, err := url.ParseQuery(query)
	if !ok || bucket == "" || key == "" || err != nil {
		return copySource{}, invalidArgument("x-amz-copy-source", header, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	return copySource{bucket, key, values.Get("versionId")}, checkKey(key)
}

func (q *request) readSource(source copySource) (*version, *bucket, error) {
	b := q.s.buckets[bucketID{q.partition, source.bucket}]
	if b == nil {
		return nil, nil, noSuchBucket(source.bucket)
	}
	if err := expectOwner(b, q.header("X-Amz-Source-Expected-Bucket-Owner")); err != nil {
		return nil, nil, err
	}
	v, err := q.find(b, source.key, source.version, "s3:GetObject", "s3:GetObjectVersion")
	if err != nil {
		return nil, nil, err
	}
	if len(v.tags) > 0 && q.header("X-Amz-Tagging-Directive") != "REPLACE" {
		action := "s3:GetObjectTagging"
		if source.version != "" {
			action = "s3:GetObjectVersionTagging"
		}
		more := func(c *iam.Context) { existingTags(v)(c); versionKey(source.version)(c) }
		if err := q.authorize(b, action, b.objectARN(source.key), more); err != nil {
			return nil, nil, err
		}
	}
	if err := q.readConditions(v, "X-Amz-Copy-Source-If-"); err != nil {
		return nil, nil, err
	}
	return v, b, q.open(b, v.sealed)
}

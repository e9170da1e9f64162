package s3api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// storageStandard is the storage class of objects that name none.
const storageStandard = "STANDARD"

// The storage classes that can be read at once. The archive classes need
// RestoreObject, which the sandbox does not have.
var storageClasses = map[string]bool{
	storageStandard: true, "REDUCED_REDUNDANCY": true, "STANDARD_IA": true,
	"ONEZONE_IA": true, "INTELLIGENT_TIERING": true, "GLACIER_IR": true,
}

// putObject serves PutObject.
func (q *request) putObject() error {
	v, err := q.newVersion()
	if err != nil {
		return err
	}
	if v.body, err = q.body(MaxObjectSize); err != nil {
		return err
	}
	if v.checksum, err = verifyChecksums(q.http.Header, q.http.Trailer, v.body); err != nil {
		return err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	return q.store(v)
}

// store authorises the write, makes v the newest version of its key and says
// so in the headers of the answer. The service's lock must be held.
func (q *request) store(v *version) error {
	b, err := q.bucket()
	if err != nil {
		return err
	}
	write := all(q.conditionalWrite(true), requestTags(v.tags))
	if err := q.authorize(b, "s3:PutObject", b.objectARN(q.key), write); err != nil {
		return err
	}
	if len(v.tags) > 0 {
		if err := q.authorize(b, "s3:PutObjectTagging", b.objectARN(q.key), requestTags(v.tags)); err != nil {
			return err
		}
	}
	if err := q.deniedACL(); err != nil {
		return err
	}
	if err := q.writeConditions(b); err != nil {
		return err
	}
	if v.sealed, err = q.seal(b); err != nil {
		return err
	}
	v.etag = v.sealed.etag(v.body)
	v.modified = q.call.Now
	b.add(v, q.s.newID)
	q.describeWrite(b, v)
	return nil
}

// writeConditions applies If-None-Match: * (create, never overwrite) and
// If-Match (replace only what was read).
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (q *request) writeConditions(b *bucket) error {
	existing := b.object(q.key)
	switch none := q.header("If-None-Match"); {
	case none == "":
	case none != "*":
		return wire.NotImplemented("s3", "If-None-Match with a value other than * on a write")
	case existing != nil:
		return preconditionFailed("If-None-Match")
	}
	match := q.header("If-Match")
	switch {
	case match == "":
	case existing == nil:
		return noSuchKey(q.key)
	case !matchesETag(match, existing.etag):
		return preconditionFailed("If-Match")
	}
	return nil
}

// describeWrite sets the headers that say what was stored.
func (q *request) describeWrite(b *bucket, v *version) {
	h := q.w.Header()
	h.Set("ETag", v.etag)
	q.describeEncryption(v)
	h.Set(v.checksum.header(), v.checksum.value)
	h.Set("X-Amz-Checksum-Type", v.checksum.kind())
	if b.versioning != versioningNever {
		h.Set("X-Amz-Version-Id", v.id)
	}
}

// The headers of an object that are kept as they were given.
var storedHeaders = []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Expires"}

// newVersion takes from the request what an object has beside its content, and
// refuses what the sandbox cannot keep its word about.
func (q *request) newVersion() (*version, error) {
	if err := q.refuseUnsupported(); err != nil {
		return nil, err
	}
	v := &version{key: q.key, headers: make(map[string]string), metadata: make(map[string]string), storageClass: storageStandard}
	for _, name := range storedHeaders {
		value := q.header(name)
		if name == "Content-Encoding" {
			value = withoutChunked(value)
		}
		if value != "" {
			v.headers[name] = value
		}
	}
	size := 0
	for name, values := range q.http.Header {
		if key, ok := strings.CutPrefix(name, "X-Amz-Meta-"); ok {
			v.metadata[strings.ToLower(key)] = strings.Join(values, ",")
			size += len(key) + len(v.metadata[strings.ToLower(key)])
		}
	}
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
	if size > 2048 {
		return nil, refuse(http.StatusBadRequest, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
	}
	var err error
	if v.tags, err = parseTagHeader(q.header("X-Amz-Tagging")); err != nil {
		return nil, err
	}
	if class := q.header("X-Amz-Storage-Class"); class != "" {
		v.storageClass = class
	}
	return v, nil
}

// withoutChunked removes aws-chunked, which says how the body was sent and not
// what it is.
func withoutChunked(encoding string) string {
	var kept []string
	for item := range strings.SplitSeq(encoding, ",") {
		if item = strings.TrimSpace(item); item != "" && !strings.EqualFold(item, "aws-chunked") {
			kept = append(kept, item)
		}
	}
	return strings.Join(kept, ",")
}

// refuseUnsupported answers NotImplemented to headers that would otherwise be
// ignored and change what a write means.
func (q *request) refuseUnsupported() error {
	if err := q.refuseCustomerKeys(); err != nil {
		return err
	}
	if err := q.checkEncryptionHeaders(); err != nil {
		return err
	}
	class := q.header("X-Amz-Storage-Class")
	switch class {
	case "GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE":
		return wire.NotImplemented("s3", "storage class "+class)
	}
	if class != "" && !storageClasses[class] {
		return refuse(http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid", "StorageClassRequested", class)
	}
	for _, name := range []string{
		"X-Amz-Website-Redirect-Location", "X-Amz-Write-Offset-Bytes",
		"X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Lock-Legal-Hold",
	} {
		if q.header(name) != "" {
			return wire.NotImplemented("s3", "header "+strings.ToLower(name))
		}
	}
	return nil
}

func (q *request) refuseCustomerKeys() error {
	if q.header("X-Amz-Server-Side-Encryption-Customer-Algorithm") != "" {
		return wire.NotImplemented("s3", "encryption with customer-provided keys")
	}
	return nil
}

// parseTagHeader reads x-amz-tagging, which is written like a query string.
func parseTagHeader(header string) (map[string]string, error) {
	if header == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(header)
	if err != nil {
		return nil, invalidArgument("x-amz-tagging", header, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
	}
	tags := make(map[string]string, len(values))
	for key, list := range values {
		if len(list) > 1 {
			return nil, invalidArgument("x-amz-tagging", header, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
		}
		tags[key] = list[0]
	}
	return tags, checkTags(tags, 10)
}

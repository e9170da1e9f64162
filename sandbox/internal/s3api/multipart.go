package s3api

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// The limits of multipart uploads. All parts together are limited by
// [MaxObjectSize].
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	minPartSize   = 5 << 20
	maxPartNumber = 10_000
)

// An upload is a multipart upload under way.
type upload struct {
	id        string
	version   *version // what the object will be, without its content
	algorithm string   // of the checksum, "" if the client named none
	fullBody  bool     // the checksum is of the whole object
	started   time.Time
	parts     map[int]*part
}

type part struct {
	number   int
	body     []byte
	etag     string
	checksum checksum
	modified time.Time
}

type initiateResult struct {
	XMLName xml.Name `xml:"InitiateMultipartUploadResult"`
	xmlns
	Bucket   string
	Key      string
	UploadID string `xml:"UploadId"`
}

// createMultipartUpload serves CreateMultipartUpload.
func (q *request) createMultipartUpload() error {
	v, err := q.newVersion()
	if err != nil {
		return err
	}
	u := &upload{version: v, algorithm: strings.ToUpper(q.header("X-Amz-Checksum-Algorithm")), started: q.call.Now, parts: make(map[int]*part)}
	if u.algorithm != "" {
		if _, err := findChecksumAlgorithm(u.algorithm); err != nil {
			return err
		}
	}
	if u.fullBody, err = wholeChecksum(u.algorithm, q.header("X-Amz-Checksum-Type")); err != nil {
		return err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, err := q.bucket()
	if err != nil {
		return err
	}
	if err := q.authorize(b, "s3:PutObject", b.objectARN(q.key), all(q.conditionalWrite(false), requestTags(v.tags))); err != nil {
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
	if v.sealed, err = q.seal(b); err != nil {
		return err
	}
	u.id = q.s.newID()
	b.uploads[u.id] = u
	h := q.w.Header()
	q.describeEncryption(v)
	if u.algorithm != "" {
		h.Set("X-Amz-Checksum-Algorithm", u.algorithm)
		h.Set("X-Amz-Checksum-Type", checksum{composite: !u.fullBody}.kind())
	}
	return q.writeXML(initiateResult{xmlns: inNamespace, Bucket: b.name, Key: q.key, UploadID: u.id})
}

// wholeChecksum says whether the checksum of a multipart upload is taken of the
// whole object. Only CRCs can be; CRC64NVME, the default, always is.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
func wholeChecksum(algorithm, kind string) (bool, error) {
	onlyWhole := algorithm == "" || algorithm == "CRC64NVME"
	switch {
	case kind == "":
		return onlyWhole, nil
	case kind == checksumFullObject && (onlyWhole || strings.HasPrefix(algorithm, "CRC32")):
		return true, nil
	case kind == checksumComposite && !onlyWhole:
		return false, nil
	}
	return false, refuse(http.StatusBadRequest, "InvalidRequest",
		"The "+kind+" checksum type cannot be used with the "+algorithm+" checksum algorithm.")
}

// upload finds the upload the request names, for an action on its object.
func (q *request) upload(action string, more keys) (*bucket, *upload, error) {
	b, err := q.bucket()
	if err != nil {
		return nil, nil, err
	}
	if err := q.authorize(b, action, b.objectARN(q.key), more); err != nil {
		return nil, nil, err
	}
	id := q.query.Get("uploadId")
	u := b.uploads[id]
	if u == nil || u.version.key != q.key {
		return nil, nil, refuse(http.StatusNotFound, "NoSuchUpload",
			"The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.", "UploadId", id)
	}
	return b, u, nil
}

// uploadPart serves UploadPart.
func (q *request) uploadPart() error {
	if err := q.refuseCustomerKeys(); err != nil {
		return err
	}
	number, err := strconv.Atoi(q.query.Get("partNumber"))
	if err != nil || number < 1 || number > maxPartNumber {
		return invalidArgument("partNumber", q.query.Get("partNumber"), "Part number must be an integer between 1 and 10000, inclusive")
	}
	p := &part{number: number, modified: q.call.Now}
	if p.body, err = q.body(MaxObjectSize); err != nil {
		return err
	}
	if p.checksum, err = verifyChecksums(q.http.Header, q.http.Trailer, p.body); err != nil {
		return err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, u, err := q.upload("s3:PutObject", q.conditionalWrite(false))
	if err != nil {
		return err
	}
	if err := q.open(b, u.version.sealed); err != nil {
		return err
	}
	p.etag = u.version.sealed.etag(p.body)
	// The part keeps the checksum of the upload's algorithm, which is what a
	// composite checksum is made of.
	if u.algorithm != "" && u.algorithm != p.checksum.algorithm {
		if hasChecksum(q.http) {
			return refuse(http.StatusBadRequest, "InvalidRequest", "Checksum Type mismatch occurred, expected checksum Type: "+
				strings.ToLower(u.algorithm)+", actual checksum Type: "+strings.ToLower(p.checksum.algorithm))
		}
		a, err := findChecksumAlgorithm(u.algorithm)
		if err != nil {
			return err
		}
		p.checksum = a.sum(p.body)
	}
	size := int64(len(p.body))
	for _, other := range u.parts {
		if other.number != number {
			size += int64(len(other.body))
		}
	}
	if size > MaxObjectSize {
		return entityTooLarge(size, MaxObjectSize)
	}
	u.parts[number] = p
	h := q.w.Header()
	h.Set("ETag", p.etag)
	u.version.sealed.describe(h)
	h.Set(p.checksum.header(), p.checksum.value)
	return nil
}

type completeRequest struct {
	XMLName xml.Name        `xml:"CompleteMultipartUpload"`
	Parts   []completedPart `xml:"Part"`
}

type completedPart struct {
	PartNumber int
	ETag       string
	checksumElements
}

type completeResult struct {
	XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
	xmlns
	Location     string
	Bucket       string
	Key          string
	ETag         string
	ChecksumType string
	checksumElements
}

// completeMultipartUpload serves CompleteMultipartUpload.
func (q *request) completeMultipartUpload() error {
	// The body's own digests are not those of the object, which has the same
	// header names here.
	body, err := q.body(maxConfigurationSize)
	if err != nil {
		return err
	}
	var in completeRequest
	if xml.Unmarshal(body, &in) != nil || len(in.Parts) == 0 {
		return malformedXML()
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, u, err := q.upload("s3:PutObject", q.conditionalWrite(true))
	if err != nil {
		return err
	}
	if u.algorithm != "" {
		if err := q.open(b, u.version.sealed); err != nil {
			return err
		}
	}
	parts, err := u.choose(in.Parts)
	if err != nil {
		return err
	}
	if err := q.writeConditions(b); err != nil {
		return err
	}
	v := *u.version
	if err := assemble(&v, u, parts); err != nil {
		return err
	}
	if want := q.header(v.checksum.header()); want != "" && want != v.checksum.value {
		return refuse(http.StatusBadRequest, "BadDigest", "The "+v.checksum.algorithm+" you specified did not match the calculated checksum.")
	}
	if want := q.header("X-Amz-Mp-Object-Size"); want != "" && want != strconv.Itoa(len(v.body)) {
		return refuse(http.StatusBadRequest, "InvalidRequest", "The provided 'x-amz-mp-object-size' header value "+want+" does not match what was computed: "+strconv.Itoa(len(v.body)))
	}
	v.modified = q.call.Now
	b.add(&v, q.s.newID)
	delete(b.uploads, u.id)
	q.describeWrite(b, &v)
	partition, _ := iam.LookupPartition(b.partition)
	return q.writeXML(completeResult{
		xmlns: inNamespace, Location: "https://s3." + b.region + "." + partition.DNSSuffix + "/" + b.name + "/" + encodeKey(v.key), Bucket: b.name, Key: v.key, ETag: v.etag,
		ChecksumType: v.checksum.kind(), checksumElements: v.checksum.elements(),
	})
}

// choose returns the parts the client lists, which must be in order, be those
// it uploaded, and be large enough.
func (u *upload) choose(list []completedPart) ([]*part, error) {
	ascending := func(a, b completedPart) int { return a.PartNumber - b.PartNumber }
	if !slices.IsSortedFunc(list, ascending) {
		return nil, refuse(http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
	}
	parts := make([]*part, len(list))
	for i, item := range list {
		if i > 0 && item.PartNumber == list[i-1].PartNumber {
			return nil, invalidPart(item, u.id)
		}
		p := u.parts[item.PartNumber]
		if p == nil || !matchesETag(item.ETag, p.etag) {
			return nil, invalidPart(item, u.id)
		}
		if sum := item.get(p.checksum.algorithm); sum != "" && sum != p.checksum.value {
			return nil, invalidPart(item, u.id)
		}
		if i < len(list)-1 && len(p.body) < minPartSize {
			return nil, refuse(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size",
				"ProposedSize", strconv.Itoa(len(p.body)), "MinSizeAllowed", strconv.Itoa(minPartSize),
				"PartNumber", strconv.Itoa(p.number), "ETag", strings.Trim(p.etag, `"`))
		}
		parts[i] = p
	}
	return parts, nil
}

func invalidPart(item completedPart, uploadID string) error {
	return refuse(http.StatusBadRequest, "InvalidPart",
		"One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
		"UploadId", uploadID, "PartNumber", strconv.Itoa(item.PartNumber), "ETag", strings.Trim(item.ETag, `"`))
}

// assemble joins the parts. The ETag of such an object is the MD5 of its parts'
// MD5s, with their number.
func assemble(v *version, u *upload, parts []*part) error {
	sums := md5.New()
	var bodies [][]byte
	var checksums []checksum
	for _, p := range parts {
		sum, err := hex.DecodeString(strings.Trim(p.etag, `"`))
		if err != nil {
			return err
		}
		sums.Write(sum)
		bodies = append(bodies, p.body)
		checksums = append(checksums, p.checksum)
	}
	v.body = bytes.Join(bodies, nil)
	v.parts = len(parts)
	v.etag = `"` + hex.EncodeToString(sums.Sum(nil)) + "-" + strconv.Itoa(len(parts)) + `"`
	a, err := findChecksumAlgorithm(u.algorithm)
	if err != nil {
		return err
	}
	v.checksum = a.sum(v.body)
	if !u.fullBody {
		v.checksum = compositeChecksum(a, checksums)
	}
	return nil
}

// abortMultipartUpload serves AbortMultipartUpload.
func (q *request) abortMultipartUpload() error {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, u, err := q.upload("s3:AbortMultipartUpload", nil)
	if err != nil {
		return err
	}
	delete(b.uploads, u.id)
	q.status = http.StatusNoContent
	return nil
}

type listPartsResult struct {
	XMLName xml.Name `xml:"ListPartsResult"`
	xmlns
	Bucket               string
	Key                  string
	UploadID             string `xml:"UploadId"`
	Initiator            owner
	Owner                owner
	StorageClass         string
	PartNumberMarker     int
	NextPartNumberMarker int
	MaxParts             int
	IsTruncated          bool
	ChecksumAlgorithm    string      `xml:",omitempty"`
	Parts                []partEntry `xml:"Part"`
}

type partEntry struct {
	PartNumber   int
	LastModified string
	ETag         string
	Size         int
	checksumElements
}

// listParts serves ListParts.
func (q *request) listParts() error {
	limit, err := q.countParameter("max-parts", maxListed)
	if err != nil {
		return err
	}
	after, err := q.countParameter("part-number-marker", 0)
	if err != nil {
		return err
	}
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	b, u, err := q.upload("s3:ListMultipartUploadParts", nil)
	if err != nil {
		return err
	}
	if err := q.open(b, u.version.sealed); err != nil {
		return err
	}
	id := owner{ID: canonicalUser(b.owner)}
	limit = min(limit, maxListed)
	out := listPartsResult{
		xmlns: inNamespace, Bucket: b.name, Key: q.key, UploadID: u.id, Initiator: id, Owner: id,
		StorageClass: u.version.storageClass, PartNumberMarker: after, MaxParts: limit, ChecksumAlgorithm: u.algorithm,
	}
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		if number <= after {
			continue
		}
		if len(out.Parts) == limit {
			out.IsTruncated = limit > 0
			break
		}
		p := u.parts[number]
		out.Parts = append(out.Parts, partEntry{number, isoTime(p.modified), p.etag, len(p.body), p.checksum.elements()})
		out.NextPartNumberMarker = number
	}
	return q.writeXML(out)
}

func (q *request) countParameter(name string, otherwise int) (int, error) {
	text := q.query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, invalidArgument(name, text, "Argument "+name+" must be an integer between 0 and 2147483647")
	}
	return int(n), nil
}

type listUploadsResult struct {
	XMLName xml.Name `xml:"ListMultipartUploadsResult"`
	xmlns
	Bucket         string
	KeyMarker      string
	UploadIDMarker string `xml:"UploadIdMarker"`
	Prefix         string
	MaxUploads     int
	EncodingType   string `xml:",omitempty"`
	IsTruncated    bool
	Uploads        []uploadEntry `xml:"Upload"`
}

type uploadEntry struct {
	Key               string
	UploadID          string `xml:"UploadId"`
	Initiator         owner
	Owner             owner
	StorageClass      string
	Initiated         string
	ChecksumAlgorithm string `xml:",omitempty"`
}

// listMultipartUploads serves ListMultipartUploads, up to a thousand of them
// and without delimiters.
func (q *request) listMultipartUploads() error {
	for _, name := range []string{"delimiter", "key-marker", "upload-id-marker"} {
		if q.query.Get(name) != "" {
			return wire.NotImplemented("s3", "ListMultipartUploads with "+name)
		}
	}
	l, err := q.listing()
	if err != nil {
		return err
	}
	return q.readBucket("s3:ListBucketMultipartUploads", func(b *bucket) error {
		out := listUploadsResult{xmlns: inNamespace, Bucket: b.name, Prefix: l.encode(l.prefix), MaxUploads: maxListed, EncodingType: l.encoding}
		id := owner{ID: canonicalUser(b.owner)}
		for _, u := range b.uploads {
			if strings.HasPrefix(u.version.key, l.prefix) {
				out.Uploads = append(out.Uploads, uploadEntry{l.encode(u.version.key), u.id, id, id, u.version.storageClass, isoTime(u.started), u.algorithm})
			}
		}
		slices.SortFunc(out.Uploads, func(a, b uploadEntry) int {
			if c := strings.Compare(a.Key, b.Key); c != 0 {
				return c
			}
			return strings.Compare(a.Initiated, b.Initiated)
		})
		if len(out.Uploads) > maxListed {
			return wire.NotImplemented("s3", "ListMultipartUploads of more than 1,000 uploads")
		}
		return q.writeXML(out)
	})
}

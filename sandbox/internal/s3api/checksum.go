package s3api

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A checksum is what S3 keeps about the content of an object beside its ETag.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
type checksum struct {
	algorithm string // "CRC64NVME"
	value     string // base64; for a composite one followed by "-" and the number of parts
	composite bool
}

// A checksumAlgorithm is one of S3's checksum algorithms. Those without a hash
// are known and refused as not implemented.
type checksumAlgorithm struct {
	name string
	hash func() hash.Hash
}

// The polynomial of CRC-64/NVME, bit-reversed as package crc64 wants it.
var crc64NVME = crc64.MakeTable(0x9a6c9329ac4bc9b5)

// Listed in the order in which clients' headers are looked for.
var checksumAlgorithms = []checksumAlgorithm{
	{"CRC64NVME", func() hash.Hash { return crc64.New(crc64NVME) }},
	{"CRC32", func() hash.Hash { return crc32.NewIEEE() }},
	{"CRC32C", func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }},
	{"SHA1", sha1.New},
	{"SHA256", sha256.New},
	{"SHA512", sha512.New},
	{"MD5", md5.New},
	{"XXHASH64", nil},
	{"XXHASH3", nil},
	{"XXHASH128", nil},
}

// defaultChecksum is what S3 computes for objects that come without one.
const defaultChecksum = "CRC64NVME"

const (
	checksumFullObject = "FULL_OBJECT"
	checksumComposite  = "COMPOSITE"
)

func (a checksumAlgorithm) header() string { return "X-Amz-Checksum-" + strings.ToLower(a.name) }

func (c checksum) header() string { return "X-Amz-Checksum-" + strings.ToLower(c.algorithm) }

func (c checksum) kind() string {
	if c.composite {
		return checksumComposite
	}
	return checksumFullObject
}

// findChecksumAlgorithm returns the algorithm with the given name, in any
// case. An empty name is S3's default.
func findChecksumAlgorithm(name string) (checksumAlgorithm, error) {
	if name == "" {
		name = defaultChecksum
	}
	for _, a := range checksumAlgorithms {
		if !strings.EqualFold(a.name, name) {
			continue
		}
		if a.hash == nil {
			return a, wire.NotImplemented("s3", "checksum algorithm "+a.name)
		}
		return a, nil
	}
	return checksumAlgorithm{}, wire.BadRequest("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256, SHA512, MD5]")
}

func (a checksumAlgorithm) sum(body []byte) checksum {
	h := a.hash()
	h.Write(body)
	return checksum{algorithm: a.name, value: base64.StdEncoding.EncodeToString(h.Sum(nil))}
}

// verifyChecksums compares the body with every digest the request carries, in
// headers or trailers, and returns the checksum to keep: the one the client
// sent, or S3's default.
func verifyChecksums(header, trailer http.Header, body []byte) (checksum, error) {
	if err := verifyContentMD5(header.Get("Content-Md5"), body); err != nil {
		return checksum{}, err
	}
	var kept *checksum
	for _, a := range checksumAlgorithms {
		value := header.Get(a.header())
		if value == "" {
			value = trailer.Get(a.header())
		}
		if value == "" {
			continue
		}
		if a.hash == nil {
			return checksum{}, wire.NotImplemented("s3", "checksum algorithm "+a.name)
		}
		if kept != nil {
			return checksum{}, wire.BadRequest("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		if sum, err := base64.StdEncoding.DecodeString(value); err != nil || len(sum) != a.hash().Size() {
			return checksum{}, wire.BadRequest("InvalidRequest", "Value for %s header is invalid.", strings.ToLower(a.header()))
		}
		c := a.sum(body)
		if c.value != value {
			return checksum{}, wire.BadRequest("BadDigest", "The %s you specified did not match the calculated checksum.", a.name)
		}
		kept = &c
	}
	if kept != nil {
		return *kept, nil
	}
	a, err := findChecksumAlgorithm(header.Get("X-Amz-Sdk-Checksum-Algorithm"))
	if err != nil {
		return checksum{}, err
	}
	return a.sum(body), nil
}

func verifyContentMD5(value string, body []byte) error {
	if value == "" {
		return nil
	}
	want, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(want) != md5.Size {
		return wire.BadRequest("InvalidDigest", "The Content-MD5 you specified was invalid.")
	}
	if got := md5.Sum(body); string(got[:]) != string(want) {
		return wire.BadRequest("BadDigest", "The Content-MD5 you specified did not match what we received.")
	}
	return nil
}

// compositeChecksum is the checksum of a multipart upload whose parts were
// summed one by one: the sum of their sums.
func compositeChecksum(a checksumAlgorithm, parts []checksum) checksum {
	h := a.hash()
	for _, p := range parts {
		sum, _ := base64.StdEncoding.DecodeString(p.value) // made by checksumAlgorithm.sum
		h.Write(sum)
	}
	value := base64.StdEncoding.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts))
	return checksum{algorithm: a.name, value: value, composite: true}
}

package s3api

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// How objects are encrypted, in the words of the API.
const (
	sseS3  = "AES256"
	sseKMS = "aws:kms"
)

const (
	headerEncryption = "X-Amz-Server-Side-Encryption"
	headerKeyID      = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	headerContext    = "X-Amz-Server-Side-Encryption-Context"
	headerBucketKey  = "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled"
)

// An encryptionRule says how objects are encrypted: the default of a bucket, or
// what a request asks for.
type encryptionRule struct {
	algorithm string // sseS3 or sseKMS
	keyID     string // of KMS, as it was given; "" is aws/s3 of whoever writes
	bucketKey bool
}

// An objectKey is the key in KMS that an object is encrypted with, and the
// object's own key as KMS encrypted it. The object itself stays as it is; it
// never leaves memory. A nil objectKey stands for a key of S3's own, for which
// nobody needs permission.
type objectKey struct {
	arn       string
	dataKey   []byte
	context   map[string]string
	bucketKey bool
}

// servicePrincipal is how S3 calls KMS on its callers' behalf.
const servicePrincipal = "s3.amazonaws.com"

// seal asks KMS for the key of a new object: whoever writes it needs
// kms:GenerateDataKey. The request's headers come before the bucket's default;
// what they leave open about the key is not taken from it. Key ids and aliases
// are looked up in the writer's account.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ServerSideEncryptionByDefault.html
func (q *request) seal(b *bucket) (*objectKey, error) {
	rule := b.encryption
	if algorithm := q.header(headerEncryption); algorithm != "" {
		rule.algorithm, rule.keyID = algorithm, q.header(headerKeyID)
	}
	if rule.algorithm == sseS3 {
		return nil, nil
	}
	if enabled := q.header(headerBucketKey); enabled != "" {
		rule.bucketKey = enabled == "true"
	}
	k := &objectKey{bucketKey: rule.bucketKey, context: map[string]string{}}
	if encoded := q.header(headerContext); encoded != "" {
		var err error
		if k.context, err = parseContext(encoded); err != nil {
			return nil, err
		}
	}
	k.context["aws:s3:arn"] = b.objectARN(q.key)
	if k.bucketKey {
		k.context["aws:s3:arn"] = b.arn()
	}
	c, err := q.callKMS(b)
	if err != nil {
		return nil, err
	}
	keyID := rule.keyID
	if keyID == "" || keyID == "alias/aws/s3" {
		if keyID, err = q.s.kms.ManagedKey(c, c.Account(), "s3"); err != nil {
			return nil, err
		}
	}
	made, err := q.s.kms.GenerateDataKey(c, &kmsapi.GenerateDataKeyInput{KeyID: keyID, KeySpec: "AES_256", EncryptionContext: k.context})
	if err != nil {
		return nil, keyFailure(err)
	}
	k.arn, k.dataKey = made.KeyID, made.CiphertextBlob
	return k, nil
}

// open asks KMS to decrypt the key of an object in the bucket: whoever reads it,
// or adds a part to it, needs kms:Decrypt.
func (q *request) open(b *bucket, k *objectKey) error {
	if k == nil {
		return nil
	}
	c, err := q.callKMS(b)
	if err != nil {
		return err
	}
	if _, err := q.s.kms.Decrypt(c, &kmsapi.DecryptInput{CiphertextBlob: k.dataKey, EncryptionContext: k.context}); err != nil {
		return keyFailure(err)
	}
	return nil
}

// callKMS returns the caller's call to the KMS of the bucket's region.
func (q *request) callKMS(b *bucket) (*authz.Call, error) {
	if q.call.Caller.Anonymous() {
		return nil, invalidArgument("Authorization", "null", "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.")
	}
	c := q.call.Forward(servicePrincipal)
	c.Region = b.region
	return c, nil
}

// keyFailure words a refusal of KMS as S3 does, which tells the reason also to
// other accounts.
func keyFailure(err error) error {
	e := *wire.AsError(err)
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		e.Code, e.Status = "AccessDenied", http.StatusForbidden
	case "InternalFailure":
	default: // the key does not exist, is disabled or is going to be deleted
		e.Code = "KMS." + e.Code
	}
	return &e
}

// describe sets the headers that say how an object is encrypted.
func (k *objectKey) describe(h http.Header) {
	if k == nil {
		h.Set(headerEncryption, sseS3)
		return
	}
	h.Set(headerEncryption, sseKMS)
	h.Set(headerKeyID, k.arn)
	if k.bucketKey {
		h.Set(headerBucketKey, "true")
	}
}

// describeEncryption is describe for the answer to a write, which repeats the
// encryption context it was given.
func (q *request) describeEncryption(v *version) {
	h := q.w.Header()
	v.sealed.describe(h)
	if encoded := q.header(headerContext); v.sealed != nil && encoded != "" {
		h.Set(headerContext, encoded)
	}
}

// etag is the ETag of a body that was written in one piece: its MD5, but with a
// key of KMS something that says nothing about the content.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
func (k *objectKey) etag(body []byte) string {
	sum := md5.New()
	if k != nil {
		sum.Write(k.dataKey)
	}
	sum.Write(body)
	return `"` + hex.EncodeToString(sum.Sum(nil)) + `"`
}

// checkEncryptionHeaders refuses headers of a write that ask for what there is
// not, or that contradict each other.
func (q *request) checkEncryptionHeaders() error {
	algorithm := q.header(headerEncryption)
	switch algorithm {
	case "", sseS3:
		for _, name := range []string{headerKeyID, headerContext} {
			if q.header(name) != "" {
				return invalidArgument("x-amz-server-side-encryption", algorithm, "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
			}
		}
	case sseKMS:
	case "aws:kms:dsse", "aws:fsx":
		return wire.NotImplemented("s3", "server-side encryption "+algorithm+" (only AES256 and aws:kms)")
	default:
		return invalidArgument("x-amz-server-side-encryption", algorithm, "The encryption method specified is not supported")
	}
	if enabled := q.header(headerBucketKey); enabled != "" && enabled != "true" && enabled != "false" {
		return invalidArgument("x-amz-server-side-encryption-bucket-key-enabled", enabled, "The value must be true or false")
	}
	if encoded := q.header(headerContext); encoded != "" {
		if _, err := parseContext(encoded); err != nil {
			return err
		}
	}
	return nil
}

// parseContext reads an encryption context: a JSON object of strings in Base64.
// The key that S3 sets itself cannot be given.
func parseContext(encoded string) (map[string]string, error) {
	var pairs map[string]string
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil {
		err = json.Unmarshal(data, &pairs)
	}
	if err != nil || pairs == nil {
		return nil, invalidArgument("x-amz-server-side-encryption-context", encoded, "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map")
	}
	if _, reserved := pairs["aws:s3:arn"]; reserved {
		return nil, invalidArgument("x-amz-server-side-encryption-context", encoded, "aws:s3:arn is set by S3 and must not be given")
	}
	return pairs, nil
}

type encryptionConfiguration struct {
	XMLName xml.Name             `xml:"ServerSideEncryptionConfiguration"`
	XMLNS   string               `xml:"xmlns,attr,omitempty"`
	Rules   []encryptionRuleBody `xml:"Rule"`
}

type encryptionRuleBody struct {
	Apply struct {
		SSEAlgorithm   string
		KMSMasterKeyID string `xml:",omitempty"`
	} `xml:"ApplyServerSideEncryptionByDefault"`
	BucketKeyEnabled       bool
	BlockedEncryptionTypes *struct {
		EncryptionType []string
	} `xml:",omitempty"`
}

// getBucketEncryption serves GetBucketEncryption.
func (q *request) getBucketEncryption() error {
	return q.readBucket("s3:GetEncryptionConfiguration", func(b *bucket) error {
		var rule encryptionRuleBody
		rule.Apply.SSEAlgorithm, rule.Apply.KMSMasterKeyID = b.encryption.algorithm, b.encryption.keyID
		rule.BucketKeyEnabled = b.encryption.bucketKey
		return q.writeXML(encryptionConfiguration{XMLNS: namespace, Rules: []encryptionRuleBody{rule}})
	})
}

// putBucketEncryption serves PutBucketEncryption.
func (q *request) putBucketEncryption() error {
	var in encryptionConfiguration
	if err := q.decodeXML(&in); err != nil {
		return err
	}
	if len(in.Rules) != 1 {
		return malformedXML()
	}
	rule := in.Rules[0]
	// Customer keys are refused always, so blocking them is a promise kept.
	if blocked := rule.BlockedEncryptionTypes; blocked != nil {
		for _, kind := range blocked.EncryptionType {
			if !slices.Contains([]string{"SSE-C", "NONE"}, kind) {
				return malformedXML()
			}
		}
	}
	return q.setEncryption(encryptionRule{rule.Apply.SSEAlgorithm, rule.Apply.KMSMasterKeyID, rule.BucketKeyEnabled})
}

// setEncryption changes the bucket's default. As in AWS the key is not looked
// at before something is written with it.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketEncryption.html
func (q *request) setEncryption(rule encryptionRule) error {
	switch rule.algorithm {
	case sseS3:
		if rule.keyID != "" {
			return invalidArgument("KMSMasterKeyID", rule.keyID, "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
		}
	case sseKMS:
	case "aws:kms:dsse":
		return wire.NotImplemented("s3", "server-side encryption "+rule.algorithm+" (only AES256 and aws:kms)")
	default:
		return malformedXML()
	}
	return q.writeBucket("s3:PutEncryptionConfiguration", http.StatusOK, func(b *bucket) error {
		b.encryption = rule
		return nil
	})
}

// deleteBucketEncryption serves DeleteBucketEncryption, which goes back to the
// default: encryption cannot be switched off.
func (q *request) deleteBucketEncryption() error {
	return q.writeBucket("s3:PutEncryptionConfiguration", http.StatusNoContent, func(b *bucket) error {
		b.encryption = encryptionRule{algorithm: sseS3}
		return nil
	})
}

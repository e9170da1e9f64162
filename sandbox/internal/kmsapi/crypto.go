package kmsapi

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// EncryptInput is the input of Encrypt. The plaintext has 1 to 4,096 bytes.
type EncryptInput struct {
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	EncryptionContext   map[string]string
	EncryptionAlgorithm string
	GrantTokens         []string
	DryRun              bool
}

// EncryptOutput is the output of Encrypt.
type EncryptOutput struct {
	CiphertextBlob      []byte
	KeyID               string `json:"KeyId"`
	EncryptionAlgorithm string
}

const maxPlaintext = 4096

// Encrypt encrypts a small text, such as a data key.
func (s *Service) Encrypt(c *authz.Call, in *EncryptInput) (*EncryptOutput, error) {
	if len(in.Plaintext) == 0 || len(in.Plaintext) > maxPlaintext {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length between 1 and %d", maxPlaintext)
	}
	if err := unsupported(in.GrantTokens, in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.use(c, "kms:Encrypt", in.KeyID, in.EncryptionContext, in.DryRun)
	if err != nil {
		return nil, err
	}
	blob, err := s.seal(k, in.Plaintext, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &EncryptOutput{blob, k.arn(), symmetric}, nil
}

// DecryptInput is the input of Decrypt. KeyID is optional: the blob says which
// key it is.
type DecryptInput struct {
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
	KeyID               string `json:"KeyId"`
	EncryptionAlgorithm string
	GrantTokens         []string
	Recipient           *struct{}
	DryRun              bool
}

// DecryptOutput is the output of Decrypt.
type DecryptOutput struct {
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	EncryptionAlgorithm string
}

// Decrypt opens what Encrypt and GenerateDataKey made.
func (s *Service) Decrypt(c *authz.Call, in *DecryptInput) (*DecryptOutput, error) {
	if in.Recipient != nil {
		return nil, wire.NotImplemented("kms", "Decrypt with Recipient")
	}
	if err := unsupported(in.GrantTokens, in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, plaintext, err := s.open(c, "kms:Decrypt", in.CiphertextBlob, in.EncryptionContext, in.KeyID, in.DryRun)
	if err != nil {
		return nil, err
	}
	return &DecryptOutput{k.arn(), plaintext, symmetric}, nil
}

// ReEncryptInput is the input of ReEncrypt.
type ReEncryptInput struct {
	CiphertextBlob                                            []byte
	SourceKeyID                                               string `json:"SourceKeyId"`
	DestinationKeyID                                          string `json:"DestinationKeyId"`
	SourceEncryptionContext, DestinationEncryptionContext     map[string]string
	SourceEncryptionAlgorithm, DestinationEncryptionAlgorithm string
	GrantTokens                                               []string
	DryRun                                                    bool
}

// ReEncryptOutput is the output of ReEncrypt.
type ReEncryptOutput struct {
	CiphertextBlob                 []byte
	SourceKeyID                    string `json:"SourceKeyId"`
	KeyID                          string `json:"KeyId"`
	SourceEncryptionAlgorithm      string
	DestinationEncryptionAlgorithm string
}

// ReEncrypt moves a blob to another key without showing the plaintext.
func (s *Service) ReEncrypt(c *authz.Call, in *ReEncryptInput) (*ReEncryptOutput, error) {
	for _, algorithm := range []string{in.SourceEncryptionAlgorithm, in.DestinationEncryptionAlgorithm} {
		if err := unsupported(in.GrantTokens, algorithm); err != nil {
			return nil, err
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	from, plaintext, err := s.open(c, "kms:ReEncryptFrom", in.CiphertextBlob, in.SourceEncryptionContext, in.SourceKeyID, false)
	if err != nil {
		return nil, err
	}
	to, err := s.use(c, "kms:ReEncryptTo", in.DestinationKeyID, in.DestinationEncryptionContext, in.DryRun)
	if err != nil {
		return nil, err
	}
	blob, err := s.seal(to, plaintext, in.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	return &ReEncryptOutput{blob, from.arn(), to.arn(), symmetric, symmetric}, nil
}

// GenerateDataKeyInput is the input of GenerateDataKey: KeySpec (AES_128,
// AES_256) or NumberOfBytes (1 to 1,024).
type GenerateDataKeyInput struct {
	KeyID             string `json:"KeyId"`
	EncryptionContext map[string]string
	KeySpec           string
	NumberOfBytes     *int
	GrantTokens       []string
	Recipient         *struct{}
	DryRun            bool
}

// GenerateDataKeyOutput is the output of GenerateDataKey.
type GenerateDataKeyOutput struct {
	CiphertextBlob []byte
	Plaintext      []byte `json:",omitempty"`
	KeyID          string `json:"KeyId"`
}

// GenerateDataKey makes a data key and returns it in clear and encrypted.
func (s *Service) GenerateDataKey(c *authz.Call, in *GenerateDataKeyInput) (*GenerateDataKeyOutput, error) {
	return s.dataKey(c, in, "kms:GenerateDataKey")
}

// GenerateDataKeyWithoutPlaintext returns the data key only encrypted.
func (s *Service) GenerateDataKeyWithoutPlaintext(c *authz.Call, in *GenerateDataKeyInput) (*GenerateDataKeyOutput, error) {
	out, err := s.dataKey(c, in, "kms:GenerateDataKeyWithoutPlaintext")
	if err == nil {
		out.Plaintext = nil
	}
	return out, err
}

func (s *Service) dataKey(c *authz.Call, in *GenerateDataKeyInput, action string) (*GenerateDataKeyOutput, error) {
	if in.Recipient != nil {
		return nil, wire.NotImplemented("kms", "GenerateDataKey with Recipient")
	}
	if err := unsupported(in.GrantTokens, ""); err != nil {
		return nil, err
	}
	size := 0
	switch {
	case in.KeySpec == "AES_256" && in.NumberOfBytes == nil:
		size = 32
	case in.KeySpec == "AES_128" && in.NumberOfBytes == nil:
		size = 16
	case in.KeySpec == "" && in.NumberOfBytes != nil && *in.NumberOfBytes >= 1 && *in.NumberOfBytes <= 1024:
		size = *in.NumberOfBytes
	default:
		return nil, wire.BadRequest("ValidationException", "Please specify either number of bytes (1 to 1024) or key spec (AES_256 or AES_128), but not both.")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.use(c, action, in.KeyID, in.EncryptionContext, in.DryRun)
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, size)
	if _, err := io.ReadFull(s.random, plaintext); err != nil {
		return nil, err
	}
	blob, err := s.seal(k, plaintext, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &GenerateDataKeyOutput{blob, plaintext, k.arn()}, nil
}

// GenerateRandomInput is the input of GenerateRandom.
type GenerateRandomInput struct {
	NumberOfBytes    *int
	CustomKeyStoreID string `json:"CustomKeyStoreId"`
	Recipient        *struct{}
}

// GenerateRandomOutput is the output of GenerateRandom.
type GenerateRandomOutput struct{ Plaintext []byte }

// GenerateRandom returns 1 to 1,024 random bytes.
func (s *Service) GenerateRandom(c *authz.Call, in *GenerateRandomInput) (*GenerateRandomOutput, error) {
	switch {
	case in.CustomKeyStoreID != "" || in.Recipient != nil:
		return nil, wire.NotImplemented("kms", "GenerateRandom with a key store or recipient")
	case in.NumberOfBytes == nil || *in.NumberOfBytes < 1 || *in.NumberOfBytes > 1024:
		return nil, wire.BadRequest("ValidationException", "NumberOfBytes is required and must be between 1 and 1024.")
	}
	if err := c.Authorize(authz.Query{Action: "kms:GenerateRandom", Resource: "*"}); err != nil {
		return nil, err
	}
	random := make([]byte, *in.NumberOfBytes)
	if _, err := io.ReadFull(s.random, random); err != nil {
		return nil, err
	}
	return &GenerateRandomOutput{random}, nil
}

// unsupported refuses what the sandbox does not have.
func unsupported(grantTokens []string, algorithm string) error {
	switch {
	case len(grantTokens) > 0:
		return wire.NotImplemented("kms", "requests with GrantTokens")
	case algorithm != "" && algorithm != symmetric:
		return wire.BadRequest("InvalidKeyUsageException", "the key supports the algorithm %s only", symmetric)
	}
	return nil
}

// use finds a key and authorises a cryptographic operation with it.
func (s *Service) use(c *authz.Call, action, keyID string, encryptionContext map[string]string, dryRun bool) (*key, error) {
	k, err := s.find(named(c, action), keyID, anyAccount)
	if err != nil {
		return nil, err
	}
	err = c.Authorize(query(c, action, k, s.regions[k.place].aliasesOf(k.id), keyID, contextKeys(encryptionContext)))
	if err == nil {
		err = k.usable()
	}
	if err == nil && dryRun {
		err = wire.BadRequest("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

func contextKeys(encryptionContext map[string]string) func(*iam.Context) {
	return func(ctx *iam.Context) {
		ctx.Set("kms:EncryptionAlgorithm", symmetric)
		if len(encryptionContext) == 0 {
			return
		}
		ctx.SetMulti("kms:EncryptionContextKeys", slices.Sorted(maps.Keys(encryptionContext))...)
		for name, value := range encryptionContext {
			ctx.Set("kms:EncryptionContext:"+name, value)
		}
	}
}

// A blob is: one byte for the version, two for the length of the key's ARN, the
// ARN, twelve of nonce, and AES-256-GCM's output, which authenticates the ARN
// and the encryption context.
const blobVersion = 1

func (s *Service) seal(k *key, plaintext []byte, encryptionContext map[string]string) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(s.random, nonce); err != nil {
		return nil, err
	}
	blob := []byte{blobVersion}
	blob = appendText(blob, k.arn())
	blob = append(blob, nonce...)
	return aead.Seal(blob, nonce, plaintext, associated(k.arn(), encryptionContext)), nil
}

var errBlob = errors.New("the ciphertext is not one of this KMS")

// open authorises and decrypts. What is wrong with the ciphertext is told only
// to those who may use the key.
func (s *Service) open(c *authz.Call, action string, blob []byte, encryptionContext map[string]string, keyID string, dryRun bool) (*key, []byte, error) {
	arn, rest, err := readBlob(blob)
	if err != nil {
		return nil, nil, invalidCiphertext(err)
	}
	k, err := s.use(c, action, arn, encryptionContext, dryRun)
	if err != nil {
		return nil, nil, err
	}
	if keyID != "" {
		named, err := s.find(c, keyID, anyAccount)
		if err != nil {
			return nil, nil, err
		}
		if named != k {
			return nil, nil, wire.BadRequest("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
		}
	}
	aead, err := k.aead()
	if err != nil {
		return nil, nil, err
	}
	if len(rest) < aead.NonceSize() {
		return nil, nil, invalidCiphertext(errBlob)
	}
	plaintext, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], associated(arn, encryptionContext))
	if err != nil {
		return nil, nil, invalidCiphertext(err)
	}
	return k, plaintext, nil
}

// invalidCiphertext has no message, as in AWS.
func invalidCiphertext(cause error) error {
	e := wire.BadRequest("InvalidCiphertextException", "")
	e.Cause = cause
	return e
}

func readBlob(blob []byte) (arn string, rest []byte, err error) {
	if len(blob) < 3 || blob[0] != blobVersion {
		return "", nil, errBlob
	}
	n := int(binary.BigEndian.Uint16(blob[1:]))
	if len(blob) < 3+n {
		return "", nil, errBlob
	}
	return string(blob[3 : 3+n]), blob[3+n:], nil
}

func (k *key) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.material[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// associated is unambiguous: every text is preceded by its length.
func associated(arn string, encryptionContext map[string]string) []byte {
	var b bytes.Buffer
	b.Write(appendText(nil, arn))
	for _, name := range slices.Sorted(maps.Keys(encryptionContext)) {
		b.Write(appendText(nil, name))
		b.Write(appendText(nil, encryptionContext[name]))
	}
	return b.Bytes()
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

package crossaccount

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
)

// AESEncryptor is an [Encryptor] with keys in memory. Every sealed value is an
// envelope:
//
//	version (1 byte) | length of key id (1) | key id | salt (16) | nonce (12) | AES-256-GCM ciphertext and tag
//
// The key that encrypts is derived from the named key and the random salt with
// HKDF-SHA-256, so no two values share a key and the number of values is not
// limited by GCM's nonces. The associated data are the whole header, the
// installation and the binding, each with its length before it.
type AESEncryptor struct {
	installation string
	active       secretKey
	byID         map[string]secretKey
	indexKey     []byte
	random       io.Reader
}

const (
	envelopeVersion = 1
	saltSize        = 16
	nonceSize       = 12
)

// NewAESEncryptor returns an encryptor with the keys of the set. Later changes
// to the set have no effect on it.
func NewAESEncryptor(keys *KeySet) (*AESEncryptor, error) {
	if keys == nil || len(keys.keys) == 0 || len(keys.indexKey) != keySize || keys.Installation == "" {
		return nil, NewError(CodeInvalidConfig, "keys: the key set is empty", "make one with GenerateKeySet or OpenKeyFile", nil)
	}
	e := &AESEncryptor{
		installation: keys.Installation,
		active:       keys.keys[0],
		byID:         make(map[string]secretKey),
		random:       rand.Reader,
	}
	for _, key := range keys.keys {
		e.byID[key.id] = key
	}
	e.indexKey = append(e.indexKey, keys.indexKey...)
	return e, nil
}

// Seal implements [Encryptor].
func (e *AESEncryptor) Seal(_ context.Context, plaintext []byte, binding Binding) ([]byte, error) {
	header := append([]byte{envelopeVersion, byte(len(e.active.id))}, e.active.id...)
	start := len(header)
	header = append(header, make([]byte, saltSize+nonceSize)...)
	if _, err := io.ReadFull(e.random, header[start:]); err != nil {
		return nil, randomError(err)
	}
	aead, err := recordCipher(e.active, header[start:start+saltSize])
	if err != nil {
		return nil, err
	}
	return aead.Seal(header, header[start+saltSize:], plaintext, e.associatedData(header, binding)), nil
}

// Open implements [Encryptor].
func (e *AESEncryptor) Open(_ context.Context, sealed []byte, binding Binding) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != envelopeVersion {
		return nil, decryptError("a sealed value has an unknown format", "was it written by a newer version, or cut off?")
	}
	start := 2 + int(sealed[1])
	if len(sealed) < start+saltSize+nonceSize {
		return nil, decryptError("a sealed value is cut off", "restore the record")
	}
	key, ok := e.byID[string(sealed[2:start])]
	if !ok {
		return nil, decryptError("a value was sealed with a key that is not configured", "add the missing key to the key set")
	}
	header := sealed[:start+saltSize+nonceSize]
	aead, err := recordCipher(key, sealed[start:start+saltSize])
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, header[start+saltSize:], sealed[len(header):], e.associatedData(header, binding))
	if err != nil {
		return nil, decryptError("a sealed value does not belong to this record, or was altered", "find out who changed the storage; restore the record")
	}
	return plaintext, nil
}

// BlindIndex implements [Encryptor].
func (e *AESEncryptor) BlindIndex(_ context.Context, purpose string, value []byte) ([]byte, error) {
	mac := hmac.New(sha256.New, e.indexKey)
	mac.Write(frame(nil, "crossaccount blind index", e.installation, purpose))
	mac.Write(value)
	return mac.Sum(nil), nil
}

func recordCipher(key secretKey, salt []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key.secret, salt, "crossaccount sealed value", keySize)
	if err != nil {
		return nil, decryptError("the key of a value cannot be derived", "")
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, decryptError("the key of a value cannot be used", "")
	}
	return cipher.NewGCM(block)
}

func (e *AESEncryptor) associatedData(header []byte, b Binding) []byte {
	return frame(frame(nil, string(header)), e.installation, b.CustomerID, b.IntegrationID, b.Field)
}

// frame appends the strings with their lengths, so that no two lists of strings
// give the same bytes.
func frame(to []byte, parts ...string) []byte {
	for _, part := range parts {
		to = binary.BigEndian.AppendUint64(to, uint64(len(part)))
		to = append(to, part...)
	}
	return to
}

func decryptError(message, remedy string) *Error {
	return NewError(CodeDecrypt, message, remedy, nil)
}

package broker

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
)

// An AESSealer is a [Sealer] with keys in memory: AES-256-GCM. Every entry is
// encrypted with a key of its own, derived from a random salt, so that there is no
// number of entries after which nonces might repeat and the key had to be
// changed.
//
// Its keys open the credentials of every customer in the store. Get them from
// where secrets are kept, such as AWS KMS or a file that only the service can
// read, and keep them away from the store's disk.
type AESSealer struct {
	keys   []sealingKey // the first seals, all open
	random io.Reader
}

type sealingKey struct {
	id  [sealingIDSize]byte
	key [32]byte
}

// The layout of what an AESSealer makes: version, id of the key, salt, nonce,
// ciphertext and tag.
const (
	sealingVersion = 1
	sealingIDSize  = 8
	saltSize       = 12
	nonceSize      = 12
	sealingHeader  = 1 + sealingIDSize + saltSize + nonceSize
)

// NewAESSealer returns a sealer that seals with the first key and opens what was
// sealed with any of them; keys are 32 bytes. To change the key, put the new one
// first and leave the old one for as long as sessions last.
// A nil random is crypto/rand.
func NewAESSealer(random io.Reader, keys ...[]byte) (*AESSealer, error) {
	if len(keys) == 0 {
		return nil, invalid("a sealer needs a key of 32 bytes")
	}
	if random == nil {
		random = rand.Reader
	}
	s := &AESSealer{random: random}
	for _, key := range keys {
		if len(key) != 32 {
			return nil, invalid("a sealer's keys must have 32 bytes; make one with crypto/rand")
		}
		k := sealingKey{key: [32]byte(key)}
		id := derive(&k.key, "crossaccount broker key id", nil)
		k.id = [sealingIDSize]byte(id[:sealingIDSize])
		s.keys = append(s.keys, k)
	}
	return s, nil
}

// derive returns a key for a purpose and a salt.
func derive(key *[32]byte, purpose string, salt []byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(purpose)) // neither is a prefix of another
	mac.Write(salt)
	return mac.Sum(nil)
}

func (k *sealingKey) cipher(salt []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(derive(&k.key, "crossaccount broker entry", salt))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal implements [Sealer].
func (s *AESSealer) Seal(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	key := &s.keys[0]
	sealed := make([]byte, sealingHeader, sealingHeader+len(plaintext)+16)
	sealed[0] = sealingVersion
	copy(sealed[1:], key.id[:])
	if _, err := io.ReadFull(s.random, sealed[1+sealingIDSize:]); err != nil {
		return nil, &Error{Code: CodeUnavailable, Message: "the source of randomness fails", cause: err}
	}
	salt, nonce := sealed[1+sealingIDSize:][:saltSize], sealed[sealingHeader-nonceSize:]
	aead, err := key.cipher(salt)
	if err != nil {
		return nil, err
	}
	return aead.Seal(sealed, nonce, plaintext, associatedData), nil
}

// errNotSealed says as little as possible: whoever can write to the store learns
// nothing from it.
var errNotSealed = errors.New("broker: the entry was not sealed with this key, or not for this place")

// Open implements [Sealer].
func (s *AESSealer) Open(_ context.Context, sealed, associatedData []byte) ([]byte, error) {
	if len(sealed) < sealingHeader || sealed[0] != sealingVersion {
		return nil, errNotSealed
	}
	for i := range s.keys {
		key := &s.keys[i]
		if string(key.id[:]) != string(sealed[1:1+sealingIDSize]) {
			continue
		}
		aead, err := key.cipher(sealed[1+sealingIDSize:][:saltSize])
		if err != nil {
			return nil, err
		}
		plaintext, err := aead.Open(nil, sealed[sealingHeader-nonceSize:sealingHeader], sealed[sealingHeader:], associatedData)
		if err != nil {
			return nil, errNotSealed
		}
		return plaintext, nil
	}
	return nil, errNotSealed
}

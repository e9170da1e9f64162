package broker

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// A storedSession is what a [SharedStore] holds of a session, in clear.
type storedSession struct {
	Credentials aws.Credentials // with CanExpire and Expires, to the second
	IssuedAt    time.Time
}

// associatedData is what a sealed session is bound to: it opens under no other
// key (which covers customer, role, policies and the broker's own identity) and
// with no other expiry than those it was sealed with.
func associatedData(key Key, expires time.Time) []byte {
	data := make([]byte, 0, 64)
	data = append(data, "crossaccount broker session 1\x00"...)
	data = append(data, key[:]...)
	return binary.BigEndian.AppendUint64(data, uint64(expires.Unix()))
}

// sealSession seals a session for its place in a store.
func sealSession(ctx context.Context, sealer Sealer, key Key, session storedSession) (Sealed, error) {
	expires := session.Credentials.Expires.UTC().Truncate(time.Second)
	plaintext := make([]byte, 0, 512+len(session.Credentials.SessionToken))
	plaintext = binary.BigEndian.AppendUint64(plaintext, uint64(session.IssuedAt.UnixNano()))
	for _, field := range []string{
		session.Credentials.AccessKeyID, session.Credentials.SecretAccessKey,
		session.Credentials.SessionToken, session.Credentials.AccountID,
	} {
		plaintext = binary.AppendUvarint(plaintext, uint64(len(field)))
		plaintext = append(plaintext, field...)
	}
	data, err := sealer.Seal(ctx, plaintext, associatedData(key, expires))
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{Expires: expires, Data: data}, nil
}

var errMalformedSession = errors.New("broker: the sealed entry has another form")

// openSession opens what [sealSession] sealed for the same key. Entries that have
// expired, were tampered with, belong to another key or were sealed by somebody
// else are errors, which say nothing of the content.
func openSession(ctx context.Context, sealer Sealer, key Key, entry Sealed, now time.Time) (storedSession, error) {
	if !entry.Expires.After(now) {
		return storedSession{}, errors.New("broker: the sealed entry has expired")
	}
	plaintext, err := sealer.Open(ctx, entry.Data, associatedData(key, entry.Expires))
	if err != nil {
		return storedSession{}, err
	}
	if len(plaintext) < 8 {
		return storedSession{}, errMalformedSession
	}
	session := storedSession{IssuedAt: time.Unix(0, int64(binary.BigEndian.Uint64(plaintext))).UTC()}
	text := string(plaintext[8:]) // one string for all of them
	for _, field := range []*string{
		&session.Credentials.AccessKeyID, &session.Credentials.SecretAccessKey,
		&session.Credentials.SessionToken, &session.Credentials.AccountID,
	} {
		at := len(plaintext) - len(text)
		length, n := binary.Uvarint(plaintext[at:])
		if n <= 0 || length > uint64(len(text)-n) {
			return storedSession{}, errMalformedSession
		}
		*field = text[n : n+int(length)]
		text = text[n+int(length):]
	}
	if text != "" || !session.Credentials.HasKeys() {
		return storedSession{}, errMalformedSession
	}
	session.Credentials.CanExpire = true
	session.Credentials.Expires = entry.Expires.UTC()
	return session, nil
}

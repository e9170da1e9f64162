// Package oidc has the OpenID Connect issuers that a sandbox knows: their public
// keys, by which their tokens are verified, and signers for the issuers that the
// sandbox plays itself, such as those of EKS clusters. There is no network, so
// an issuer that was not registered has no keys.
//
// https://openid.net/specs/openid-connect-discovery-1_0.html
package oidc

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
)

// Issuers are the issuers a sandbox knows. The zero value knows none and may be
// used. It is safe for concurrent use.
type Issuers struct {
	mu     sync.RWMutex
	known  map[string][]key   // by provider name
	played map[string]*Signer // by provider name
}

// ProviderName returns an issuer as ARNs of providers and condition keys have
// it: without https://.
func ProviderName(issuer string) string { return strings.TrimPrefix(issuer, "https://") }

// Register makes the keys of an issuer known, in place of those that were known
// before. The set is a JSON Web Key Set with RSA keys of 2,048 bits or more, or
// EC keys of P-256, P-384 or P-521.
func (i *Issuers) Register(issuer string, set []byte) error {
	keys, err := parseKeys(set)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil {
		i.known = make(map[string][]key)
	}
	i.known[ProviderName(issuer)] = keys
	return nil
}

// Play makes the signer the one key of an issuer that the sandbox plays itself.
func (i *Issuers) Play(issuer string, s *Signer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.played == nil {
		i.played = make(map[string]*Signer)
	}
	i.played[ProviderName(issuer)] = s
}

// Forget ends an issuer that was played.
func (i *Issuers) Forget(issuer string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.played, ProviderName(issuer))
}

// Played returns the signer of an issuer that the sandbox plays.
func (i *Issuers) Played(issuer string) (*Signer, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	s, ok := i.played[ProviderName(issuer)]
	return s, ok
}

func (i *Issuers) keys(issuer string) ([]key, bool) {
	if s, ok := i.Played(issuer); ok {
		public := s.make().PublicKey
		return []key{{id: s.id, algorithm: "RS256", rsa: &public}}, true
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	keys, ok := i.known[ProviderName(issuer)]
	return keys, ok
}

// A Signer signs tokens with an RSA key of its own. The zero value may be used;
// the key is made when it is first needed, from crypto/rand, whatever source of
// randomness the sandbox has: package crypto/rsa takes no other. A Signer is
// safe for concurrent use.
type Signer struct {
	once sync.Once
	key  *rsa.PrivateKey
	id   string
}

func (s *Signer) make() *rsa.PrivateKey {
	s.once.Do(func() {
		var err error
		if s.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(fmt.Sprintf("oidc: making a key: %v", err))
		}
		sum := sha256.Sum256(s.key.N.Bytes())
		s.id = fmt.Sprintf("%x", sum[:20])
	})
	return s.key
}

// Sign returns a token with the given claims, signed with RS256.
func (s *Signer) Sign(claims map[string]any) (string, error) {
	key := s.make()
	head, err := json.Marshal(map[string]string{"alg": "RS256", "kid": s.id})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(head) + "." + encode(payload)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return signed + "." + encode(signature), nil
}

// KeySet returns the signer's public key as a JSON Web Key Set.
func (s *Signer) KeySet() []byte {
	key := s.make()
	encode := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(webKeySet{[]webKey{{
		Type: "RSA", ID: s.id, Use: "sig", Algorithm: "RS256", Modulus: encode(key.N.Bytes()), Exponent: encode(big.NewInt(int64(key.E)).Bytes()),
	}}})
	if err != nil {
		panic(fmt.Sprintf("oidc: %v", err)) // texts always marshal
	}
	return set
}

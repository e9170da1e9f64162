package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	_ "crypto/sha256" // hashes of the algorithms
	_ "crypto/sha512"
)

// A key is one public key of an issuer.
type key struct {
	id        string
	algorithm string // the only one it may be used with, "" for any of its type
	rsa       *rsa.PublicKey
	ecdsa     *ecdsa.PublicKey
}

// verifies reports whether the key made the token's signature. A token that
// names a key must have been signed with that one.
func (k *key) verifies(u *Unverified, a algorithm) bool {
	if u.header.keyID != "" && k.id != u.header.keyID || k.algorithm != "" && k.algorithm != u.header.algorithm {
		return false
	}
	h := a.hash.New()
	h.Write([]byte(u.signed))
	sum := h.Sum(nil)
	switch {
	case a.keyType == "RSA" && k.rsa != nil:
		return rsa.VerifyPKCS1v15(k.rsa, a.hash, sum, u.signature) == nil
	case a.keyType == "EC" && k.ecdsa != nil && k.ecdsa.Curve.Params().Name == a.curve:
		// Two numbers of the curve's size, one behind the other.
		// https://www.rfc-editor.org/rfc/rfc7518#section-3.4
		size := (k.ecdsa.Curve.Params().BitSize + 7) / 8
		if len(u.signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(u.signature[:size]), new(big.Int).SetBytes(u.signature[size:])
		return ecdsa.Verify(k.ecdsa, sum, r, s)
	}
	return false
}

// A webKey is a key as a JSON Web Key Set has it.
//
// https://www.rfc-editor.org/rfc/rfc7517
type webKey struct {
	Type      string `json:"kty"`
	ID        string `json:"kid,omitempty"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	Modulus   string `json:"n,omitempty"`
	Exponent  string `json:"e,omitempty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
}

type webKeySet struct {
	Keys []webKey `json:"keys"`
}

// parseKeys reads a JSON Web Key Set. Keys for encryption and of unknown types
// are left out, and there must be one that is not.
func parseKeys(set []byte) ([]key, error) {
	var document webKeySet
	if err := json.Unmarshal(set, &document); err != nil {
		return nil, fmt.Errorf("the key set is not a JSON Web Key Set: %w", err)
	}
	var keys []key
	for n, w := range document.Keys {
		if w.Use != "" && w.Use != "sig" {
			continue
		}
		k := key{id: w.ID, algorithm: w.Algorithm}
		var err error
		switch w.Type {
		case "RSA":
			k.rsa, err = w.rsaKey()
		case "EC":
			k.ecdsa, err = w.ecdsaKey()
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("key %d (kid %q) of the key set: %w", n+1, w.ID, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no RSA and no EC key that signs")
	}
	return keys, nil
}

func (w *webKey) rsaKey() (*rsa.PublicKey, error) {
	n, err := bigInt(w.Modulus)
	if err != nil {
		return nil, fmt.Errorf("n: %w", err)
	}
	e, err := bigInt(w.Exponent)
	if err != nil || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
		return nil, errors.New("e must be the public exponent, as a rule AQAB")
	}
	if n.BitLen() < 2048 {
		return nil, fmt.Errorf("n has %d bits; use 2048 or more", n.BitLen())
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// curves are those of the algorithms, with the name a key set gives them.
var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func (w *webKey) ecdsaKey() (*ecdsa.PublicKey, error) {
	curve, ok := curves[w.Curve]
	if !ok {
		return nil, fmt.Errorf("crv is %q; use P-256, P-384 or P-521", w.Curve)
	}
	x, err := base64.RawURLEncoding.DecodeString(w.X)
	if err != nil {
		return nil, fmt.Errorf("x: %w", err)
	}
	y, err := base64.RawURLEncoding.DecodeString(w.Y)
	if err != nil {
		return nil, fmt.Errorf("y: %w", err)
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		return nil, fmt.Errorf("x and y must have %d bytes each", size)
	}
	// The uncompressed point, which is checked to be on the curve.
	return ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
}

func bigInt(text string) (*big.Int, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, errors.New("is missing")
	}
	return new(big.Int).SetBytes(raw), nil
}

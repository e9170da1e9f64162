package oidc

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Why a token is not accepted. Services have codes of their own for these. None
// of them holds a part of the token.
var (
	ErrMalformed     = errors.New("the token is not a signed JSON Web Token")
	ErrUnknownIssuer = errors.New("the sandbox does not know the keys of the token's issuer")
	ErrSignature     = errors.New("the token was not signed with a key of its issuer")
	ErrNotYetValid   = errors.New("the token is not valid yet")
)

// A MissingClaimError says that a token lacks a claim it must have.
type MissingClaimError struct{ Claim string }

// Error names the claim.
func (e *MissingClaimError) Error() string { return "the token lacks the claim " + e.Claim }

// An ExpiredError says that a token was shown too late.
type ExpiredError struct{ Now, Expiry time.Time }

// Error says when the token expired.
func (e *ExpiredError) Error() string {
	return fmt.Sprintf("the token expired at %s", e.Expiry.UTC().Format(time.RFC3339))
}

// skew is how far the clocks of issuer and AWS may be apart: a token is accepted
// for five minutes after its expiry.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc.html
const skew = 5 * time.Minute

// An Unverified is a token that was taken apart and not yet believed. All that
// may be asked is who should have signed it.
type Unverified struct {
	issuer    string
	header    header
	signed    string // what the signature covers
	signature []byte
	payload   []byte
}

type header struct {
	algorithm, keyID string
	critical         json.RawMessage
}

// Parse takes a token apart.
func Parse(raw string) (*Unverified, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, ErrMalformed
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, ErrMalformed
		}
	}
	u := &Unverified{signed: parts[0] + "." + parts[1], payload: decoded[1], signature: decoded[2]}
	if decode(decoded[0], members{"alg": &u.header.algorithm, "kid": &u.header.keyID, "crit": &u.header.critical}) != nil ||
		decode(u.payload, members{"iss": &u.issuer}) != nil {
		return nil, ErrMalformed
	}
	// An extension that must be understood is not.
	// https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11
	if u.header.critical != nil {
		return nil, ErrMalformed
	}
	if u.issuer == "" {
		return nil, &MissingClaimError{"iss"}
	}
	return u, nil
}

// members says where the members of a JSON object go.
type members map[string]any

// decode reads members of a JSON object. Unlike package json it does not take
// "SUB" for "sub".
func decode(object []byte, into members) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(object, &raw); err != nil {
		return err
	}
	for name, target := range into {
		if value, ok := raw[name]; ok {
			if err := json.Unmarshal(value, target); err != nil {
				return err
			}
		}
	}
	return nil
}

// Issuer returns who the token says has issued it.
func (u *Unverified) Issuer() string { return u.issuer }

// A Token is a token whose signature and times were verified. Whom it is meant
// for is for the service to check.
type Token struct {
	Issuer   string // as in the claim iss: a URL, as a rule with https://
	Subject  string
	Audience []string // at least one
	Issued   time.Time
	Expiry   time.Time

	payload []byte
}

// Claim decodes one claim of the token, and reports whether it is there. A claim
// of another type is an error.
func (t *Token) Claim(name string, into any) (bool, error) {
	var raw json.RawMessage
	if err := decode(t.payload, members{name: &raw}); err != nil || raw == nil {
		return false, err
	}
	return true, json.Unmarshal(raw, into)
}

// algorithms are those that AWS accepts. There is none without a key, and none
// with a shared secret.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
var algorithms = map[string]algorithm{
	"RS256": {"RSA", crypto.SHA256, ""},
	"RS384": {"RSA", crypto.SHA384, ""},
	"RS512": {"RSA", crypto.SHA512, ""},
	"ES256": {"EC", crypto.SHA256, "P-256"},
	"ES384": {"EC", crypto.SHA384, "P-384"},
	"ES512": {"EC", crypto.SHA512, "P-521"},
}

type algorithm struct {
	keyType string
	hash    crypto.Hash
	curve   string // of EC keys
}

// Verify returns the token if a key of its issuer made its signature and now is
// within its times.
func (i *Issuers) Verify(u *Unverified, now time.Time) (*Token, error) {
	algorithm, ok := algorithms[u.header.algorithm]
	if !ok {
		return nil, ErrSignature
	}
	set, ok := i.keys(u.issuer)
	if !ok {
		return nil, ErrUnknownIssuer
	}
	if !slices.ContainsFunc(set, func(k key) bool { return k.verifies(u, algorithm) }) {
		return nil, ErrSignature
	}
	return u.verified(now)
}

// verified reads the claims of a token whose signature is right.
func (u *Unverified) verified(now time.Time) (*Token, error) {
	var (
		subject                   string
		audiences                 audience
		expiry, notBefore, issued *seconds
	)
	if err := decode(u.payload, members{"sub": &subject, "aud": &audiences, "exp": &expiry, "nbf": &notBefore, "iat": &issued}); err != nil {
		return nil, ErrMalformed
	}
	for _, required := range []struct {
		name  string
		given bool
	}{{"sub", subject != ""}, {"aud", len(audiences) > 0}, {"exp", expiry != nil}, {"iat", issued != nil}} {
		if !required.given {
			return nil, &MissingClaimError{required.name}
		}
	}
	t := &Token{
		Issuer: u.issuer, Subject: subject, Audience: audiences,
		Issued: issued.time(), Expiry: expiry.time(), payload: u.payload,
	}
	switch {
	case !now.Before(t.Expiry.Add(skew)):
		return nil, &ExpiredError{now, t.Expiry}
	case t.Issued.After(now.Add(skew)), notBefore != nil && notBefore.time().After(now.Add(skew)):
		return nil, ErrNotYetValid
	}
	return t, nil
}

// audience is the claim aud: one string or several.
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	var several []string
	if err := json.Unmarshal(data, &several); err != nil {
		return err
	}
	*a = several
	return nil
}

// seconds is a date in a claim. AWS wants whole seconds.
type seconds int64

func (s *seconds) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(bytes.TrimSpace(data), (*int64)(s))
}

func (s *seconds) time() time.Time { return time.Unix(int64(*s), 0).UTC() }

package crossaccount

import (
	"context"
	"encoding/hex"
	"io"
	"strings"
)

// External IDs are at most 64+1+40 characters long, far below AWS's 1,224, and
// short enough for template parameters that people read aloud.
const (
	maxExternalIDPrefix = 64
	externalIDRandom    = 20 // bytes: 160 bits
)

// newExternalID makes an external ID: the prefix, a hyphen and 40 random hex
// digits of which at least one is a letter, so that flipping the case of the ID
// always changes it. If the random source fails, so does newExternalID.
//
// That the vendor makes it, and makes it unguessable:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-user_externalid.html
func newExternalID(random io.Reader, prefix string) (string, error) {
	for range 8 { // 40 digits without a letter have a probability of 7e-9
		var b [externalIDRandom]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", randomError(err)
		}
		digits := hex.EncodeToString(b[:])
		if strings.ContainsAny(digits, "abcdef") {
			return prefix + digits, nil
		}
	}
	return "", randomError(nil)
}

// externalIDPrefix returns what the external IDs of this client begin with.
func (c *Client) externalIDPrefix() string {
	prefix := c.config.ExternalIDPrefix
	if prefix == "" {
		prefix = strings.ToLower(slug(c.config.ServiceName, 32))
	}
	if last := prefix[len(prefix)-1]; isAlphanumeric(last) {
		prefix += "-"
	}
	return prefix
}

func isAlphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

// decoyOf returns a wrong external ID of the same shape: the same length and
// beginning, other random digits. A trust policy that accepts it compares with
// a wildcard.
func decoyOf(random io.Reader, id string) (string, error) {
	keep := len(id) - 2*externalIDRandom
	if keep < 0 || !isHex(id[keep:]) {
		keep = len(id) / 2 // an imported ID of another make
	}
	decoy := []byte(id)
	for range 8 {
		noise := make([]byte, len(id)-keep)
		if _, err := io.ReadFull(random, noise); err != nil {
			return "", randomError(err)
		}
		for i, n := range noise {
			switch old := id[keep+i]; {
			case '0' <= old && old <= '9', 'a' <= old && old <= 'f':
				decoy[keep+i] = "0123456789abcdef"[n%16]
			case 'g' <= old && old <= 'z':
				decoy[keep+i] = 'a' + n%26
			case 'A' <= old && old <= 'Z':
				decoy[keep+i] = 'A' + n%26
			}
		}
		if !strings.EqualFold(string(decoy), id) {
			return string(decoy), nil
		}
	}
	return "", randomError(nil)
}

func isHex(s string) bool {
	for i := range len(s) {
		if !strings.ContainsRune("0123456789abcdef", rune(s[i])) {
			return false
		}
	}
	return true
}

// caseFlipped returns the ID with lower-case letters in upper case and the
// other way round. A trust policy that accepts it ignores case.
func caseFlipped(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, id)
}

// sealExternalID makes a new external ID for an integration and puts it into
// the record, sealed.
func (c *Client) sealExternalID(ctx context.Context, integration *Integration) (string, error) {
	id, err := newExternalID(c.random, c.externalIDPrefix())
	if err != nil {
		return "", err
	}
	if integration.SealedExternalID, err = c.encryptor.Seal(ctx, []byte(id), externalIDBinding(integration)); err != nil {
		return "", err
	}
	integration.ExternalIDIndex, err = c.encryptor.BlindIndex(ctx, "external_id", []byte(id))
	return id, err
}

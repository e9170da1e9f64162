package directory

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/crossaccount/crossaccount/iam"
)

// Prefixes of IAM's unique ids.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
const (
	prefixRole         = "AROA"
	prefixUser         = "AIDA"
	prefixPolicy       = "ANPA"
	prefixLongTermKey  = "AKIA"
	prefixTemporaryKey = "ASIA"
)

// generator makes ids and secrets from a source of randomness.
type generator struct {
	mu     sync.Mutex // io.Readers need not be safe for concurrent use
	random io.Reader
}

func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := io.ReadFull(g.random, b); err != nil {
		// Without randomness ids would collide and secrets could be guessed.
		panic(fmt.Sprintf("directory: reading randomness: %v", err))
	}
	return b
}

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// uniqueID returns prefix and 17 characters, the shape of AROA… and AIDA… ids.
func (g *generator) uniqueID(prefix string) string {
	return prefix + idEncoding.EncodeToString(g.bytes(11))[:17]
}

// accessKeyID returns prefix and 16 characters. As in AWS, the first of them
// carry the account: decoded from base32, bits 7 to 46 of the first six bytes
// are the account's number. Tools that read it so get the right account.
func (g *generator) accessKeyID(prefix string, account iam.AccountID) string {
	number, err := strconv.ParseUint(string(account), 10, 40)
	if err != nil {
		panic(fmt.Sprintf("directory: account id %q: %v", account, err))
	}
	b := g.bytes(10)
	head := 1<<47 | number<<7 | uint64(b[5]&0x7F)
	for i := range 6 {
		b[i] = byte(head >> (8 * (5 - i)))
	}
	return prefix + idEncoding.EncodeToString(b)
}

// secret returns 40 characters: the shape of a secret access key.
func (g *generator) secret() string { return base64.StdEncoding.EncodeToString(g.bytes(30)) }

// sessionToken returns a token that looks up nothing and means nothing: the
// session is found by its access key id, and the token is compared.
// It has at least size characters.
func (g *generator) sessionToken(size int) string {
	const start, usual = "FwoGZXIvYXdz", 252
	size = max(size, usual)
	return start + base64.StdEncoding.EncodeToString(g.bytes((size - len(start) + 3) / 4 * 3))[:size-len(start)]
}

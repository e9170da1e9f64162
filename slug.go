package crossaccount

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// slugHash is how many characters slug appends when it had to leave something
// out: a hyphen and 8 hexadecimal digits.
const slugHash = 9

// slug turns any text into a name that AWS accepts everywhere: letters, digits
// and single hyphens, at most limit characters (at least 12). White space and
// ASCII punctuation become hyphens. If anything else is lost, because the text
// is too long or is not ASCII, a hash of the whole text keeps different texts
// apart. The same text always gives the same name.
func slug(text string, limit int) string {
	name, lossy := slugWords(text, limit)
	if name != "" && !lossy && len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])[:slugHash-1]
	name = strings.TrimRight(name[:min(len(name), limit-slugHash)], "-")
	if name == "" {
		return "x-" + hash // a letter first, for names that need one
	}
	return name + "-" + hash
}

// slugWords returns what slug keeps of a text, perhaps longer than limit, and
// whether something was lost.
func slugWords(text string, limit int) (name string, lossy bool) {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			lossy = lossy || r > '~'
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
		}
		if b.Len() > limit+1 {
			break // what follows cannot appear in the name
		}
	}
	return strings.TrimRight(b.String(), "-"), lossy
}

// hashedName joins a service's slug and a customer's id, shortened to limit
// characters, and a hash of the id that keeps different ids apart.
func hashedName(service, customerID string, limit int) string {
	sum := sha256.Sum256([]byte(customerID))
	hash := hex.EncodeToString(sum[:])[:stackNameHash]
	room := limit - len(service) - len(hash) - 2
	words, _ := slugWords(customerID, room)
	words = strings.TrimRight(words[:min(len(words), room)], "-")
	if words == "" {
		return service + "-" + hash
	}
	return service + "-" + words + "-" + hash
}

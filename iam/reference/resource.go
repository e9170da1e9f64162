package reference

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A token is one step of a pattern: some bytes of which one is consumed, or, if
// it repeats, any number.
type token struct {
	literal byte // only this byte, unless any
	any     bool
	except  byte // with any: not this byte; 0 excludes none
	repeat  bool
}

// Overlap reports whether some string matches both patterns. In both, * stands
// for any text and ? for one byte; symbols and policy variables (${...}) stand
// for any text.
func Overlap(a, b string) bool {
	return overlap(patternTokens(a), patternTokens(b))
}

// MatchesARN reports whether a value of a Resource element could name a
// resource of this type. Wildcards, symbols and policy variables in arn are
// taken to stand for whatever makes it match, so that false means that the
// value surely names no such resource.
func (t *ResourceType) MatchesARN(arn string) bool {
	if service, ok := serviceOf(arn); ok {
		if other, _ := serviceOf(t.ARN); service != other {
			return false // the usual case, and much cheaper
		}
	}
	return overlap(t.pattern, patternTokens(knownPartition(arn)))
}

// knownPartition writes a partition for one that is a symbol. Otherwise the
// symbol, as it may be any text, could be the beginning of another ARN that the
// rest is the name of.
func knownPartition(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && iam.HasSymbol(parts[1]) && len(iam.Pieces(parts[1])) == 1 {
		parts[1] = "aws"
		return strings.Join(parts, ":")
	}
	return arn
}

// serviceOf returns the service of an ARN whose partition and service are
// plain text.
func serviceOf(arn string) (string, bool) {
	parts := strings.SplitN(arn, ":", 4)
	if len(parts) < 4 || parts[0] != "arn" || strings.ContainsAny(parts[2], "*?$") || iam.HasSymbol(parts[2]) {
		return "", false
	}
	if parts[1] != "${Partition}" && (strings.ContainsAny(parts[1], "*?$") || iam.HasSymbol(parts[1]) && len(iam.Pieces(parts[1])) > 1) {
		return "", false
	}
	return parts[2], true
}

// patternTokens compiles what a policy's author wrote.
func patternTokens(s string) []token {
	var tokens []token
	for _, piece := range iam.Pieces(s) {
		if piece.IsSymbol {
			tokens = append(tokens, token{any: true, repeat: true})
			continue
		}
		text := piece.Text
		for i := 0; i < len(text); i++ {
			switch {
			case text[i] == '*':
				tokens = append(tokens, token{any: true, repeat: true})
			case text[i] == '?':
				tokens = append(tokens, token{any: true})
			case text[i] == '$' && strings.HasPrefix(text[i:], "${"):
				end := strings.IndexByte(text[i:], '}')
				if end < 0 {
					end = len(text) - i - 1
				}
				tokens = append(tokens, token{any: true, repeat: true})
				i += end
			default:
				tokens = append(tokens, token{literal: text[i]})
			}
		}
	}
	return tokens
}

// slashless lists placeholders whose values never contain a slash. Every other
// placeholder may stand for several path segments, because AWS uses the same
// name ("RoleName") for names with and without a path.
var slashless = map[string]bool{
	"AccessPointName":  true,
	"BucketName":       true,
	"DatabaseName":     true,
	"FunctionName":     true,
	"IndexName":        true,
	"KeyId":            true,
	"QueueName":        true,
	"StateMachineName": true,
	"StreamLabel":      true,
	"StreamName":       true,
	"StreamType":       true,
	"TableName":        true,
	"TopicName":        true,
}

// templatePattern compiles an ARN template of the reference.
func templatePattern(arn string) []token {
	var tokens []token
	for rest := arn; rest != ""; {
		start := strings.Index(rest, "${")
		end := -1
		if start >= 0 {
			end = strings.IndexByte(rest[start:], '}')
		}
		if end < 0 {
			return append(tokens, literalTokens(rest)...)
		}
		tokens = append(tokens, literalTokens(rest[:start])...)
		name := rest[start+2 : start+end]
		hole := token{any: true}
		switch {
		case name == "Partition" || name == "Region" || name == "Account":
			hole.except = ':'
		case slashless[name]:
			hole.except = '/'
		}
		// The region and account of a template are sometimes left out of real
		// ARNs, and the path of an API may be empty. S3 is exact, and there
		// telling buckets from access points depends on it.
		optional := (name == "Region" || name == "Account") && !strings.HasPrefix(arn, "arn:${Partition}:s3:") ||
			name == "ApiSpecificResourcePath"
		if !optional {
			tokens = append(tokens, hole)
		}
		hole.repeat = true
		tokens = append(tokens, hole)
		rest = rest[start+end+1:]
	}
	return tokens
}

func literalTokens(s string) []token {
	tokens := make([]token, 0, len(s))
	for i := range len(s) {
		// A few templates contain wildcards themselves.
		if s[i] == '*' {
			tokens = append(tokens, token{any: true, repeat: true})
			continue
		}
		tokens = append(tokens, token{literal: s[i]})
	}
	return tokens
}

// overlap runs both patterns side by side: state (i, j) is reached when some
// string brings a to i and b to j. Patterns far longer than any policy are
// taken to overlap, to bound the work.
func overlap(a, b []token) bool {
	const maxStates = 1 << 22
	if (len(a)+1)*(len(b)+1) > maxStates {
		return true
	}
	width := len(b) + 1
	reached := make([]bool, (len(a)+1)*width)
	reached[0] = true
	for i := 0; i <= len(a); i++ {
		for j := 0; j <= len(b); j++ {
			if !reached[i*width+j] {
				continue
			}
			if i < len(a) && a[i].repeat {
				reached[(i+1)*width+j] = true
			}
			if j < len(b) && b[j].repeat {
				reached[i*width+j+1] = true
			}
			if i < len(a) && j < len(b) && a[i].meets(b[j]) {
				// Consuming without leaving a repeating token leads to a state
				// that the two rules above reach on their own.
				reached[(i+step(a[i]))*width+j+step(b[j])] = true
			}
		}
	}
	return reached[len(a)*width+len(b)]
}

func step(t token) int {
	if t.repeat {
		return 0
	}
	return 1
}

// meets reports whether some byte is allowed by both tokens.
func (t token) meets(u token) bool {
	switch {
	case t.any && u.any:
		return true
	case t.any:
		return t.except == 0 || u.literal != t.except
	case u.any:
		return u.except == 0 || t.literal != u.except
	}
	return t.literal == u.literal
}

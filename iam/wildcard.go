package iam

// MatchWildcard reports whether s matches pattern, in which * stands for any
// text, also none, and ? for exactly one byte. Every other byte stands for
// itself. It runs in time proportional to the product of the lengths at worst
// and does not allocate.
func MatchWildcard(pattern, s string) bool {
	p, i := 0, 0
	star, retry := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			// Let the last star swallow one byte more.
			retry++
			p, i = star+1, retry
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

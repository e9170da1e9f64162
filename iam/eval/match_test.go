package eval

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
)

// matchSlowly says what matchTokens must say, by trying everything.
func matchSlowly(tokens []token, s string, at int, r reach) bool {
	if len(tokens) == 0 {
		return s == ""
	}
	wildcard := func(n int, free bool) bool { // may a wildcard match s[:n]?
		return n <= len(s) && (free || !strings.Contains(s[:max(0, min(n, r.fence-at))], ":"))
	}
	switch tok := tokens[0]; tok.kind {
	case tokenLiteral:
		rest, ok := strings.CutPrefix(s, tok.text)
		return ok && matchSlowly(tokens[1:], rest, at+len(tok.text), r)
	case tokenOne:
		return len(s) > 0 && wildcard(1, false) && matchSlowly(tokens[1:], s[1:], at+1, r)
	case tokenMany, tokenVariable: // a variable of unknown value can be anything
		free := tok.kind == tokenVariable || r.exempts(tokens, 0)
		for n := range len(s) + 1 {
			if wildcard(n, free) && matchSlowly(tokens[1:], s[n:], at+n, r) {
				return true
			}
		}
	}
	return false
}

func TestWildcardsAgreeWithExhaustiveSearch(t *testing.T) {
	alphabet := rapid.StringOfN(rapid.SampledFrom([]rune("ab:*?")), 0, 12, -1)
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab:")), 0, 14, -1)
	var ctx iam.Context
	rapid.Check(t, func(t *rapid.T) {
		written, s := alphabet.Draw(t, "pattern"), text.Draw(t, "text")
		fence := fenceOf(s)
		for _, r := range []reach{{}, {fence: fence}, {fence: fence, lastIsFree: true}, {fence: fence, endsAreFree: true}} {
			tokens := tokenize(written, patternSyntax{wildcards: true})
			want := matchSlowly(tokens, s, 0, r)
			if got := matchTokens(tokens, s, r, &ctx); got != truth(want) {
				t.Fatalf("matchTokens(%q, %q, %+v) = %v, want %v", written, s, r, got, want)
			}
			if r.endsAreFree {
				continue // compiled patterns have a shape of their own for a final *
			}
			compiled := compilePattern(written, patternSyntax{wildcards: true, arn: true})
			if r.lastIsFree {
				compiled = compileResource(written, true)
			} else if r.fence == 0 {
				compiled = compilePattern(written, patternSyntax{wildcards: true})
			}
			if got := compiled.match(s, r, &ctx); got != truth(want) && compiled.shape != shapeAny {
				t.Fatalf("compiled %q (shape %d) against %q with %+v = %v, want %v", written, compiled.shape, s, r, got, want)
			}
		}
	})
}

func TestUnknownVariablesAgreeWithExhaustiveSearch(t *testing.T) {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", ":", ":", "*", "?", "${k}"}), 0, 10)
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab::")), 0, 14, -1)
	var ctx iam.Context
	ctx.SetUnlistedUnknown()
	rapid.Check(t, func(t *rapid.T) {
		written, s := strings.Join(parts.Draw(t, "pattern"), ""), text.Draw(t, "text")
		for _, r := range []reach{{}, {fence: fenceOf(s)}, {fence: fenceOf(s), lastIsFree: true}, {fence: fenceOf(s), endsAreFree: true}} {
			tokens := tokenize(written, patternSyntax{wildcards: true, variables: true})
			want := truth(matchSlowly(tokens, s, 0, r))
			if strings.Contains(written, "${k}") {
				want = min(want, maybe)
			}
			if got := matchTokens(tokens, s, r, &ctx); got != want {
				t.Fatalf("matchTokens(%q, %q, %+v) = %v, want %v", written, s, r, got, want)
			}
		}
	})
}

func TestActionsAgreeWithExhaustiveSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		written := rapid.StringOfN(rapid.SampledFrom([]rune("aB:*?")), 0, 10, -1).Draw(t, "pattern")
		s := rapid.StringOfN(rapid.SampledFrom([]rune("Ab:")), 0, 12, -1).Draw(t, "action")
		want := matchSlowly(tokenize(strings.ToLower(written), patternSyntax{wildcards: true}), strings.ToLower(s), 0, reach{})
		p := compileAction(written)
		if got := p.match([]byte(strings.ToLower(s))); got != want {
			t.Fatalf("action %q against %q = %v, want %v", written, s, got, want)
		}
	})
}

func TestNumbersAgreeWithRationals(t *testing.T) {
	digits := rapid.StringMatching(`[+-]?[0-9]{0,20}(\.[0-9]{1,20})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := digits.Draw(t, "a"), digits.Draw(t, "b")
		x, okX := new(big.Rat).SetString(a)
		y, okY := new(big.Rat).SetString(b)
		m, okM := parseNumber(a)
		n, okN := parseNumber(b)
		if okX != okM || okY != okN {
			t.Fatalf("parseNumber(%q) %v, parseNumber(%q) %v; want %v, %v", a, okM, b, okN, okX, okY)
		}
		if okX && okY && m.compare(n) != x.Cmp(y) {
			t.Fatalf("%s against %s: %d, want %d", a, b, m.compare(n), x.Cmp(y))
		}
	})
}

func TestValues(t *testing.T) {
	for s, want := range map[string]string{
		"2026-01-01T00:00:00Z":      "2026-01-01T00:00:00Z",
		"2026-01-01T00:00Z":         "2026-01-01T00:00:00Z",
		"2026-01-01T01:00:00+01:00": "2026-01-01T00:00:00Z",
		"2026-01-01T00:00:00.5Z":    "2026-01-01T00:00:00.5Z",
		"2026-01-01":                "2026-01-01T00:00:00Z",
		"2026-01":                   "2026-01-01T00:00:00Z",
		"2026":                      "2026-01-01T00:00:00Z",
		"1767225600":                "2026-01-01T00:00:00Z",
		"1767225600.25":             "2026-01-01T00:00:00.25Z",
		"0":                         "1970-01-01T00:00:00Z",
		"-1":                        "1969-12-31T23:59:59Z",
		"":                          "", "tomorrow": "", "2026-13-01": "", "2026-01-01T25:00:00Z": "", "1e9": "", "-": "", ".5": "",
	} {
		got, ok := parseDate(s)
		text := ""
		if ok {
			text = got.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
		}
		if text != want {
			t.Errorf("parseDate(%q) = %q, want %q", s, text, want)
		}
	}
	for s, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "203.0.113.7/24": "203.0.113.0/24", "2001:db8::1": "2001:db8::1/128",
		"2001:db8::1/32": "2001:db8::/32", "::ffff:203.0.113.7": "203.0.113.7/32",
		"": "", "203.0.113": "", "203.0.113.7/33": "", "fe80::1%eth0": "", "host": "",
	} {
		got, ok := parseNetwork(s)
		text := ""
		if ok {
			text = got.String()
		}
		if text != want {
			t.Errorf("parseNetwork(%q) = %q, want %q", s, text, want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("arn:aws:s3:::data/*", "arn:aws:s3:::data/a.txt", "alice")
	f.Add("arn:aws:s3:::${aws:username}/${*}*", "arn:aws:s3:::alice/*x", "alice")
	f.Add("${a, 'b'}${", "b${", "")
	f.Fuzz(func(t *testing.T, written, s, username string) {
		var ctx, unknown iam.Context
		ctx.Set("aws:username", username)
		unknown.SetUnlistedUnknown()
		p, resource := compilePattern(written, patternSyntax{wildcards: true, variables: true}), compileResource(written, true)
		for _, r := range []reach{{}, {fence: fenceOf(s)}, {fence: fenceOf(s), lastIsFree: true}} {
			known, open := p.match(s, r, &ctx), p.match(s, r, &unknown)
			if known == maybe {
				t.Fatalf("%q against %q is undetermined though nothing is unknown", written, s)
			}
			if open != maybe && open != known {
				t.Fatalf("%q against %q: promised %v with unknown keys, is %v", written, s, open, known)
			}
			resource.match(s, r, &ctx)
		}
		if !strings.ContainsAny(written, "*?$") && (p.match(written, reach{}, &ctx) != yes || p.match(written+"x", reach{}, &ctx) != no) {
			t.Fatalf("%q does not match exactly itself", written)
		}
	})
}

package eval

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A pattern is a compiled value of a Resource, NotResource or Condition
// element: text with wildcards and policy variables.
type pattern struct {
	shape  shape
	text   string  // for literals, prefixes and suffixes
	tokens []token // for everything else
}

// shape says how a pattern is matched. The simple shapes cover almost all
// patterns that people write.
type shape int8

const (
	shapeNothing  shape = iota // matches nothing
	shapeAny                   // a lone *
	shapeLiteral               // no wildcard
	shapePrefix                // text*
	shapeSuffix                // *text
	shapeWildcard              // wildcards anywhere, no variables
	shapeTemplate              // with variables
)

// A token is a part of a pattern that is matched as a whole.
type token struct {
	kind       tokenKind
	text       string // the literal, the lower-case key of a variable
	value      string // a variable's default value
	hasDefault bool
}

type tokenKind int8

const (
	tokenLiteral tokenKind = iota
	tokenOne               // ?
	tokenMany              // *
	tokenVariable
)

// patternSyntax says which characters of a value have a meaning, and how far a
// wildcard reaches.
type patternSyntax struct {
	wildcards bool // * and ?
	variables bool // ${key}, ${key, 'default'}, ${*}, ${?}, ${$}
	arn       bool // wildcards stay within the first five segments
}

func compilePattern(s string, syntax patternSyntax) pattern {
	tokens := tokenize(s, syntax)
	return shapeOf(tokens, syntax.arn)
}

// tokenize splits s into tokens and joins neighbouring literals, so that
// ${*} becomes ordinary text and can never act as a wildcard.
func tokenize(s string, syntax patternSyntax) []token {
	var tokens []token
	literal := func(text string) {
		if n := len(tokens); n > 0 && tokens[n-1].kind == tokenLiteral {
			tokens[n-1].text += text
		} else {
			tokens = append(tokens, token{kind: tokenLiteral, text: text})
		}
	}
	for s != "" {
		if syntax.variables && strings.HasPrefix(s, "${") {
			if variable, rest, ok := cutVariable(s); ok {
				if variable.kind == tokenLiteral {
					literal(variable.text)
				} else {
					tokens = append(tokens, variable)
				}
				s = rest
				continue
			}
		}
		switch {
		case syntax.wildcards && s[0] == '*':
			if n := len(tokens); n == 0 || tokens[n-1].kind != tokenMany {
				tokens = append(tokens, token{kind: tokenMany})
			}
			s = s[1:]
		case syntax.wildcards && s[0] == '?':
			tokens = append(tokens, token{kind: tokenOne})
			s = s[1:]
		default:
			end := 1
			for end < len(s) && s[end] != '$' && !(syntax.wildcards && (s[end] == '*' || s[end] == '?')) {
				end++
			}
			literal(s[:end])
			s = s[end:]
		}
	}
	return tokens
}

// cutVariable splits s, which begins with "${", after the variable. Text that
// is not a well-formed variable is left alone.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func cutVariable(s string) (token, string, bool) {
	body := s[2:]
	end := strings.IndexAny(body, "},")
	if end <= 0 {
		return token{}, s, false
	}
	key := strings.TrimSpace(body[:end])
	if body[end] == '}' {
		switch key {
		case "":
			return token{}, s, false
		case "*", "?", "$":
			return token{kind: tokenLiteral, text: key}, body[end+1:], true
		}
		return token{kind: tokenVariable, text: strings.ToLower(key)}, body[end+1:], true
	}
	rest, ok := strings.CutPrefix(strings.TrimLeft(body[end+1:], " "), "'")
	if !ok || key == "" {
		return token{}, s, false
	}
	value, rest, ok := strings.Cut(rest, "'")
	if !ok {
		return token{}, s, false
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " "), "}")
	if !ok {
		return token{}, s, false
	}
	return token{kind: tokenVariable, text: strings.ToLower(key), value: value, hasDefault: true}, rest, true
}

func shapeOf(tokens []token, arn bool) pattern {
	for _, t := range tokens {
		if t.kind == tokenVariable {
			return pattern{shape: shapeTemplate, tokens: tokens}
		}
	}
	switch {
	case len(tokens) == 0:
		return pattern{shape: shapeLiteral}
	case len(tokens) == 1 && tokens[0].kind == tokenMany:
		return pattern{shape: shapeAny}
	case len(tokens) == 1 && tokens[0].kind == tokenLiteral:
		return pattern{shape: shapeLiteral, text: tokens[0].text}
	case len(tokens) == 2 && tokens[0].kind == tokenLiteral && tokens[1].kind == tokenMany &&
		(!arn || strings.Count(tokens[0].text, ":") >= 5):
		return pattern{shape: shapePrefix, text: tokens[0].text}
	case len(tokens) == 2 && tokens[0].kind == tokenMany && tokens[1].kind == tokenLiteral && !arn:
		return pattern{shape: shapeSuffix, text: tokens[1].text}
	}
	return pattern{shape: shapeWildcard, tokens: tokens}
}

// reach says which colons of the text a wildcard may not match.
type reach struct {
	// fence is the index after the fifth colon of the text. Wildcards do not
	// match colons before it. 0 means that they match every colon.
	fence int
	// lastIsFree exempts a * at the very end of the pattern.
	lastIsFree bool
	// endsAreFree exempts every * that ends a segment of the pattern.
	endsAreFree bool
}

// exempts reports whether token i, a *, may match every colon.
func (r reach) exempts(tokens []token, i int) bool {
	if i == len(tokens)-1 {
		return r.lastIsFree || r.endsAreFree
	}
	return r.endsAreFree && endsSegment(tokens, i)
}

// match reports whether s matches the pattern. It is maybe if that hangs on the
// value of an unknown context key. It does not allocate.
func (p *pattern) match(s string, r reach, ctx *iam.Context) tri {
	switch p.shape {
	case shapeAny:
		return yes
	case shapeLiteral:
		return truth(s == p.text)
	case shapePrefix:
		return truth(strings.HasPrefix(s, p.text))
	case shapeSuffix:
		return truth(strings.HasSuffix(s, p.text))
	case shapeWildcard, shapeTemplate:
		return matchTokens(p.tokens, s, r, ctx)
	}
	return no
}

// endsSegment reports whether token i, a *, is the last of a segment of an ARN.
func endsSegment(tokens []token, i int) bool {
	return i == len(tokens)-1 || tokens[i+1].kind == tokenLiteral && strings.HasPrefix(tokens[i+1].text, ":")
}

// matchTokens walks through s once and lets the last * swallow more text
// whenever the rest does not fit. Earlier ones need not be tried again, as all
// that would do is move the last one to the right. Only if the last one has run
// into a colon it cannot match, the last one before it that can has to.
//
// A variable whose key is unknown can have any value. It is walked over like a
// free *, and a match is then only a maybe.
func matchTokens(tokens []token, s string, r reach, ctx *iam.Context) tri {
	type star struct {
		token int // -1 if there is none yet
		end   int // of what it swallowed
	}
	result := yes
	t, i := 0, 0 // next token, next byte of s
	last, free := star{-1, 0}, star{-1, 0}
	for {
		advanced := false
		if t < len(tokens) {
			switch tok := &tokens[t]; tok.kind {
			case tokenLiteral:
				if strings.HasPrefix(s[i:], tok.text) {
					t, i, advanced = t+1, i+len(tok.text), true
				}
			case tokenOne:
				if i < len(s) && !(s[i] == ':' && i < r.fence) {
					t, i, advanced = t+1, i+1, true
				}
			case tokenMany:
				last = star{t, i}
				if r.exempts(tokens, t) {
					free = last
				}
				t, advanced = t+1, true
			case tokenVariable:
				text, state := resolve(tok, ctx)
				switch state {
				case no:
					return no
				case maybe:
					result = maybe
					last, free = star{t, i}, star{t, i}
					t, advanced = t+1, true
				case yes:
					if strings.HasPrefix(s[i:], text) {
						t, i, advanced = t+1, i+len(text), true
					}
				}
			}
		} else if i == len(s) {
			return result
		}
		switch {
		case advanced:
			continue
		case last.token < 0 || last.end >= len(s):
			return no
		case last.token != free.token && s[last.end] == ':' && last.end < r.fence:
			if free.token < 0 {
				return no
			}
			last = free
		}
		last.end++
		if last.token == free.token {
			free = last
		}
		t, i = last.token+1, last.end
	}
}

// resolve returns the text a variable stands for. Only single-valued keys have
// a text; without one the default counts, and without that there is none.
func resolve(t *token, ctx *iam.Context) (string, tri) {
	values, multi, state := ctx.Lookup(t.text)
	switch {
	case state == iam.KeyUnknown:
		return "", maybe
	case state == iam.KeyGiven && !multi && len(values) == 1:
		return values[0], yes
	case t.hasDefault:
		return t.value, yes
	}
	return "", no
}

// fenceOf returns the index after the fifth colon of s, or 0 if s is not an
// ARN.
func fenceOf(s string) int {
	colons := 0
	for i := range len(s) {
		if s[i] == ':' {
			if colons++; colons == 5 {
				return i + 1
			}
		}
	}
	return 0
}

// compileResource compiles a value of Resource or NotResource.
//
// Wildcards stay within the segments of an ARN, except that a * at the very end
// reaches over colons. Variables stand in the part after the fifth colon only;
// elsewhere they are not replaced, and as no ARN contains "${" the pattern
// matches nothing.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
func compileResource(s string, variables bool) pattern {
	tokens := tokenize(s, patternSyntax{wildcards: true, variables: variables})
	if n := len(tokens); n > 0 && tokens[n-1].kind == tokenMany {
		// A final * is free, so a prefix need not reach into the last segment.
		if n == 2 && tokens[0].kind == tokenLiteral {
			return pattern{shape: shapePrefix, text: tokens[0].text}
		}
	}
	colons := 0
	for _, t := range tokens {
		if t.kind == tokenVariable && colons < 5 {
			return pattern{shape: shapeNothing}
		}
		if t.kind == tokenLiteral {
			colons += strings.Count(t.text, ":")
		}
	}
	return shapeOf(tokens, true)
}

// matchResource matches a pattern of Resource against an ARN or "*".
func (p *pattern) matchResource(e *env) tri {
	r := reach{fence: e.resourceFence, lastIsFree: true, endsAreFree: switchStarEndingSegmentCrossesColons}
	return p.match(e.resource, r, e.context)
}

// matchARN matches a value of an ARN operator: segment by segment, and only
// text that is an ARN. A lone * matches every ARN.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN
func (p *pattern) matchARN(s string, ctx *iam.Context) tri {
	fence := fenceOf(s)
	if fence == 0 || p.shape == shapeAny && !switchLoneStarMatchesEveryARN {
		return no
	}
	return p.match(s, reach{fence: fence}, ctx)
}

// An actionPattern is a compiled value of Action or NotAction, in lower case.
type actionPattern struct {
	shape shape
	text  string
}

func compileAction(s string) actionPattern {
	s = strings.ToLower(s)
	star := strings.IndexAny(s, "*?")
	switch {
	case s == "*":
		return actionPattern{shape: shapeAny}
	case star < 0:
		return actionPattern{shape: shapeLiteral, text: s}
	case star == len(s)-1 && s[star] == '*':
		return actionPattern{shape: shapePrefix, text: s[:star]}
	}
	return actionPattern{shape: shapeWildcard, text: s}
}

// match compares with an action in lower case. AWS compares actions without
// regard to case.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
func (p *actionPattern) match(action []byte) bool {
	switch p.shape {
	case shapeAny:
		return true
	case shapeLiteral:
		return string(action) == p.text
	case shapePrefix:
		return len(action) >= len(p.text) && string(action[:len(p.text)]) == p.text
	}
	pattern := p.text
	t, i, back, from := 0, 0, -1, 0
	for i < len(action) {
		switch {
		case t < len(pattern) && pattern[t] == '*':
			back, from = t, i
			t++
		case t < len(pattern) && (pattern[t] == '?' || pattern[t] == action[i]):
			t++
			i++
		case back >= 0:
			from++
			t, i = back+1, from
		default:
			return false
		}
	}
	for t < len(pattern) && pattern[t] == '*' {
		t++
	}
	return t == len(pattern)
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + ('a' - 'A')
	}
	return b
}

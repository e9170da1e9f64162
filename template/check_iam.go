package template

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
)

// size returns the number of characters of s with every reference at its
// longest.
func (c *checker) size(s string) int {
	n := 0
	for _, part := range Parts(s) {
		switch part := part.(type) {
		case Literal:
			n += utf8.RuneCountInString(string(part))
		case ParameterRef:
			n += c.parameters[string(part)].reckonedSize()
		case Variable:
			n += variableSizes[part]
		case AttributeRef:
			if r, ok := c.resources[part.Resource]; ok && r.Kind != nil {
				n += c.attributeSize(r.Kind.attributes()[part.Attribute])
			}
		case Conditional:
			n += max(c.size(part.Then), c.size(part.Otherwise))
		case OptionalElement:
			n += c.size(part.Value)
		}
	}
	return n
}

// attributeSize leaves out attributes inside attributes: they are refused, but
// must not be measured for ever either.
func (c *checker) attributeSize(s string) int {
	for _, part := range Parts(s) {
		if _, ok := part.(AttributeRef); ok {
			return 0
		}
	}
	return c.size(s)
}

func (p Parameter) reckonedSize() int {
	if p.SizeHint > 0 {
		return p.SizeHint
	}
	longest := 0
	for _, v := range p.AllowedValues {
		longest = max(longest, utf8.RuneCountInString(v))
	}
	switch {
	case longest > 0:
		return longest
	case p.MaxLength > 0:
		return p.MaxLength
	}
	return MaxParameterValue
}

func (c *checker) policySize(p *iam.Policy) int {
	longest := rewriter(func(_, s string, _ bool) (string, bool) {
		if !iam.HasSymbol(s) {
			return s, true
		}
		return strings.Repeat("x", c.size(s)), true
	})
	return longest.policy("", p).Size()
}

// policy checks a policy's elements, character set and size.
func (c *checker) policy(at string, p *iam.Policy, kind iam.Kind, limit int) {
	if p == nil {
		c.problem(at, "there is no policy")
		return
	}
	if len(p.Statements) == 0 {
		c.problem(at, "the policy has no statements")
	}
	for _, problem := range p.Check(kind) {
		c.problem(at+"."+problem.Path, "%s", problem.Message)
	}
	// Only these parts may have references; MarshalJSON writes all the others.
	plain := rewriter(func(string, string, bool) (string, bool) { return "x", true }).policy("", p)
	data, err := plain.MarshalJSON()
	if err != nil {
		c.problem(at, "%v", err)
		return
	}
	text := string(data)
	rewriter(func(_, s string, _ bool) (string, bool) { text += literals(s); return s, true }).policy("", p)
	if i := strings.IndexFunc(text, func(r rune) bool { return !isPolicyRune(r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(text[i:])
		c.problem(at, "contains the character %U; a policy may have tabs, line breaks and U+0020 to U+00FF", r)
	}
	if n := c.policySize(p); n > limit {
		c.problem(at, "has %d characters; it may have %d", n, limit)
	}
	c.optionals(at, p)
}

// optionals checks that no list has two optional elements.
func (c *checker) optionals(at string, p *iam.Policy) {
	seen := map[string]bool{}
	rewriter(func(at, s string, element bool) (string, bool) {
		list, _, _ := strings.Cut(at, "[")
		if i := strings.LastIndexByte(at, '['); i >= 0 {
			list = at[:i]
		}
		for _, part := range Parts(s) {
			if _, ok := part.(OptionalElement); ok && element {
				if seen[list] {
					c.problem(at, "a list may have only one Optional element")
				}
				seen[list] = true
			}
		}
		return s, true
	}).policy(at, p)
}

// literals returns the text of s that is no reference.
func literals(s string) string {
	var b strings.Builder
	for _, part := range Parts(s) {
		switch part := part.(type) {
		case Literal:
			b.WriteString(string(part))
		case Conditional:
			b.WriteString(literals(part.Then) + literals(part.Otherwise))
		case OptionalElement:
			b.WriteString(literals(part.Value))
		}
	}
	return b.String()
}

func (c *checker) name(at, s string, limit int) {
	if c.namedAfterResource(at, s) {
		return
	}
	switch n := c.size(s); {
	case s == "":
		c.problem(at, "is empty; names must be given")
	case n > limit:
		c.problem(at, "may become %d characters long; the limit is %d", n, limit)
	case strings.ContainsFunc(literals(s), func(r rune) bool { return !isNameRune(r) }):
		c.problem(at, "%q may only have letters, digits and _+=,.@-", clip(literals(s)))
	}
}

// namedAfterResource reports names and paths that refer to resources: two
// resources could be named after each other.
func (c *checker) namedAfterResource(at, s string) bool {
	for _, part := range Parts(s) {
		if _, ok := part.(AttributeRef); ok {
			c.problem(at, "cannot refer to a resource")
			return true
		}
	}
	return false
}

func (c *checker) path(at, s string) {
	if c.namedAfterResource(at, s) {
		return
	}
	text := literals(s)
	switch {
	case s == "":
	case c.size(s) > MaxPath:
		c.problem(at, "may become %d characters long; the limit is %d", c.size(s), MaxPath)
	case !strings.HasPrefix(s, "/") || !strings.HasSuffix(s, "/"):
		c.problem(at, "%q must begin and end with a slash", clip(text))
	case strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' }):
		c.problem(at, "%q may only have printable ASCII characters without spaces", clip(text))
	}
}

func (c *checker) description(at, s string) {
	if n := c.size(s); n > MaxIAMDescription {
		c.problem(at, "has %d characters; the limit is %d", n, MaxIAMDescription)
	}
	if strings.ContainsFunc(literals(s), func(r rune) bool { return !isDescriptionRune(r) }) {
		c.problem(at, "may only have tabs, line breaks and printable Latin-1 characters")
	}
}

func (c *checker) arn(at, s string) {
	if n := c.size(s); n > MaxARN {
		c.problem(at, "has %d characters; an ARN may have %d", n, MaxARN)
		return
	}
	for _, part := range Parts(s) {
		switch part.(type) {
		case AttributeRef, ParameterRef, Conditional:
			return // only known later
		}
	}
	if _, err := iam.ParseARN(s); err != nil {
		c.problem(at, "is no ARN: %s", clip(literals(s)))
	}
}

func (c *checker) tags(at string, tags []Tag) {
	if len(tags) > MaxTags {
		c.problem(at, "there are %d; a resource may have %d", len(tags), MaxTags)
	}
	var keys []string
	legal := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Z, r) || strings.ContainsRune("_.:/=+-@", r)
	}
	for i, t := range tags {
		at := index(at, i)
		key := strings.ToLower(t.Key)
		switch n := c.size(t.Key); {
		case n == 0 || n > MaxTagKey:
			c.problem(at+".Key", "has %d characters; must have 1 to %d", n, MaxTagKey)
		case strings.HasPrefix(key, "aws:"):
			c.problem(at+".Key", "begins with \"aws:\", which is reserved")
		case slices.Contains(keys, key):
			c.problem(at+".Key", "%q is given twice; case makes no difference", clip(literals(t.Key)))
		}
		keys = append(keys, key)
		if n := c.size(t.Value); n > MaxTagValue {
			c.problem(at+".Value", "has %d characters; may have %d", n, MaxTagValue)
		}
		if strings.ContainsFunc(literals(t.Key)+literals(t.Value), func(r rune) bool { return !legal(r) }) {
			c.problem(at, "may only have letters, digits, spaces and _.:/=+-@")
		}
	}
}

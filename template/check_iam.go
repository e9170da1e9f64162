package template

import (
	"strings"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// longest returns s with every reference replaced by as many letters as its
// value may have. Letters are legal everywhere, so the result has the length of
// the worst case and the characters of the literal text.
func (c *checker) longest(s string) string {
	if !iam.HasSymbol(s) {
		return s
	}
	var b strings.Builder
	for _, part := range Parts(s) {
		switch part := part.(type) {
		case Literal:
			b.WriteString(string(part))
		case ParameterRef:
			b.WriteString(strings.Repeat("x", c.parameters[string(part)].reckonedSize()))
		case Variable:
			b.WriteString(strings.Repeat("x", variableSizes[part]))
		case AttributeRef:
			b.WriteString(c.longestAttribute(part))
		case Conditional:
			then, otherwise := c.longest(part.Then), c.longest(part.Otherwise)
			if utf8.RuneCountInString(then) < utf8.RuneCountInString(otherwise) {
				then = otherwise
			}
			b.WriteString(then)
		case OptionalElement:
			b.WriteString(c.longest(part.Value))
		}
	}
	return b.String()
}

// longestAttribute leaves out attributes inside attributes: they are refused,
// but must not be followed for ever either.
func (c *checker) longestAttribute(a AttributeRef) string {
	r, ok := c.resources[a.Resource]
	if !ok || r.Kind == nil {
		return ""
	}
	text := r.Kind.attributes()[a.Attribute]
	if hasAttribute(text) {
		return ""
	}
	return c.longest(text)
}

func hasAttribute(s string) bool {
	for _, part := range Parts(s) {
		if _, ok := part.(AttributeRef); ok {
			return true
		}
	}
	return false
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
	return reference.MaxTemplateParameterValue
}

// longestPolicy returns the policy with every reference at its longest.
func (c *checker) longestPolicy(p *iam.Policy) *iam.Policy {
	return rewriter(func(_, s string, _ bool) (string, bool) { return c.longest(s), true }).policy("", p)
}

// policy checks a policy's elements and character set and returns its size, 0
// if it cannot be written.
func (c *checker) policy(at string, p *iam.Policy, kind iam.Kind) int {
	if p == nil {
		c.problem(at, "there is no policy")
		return 0
	}
	for _, problem := range p.Check(kind) {
		c.problem(strings.TrimSuffix(at+"."+problem.Path, "."), "%s", problem.Message)
	}
	c.dynamic(at+".Id", p.ID)
	for i, s := range p.Statements {
		at := index(at+".Statement", i)
		c.dynamic(at+".Sid", s.Sid)
		c.dynamic(at+".Action", strings.Join(s.Action, " "))
		c.dynamic(at+".NotAction", strings.Join(s.NotAction, " "))
		for _, condition := range s.Conditions {
			c.dynamic(at+".Condition", condition.Operator+" "+condition.Key)
		}
	}
	full := c.longestPolicy(p)
	data, err := full.MarshalJSON()
	if err != nil {
		c.problem(at, "%v", err)
		return 0
	}
	c.limit(at, reference.CheckPolicyCharacters(string(data)))
	if !utf8.Valid(data) {
		c.problem(at, "is not valid UTF-8")
	}
	c.optionals(at, p)
	return full.Size()
}

// limit reports an error of package reference, if there is one.
func (c *checker) limit(at string, err error) {
	if err != nil {
		c.problem(at, "%v", err)
	}
}

// optionals checks that no list has two optional elements.
func (c *checker) optionals(at string, p *iam.Policy) {
	seen := map[string]bool{}
	rewriter(func(at, s string, element bool) (string, bool) {
		for _, part := range Parts(s) {
			if _, ok := part.(OptionalElement); ok && element {
				list := at[:strings.LastIndexByte(at, '[')]
				if seen[list] {
					c.problem(at, "a list may have only one Optional element")
				}
				seen[list] = true
			}
		}
		return s, true
	}).policy(at, p)
}

// name checks a name or a path. Neither may refer to a resource: two resources
// could be named after each other.
func (c *checker) name(at, s string, check func(string) error) {
	if hasAttribute(s) {
		c.problem(at, "cannot refer to a resource")
		return
	}
	c.limit(at, check(c.longest(s)))
}

func (c *checker) path(at, s string) {
	if s != "" {
		c.name(at, s, reference.CheckPath)
	}
}

func (c *checker) arn(at, s string) {
	for _, part := range Parts(s) {
		switch part.(type) {
		case AttributeRef, ParameterRef, Conditional:
			return // only known later
		}
	}
	if _, err := iam.ParseARN(s); err != nil {
		c.problem(at, "%q is no ARN", clip(c.longest(s)))
	}
}

func (c *checker) tags(at string, tags []Tag) {
	if len(tags) > reference.MaxTags {
		c.problem(at, "there are %d; a resource may have %d", len(tags), reference.MaxTags)
	}
	seen := map[string]bool{}
	for i, t := range tags {
		key := c.longest(t.Key)
		c.limit(index(at, i), reference.CheckTag(key, c.longest(t.Value)))
		if folded := strings.ToLower(t.Key); seen[folded] {
			c.problem(index(at, i), "the key %q is given twice; case makes no difference", clip(key))
		} else {
			seen[folded] = true
		}
	}
}

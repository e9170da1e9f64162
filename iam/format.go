package iam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// MarshalJSON writes the minified policy: elements in AWS's order, lists in
// their own order, a list of one as a scalar, and no escaping beyond what JSON
// needs. The result parses to an equal policy. It is an error if the policy has
// symbols, or if a statement has two conditions with the same operator and key:
// neither can be written as a policy.
func (p *Policy) MarshalJSON() ([]byte, error) {
	for i, s := range p.Statements {
		for j, c := range s.Conditions {
			for _, earlier := range s.Conditions[:j] {
				if strings.EqualFold(c.Operator, earlier.Operator) && strings.EqualFold(c.Key, earlier.Key) {
					return nil, fmt.Errorf("statement %d has two conditions %s on %s; a policy can only have one", i, c.Operator, c.Key)
				}
			}
		}
	}
	data := p.minified()
	if HasSymbol(string(data)) {
		return nil, fmt.Errorf("the policy has unresolved symbols; replace them before writing it")
	}
	return data, nil
}

// Indent writes the policy for people to read: as MarshalJSON does, indented by
// two spaces and with a line break at the end. Symbols are kept.
func (p *Policy) Indent() []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, p.minified(), "", "  "); err != nil {
		panic(err) // minified always writes valid JSON
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// Size returns the length of the minified policy in characters. IAM does not
// count white space; text inside strings is counted in full here, so that the
// result is never too small.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func (p *Policy) Size() int { return utf8.RuneCount(p.minified()) }

// Canonical returns one form for all documents that differ only in spelling:
// scalars or arrays, order, duplicates, the case of actions and of condition
// keys and operators, account ids or account root ARNs, and Sids. Two policies
// with the same canonical form always decide the same; the reverse does not
// hold. It is for comparing, not for sending to AWS. Symbols are kept.
func (p *Policy) Canonical() []byte {
	c := Policy{Version: p.Version}
	if c.Version == "" {
		c.Version = Version2008 // what AWS assumes
	}
	for _, s := range p.Statements {
		c.Statements = append(c.Statements, canonicalStatement(s))
	}
	written := func(s Statement) string {
		var b bytes.Buffer
		writeStatement(&b, s)
		return b.String()
	}
	sort.SliceStable(c.Statements, func(i, j int) bool {
		return written(c.Statements[i]) < written(c.Statements[j])
	})
	c.Statements = slices.CompactFunc(c.Statements, func(a, b Statement) bool { return written(a) == written(b) })
	return c.minified()
}

func canonicalStatement(s Statement) Statement {
	s.Sid = ""
	s.Principal = canonicalPrincipals(s.Principal)
	s.NotPrincipal = canonicalPrincipals(s.NotPrincipal)
	s.Action = canonicalSet(s.Action, strings.ToLower)
	s.NotAction = canonicalSet(s.NotAction, strings.ToLower)
	s.Resource = canonicalSet(s.Resource, nil)
	s.NotResource = canonicalSet(s.NotResource, nil)
	var conditions []Condition
	for _, c := range s.Conditions {
		if op, err := ParseOperator(c.Operator); err == nil {
			c.Operator = op.String()
		}
		c.Key = strings.ToLower(c.Key)
		c.Values = canonicalSet(c.Values, nil)
		conditions = append(conditions, c)
	}
	sort.SliceStable(conditions, func(i, j int) bool {
		a, b := conditions[i], conditions[j]
		if a.Operator != b.Operator {
			return a.Operator < b.Operator
		}
		return a.Key < b.Key
	})
	s.Conditions = conditions
	return s
}

func canonicalPrincipals(p *Principals) *Principals {
	if p == nil {
		return nil
	}
	return &Principals{
		All: p.All,
		AWS: canonicalSet(p.AWS, func(s string) string {
			if a, err := ParseARN(s); err == nil && a.Service == "iam" && a.Resource == "root" && isAccountID(a.Account) {
				return a.Account
			}
			return s
		}),
		Service:       canonicalSet(p.Service, nil),
		Federated:     canonicalSet(p.Federated, nil),
		CanonicalUser: canonicalSet(p.CanonicalUser, nil),
	}
}

// canonicalSet keeps the difference between an absent and an empty list.
func canonicalSet(list []string, normal func(string) string) []string {
	if list == nil {
		return nil
	}
	set := make([]string, 0, len(list))
	for _, s := range list {
		if normal != nil {
			s = normal(s)
		}
		set = append(set, s)
	}
	sort.Strings(set)
	return slices.Compact(set)
}

func (p *Policy) minified() []byte {
	var b bytes.Buffer
	o := beginObject(&b)
	if p.Version != "" {
		o.text("Version", p.Version)
	}
	if p.ID != "" {
		o.text("Id", p.ID)
	}
	o.key("Statement")
	b.WriteByte('[')
	for i, s := range p.Statements {
		if i > 0 {
			b.WriteByte(',')
		}
		writeStatement(&b, s)
	}
	b.WriteByte(']')
	o.end()
	return b.Bytes()
}

func writeStatement(b *bytes.Buffer, s Statement) {
	o := beginObject(b)
	if s.Sid != "" {
		o.text("Sid", s.Sid)
	}
	o.text("Effect", string(s.Effect))
	o.principals("Principal", s.Principal)
	o.principals("NotPrincipal", s.NotPrincipal)
	o.list("Action", s.Action)
	o.list("NotAction", s.NotAction)
	o.list("Resource", s.Resource)
	o.list("NotResource", s.NotResource)
	if len(s.Conditions) > 0 {
		o.key("Condition")
		writeConditions(b, s.Conditions)
	}
	o.end()
}

// writeConditions groups conditions by operator, in order of first appearance.
func writeConditions(b *bytes.Buffer, conditions []Condition) {
	block := beginObject(b)
	written := map[string]bool{}
	for _, first := range conditions {
		if written[first.Operator] {
			continue
		}
		written[first.Operator] = true
		block.key(first.Operator)
		keys := beginObject(b)
		for _, c := range conditions {
			if c.Operator == first.Operator {
				keys.list(c.Key, append([]string{}, c.Values...))
			}
		}
		keys.end()
	}
	block.end()
}

// objectWriter writes the members of one JSON object.
type objectWriter struct {
	b     *bytes.Buffer
	empty bool
}

func beginObject(b *bytes.Buffer) *objectWriter {
	b.WriteByte('{')
	return &objectWriter{b, true}
}

func (o *objectWriter) end() { o.b.WriteByte('}') }

func (o *objectWriter) key(name string) {
	if !o.empty {
		o.b.WriteByte(',')
	}
	o.empty = false
	writeString(o.b, name)
	o.b.WriteByte(':')
}

func (o *objectWriter) text(name, value string) {
	o.key(name)
	writeString(o.b, value)
}

// list writes nothing for a nil list.
func (o *objectWriter) list(name string, values []string) {
	if values == nil {
		return
	}
	o.key(name)
	if len(values) == 1 {
		writeString(o.b, values[0])
		return
	}
	o.b.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			o.b.WriteByte(',')
		}
		writeString(o.b, v)
	}
	o.b.WriteByte(']')
}

func (o *objectWriter) principals(name string, p *Principals) {
	switch {
	case p == nil:
	case p.All:
		o.text(name, "*")
	default:
		o.key(name)
		types := beginObject(o.b)
		types.list("AWS", p.AWS)
		types.list("Service", p.Service)
		types.list("Federated", p.Federated)
		types.list("CanonicalUser", p.CanonicalUser)
		types.end()
	}
}

// writeString writes a JSON string. Unlike encoding/json it does not escape
// <, > and &, which would make a policy longer than the one AWS measures.
func writeString(b *bytes.Buffer, s string) {
	const hex = "0123456789abcdef"
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ':
			b.WriteString(`\u00`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&0xF])
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

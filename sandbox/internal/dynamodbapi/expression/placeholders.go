package expression

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Placeholders are the names and values that the expressions of one request
// share. Parsing notes which are used; see [Placeholders.Unused].
type Placeholders struct {
	names  map[string]string
	values map[string]Value
	used   map[string]bool
}

var (
	nameKey  = regexp.MustCompile(`^#[A-Za-z0-9_]+$`)
	valueKey = regexp.MustCompile(`^:[A-Za-z0-9_]+$`)
)

// NewPlaceholders checks the request's ExpressionAttributeNames and
// ExpressionAttributeValues. Nil maps are absent members; empty ones are
// refused.
func NewPlaceholders(names map[string]string, values map[string]Value) (*Placeholders, error) {
	if err := checkKeys("ExpressionAttributeNames", names, nameKey); err != nil {
		return nil, err
	}
	if err := checkKeys("ExpressionAttributeValues", values, valueKey); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if n := len(names[key]); n == 0 || n > 65535 {
			return nil, Invalid("ExpressionAttributeNames contains invalid value: attribute names have 1 to 65535 bytes; key: %s", key)
		}
	}
	return &Placeholders{names, values, make(map[string]bool)}, nil
}

func checkKeys[V any](member string, m map[string]V, pattern *regexp.Regexp) error {
	if m != nil && len(m) == 0 {
		return Invalid("%s must not be empty", member)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !pattern.MatchString(key) || len(key) > 255 {
			return Invalid(`%s contains invalid key: Syntax error; key: "%s"`, member, clip(key))
		}
	}
	return nil
}

// Unused refuses what no expression has used. Call it after all expressions of
// the request have been parsed.
func (p *Placeholders) Unused() error {
	if err := unused("ExpressionAttributeNames", p.names, p.used); err != nil {
		return err
	}
	return unused("ExpressionAttributeValues", p.values, p.used)
}

func unused[V any](member string, m map[string]V, used map[string]bool) error {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !used[key] {
			keys = append(keys, key)
		}
	}
	switch {
	case len(keys) == 0:
		return nil
	case len(used) == 0 && len(keys) == len(m) && member == "ExpressionAttributeNames":
		return Invalid("ExpressionAttributeNames can only be specified when using expressions")
	}
	return Invalid("Value provided in %s unused in expressions: keys: {%s}", member, clip(strings.Join(keys, ", ")))
}

// name returns the attribute that a word or a #name means.
func (p *parser) name() (string, *wire.Error) {
	t := p.peek()
	switch t.kind {
	case wordToken:
		if reserved[strings.ToUpper(t.text)] {
			return "", p.invalid("Attribute name is a reserved keyword; reserved keyword: %s", t.text)
		}
		p.take()
		return t.text, nil
	case nameToken:
		p.take()
		name, ok := p.placeholders.names[t.text]
		if !ok {
			return "", p.invalid("An expression attribute name used in the document path is not defined; attribute name: %s", clip(t.text))
		}
		p.placeholders.used[t.text] = true
		return name, nil
	default:
		return "", p.syntaxError()
	}
}

// value returns what a :value means.
func (p *parser) value() (*node, *wire.Error) {
	t := p.peek()
	if t.kind != valueToken {
		return nil, p.syntaxError()
	}
	p.take()
	v, ok := p.placeholders.values[t.text]
	if !ok {
		return nil, p.invalid("An expression attribute value used in expression is not defined; attribute value: %s", clip(t.text))
	}
	p.placeholders.used[t.text] = true
	return &node{op: opValue, value: v}, nil
}

package iam

// ValueKind says what a [Value] is.
type ValueKind int

// The kinds of values, which are those of JSON.
const (
	ValueNull ValueKind = iota
	ValueBool
	ValueNumber
	ValueString
	ValueArray
	ValueObject
)

// String returns the kind with its article, for messages.
func (k ValueKind) String() string { return nodeKind(k).String() }

// A Value is a value of a document with the place where it was written. It is
// for policies that are not a document of their own: those in templates, in
// plans, or in strings of other documents, whose places are still those of the
// file that people edit.
type Value struct {
	Kind     ValueKind
	Position Position
	Text     string // of a string; of a number or boolean, its literal
	Items    []Value
	Members  []Member // in the order written, duplicates included
}

// A Member is one key of an object with its value.
type Member struct {
	Name     string
	Position Position // of the key
	Value    Value
}

// Get returns the value of the first member with that name, or nil if v is no
// object or lacks the member.
func (v *Value) Get(name string) *Value {
	if v == nil {
		return nil
	}
	for i := range v.Members {
		if v.Members[i].Name == name {
			return &v.Members[i].Value
		}
	}
	return nil
}

// ReadValue reads one JSON value (RFC 8259). Nesting deeper than 64 is refused.
// The error is a [*SyntaxError].
func ReadValue(data []byte) (Value, error) {
	n, err := readJSON(data)
	if err != nil {
		return Value{}, &SyntaxError{Problems: []Problem{{ProblemJSON, "", err.pos, err.message}}}
	}
	return n.value(), nil
}

// ParseValue is [Parse] for a policy that was read as a value. Unlike in text,
// symbols are allowed in its strings.
func ParseValue(v Value) (*Policy, []Problem) {
	return decodePolicy(v.node(), true)
}

func (n node) value() Value {
	v := Value{Kind: ValueKind(n.kind), Position: n.pos, Text: n.text}
	for _, item := range n.items {
		v.Items = append(v.Items, item.value())
	}
	for _, m := range n.members {
		v.Members = append(v.Members, Member{m.name, m.pos, m.value.value()})
	}
	return v
}

func (v Value) node() node {
	n := node{kind: nodeKind(v.Kind), pos: v.Position, text: v.Text}
	for _, item := range v.Items {
		n.items = append(n.items, item.node())
	}
	for _, m := range v.Members {
		n.members = append(n.members, member{m.Name, m.Position, m.Value.node()})
	}
	return n
}

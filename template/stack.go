package template

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// A Stack is a set of resources that are created, updated and deleted together.
// Parameters, conditions, resources and outputs keep the order in which they
// are listed.
type Stack struct {
	Description string // at most 1,024 bytes
	Metadata    Metadata
	Parameters  []Parameter
	Conditions  []Condition
	Resources   []Resource
	Outputs     []Output
}

// Metadata says where a stack comes from. It is written into every format and
// changes nothing about what the stack does.
type Metadata struct {
	Version   string // version of the stack's content, chosen by its author
	Generator string // the program that made it, such as "crossaccount v1.2.0"
}

// String returns what the metadata says in a few words, or "".
func (m Metadata) String() string {
	var words []string
	if m.Generator != "" {
		words = append(words, "made by "+m.Generator)
	}
	if m.Version != "" {
		words = append(words, "version "+m.Version)
	}
	return strings.Join(words, ", ")
}

// A ParameterType is the type of a parameter's value.
type ParameterType int

// The types of parameters. The zero value is a string.
const (
	String ParameterType = iota
	Number
)

// A Parameter is a value that whoever creates the stack may choose.
//
// There are no hidden parameters (NoEcho): quick-create links ignore values for
// those, and what belongs in them does not belong in a stack.
type Parameter struct {
	ID          string // CloudFormation's logical name, such as "ExternalId"
	Label       string // shown to people instead of the ID; optional
	Type        ParameterType
	Description string  // at most 4,000 characters
	Default     *string // nil: a value is required

	// AllowedValues lists the only legal values. Pattern is a regular
	// expression the whole value must match, written in the part of the syntax
	// that Java, Go and POSIX ERE share: no backslash, no "(?" and no anchors.
	// Zero lengths and an empty pattern mean no restriction.
	AllowedValues        []string
	Pattern              string
	MinLength, MaxLength int    // in characters
	Constraint           string // what a legal value looks like, for the message when it is not

	// SizeHint is how long the value is taken to be when the size of a policy
	// that contains it is checked; 0 means MaxLength.
	SizeHint int
}

// A Condition is a named truth about parameters, decided when the stack is
// created or updated.
type Condition struct {
	ID   string
	Expr Expr
}

// A Resource is one thing a stack creates.
type Resource struct {
	ID        string // the logical id: letters and digits
	Condition string // id of the condition under which it exists; "" for always
	Kind      Kind
}

// An Output is a value the stack tells about itself once it exists.
type Output struct {
	ID          string
	Description string
	Value       string
}

// A Kind is the kind of a resource together with its properties. The set of
// kinds is closed; the package comment says how to add one.
type Kind interface {
	// Type returns CloudFormation's name of the kind, such as "AWS::IAM::Role".
	Type() string

	// attributes returns the values that [Attribute] can refer to. They may
	// contain references themselves.
	attributes() map[string]string

	// check reports what AWS would refuse.
	check(c *checker, at string)

	// rewrite returns a copy in which every string that may contain references
	// has gone through r.
	rewrite(r rewriter, at string) Kind
}

// Kinds returns a zero value of every kind that has a type of its own;
// [Generic] stands for all others.
func Kinds() []Kind { return []Kind{&Role{}, &ManagedPolicy{}} }

// Hash returns the SHA-256, in hexadecimal, of everything about the stack
// except its Metadata. Stacks with equal hashes create the same things. It is
// empty for a stack that [Stack.Check] would refuse because a policy cannot be
// written at all.
func (s *Stack) Hash() string {
	type condition struct{ ID, Expr string }
	type resource struct {
		ID, Condition, Type string
		Kind                Kind
	}
	content := struct {
		Description string
		Parameters  []Parameter
		Conditions  []condition
		Resources   []resource
		Outputs     []Output
	}{Description: s.Description, Parameters: s.Parameters, Outputs: s.Outputs}
	for _, c := range s.Conditions {
		content.Conditions = append(content.Conditions, condition{c.ID, fmt.Sprintf("%#v", c.Expr)})
	}
	// Policies refuse to be marshalled while they have symbols.
	hexText := rewriter(func(_, text string, _ bool) (string, bool) { return hex.EncodeToString([]byte(text)), true })
	for _, r := range s.Resources {
		content.Resources = append(content.Resources, resource{r.ID, r.Condition, r.Kind.Type(), r.Kind.rewrite(hexText, "")})
	}
	data, err := json.Marshal(content)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Parameter returns the parameter with the given id.
func (s *Stack) Parameter(id string) (Parameter, bool) {
	for _, p := range s.Parameters {
		if p.ID == id {
			return p, true
		}
	}
	return Parameter{}, false
}

// Resource returns the resource with the given logical id.
func (s *Stack) Resource(id string) (Resource, bool) {
	for _, r := range s.Resources {
		if r.ID == id {
			return r, true
		}
	}
	return Resource{}, false
}

// A Problem is one reason why AWS would refuse a stack.
type Problem struct {
	Field   string // where, such as "Resources.Role.Name"
	Message string // what is wrong, which limit applies and what to do
}

// Error lists everything that is wrong with a stack.
type Error struct {
	Problems []Problem
}

// Error names every field and its rule.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("the stack cannot be created: ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Field + ": " + p.Message)
	}
	return b.String()
}

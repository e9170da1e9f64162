package template

import (
	"maps"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// Variables of the account and region a stack is created in. CloudFormation
// calls them pseudo parameters.
var (
	Partition = iam.Symbol("AWS::Partition") // "aws", "aws-us-gov", "aws-cn"
	AccountID = iam.Symbol("AWS::AccountId") // twelve digits
	Region    = iam.Symbol("AWS::Region")    // "eu-central-1"
	URLSuffix = iam.Symbol("AWS::URLSuffix") // "amazonaws.com"
)

// Ref returns text that stands for the value of a parameter.
func Ref(parameter string) string { return iam.Symbol(parameter) }

// Attribute returns text that stands for an attribute of a resource. A resource
// with a condition may only be referred to by resources with the same one.
func Attribute(resource, attribute string) string { return iam.Symbol(resource + "." + attribute) }

const (
	ifPrefix       = "If:"
	optionalPrefix = "Optional:"
)

// If returns a value that is one text while a condition holds and another while
// it does not. It must be the whole of a string, and neither text may contain
// If or Optional.
func If(condition, then, otherwise string) string {
	return iam.Symbol(ifPrefix + condition + "\x00" + then + "\x00" + otherwise)
}

// Optional returns an element of a list that is there only while a condition
// holds. It must be the whole of its element, must not come first, and a list
// may have only one.
func Optional(condition, value string) string {
	return iam.Symbol(optionalPrefix + condition + "\x00" + value)
}

// A Part is a piece of a string: [Literal], [ParameterRef], [Variable],
// [AttributeRef], [Conditional], [OptionalElement] or [Unknown].
type Part interface{ isPart() }

type (
	// Literal is text that stands for itself.
	Literal string

	// ParameterRef is the id of a parameter whose value belongs here.
	ParameterRef string

	// Variable is CloudFormation's name of one of the package's variables, such
	// as "AWS::Partition".
	Variable string

	// AttributeRef refers to an attribute of a resource.
	AttributeRef struct{ Resource, Attribute string }

	// Conditional is what [If] returns.
	Conditional struct{ Condition, Then, Otherwise string }

	// OptionalElement is what [Optional] returns.
	OptionalElement struct{ Condition, Value string }

	// Unknown is the id of a symbol that is none of these. A stack that has one
	// does not pass Check.
	Unknown string
)

func (Literal) isPart()         {}
func (ParameterRef) isPart()    {}
func (Variable) isPart()        {}
func (AttributeRef) isPart()    {}
func (Conditional) isPart()     {}
func (OptionalElement) isPart() {}
func (Unknown) isPart()         {}

// Parts takes a string apart, in order. The empty string has no parts.
func Parts(s string) []Part {
	var parts []Part
	for _, piece := range iam.Pieces(s) {
		if piece.IsSymbol {
			parts = append(parts, parseReference(piece.Text))
		} else {
			parts = append(parts, Literal(piece.Text))
		}
	}
	return parts
}

func parseReference(id string) Part {
	if rest, ok := strings.CutPrefix(id, ifPrefix); ok {
		if f := strings.Split(rest, "\x00"); len(f) == 3 {
			return Conditional{f[0], f[1], f[2]}
		}
		return Unknown(id)
	}
	if rest, ok := strings.CutPrefix(id, optionalPrefix); ok {
		if f := strings.Split(rest, "\x00"); len(f) == 2 {
			return OptionalElement{f[0], f[1]}
		}
		return Unknown(id)
	}
	if _, ok := variableSizes[Variable(id)]; ok {
		return Variable(id)
	}
	if resource, attribute, ok := strings.Cut(id, "."); ok {
		return AttributeRef{resource, attribute}
	}
	if reference.CheckLogicalID(id) == nil {
		return ParameterRef(id)
	}
	return Unknown(id)
}

// Variables returns the variables that the stack refers to, sorted.
func (s *Stack) Variables() []Variable {
	found := map[Variable]bool{}
	var visit func(text string)
	visit = func(text string) {
		for _, part := range Parts(text) {
			switch part := part.(type) {
			case Variable:
				found[part] = true
			case AttributeRef:
				found["AWS::Partition"], found["AWS::AccountId"] = true, true
			case Conditional:
				visit(part.Then)
				visit(part.Otherwise)
			case OptionalElement:
				visit(part.Value)
			}
		}
	}
	visitor := rewriter(func(_, text string, _ bool) (string, bool) { visit(text); return text, true })
	for _, r := range s.Resources {
		r.Kind.rewrite(visitor, "")
	}
	for _, c := range s.Conditions {
		visitExpr(c.Expr, visit)
	}
	for _, o := range s.Outputs {
		visit(o.Value)
	}
	return slices.Sorted(maps.Keys(found))
}

// AttributeText returns the text of an attribute, which may contain references
// itself but no further attributes; "" if there is no such attribute.
func (s *Stack) AttributeText(a AttributeRef) string {
	if r, ok := s.Resource(a.Resource); ok && r.Kind != nil {
		return r.Kind.attributes()[a.Attribute]
	}
	return ""
}

// variableSizes is the length of the longest value of each variable.
var variableSizes = map[Variable]int{
	"AWS::Partition": len("aws-us-gov"),
	"AWS::AccountId": 12,
	"AWS::Region":    len("ap-northeast-1-wxyz"), // longer than any region today
	"AWS::URLSuffix": len("amazonaws.com.cn"),
}

// A rewriter is called with every string that may contain references, where it
// is, and whether it is an element of a list. It returns what to put in its
// place, or false to leave the element out.
type rewriter func(at, s string, element bool) (string, bool)

func (r rewriter) text(at, s string) string {
	s, _ = r(at, s, false)
	return s
}

// list keeps the difference between an absent and an empty list.
func (r rewriter) list(at string, list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, 0, len(list))
	for i, s := range list {
		if s, ok := r(index(at, i), s, true); ok {
			out = append(out, s)
		}
	}
	return out
}

func (r rewriter) policy(at string, p *iam.Policy) *iam.Policy {
	if p == nil {
		return nil
	}
	out := &iam.Policy{Version: p.Version, ID: p.ID, Statements: make([]iam.Statement, 0, len(p.Statements))}
	for i, s := range p.Statements {
		at := index(at+".Statement", i)
		s.Principal = r.principals(at+".Principal", s.Principal)
		s.NotPrincipal = r.principals(at+".NotPrincipal", s.NotPrincipal)
		s.Resource = r.list(at+".Resource", s.Resource)
		s.NotResource = r.list(at+".NotResource", s.NotResource)
		conditions := make([]iam.Condition, 0, len(s.Conditions))
		for _, c := range s.Conditions {
			c.Values = r.list(at+".Condition."+c.Operator+"."+c.Key, c.Values)
			conditions = append(conditions, c)
		}
		s.Conditions = conditions
		out.Statements = append(out.Statements, s)
	}
	return out
}

func (r rewriter) principals(at string, p *iam.Principals) *iam.Principals {
	if p == nil {
		return nil
	}
	return &iam.Principals{
		All:           p.All,
		AWS:           r.list(at+".AWS", p.AWS),
		Service:       r.list(at+".Service", p.Service),
		Federated:     r.list(at+".Federated", p.Federated),
		CanonicalUser: r.list(at+".CanonicalUser", p.CanonicalUser),
	}
}

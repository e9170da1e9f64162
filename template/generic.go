package template

import (
	"maps"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A Generic is a resource of any type, described by its properties. Stack.Check
// knows nothing about it beyond its references, names and policy documents;
// whoever makes one answers for the rest.
//
// Values of its objects are those of an [Object], and *iam.Policy for policy
// documents, which keep their references and are written as each format wants
// them.
type Generic struct {
	TypeName   string // "AWS::SQS::QueuePolicy"
	Properties Object // as CloudFormation names them

	// Attributes are what [Attribute] can refer to, and how CloudFormation gives
	// them: the attribute's name for Fn::GetAtt, or "Ref".
	Attributes map[string]string

	// PolicyKind is what the documents among the properties are; zero means
	// iam.KindResource.
	PolicyKind iam.Kind

	// After are logical ids of resources that must exist first although nothing
	// refers to them.
	After []string

	// Terraform is the resource in Terraform's words; without it Terraform
	// configuration with the resource is refused. The first block is the one
	// that attributes belong to.
	Terraform []Block
}

// A Block is a resource of Terraform.
type Block struct {
	Type       string // "aws_sqs_queue_policy"
	Suffix     string // of its name, which is that of the resource; different for each block
	Arguments  Object
	Attributes map[string]string // :: attribute of the resource → Terraform's name
}

// Type returns the name of the type.
func (g *Generic) Type() string { return g.TypeName }

// attributes are known only to AWS, so they have no text.
func (g *Generic) attributes() map[string]string {
	out := map[string]string{}
	for name := range g.Attributes {
		out[name] = ""
	}
	return out
}

func (g *Generic) rewrite(w rewriter, at string) Kind {
	out := *g
	out.Properties = w.object(at, g.Properties)
	out.Attributes = maps.Clone(g.Attributes)
	out.Terraform = nil
	except := rewriter(func(at, s string, element bool) (string, bool) {
		if _, own := ownAttribute(s); own {
			return s, true
		}
		return w(at, s, element)
	})
	for _, b := range g.Terraform {
		b.Arguments = except.object(at+"."+b.Type, b.Arguments)
		out.Terraform = append(out.Terraform, b)
	}
	return &out
}

func (g *Generic) check(c *checker, at string) {
	kind := g.PolicyKind
	if kind == 0 {
		kind = iam.KindResource
	}
	if g.TypeName == "" {
		c.problem(at, "has no type")
	}
	g.policies(g.Properties, at, func(at string, p *iam.Policy) { c.policy(at, p, kind) })
	for i, id := range g.After {
		if r, ok := c.resources[id]; ok {
			c.needs(index(at+".After", i), r)
		} else {
			c.problem(index(at+".After", i), "there is no resource %q", clip(id))
		}
	}
}

// policies visits the documents among the properties.
func (g *Generic) policies(v any, at string, visit func(at string, p *iam.Policy)) {
	switch v := v.(type) {
	case *iam.Policy:
		visit(at, v)
	case Object:
		for _, m := range v {
			g.policies(m.Value, at+"."+m.Key, visit)
		}
	case []any:
		for i, e := range v {
			g.policies(e, index(at, i), visit)
		}
	}
}

func (r rewriter) object(at string, o Object) Object {
	if o == nil {
		return nil
	}
	out := make(Object, 0, len(o))
	for _, m := range o {
		out = append(out, Member{m.Key, r.any(at+"."+m.Key, m.Value)})
	}
	return out
}

func (r rewriter) any(at string, v any) any {
	switch v := v.(type) {
	case string:
		return r.text(at, v)
	case Object:
		return r.object(at, v)
	case *iam.Policy:
		return r.policy(at, v)
	case []any:
		out := make([]any, 0, len(v))
		for i, e := range v {
			if s, ok := e.(string); ok {
				if s, keep := r(index(at, i), s, true); keep {
					out = append(out, s)
				}
				continue
			}
			out = append(out, r.any(index(at, i), e))
		}
		return out
	}
	return v
}

// Rewrite returns a copy of the resource in which every string that may contain
// references has gone through replace.
func Rewrite(k Kind, replace func(s string) string) Kind {
	return k.rewrite(func(_, s string, _ bool) (string, bool) { return replace(s), true }, "")
}

// OwnAttribute stands, in the Terraform blocks of a [Generic], for an attribute
// of the resource itself.
func OwnAttribute(attribute string) string { return iam.Symbol("own:" + attribute) }

// ownAttribute reports whether a text is what OwnAttribute returns, and of which
// attribute.
func ownAttribute(s string) (string, bool) {
	pieces := iam.Pieces(s)
	if len(pieces) != 1 || !pieces[0].IsSymbol {
		return "", false
	}
	return strings.CutPrefix(pieces[0].Text, "own:")
}

// WithOwn returns the blocks' arguments of a resource with the given id, with
// references in the place of OwnAttribute.
func (g *Generic) WithOwn(id string) []Block {
	own := rewriter(func(_, s string, _ bool) (string, bool) {
		if attribute, ok := ownAttribute(s); ok {
			return Attribute(id, attribute), true
		}
		return s, true
	})
	var out []Block
	for _, b := range g.Terraform {
		b.Arguments = own.object("", b.Arguments)
		out = append(out, b)
	}
	return out
}

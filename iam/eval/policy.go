package eval

import (
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
)

// A Policy is a compiled policy. It is immutable and safe for concurrent use.
type Policy struct {
	// Which statements could match a request, by their effect. They come first,
	// as of most policies nothing else is looked at.
	allows, denies index

	statements []statement
	name       string
	kind       iam.Kind
	source     iam.Policy
}

// A statement is a compiled statement.
type statement struct {
	deny         bool
	notPrincipal bool
	notAction    bool
	notResource  bool
	principals   []principalEntry // nil: the policy's owner decides who is meant
	actions      []actionPattern
	resources    []pattern // nil: the resource the policy is attached to
	conditions   []condition
}

// Compile prepares a policy for deciding. The name is shown in explanations and
// has no other meaning. p must not be changed afterwards.
//
// Compile refuses what it could not give a meaning to: an unknown version,
// effect or condition operator, a statement without an action, a principal in a
// policy that cannot have one, and symbols ([iam.Symbol]), which have to be
// replaced by values first (see [iam.ReplaceSymbols]). It does not repeat the
// checks of [iam.Policy.Check].
func Compile(p *iam.Policy, kind iam.Kind, name string) (*Policy, error) {
	switch p.Version {
	case iam.Version2012, iam.Version2008, "":
	default:
		return nil, fmt.Errorf("compile %s %q: Version %q is neither %s nor %s", kind, name, p.Version, iam.Version2012, iam.Version2008)
	}
	compiled := &Policy{name: name, kind: kind, source: *p, statements: make([]statement, len(p.Statements))}
	for i := range p.Statements {
		s, err := compileStatement(&p.Statements[i], kind, p.Version == iam.Version2012)
		if err != nil {
			return nil, fmt.Errorf("compile %s %q: Statement[%d]: %w", kind, name, i, err)
		}
		compiled.statements[i] = s
		if s.deny {
			compiled.denies.add(&s, int32(i))
		} else {
			compiled.allows.add(&s, int32(i))
		}
	}
	compiled.allows.sort()
	compiled.denies.sort()
	return compiled, nil
}

// Name returns the name given to [Compile].
func (p *Policy) Name() string { return p.name }

// Kind returns what the policy is attached to.
func (p *Policy) Kind() iam.Kind { return p.kind }

// Source returns the policy that was compiled. It must not be changed.
func (p *Policy) Source() *iam.Policy { return &p.source }

func compileStatement(s *iam.Statement, kind iam.Kind, variables bool) (statement, error) {
	var out statement
	if err := checkStatement(s, kind); err != nil {
		return out, err
	}
	out.deny = s.Effect == iam.Deny
	principals := s.Principal
	if s.NotPrincipal != nil {
		out.notPrincipal, principals = true, s.NotPrincipal
	}
	if principals != nil {
		entries, err := compilePrincipals(principals)
		if err != nil {
			return out, err
		}
		out.principals = entries
	}
	actions := s.Action
	if s.NotAction != nil {
		out.notAction, actions = true, s.NotAction
	}
	for _, a := range actions {
		out.actions = append(out.actions, compileAction(a))
	}
	resources := s.Resource
	if s.NotResource != nil {
		out.notResource, resources = true, s.NotResource
	}
	if resources != nil {
		out.resources = make([]pattern, 0, len(resources)) // an empty list matches nothing
	}
	for _, r := range resources {
		out.resources = append(out.resources, compileResource(r, variables))
	}
	for i := range s.Conditions {
		c, err := compileCondition(&s.Conditions[i], variables)
		if err != nil {
			return out, err
		}
		out.conditions = append(out.conditions, c)
	}
	return out, nil
}

// checkStatement refuses statements that have no meaning.
func checkStatement(s *iam.Statement, kind iam.Kind) error {
	named := s.Principal != nil || s.NotPrincipal != nil
	switch {
	case s.Effect != iam.Allow && s.Effect != iam.Deny:
		return fmt.Errorf("Effect %q is neither Allow nor Deny", s.Effect)
	case s.Action == nil && s.NotAction == nil:
		return fmt.Errorf("there is neither an Action nor a NotAction")
	case s.Action != nil && s.NotAction != nil:
		return fmt.Errorf("Action and NotAction exclude each other")
	case s.Resource != nil && s.NotResource != nil:
		return fmt.Errorf("Resource and NotResource exclude each other")
	case s.Principal != nil && s.NotPrincipal != nil:
		return fmt.Errorf("Principal and NotPrincipal exclude each other")
	case s.NotPrincipal != nil && (kind == iam.KindTrust || kind == iam.KindResourceControl):
		return fmt.Errorf("a %s cannot have NotPrincipal", kind)
	}
	switch kind {
	case iam.KindResource, iam.KindTrust:
		if !named {
			return fmt.Errorf("a %s must say whom it means: add a Principal", kind)
		}
	case iam.KindEndpoint, iam.KindResourceControl:
		// An endpoint policy or RCP that names nobody means everybody.
	default:
		if named {
			return fmt.Errorf("a %s cannot have a Principal: it means whoever it is attached to", kind)
		}
		if s.Resource == nil && s.NotResource == nil {
			return fmt.Errorf("there is neither a Resource nor a NotResource")
		}
	}
	return checkSymbols(s)
}

func checkSymbols(s *iam.Statement) error {
	check := func(element string, lists ...[]string) error {
		for _, list := range lists {
			for _, v := range list {
				if iam.HasSymbol(v) {
					readable := iam.ReplaceSymbols(v, func(id string) string { return "<" + id + ">" })
					return fmt.Errorf("%s %q contains a symbol; replace it by a value first (iam.ReplaceSymbols)", element, readable)
				}
			}
		}
		return nil
	}
	for _, p := range []*iam.Principals{s.Principal, s.NotPrincipal} {
		if p != nil {
			if err := check("Principal", p.AWS, p.Service, p.Federated, p.CanonicalUser); err != nil {
				return err
			}
		}
	}
	if err := check("Action", s.Action, s.NotAction); err != nil {
		return err
	}
	if err := check("Resource", s.Resource, s.NotResource); err != nil {
		return err
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if err := check("Condition", []string{c.Operator, c.Key}); err != nil {
			return err
		}
		for _, v := range c.Values {
			// The value itself may be an external ID and is not repeated.
			if iam.HasSymbol(v) {
				return fmt.Errorf("Condition %s %s has a value with a symbol; replace it by a value first (iam.ReplaceSymbols)", c.Operator, c.Key)
			}
		}
	}
	return nil
}

package iam

import (
	"fmt"
)

// Check returns what is wrong with the policy as a policy of the given kind:
// elements that the kind must have and those it cannot have. Resource policies
// may leave out Resource, as some services demand that and others accept it.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func (p *Policy) Check(kind Kind) []Problem {
	var problems []Problem
	if len(p.Statements) == 0 {
		problems = append(problems, Problem{ProblemMissing, "Statement", p.Position("Statement"), "a policy must have at least one statement"})
	}
	for i := range p.Statements {
		path := fmt.Sprintf("Statement[%d]", i)
		report := func(code ProblemCode, element, format string, args ...any) {
			at := path
			if element != "" {
				at += "." + element
			}
			problems = append(problems, Problem{code, at, p.Position(at), fmt.Sprintf(format, args...)})
		}
		p.Statements[i].check(kind, report)
	}
	return problems
}

func (s *Statement) check(kind Kind, report func(code ProblemCode, element, format string, args ...any)) {
	hasPrincipal := s.Principal != nil || s.NotPrincipal != nil
	hasResource := s.Resource != nil || s.NotResource != nil

	switch {
	case s.Action == nil && s.NotAction == nil:
		report(ProblemMissing, "", "the Action element is missing")
	case len(s.Action)+len(s.NotAction) == 0:
		report(ProblemWrongValue, "Action", "the list of actions is empty")
	}
	if hasResource && len(s.Resource)+len(s.NotResource) == 0 {
		report(ProblemWrongValue, "Resource", "the list of resources is empty")
	}

	switch kind {
	case KindIdentity, KindBoundary, KindSession, KindServiceControl:
		if s.Principal != nil {
			report(ProblemNotAllowed, "Principal", "%s cannot have Principal; it applies to whoever it is attached to", kind.article())
		}
		if s.NotPrincipal != nil {
			report(ProblemNotAllowed, "NotPrincipal", "%s cannot have NotPrincipal; it applies to whoever it is attached to", kind.article())
		}
		if !hasResource {
			report(ProblemMissing, "", "the Resource element is missing; %s needs one", kind.article())
		}
	case KindTrust:
		if s.NotPrincipal != nil {
			report(ProblemNotAllowed, "NotPrincipal", "a trust policy cannot have NotPrincipal")
		} else if !hasPrincipal {
			report(ProblemMissing, "", "the Principal element is missing; a trust policy says who may assume the role")
		}
		if s.Resource != nil {
			report(ProblemNotAllowed, "Resource", "a trust policy cannot have Resource; the role is the resource")
		}
		if s.NotResource != nil {
			report(ProblemNotAllowed, "NotResource", "a trust policy cannot have NotResource; the role is the resource")
		}
		if s.Principal != nil && s.Principal.CanonicalUser != nil {
			report(ProblemNotAllowed, "Principal.CanonicalUser", "a trust policy cannot name canonical users")
		}
	case KindResource, KindEndpoint:
		if !hasPrincipal {
			report(ProblemMissing, "", "the Principal element is missing; %s says whom it is about", kind.article())
		}
	case KindResourceControl:
		if s.Principal == nil || !s.Principal.All {
			report(ProblemNotAllowed, "Principal", "a resource control policy must have Principal \"*\"")
		}
		if !hasResource {
			report(ProblemMissing, "", "the Resource element is missing; %s needs one", kind.article())
		}
	}
}

// article returns the kind with its article, for sentences.
func (k Kind) article() string {
	if k == KindIdentity {
		return "an " + k.String()
	}
	return "a " + k.String()
}

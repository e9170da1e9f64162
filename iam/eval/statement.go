package eval

import "github.com/crossaccount/crossaccount/iam"

// matches reports whether everything but the statement's principal matches the
// request.
func (s *statement) matches(e *env) tri {
	if !s.matchesAction(e) {
		return no
	}
	result := s.matchesResource(e)
	for i := 0; result != no && i < len(s.conditions); i++ {
		result = and(result, s.conditions[i].holds(e.context))
	}
	return result
}

func (s *statement) matchesAction(e *env) bool {
	action := e.lowerAction()
	for i := range s.actions {
		if s.actions[i].match(action) {
			return !s.notAction
		}
	}
	return s.notAction
}

// matchesResource compares the resource with Resource or NotResource. A
// statement with neither means the resource its policy is attached to.
func (s *statement) matchesResource(e *env) tri {
	if s.resources == nil {
		return yes
	}
	result := no
	for i := range s.resources {
		if result = or(result, s.resources[i].matchResource(e)); result == yes {
			break
		}
	}
	if !s.notResource {
		return result
	}
	result = not(result)
	if !s.deny && result != no && switchUnresolvedNotResourceAllowsNothing {
		result = and(result, allResolved(s.resources, e.context))
	}
	return result
}

// allResolved reports whether every variable of the patterns has a value.
func allResolved(patterns []pattern, ctx *iam.Context) tri {
	result := yes
	for i := range patterns {
		for j := range patterns[i].tokens {
			if t := &patterns[i].tokens[j]; t.kind == tokenVariable {
				_, state := resolve(t, ctx)
				result = and(result, state)
			}
		}
	}
	return result
}

// names reports how the statement names the principal. A statement without
// Principal, in a policy that need not have one, means everybody.
func (s *statement) names(e *env) naming {
	switch {
	case s.notPrincipal:
		return naming{gradeDirect: namesAllBut(s.principals, s.deny, e)}
	case s.principals == nil:
		return naming{gradeDirect: yes}
	}
	return namesPrincipal(s.principals, e)
}

// An answer is what a policy or layer says, and the statement that makes it
// say so.
type answer struct {
	says tri
	by   StatementRef
}

// hear takes in what one statement of a policy says, if it is more than was
// known. Of statements that say the same the one written first counts, in
// whatever order they are heard.
func (a *answer) hear(says tri, p *Policy, index int32, layer Layer, level int) {
	if says > a.says || says == a.says && says != no && p == a.by.Policy && index < a.by.Index {
		*a = answer{says, refTo(p, index, layer, level)}
	}
}

// denies reports whether a Deny statement of the policy matches.
func (a *answer) denies(e *env, p *Policy, layer Layer, level int) {
	if p != nil && a.says != yes && !p.denies.lacks(&e.lookup) {
		a.consult(e, p, &p.denies, layer, level)
	}
}

// allows reports whether an Allow statement of the policy matches.
func (a *answer) allows(e *env, p *Policy, layer Layer, level int) {
	if a.says != yes && !p.allows.lacks(&e.lookup) {
		a.consult(e, p, &p.allows, layer, level)
	}
}

// consult compares the statements that could match, except those that could
// not add to what is known.
func (a *answer) consult(e *env, p *Policy, candidates *index, layer Layer, level int) {
	for d := range drawers {
		for _, c := range candidates.find(d, &e.lookup) {
			if a.says == yes && a.by.Index < c.at {
				break
			}
			s := &p.statements[c.at]
			says := s.matches(e)
			if says != no && s.principals != nil {
				named := s.names(e)
				says = and(says, named.best())
			}
			if says == maybe && e.suppose != nil {
				says = e.suppose(refTo(p, c.at, layer, level))
			}
			a.hear(says, p, c.at, layer, level)
		}
	}
}

func refTo(p *Policy, index int32, layer Layer, level int) StatementRef {
	return StatementRef{Policy: p, Index: index, Layer: layer, Level: int8(min(level, 127))}
}

// anyAllows is the answer of a layer: one of its policies has to allow.
func (e *env) anyAllows(policies []*Policy, layer Layer, level int) answer {
	var a answer
	for _, p := range policies {
		a.allows(e, p, layer, level)
	}
	return a
}

// capAllows is the answer of a layer of one policy, which does not limit
// anything if there is none.
func (e *env) capAllows(p *Policy, layer Layer) answer {
	if p == nil {
		return answer{says: yes}
	}
	var a answer
	a.allows(e, p, layer, 0)
	return a
}

// grants says for each grade whether a resource policy allows the request to a
// principal that is named in that way.
type grants [grades]answer

func (e *env) grants(p *Policy) grants {
	var g grants
	if p == nil {
		return g
	}
	for d := range drawers {
		for _, c := range p.allows.find(d, &e.lookup) {
			s := &p.statements[c.at]
			says := s.matches(e)
			if says == no {
				continue
			}
			for grade, named := range s.names(e) {
				named = and(says, named)
				if named == maybe && e.suppose != nil {
					named = e.suppose(refTo(p, c.at, LayerResource, 0))
				}
				g[grade].hear(named, p, c.at, LayerResource, 0)
			}
		}
	}
	return g
}

// any is the strongest answer, however the principal is named.
func (g *grants) any() answer {
	best := g[0]
	for _, a := range g[1:] {
		if a.says > best.says {
			best = a
		}
	}
	return best
}

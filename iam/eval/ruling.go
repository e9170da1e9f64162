package eval

// A ruling is a decision in the making. Everything required of the request is
// put to it in turn.
type ruling struct {
	result       tri
	layer        Layer // the first layer that said less than all before it
	level        int8
	side         Side
	failed       Side // the sides that said no
	granted      Layer
	grantedSide  Side
	crossAccount bool

	decision Decision
	open     uint32 // which of the decision's statements are undetermined, as bits
}

// require takes in the answer of a layer that must allow.
func (r *ruling) require(a answer, layer Layer, side Side) {
	r.requireLevel(a, layer, 0, side)
}

// requireLevel is require for one level of a layer.
func (r *ruling) requireLevel(a answer, layer Layer, level int, side Side) {
	if a.says < r.result {
		r.result, r.layer, r.level, r.side = a.says, layer, int8(min(level, 127)), side
	}
	switch a.says {
	case no:
		r.failed |= side
		return
	case maybe:
		r.open |= 1 << r.decision.nrefs
	}
	if a.by.Policy != nil {
		r.decision.add(a.by)
		if layer == LayerIdentity || layer == LayerResource {
			r.granted, r.grantedSide = layer, side
		}
	}
}

// A path is one way in which a request within an account can be granted: by
// the resource policy, and by those of the other layers that still count.
type path struct {
	resource                    answer
	identity, boundary, session bool
}

// requireOneOf requires the path that leads furthest, and of those that lead
// equally far the first whose resource policy goes along.
func (r *ruling) requireOneOf(paths [4]path, identity, boundary, session answer) {
	best, bestScore := 0, tri(-1)
	for i := range paths {
		p := &paths[i]
		says := p.resource.says
		if p.identity {
			says = and(says, identity.says)
		}
		if p.boundary {
			says = and(says, boundary.says)
		}
		if p.session {
			says = and(says, session.says)
		}
		if score := says*4 + p.resource.says; score > bestScore {
			best, bestScore = i, score
		}
	}
	p := &paths[best]
	r.require(p.resource, LayerResource, SideResource)
	if p.identity {
		r.require(identity, LayerIdentity, SidePrincipal)
	}
	if p.boundary {
		r.require(boundary, LayerBoundary, SidePrincipal)
	}
	if p.session {
		r.require(session, LayerSession, SidePrincipal)
	}
}

// decide turns what was required into a decision.
func (r *ruling) decide() Decision {
	d := &r.decision
	switch r.result {
	case yes:
		d.Verdict, d.Layer, d.Side = Allowed, r.granted, r.grantedSide
		if r.crossAccount {
			d.Side = SideBoth
		}
	case no:
		d.Verdict, d.Layer, d.Level, d.Side = ImplicitlyDenied, r.layer, r.level, r.side
		if r.crossAccount && r.failed == SidePrincipal|SideResource {
			d.Side = SideBoth
		}
		d.nrefs = 0
	case maybe:
		d.Verdict, d.Layer, d.Level, d.Side = Depends, r.layer, r.level, r.side
		kept := int8(0)
		for i := range d.nrefs {
			if r.open&(1<<i) != 0 {
				d.refs[kept] = d.refs[i]
				kept++
			}
		}
		d.nrefs = kept
	}
	return *d
}

// denied is the decision when a Deny statement matches.
func denied(by StatementRef) Decision {
	d := Decision{Verdict: ExplicitlyDenied, Layer: by.Layer, Level: by.Level, Side: sideOf(by.Layer)}
	d.add(by)
	return d
}

// sideOf returns whose account a layer belongs to.
func sideOf(l Layer) Side {
	switch l {
	case LayerNone:
		return SideNone
	case LayerResource, LayerResourceControl:
		return SideResource
	}
	return SidePrincipal
}

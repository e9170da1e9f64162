package eval

import (
	"slices"

	"github.com/crossaccount/crossaccount/iam"
)

// An Index finds among many policies those that could allow something, without
// looking at the others. It is for questions about a whole organisation: file
// the identity policies of all principals once, ask [Index.Allowing], and put
// only the principals that have one of these policies to [Decide], beside those
// that the resource's policy names.
//
// Policies should be compiled once and shared between the principals that have
// them, as managed policies are; the same document in two roles need not be
// compiled twice either. An Index takes 8 bytes for each service and resource a
// statement names. It is immutable and safe for concurrent use. When one policy
// changes, only the Index that has it must be made anew, so a caller whose
// policies change keeps several, say one for each account.
type Index struct {
	policies []*Policy
	allows   index
}

// NewIndex files the policies. A policy that is nil allows nothing.
func NewIndex(policies []*Policy) *Index {
	x := &Index{policies: policies}
	for at, p := range policies {
		if p == nil {
			continue
		}
		for i := range p.statements {
			if s := &p.statements[i]; !s.deny {
				x.allows.add(s, int32(at))
			}
		}
	}
	x.allows.sort()
	return x
}

// Allowing returns the positions, in ascending order, of the policies that have
// an Allow statement for the action on the resource if principal and conditions
// are left aside. A variable counts as anything.
func (x *Index) Allowing(action, resource string) []int {
	r := iam.Request{Action: action, Resource: resource}
	r.Context.SetUnlistedUnknown()
	e := newEnv(&Input{Request: &r})
	var found []int
	for d := range drawers {
		for _, f := range x.allows.find(d, &e.lookup) {
			if p := x.policies[f.at]; p.couldAllow(&e) {
				found = append(found, int(f.at))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// couldAllow reports whether an Allow statement has the action and the resource.
func (p *Policy) couldAllow(e *env) bool {
	if p.allows.lacks(&e.lookup) {
		return false
	}
	for d := range drawers {
		for _, f := range p.allows.find(d, &e.lookup) {
			if s := &p.statements[f.at]; s.matchesAction(e) && s.matchesResource(e) != no {
				return true
			}
		}
	}
	return false
}

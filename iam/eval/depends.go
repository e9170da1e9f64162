package eval

import "github.com/crossaccount/crossaccount/iam"

// A group is a layer, or one level of one: its Allow statements can stand in for
// each other.
type group struct {
	layer Layer
	level int8
}

// undetermined lists what decides. A statement that is undetermined does so if
// there is a way for the others to turn out in which it makes the difference
// between Allowed and not.
func (x *Explanation) undetermined(e *env, in *Input) []Mismatch {
	var open []*StatementExplanation
	var groups []group
	for i := range x.Layers {
		for j := range x.Layers[i].Statements {
			s := &x.Layers[i].Statements[j]
			if s.Outcome != Undetermined {
				continue
			}
			open = append(open, s)
			if g := groupOf(s.Statement); s.Effect == iam.Allow && (len(groups) == 0 || groups[len(groups)-1] != g) {
				groups = append(groups, g)
			}
		}
	}
	var list []Mismatch
	for _, s := range open {
		// That the answer depends means that it would be Allowed if no Deny
		// matched, so each of them matters.
		if s.Effect == iam.Deny || e.matters(in, s.Statement, groups) {
			for _, m := range s.Mismatches {
				m.Statement = s.Statement.String()
				list = append(list, m)
			}
		}
	}
	return list
}

func groupOf(r StatementRef) group { return group{r.Layer, r.Level} }

// matters reports whether an undetermined Allow statement can make the
// difference. Only if no other of its group allows it can; for the other groups
// every way to turn out is tried.
func (e *env) matters(in *Input, s StatementRef, groups []group) bool {
	const limit = 12 // of groups: an organisation's levels and five other layers
	if len(groups) > limit {
		return true
	}
	for allowing := range uint(1) << len(groups) {
		allowed := func(this tri) bool {
			trial := *e
			trial.suppose = func(r StatementRef) tri {
				switch g := groupOf(r); {
				case r == s:
					return this
				case r.Policy.statements[r.Index].deny || g == groupOf(s):
					return no
				default:
					for i := range groups {
						if groups[i] == g {
							return truth(allowing>>i&1 == 1)
						}
					}
					return no
				}
			}
			d := trial.decide(in)
			return d.Allowed()
		}
		if allowed(yes) && !allowed(no) {
			return true
		}
	}
	return false
}

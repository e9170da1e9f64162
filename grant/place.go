package grant

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// A place is where one policy document goes: a resource, a part of one, a role's
// trust or a role's permissions. All grants that need something there add their
// statements to the same place, because writing the policy of a resource
// replaces what was there.
type place struct {
	key        string // stable and unique: the resource's ARN, or that of the role
	title      string // for people: `policy of the S3 bucket "reports" in alpha`
	kind       iam.Kind
	inst       *instance // of resource policies
	part       string    // of the resource, as its policyType knows it
	path       string    // in the manifest
	statements []statement
	needs      map[string]string // :: unit key → path of the grant that wants it first
}

// A statement knows the grants it serves.
type statement struct {
	iam.Statement
	grants []string
	fixed  bool // not merged with others
}

// add puts a statement in its place. Statements that differ in their principals
// alone become one, and so do statements of permissions that differ in their
// resources alone: services limit how many a policy may have.
func (p *place) add(s statement) {
	if !s.fixed && (p.inst == nil || !p.inst.kind.policy.single) {
		for i := range p.statements {
			if have := &p.statements[i]; !have.fixed && p.mergeable(have, &s) {
				have.merge(&s)
				return
			}
		}
	}
	p.statements = append(p.statements, s)
}

func (p *place) mergeable(a, b *statement) bool {
	same := a.Effect == b.Effect && slices.Equal(a.Action, b.Action) && equalConditions(rest(a.Conditions), rest(b.Conditions))
	if p.kind == iam.KindIdentity {
		return same
	}
	// A statement for a whole account must not swallow a narrower one, and the
	// names of roles and accounts must not be mixed in one list.
	return same && slices.Equal(a.Resource, b.Resource) && (a.Principal != nil && a.Principal.All) == (b.Principal != nil && b.Principal.All) && (len(principalARNs(a.Conditions)) > 0) == (len(principalARNs(b.Conditions)) > 0)
}

func (s *statement) merge(other *statement) {
	s.Resource = union(s.Resource, other.Resource)
	s.grants = union(s.grants, other.grants)
	if s.Principal != nil {
		s.Principal = &iam.Principals{All: s.Principal.All, AWS: union(s.Principal.AWS, other.Principal.AWS), Service: s.Principal.Service, Federated: s.Principal.Federated}
	}
	more := principalARNs(other.Conditions)
	conditions := slices.Clone(s.Conditions)
	for i, c := range conditions {
		if c.Key == "aws:PrincipalArn" {
			conditions[i].Values = union(c.Values, more)
		}
	}
	s.Conditions = conditions
}

func principalARNs(conditions []iam.Condition) []string {
	for _, c := range conditions {
		if c.Key == "aws:PrincipalArn" {
			return c.Values
		}
	}
	return nil
}

// rest returns the conditions that are not about the principal.
func rest(conditions []iam.Condition) []iam.Condition {
	return slices.DeleteFunc(slices.Clone(conditions), func(c iam.Condition) bool { return c.Key == "aws:PrincipalArn" })
}

func equalConditions(a, b []iam.Condition) bool {
	return slices.EqualFunc(a, b, func(a, b iam.Condition) bool {
		return a.Operator == b.Operator && a.Key == b.Key && slices.Equal(a.Values, b.Values)
	})
}

// union returns the elements of both lists, sorted.
func union(a, b []string) []string {
	if a == nil && b == nil {
		return nil
	}
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// policy returns the document: statements with unique ids, in the order of the
// manifest.
func (p *place) policy() *iam.Policy {
	out := &iam.Policy{Version: iam.Version2012}
	used := map[string]int{}
	for _, s := range p.statements {
		st := s.Statement
		if used[st.Sid]++; used[st.Sid] > 1 && st.Sid != "" {
			st.Sid = fmt.Sprintf("%s%d", st.Sid, used[s.Sid])
		}
		out.Statements = append(out.Statements, st)
	}
	return out
}

// withoutGrants returns what remains when all grants are removed.
func (p *place) withoutGrants() *iam.Policy {
	out := &iam.Policy{Version: iam.Version2012}
	for _, s := range p.statements {
		if s.fixed {
			out.Statements = append(out.Statements, s.Statement)
		}
	}
	return out
}

// grants returns the grants that the place serves, sorted.
func (p *place) grants() []string {
	var all []string
	for _, s := range p.statements {
		all = union(all, s.grants)
	}
	return all
}

// serves returns the grants of each statement.
func (p *place) serves() [][]string {
	all := make([][]string, len(p.statements))
	for i, s := range p.statements {
		all[i] = s.grants
	}
	return all
}

// checkQuota refuses what the service would refuse, naming the limit.
func (b *builder) checkQuota(p *place) {
	if p.inst == nil {
		return
	}
	q, ok := reference.ResourcePolicyQuota(p.inst.kind.policy.service)
	if !ok {
		return
	}
	policy := p.policy()
	size, principals, conditions, actions := longest(policy), 0, 0, 0
	for _, s := range policy.Statements {
		if s.Principal != nil {
			principals += len(s.Principal.AWS)
		}
		conditions += len(s.Conditions)
		actions = max(actions, len(s.Action))
	}
	for _, c := range []struct {
		n, limit int
		what     string
	}{
		{size, q.Size, "characters"}, {len(policy.Statements), q.Statements, "statements"}, {principals, q.Principals, "principals"},
		{conditions, q.Conditions, "conditions"}, {actions, q.ActionsPerStatement, "actions in one statement"},
	} {
		if c.limit > 0 && c.n > c.limit {
			b.report(b.m.problem(RuleSize, p.path, "give some of the grants through a role (via: role), or share another resource",
				"the %s has %d %s; %s allows %d (%s); it serves the grants %s", p.title, c.n, c.what, p.inst.kind.policy.service, c.limit, q.Source, few(p.grants())))
		}
	}
}

// longest returns the size of a policy in which whatever only AWS knows is as
// long as it gets.
func longest(p *iam.Policy) int {
	full := &iam.Policy{Version: p.Version, Statements: slices.Clone(p.Statements)}
	fill := func(list []string) []string {
		out := slices.Clone(list)
		for i := range out {
			out[i] = iam.ReplaceSymbols(out[i], func(string) string { return strings.Repeat("x", 140) })
		}
		return out
	}
	for i := range full.Statements {
		s := &full.Statements[i]
		if s.Resource != nil {
			s.Resource = fill(s.Resource)
		}
	}
	return full.Size()
}

// resourcePlace returns the place of the policy of a resource, or of a part of
// it that has a policy of its own.
func (b *builder) resourcePlace(i *instance, part string, e *edge) *place {
	key := "policy/" + i.partARN(part)
	if part == "" && i.created() {
		key = "policy/" + i.unitKey()
	}
	title := fmt.Sprintf("policy of the %s %q in %s", i.kind.title, i.name, i.stage)
	if part != "" {
		title = fmt.Sprintf("policy of the %s for the %s %q in %s", part, i.kind.title, i.name, i.stage)
	}
	p, ok := b.places[key]
	if !ok {
		p = &place{key: key, title: title, kind: iam.KindResource, inst: i, part: part, path: i.path, needs: map[string]string{}}
		if part == "" && i.kind.policy.base != nil {
			for _, s := range i.kind.policy.base(i) {
				p.add(statement{Statement: s, fixed: true})
			}
		}
		if part == "" {
			for _, s := range keptStatements(i.decl.Keep, i.values(), noProblem) {
				p.add(statement{Statement: s, fixed: true})
			}
		}
		b.places[key] = p
		b.placeOrder = append(b.placeOrder, key)
	}
	if other := p.inst; part != domainPart && (other.name != i.name || other.stage != i.stage) {
		b.report(b.m.problem(RuleCollision, i.path, "declare the resource once, or put {stage} into its name",
			"%q in %s and %q in %s are the same %s, %s, whose policy is one document: each would overwrite the other's", other.name, other.stage, i.name, i.stage, i.kind.title, i.arn))
	}
	return p
}

// requires notes that a unit must exist before the policy of a place is written.
func (b *builder) requires(p *place, unit, path string) {
	if unit != "" {
		p.needs[unit] = path
	}
}

// keptStatements reads statements that the manifest keeps, and calls report with
// what is wrong with each. They may have the placeholders of the resource.
func keptStatements(list []template.Object, values map[string]string, report func(n int, problem string)) []iam.Statement {
	var all []iam.Statement
	for n, o := range list {
		p, problems := iam.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + expandKnown(jsonText(o), values) + `]}`))
		if len(problems) == 0 {
			problems = p.Check(iam.KindResource)
		}
		for _, problem := range problems {
			// Its place is that in a document that nobody wrote.
			path := strings.TrimPrefix(strings.TrimPrefix(problem.Path, "Statement[0]"), ".")
			if path != "" {
				path += ": "
			}
			report(n, path+problem.Message)
		}
		if len(problems) == 0 {
			all = append(all, p.Statements...)
		}
	}
	return all
}

// checkKept checks the statements that something at a path of the manifest keeps.
func (v *validator) checkKept(at string, list []template.Object) {
	keptStatements(list, nil, func(n int, problem string) {
		v.report(v.m.problem(RuleValue, fmt.Sprintf("%s.keep[%d]", at, n), "write the statement as in a policy document", "%s", problem))
	})
}

// noProblem is for statements that were checked before.
func noProblem(int, string) {}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// few lists names, and not more than a reader wants to see.
func few(names []string) string {
	const limit = 6
	if len(names) <= limit {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
}

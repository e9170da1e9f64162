package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

// An overlay is what exists with the compiled policies put into it, as it will
// be when the plan is deployed.
type overlay struct {
	c         *checking
	before    *world.Snapshot
	after     *world.Snapshot
	mentioned map[string]bool   // :: id of an account that exists in before
	absent    map[string]bool   // :: ARN of a role that must exist and is not in before
	merged    map[string]*blend // :: ARN of a resource whose policy exists
	removed   []Removed
	assumed   []string
	unknown   map[string]elsewhere // :: an id that was made up → what it stands for
}

// A blend is the compiled policy of a resource followed by statements of the one
// that exists.
type blend struct {
	compiled int          // how many statements are compiled
	existing []int        // positions of those that follow, in the existing policy
	policy   *eval.Policy // the existing one
}

func newOverlay(c *checking, s *world.Snapshot) *overlay {
	return &overlay{c: c, before: s, mentioned: mentionedIn(s), absent: map[string]bool{}, merged: map[string]*blend{}}
}

// actual returns an ARN for a pattern: that of the resource in the world, if
// AWS chose a part of it, or one that the pattern matches.
func (o *overlay) actual(pattern string) string {
	if strings.Contains(pattern, unknownSuffix) {
		for i := range o.before.Resources {
			if arn := o.before.Resources[i].ARN; iam.MatchWildcard(pattern, arn) {
				return arn
			}
		}
	}
	return sampleOf(pattern)
}

// snapshot returns what there is when the plan is deployed.
func (o *overlay) snapshot() (*world.Snapshot, error) {
	o.after = &world.Snapshot{Format: world.Format}
	o.after.Merge(o.before)
	patch := &world.Snapshot{Format: world.Format}
	for _, step := range []func(*world.Snapshot) error{o.resources, o.roles} {
		if err := step(patch); err != nil {
			return nil, err
		}
	}
	o.after.Merge(patch)
	return o.after, nil
}

// resources adds the resources of the grants with their compiled policies.
func (o *overlay) resources(patch *world.Snapshot) error {
	listed := map[string]bool{}
	var err error
	add := func(i *instance) {
		if i == nil || i.kind.name == "role" || !i.created() && i.kind.policy != nil {
			return // what exists is in the world, or unknown
		}
		r := world.Resource{ARN: o.actual(o.c.concrete(i.arn)), Account: iam.AccountID(i.site.ID)}
		for _, t := range i.tags {
			if r.Tags == nil {
				r.Tags = map[string]string{}
			}
			r.Tags[t.Key] = t.Value
		}
		if i.key != nil {
			r.KMSKey = o.actual(o.c.concrete(i.key.arn))
		}
		if i.kind.policy != nil && i.kind.policy.base != nil {
			r.Policy, err = o.basePolicy(i)
		}
		if !listed[r.ARN] {
			listed[r.ARN] = true
			patch.Resources = append(patch.Resources, r)
		}
	}
	for _, e := range o.c.plan.edges {
		add(e.resource.key)
		add(e.resource)
	}
	if err != nil {
		return err
	}
	for _, d := range o.c.plan.documents {
		if d.Kind != iam.KindResource {
			continue
		}
		policy := o.c.concretePolicy(d)
		arn := o.actual(o.c.concrete(d.Resource))
		policy, err := o.withExisting(arn, d, policy)
		if err != nil {
			return err
		}
		document, err := world.NewDocument(policy)
		if err != nil {
			return fmt.Errorf("the %s: %w", d.Title, err)
		}
		r := world.Resource{ARN: arn, Account: iam.AccountID(d.Account), Policy: &document}
		if at := slices.IndexFunc(patch.Resources, func(have world.Resource) bool { return have.ARN == arn }); listed[arn] {
			r.KMSKey, r.Tags = patch.Resources[at].KMSKey, patch.Resources[at].Tags
			patch.Resources[at] = r
		} else {
			patch.Resources = append(patch.Resources, r)
		}
	}
	return nil
}

// basePolicy is the policy that a resource has when no grant needs another.
func (o *overlay) basePolicy(i *instance) (*world.Document, error) {
	d, err := world.NewDocument(o.c.concretePolicy(&Document{Policy: &iam.Policy{Version: iam.Version2012, Statements: i.kind.policy.base(i)}}))
	return &d, err
}

// withExisting adds statements of the policy that the resource has in the world:
// those that stay, where a service keeps each statement by itself, and Deny
// statements that deploying would remove, because whoever wrote them will want
// them back.
func (o *overlay) withExisting(arn string, d *Document, policy *iam.Policy) (*iam.Policy, error) {
	at := slices.IndexFunc(o.before.Resources, func(r world.Resource) bool { return r.ARN == arn && r.Policy != nil })
	if at < 0 {
		return policy, nil
	}
	source, err := o.before.Resources[at].Policy.Policy()
	if err != nil {
		return nil, err // it was accepted when the world was read
	}
	compiled, err := eval.Compile(source, iam.KindResource, "policy of "+arn)
	if err != nil {
		return nil, err
	}
	stays := o.statementByStatement(d)
	b := &blend{compiled: len(policy.Statements), policy: compiled}
	out := &iam.Policy{Version: policy.Version, Statements: slices.Clone(policy.Statements)}
	for n := range source.Statements {
		s := source.Statements[n]
		if slices.ContainsFunc(policy.Statements, func(have iam.Statement) bool { return sameStatement(have, s) }) {
			continue
		}
		replaced := s.Sid != "" && slices.ContainsFunc(policy.Statements, func(have iam.Statement) bool { return have.Sid == s.Sid && have.Effect == s.Effect })
		if !stays && !replaced {
			o.removed = append(o.removed, Removed{Resource: arn, Document: d.Title, Statement: n, Sid: s.Sid, Effect: s.Effect, Reference: &eval.StatementRef{Policy: compiled, Index: int32(n), Layer: eval.LayerResource}}) //nolint:gosec // a policy has few statements
		}
		if stays && !replaced || s.Effect == iam.Deny {
			if slices.ContainsFunc(out.Statements, func(have iam.Statement) bool { return s.Sid != "" && have.Sid == s.Sid }) {
				s.Sid = "" // ids must differ within a policy
			}
			out.Statements, b.existing = append(out.Statements, s), append(b.existing, n)
		}
	}
	if len(b.existing) > 0 {
		o.merged[arn] = b
	}
	return out, nil
}

// statementByStatement reports whether a document is written as statements of
// their own, beside those that are there.
func (o *overlay) statementByStatement(d *Document) bool {
	for _, k := range kinds() {
		if k.policy != nil && k.policy.service == d.Service {
			return k.policy.single
		}
	}
	return false
}

// sameStatement compares statements without their ids.
func sameStatement(a, b iam.Statement) bool {
	a.Sid, b.Sid = "", ""
	text := func(s iam.Statement) string {
		d, err := world.NewDocument(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}})
		if err != nil {
			return ""
		}
		return d.String()
	}
	return text(a) == text(b)
}

// roles adds the roles that the plan creates, and what it attaches to those that
// exist.
func (o *overlay) roles(patch *world.Snapshot) error {
	units := map[string]*roleUnit{}
	for _, r := range o.c.plan.roles {
		units[r.arn] = r
	}
	made := map[string]*world.Role{}
	var order []string
	role := func(arn string) *world.Role {
		if made[arn] == nil {
			made[arn] = o.role(arn, units[arn])
			order = append(order, arn)
		}
		return made[arn]
	}
	for arn := range units {
		role(arn)
	}
	slices.Sort(order)
	parts := map[string]int{}
	for _, d := range o.c.plan.documents {
		if d.Kind != iam.KindIdentity && d.Kind != iam.KindTrust {
			continue
		}
		document, err := world.NewDocument(o.c.concretePolicy(d))
		if err != nil {
			return fmt.Errorf("the %s: %w", d.Title, err)
		}
		r := role(d.Principal)
		switch {
		case d.Kind == iam.KindTrust:
			r.Trust = document
		case d.Inline:
			r.Inline = []world.InlinePolicy{{Name: "access", Document: document}}
		default:
			parts[d.Principal]++
			arn := compiledPolicyARN(units[d.Principal], parts[d.Principal])
			patch.Policies = append(patch.Policies, world.ManagedPolicy{ARN: arn, Document: document})
			r.Attached = union(r.Attached, []string{arn})
		}
	}
	for _, e := range o.c.plan.edges {
		if e.principal.account {
			role(roleARN(e.principal.site, "", "anyone")).Inline = []world.InlinePolicy{{Name: "anything", Document: everyAction}}
		}
	}
	for _, arn := range order {
		patch.Roles = append(patch.Roles, *made[arn])
	}
	for _, r := range o.c.plan.roles {
		if r.pods != nil && !r.pods.podIdentity() {
			for i := range r.pods.clusters {
				patch.Providers = append(patch.Providers, world.Provider{ARN: providerARN(r.site, r.pods.clusters[i].issuer())})
			}
		}
	}
	return nil
}

// compiledPolicyARN is the ARN of the managed policy with a part of what a role
// is granted.
func compiledPolicyARN(r *roleUnit, part int) string {
	return fmt.Sprintf("arn:%s:iam::%s:policy/%s", r.site.Partition, r.site.ID, compiledPolicyName(r.name, part))
}

func providerARN(s *site, issuer string) string {
	return "arn:" + s.Partition + ":iam::" + s.ID + ":oidc-provider/" + issuer
}

var (
	everyAction = mustDocument(iam.Statement{Effect: iam.Allow, Action: []string{"*"}, Resource: []string{"*"}})
	// noTrust is the trust policy of roles whose own nobody asks about.
	noTrust = mustDocument(iam.Statement{Effect: iam.Deny, Principal: &iam.Principals{All: true}, Action: []string{"sts:AssumeRole"}})
)

func mustDocument(s iam.Statement) world.Document {
	d, err := world.NewDocument(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}})
	if err != nil {
		panic(err)
	}
	return d
}

// role returns the role as it is before policies are added: what exists, or what
// the manifest says of one that is created.
func (o *overlay) role(arn string, r *roleUnit) *world.Role {
	at := slices.IndexFunc(o.before.Roles, func(have world.Role) bool { return have.ARN == arn })
	exists := r != nil && r.consumer != nil && !r.consumer.created()
	switch {
	case exists && at >= 0:
		have := o.before.Roles[at]
		have.Inline, have.Attached = slices.Clone(have.Inline), slices.Clone(have.Attached)
		return &have
	case exists:
		o.absent[arn] = true
	}
	out := &world.Role{ARN: arn, Trust: noTrust, Tags: map[string]string{}}
	if at >= 0 {
		out.ID = o.before.Roles[at].ID
	}
	if r == nil {
		return out
	}
	for _, t := range r.tags {
		out.Tags[t.Key] = t.Value
	}
	switch {
	case r.declared != nil:
		out.Boundary = r.declared.decl.Boundary
	case r.consumer != nil && !exists:
		out.Boundary = r.consumer.Boundary
		for _, policy := range r.consumer.Policies {
			if o.knows(policy) || !strings.Contains(policy, ":iam::aws:policy/") {
				out.Attached = append(out.Attached, policy)
				continue
			}
			o.assumed = append(o.assumed, fmt.Sprintf("%s, which the world does not have, is taken to deny nothing", policy))
		}
	}
	return out
}

func (o *overlay) knows(policy string) bool {
	return slices.ContainsFunc(o.before.Policies, func(p world.ManagedPolicy) bool { return p.ARN == policy })
}

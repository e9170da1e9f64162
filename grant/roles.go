package grant

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// A roleUnit is an IAM role that policies are collected for: one that the plan
// creates, or one of a consumer that exists.
type roleUnit struct {
	key         string
	site        *site
	stage       string
	phase       int
	path        string // in the manifest
	name        string
	arn         string
	description string
	trust       *place // nil for roles that exist and for those of services
	permissions *place
	declared    *instance // of kind role; nil for others
	consumer    *Role     // of a consumer; nil for others
	owner, app  string
	tags        []template.Tag
	grants      []string
	parts       []*iam.Policy // the permissions as managed policies
	pods        *pods         // that use the role, or nil
	assumes     []string      // ARNs of the roles that it assumes
	direct      bool          // it uses resources without assuming a role
	trustPolicy *iam.Policy   // of a consumer's role that is created
	sources     []string      // ARNs of the state machines that use the role
	admitted    string        // who may assume it, for roles that grants share
}

// role returns the role with a key, which is made if there is none.
func (b *builder) role(key string, s *site, stage string, path string, e *edge) *roleUnit {
	r, ok := b.roles[key]
	if !ok {
		r = &roleUnit{key: key, site: s, stage: stage, phase: phasePolicies, path: path}
		b.roles[key] = r
		b.roleOrder = append(b.roleOrder, key)
		r.permissions = &place{key: "permissions/" + key, kind: iam.KindIdentity, path: path, needs: map[string]string{}}
		r.trust = &place{key: "trust/" + key, kind: iam.KindTrust, path: path, needs: map[string]string{}}
		r.owner, r.app = b.ownerOf(e.resource), e.app
	}
	r.grants = union(r.grants, []string{e.grant.Name})
	return r
}

// shareable reports whether an edge may use a role that is made for grants.
// Several may share one, but only if the same principals may assume it:
// otherwise each consumer got what the others have.
func (b *builder) shareable(r *roleUnit, e *edge) bool {
	admitted := e.trust + " " + e.principal.site.ID + " " + e.principal.arn
	switch {
	case r.consumer != nil:
		b.report(b.m.problem(RuleCollision, e.path, "choose another assume_role", "the role that %q assumes has the name of a consumer's role, %q", e.grant.Name, r.name))
		return false
	case r.admitted != "" && r.admitted != admitted || r.stage != e.resource.stage:
		b.report(b.m.problem(RuleCollision, e.path, "put {consumer}, {consumer_stage} and {stage} into assume_role",
			"the grants %s would share one role although different principals assume it", few(r.grants)))
		return false
	}
	r.admitted = admitted
	return true
}

// declaredRole returns the role of a resource of kind role.
func (b *builder) declaredRole(i *instance, e *edge) *roleUnit {
	r := b.role(i.unitKey(), i.site, i.stage, i.path, e)
	if r.declared == nil {
		r.declared, r.name, r.arn = i, i.physical, i.arn
		r.owner, r.app = b.ownerOf(i), i.app
		r.description = fmt.Sprintf("The role %s of %s in stage %s", i.name, i.app, i.stage)
		for n, p := range i.decl.Permissions {
			s := iam.Statement{Sid: fmt.Sprintf("Permission%d", n+1), Effect: iam.Allow, Action: p.Actions}
			for k, resource := range p.Resources {
				text, missing := expandText(resource, i.values())
				if len(missing) > 0 {
					b.report(b.m.problem(RuleValue, fmt.Sprintf("%s.permissions[%d].resources[%d]", i.path, n, k), "use {stage}, {app}, {region} or {account}", "%s has no meaning here", missing[0]))
				}
				s.Resource = append(s.Resource, text)
			}
			r.permissions.add(statement{Statement: s, fixed: true})
		}
	}
	return r
}

// declaredRoles reports resources of kind role whose names collide, which their
// grants may not show.
func (b *builder) declaredRoles(x *expander) {
	seen := map[string]*instance{}
	for _, key := range sortedKeys(x.instances) {
		i := x.instances[key]
		if i.kind.name != "role" {
			continue
		}
		name := i.site.ID + "/" + strings.ToLower(i.physical)
		if other, ok := seen[name]; ok {
			b.report(b.m.problem(RuleCollision, i.path, "declare the role once, or put {stage} into its name",
				"%q in %s and %q in %s are the same role, %s, which has one trust policy", other.name, other.stage, i.name, i.stage, i.arn))
		}
		seen[name] = i
	}
}

// checkRoleNames reports roles that are one to IAM, which ignores case and paths:
// those of consumers, of grants, and those that the manifest declares.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-names
func (b *builder) checkRoleNames() {
	seen := map[string]*roleUnit{}
	for _, key := range b.roleOrder {
		r := b.roles[key]
		name := r.site.ID + "/" + strings.ToLower(r.name)
		if other, ok := seen[name]; ok && (r.declared == nil || other.declared == nil) { // else reported
			b.report(b.m.problem(RuleCollision, r.path, "choose another name", "the role %q, which the grants %s use, and the role %q, which %s use, are the same to IAM: account %s has one role of that name", other.name, few(other.grants), r.name, few(r.grants), r.site.ID))
		}
		seen[name] = r
	}
}

// consumerRole notes the role of the consumer, and creates it if it is to be.
func (b *builder) consumerRole(e *edge) {
	p := e.principal
	if p.role == nil {
		return
	}
	key := "role/" + p.site.ID + "/" + p.name
	r, ok := b.roles[key]
	if !ok {
		r = &roleUnit{key: key, site: p.site, stage: p.stage, phase: phaseRoles, path: e.path, name: p.name, arn: p.arn, consumer: p.role}
		r.permissions = &place{key: "permissions/" + key, kind: iam.KindIdentity, path: e.path, needs: map[string]string{}}
		r.owner, r.app = b.m.Consumers[e.grant.Consumer].Owner, e.grant.Consumer
		if r.owner == "" {
			r.owner = r.app
		}
		b.roles[key] = r
		b.roleOrder = append(b.roleOrder, key)
		r.pods = p.pods
		b.ownPermissions(r, p.role.Permissions, e)
	}
	if e.via == "policy" {
		r.direct = true
	}
	if e.workflow != "" {
		r.sources = union(r.sources, []string{e.workflow})
	}
	switch {
	case r.consumer == nil:
		b.report(b.m.problem(RuleCollision, e.path, "choose another name", "the role %q of the consumer is also a role that a grant creates", p.name))
	case r.arn != p.arn || r.consumer.Create != p.role.Create || !reflect.DeepEqual(r.consumer.ServiceAccount, p.role.ServiceAccount) || !slices.Equal(r.consumer.Policies, p.role.Policies) || r.consumer.Boundary != p.role.Boundary || !reflect.DeepEqual(r.consumer.Permissions, p.role.Permissions):
		b.report(b.m.problem(RuleCollision, e.path, "describe the role once, under the consumer", "the grants %s and %q describe the role %q of account %s differently", few(r.grants), e.grant.Name, p.name, p.site.ID))
	}
	r.grants = union(r.grants, []string{e.grant.Name})
}

// ownPermissions adds what a consumer's role may do in its own account.
func (b *builder) ownPermissions(r *roleUnit, permissions []Permission, e *edge) {
	values := maps.Clone(e.values)
	values["region"], values["account"] = r.site.Region, r.site.ID
	for n, p := range permissions {
		s := iam.Statement{Sid: fmt.Sprintf("Own%d", n+1), Effect: iam.Allow, Action: p.Actions}
		for _, resource := range p.Resources {
			text, _ := expandText(resource, values)
			s.Resource = append(s.Resource, text)
		}
		r.permissions.add(statement{Statement: s, fixed: true})
	}
}

// permissionsOf returns the place of the permissions of an edge's principal.
func (b *builder) permissionsOf(e *edge) *place {
	if e.principal.role == nil {
		return b.declaredRole(e.principal.declared, e).permissions
	}
	return b.roles["role/"+e.principal.site.ID+"/"+e.principal.name].permissions
}

// finishRole makes the units of a role.
func (b *builder) finishRole(r *roleUnit) {
	if r.arn == "" {
		r.arn = roleARN(r.site, "", r.name)
	}
	r.permissions.title = fmt.Sprintf("permissions of the role %q in %s", r.name, r.site.Account)
	r.tags = b.tags(r.owner, r.app, r.stage, r.grants)
	if r.consumer != nil {
		b.finishConsumerRole(r)
		return
	}
	r.trust.title = fmt.Sprintf("trust policy of the role %q in %s", r.name, r.site.Account)
	role := &template.Role{Name: r.name, Description: r.description, Trust: r.trust.policy(), Tags: r.tags}
	if i := r.declared; i != nil {
		role.Path, role.PermissionsBoundary, role.MaxSessionDuration = i.decl.Path, i.decl.Boundary, i.decl.MaxSession
	}
	if size := longest(role.Trust); reference.CheckTrustPolicySize(size) != nil {
		b.report(b.m.problem(RuleSize, r.path, "let several consumers have roles of their own, or use trust: matched with one role for each account",
			"the %s: %v; it serves the grants %s", r.trust.title, reference.CheckTrustPolicySize(size), few(r.grants)))
	}
	if len(r.permissions.statements) > 0 {
		document := r.permissions.policy()
		if err := reference.CheckRoleInlineSize(longest(document)); err != nil {
			b.report(b.m.problem(RuleSize, r.path, "divide the grants among several roles with assume_role", "the %s: %v; they serve the grants %s", r.permissions.title, err, few(r.grants)))
		}
		role.Inline = []template.InlinePolicy{{Name: "access", Document: document}}
	}
	u := &unit{key: r.key, id: roleID(r.name), site: r.site, stage: r.stage, phase: r.phase, path: r.path, owner: r.owner, app: r.app, kind: role, grants: r.grants, needs: sortedKeys(r.trust.needs), blame: r.trust.needs}
	if b.options.Format == Policies {
		b.plainRole(u, r, role)
		return
	}
	b.unit(u)
}

// plainRole makes documents of a role.
func (b *builder) plainRole(u *unit, r *roleUnit, role *template.Role) {
	u.kind, u.apply = nil, &apply{title: r.trust.title, document: role.Trust}
	b.unit(u)
	for _, p := range role.Inline {
		more := *u
		more.key, more.id = u.key+"/permissions", camel(r.name, "Permissions")
		more.apply = &apply{title: r.permissions.title, document: p.Document}
		b.unit(&more)
	}
}

// finishConsumerRole makes the shell of a consumer's role, which comes first so
// that policies can name it, and its permissions, which come last.
func (b *builder) finishConsumerRole(r *roleUnit) {
	c := r.consumer
	if c.ServiceAccount != nil {
		r.trustPolicy = b.podTrust(r)
	} else if c.Create != "" {
		r.trustPolicy = serviceTrust(c.Create, r.site, r.sources)
	}
	shell := &unit{key: r.key, id: roleID(r.name), site: r.site, stage: r.stage, phase: phaseRoles, path: r.path, owner: r.owner, app: r.app, grants: r.grants}
	switch {
	case !c.created():
	case b.options.Format == Policies:
		shell.apply = &apply{title: fmt.Sprintf("trust policy of the role %q in %s", r.name, r.site.Account), document: r.trustPolicy}
		b.unit(shell)
	default:
		shell.kind = &template.Role{
			Name: r.name, Path: c.Path, Description: fmt.Sprintf("Used by %s (%s) for access to other accounts", r.app, r.stage),
			Trust: r.trustPolicy, ManagedPolicyARNs: c.Policies, PermissionsBoundary: c.Boundary, Tags: r.tags,
		}
		b.unit(shell)
	}
	if c.created() {
		if err := reference.CheckTrustPolicySize(b.withProviders(r.trustPolicy).Size()); err != nil {
			b.report(b.m.problem(RuleSize, r.path, "give the role's pods in some of the clusters a role of their own, or use via: pod-identity, whose trust policy does not grow",
				"the trust policy of the role %q in %s: %v; with irsa each cluster takes a statement", r.name, r.site.Account, err))
		}
		b.associations(r)
	}
	var statements []iam.Statement
	for _, s := range r.permissions.policy().Statements {
		statements = append(statements, divide(s)...)
	}
	parts := pack(statements)
	r.parts = parts
	if err := reference.CheckManagedPolicyCount(len(parts) + len(c.Policies)); err != nil {
		b.report(b.m.problem(RuleSize, r.path, "divide the grants among several roles", "the %s need %d managed policies: %v; they serve the grants %s", r.permissions.title, len(parts), err, few(r.grants)))
	}
	for n, document := range parts {
		name := compiledPolicyName(r.name, n+1)
		u := &unit{key: fmt.Sprintf("%s/permissions/%d", r.key, n+1), id: camel(r.name, fmt.Sprintf("Access%d", n+1)), site: r.site, stage: r.stage, phase: phaseAccess, path: r.path, owner: r.owner, app: r.app, grants: r.grants}
		if c.created() {
			u.needs = []string{r.key}
		}
		if b.options.Format == Policies {
			u.apply = &apply{title: fmt.Sprintf("%s, part %d", r.permissions.title, n+1), document: document}
		} else {
			u.kind = managedPolicy(name, r.name, document, r.tags)
		}
		b.unit(u)
	}
}

// compiledPolicyName is the name of the managed policy with a part of what a
// role is granted.
func compiledPolicyName(role string, part int) string {
	return fmt.Sprintf("%s-crossaccount-%d", role, part)
}

// managedPolicy is a managed policy attached to a role of another stack, which
// has to be named by text.
func managedPolicy(name, role string, document *iam.Policy, tags []template.Tag) template.Kind {
	return &template.Generic{
		TypeName: "AWS::IAM::ManagedPolicy", PolicyKind: iam.KindIdentity,
		Properties: template.Object{{Key: "ManagedPolicyName", Value: name}, {Key: "PolicyDocument", Value: document}, {Key: "Roles", Value: []any{role}}},
		Attributes: map[string]string{"Arn": "Ref"},
		Terraform: []template.Block{
			{Type: "aws_iam_policy", Attributes: map[string]string{"Arn": "arn"}, Arguments: template.Object{{Key: "name", Value: name}, {Key: "policy", Value: document}, {Key: "tags", Value: tagMap(tags)}}},
			{Type: "aws_iam_role_policy_attachment", Arguments: template.Object{{Key: "role", Value: role}, {Key: "policy_arn", Value: template.OwnAttribute("Arn")}}},
		},
	}
}

// sourceAccountServices set aws:SourceAccount when they assume a role, so the
// condition keeps others from making them use it.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html#cross-service-confused-deputy-prevention
var sourceAccountServices = []string{"states.amazonaws.com", "scheduler.amazonaws.com", "ecs-tasks.amazonaws.com", "pipes.amazonaws.com", "events.amazonaws.com"}

// serviceTrust lets an AWS service use a role.
func serviceTrust(service string, s *site, sources []string) *iam.Policy {
	st := iam.Statement{Sid: "AllowService", Effect: iam.Allow, Principal: &iam.Principals{Service: []string{service}}, Action: []string{"sts:AssumeRole"}}
	if slices.Contains(sourceAccountServices, service) {
		st.Conditions = condition("StringEquals", "aws:SourceAccount", s.ID)
		if service == "states.amazonaws.com" {
			st.Conditions = append(st.Conditions, condition("ArnLike", "aws:SourceArn", sources...)...)
		}
	}
	return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{st}}
}

// divide splits a statement whose list of resources is too long for one managed
// policy.
func divide(s iam.Statement) []iam.Statement {
	if len(s.Resource) < 2 || longest(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}}) <= reference.MaxManagedPolicySize/2 {
		return []iam.Statement{s}
	}
	half := len(s.Resource) / 2
	a, b := s, s
	a.Resource, b.Resource = s.Resource[:half], s.Resource[half:]
	b.Sid += "More"
	return append(divide(a), divide(b)...)
}

// pack divides statements among as few managed policies as their order allows.
func pack(statements []iam.Statement) []*iam.Policy {
	var out []*iam.Policy
	for _, s := range statements {
		if len(out) > 0 {
			last := out[len(out)-1]
			larger := &iam.Policy{Version: last.Version, Statements: append(slices.Clone(last.Statements), s)}
			if longest(larger) <= packedSize {
				out[len(out)-1] = larger
				continue
			}
		}
		out = append(out, &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}})
	}
	for _, p := range out {
		uniqueSids(p)
	}
	return out
}

func uniqueSids(p *iam.Policy) {
	used := map[string]bool{}
	for i := range p.Statements {
		sid := p.Statements[i].Sid
		for n := 2; used[p.Statements[i].Sid]; n++ {
			p.Statements[i].Sid = fmt.Sprintf("%s%d", sid, n)
		}
		used[p.Statements[i].Sid] = true
	}
}

// roleID is the logical id of a role.
func roleID(name string) string {
	id := camel(name)
	if strings.HasSuffix(id, "Role") {
		return id
	}
	return id + "Role"
}

// packedSize is how full managed policies are packed: a little less than the
// limit, so that a grant more does not move statements to another policy.
const packedSize = reference.MaxManagedPolicySize * 3 / 4

package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// contribute adds what one grant in one stage needs, on both sides.
func (b *builder) contribute(e *edge) {
	b.consumerRole(e)
	switch e.via {
	case "policy":
		b.viaPolicy(e)
	case "role":
		b.viaRole(e)
	case "trust":
		b.viaTrust(e)
	}
	b.callingWorkflow(e)
}

// viaPolicy names the consumer in the resource's own policy.
func (b *builder) viaPolicy(e *edge) {
	b.createResource(e.resource, e)
	for _, a := range e.accesses {
		if a.fanOut {
			b.registerConsumer(e)
		}
		for _, r := range e.resource.kind.rightsOf(a, e) {
			held := heldRight{right: r, resources: r.resources(e.resource, &e.grant.Only), conditions: r.conditions(e.resource, &e.grant.Only)}
			e.rights = append(e.rights, held)
			if r.side != consumerSide {
				b.resourceStatement(e, held)
			}
			if r.side != resourceSide {
				b.consumerStatement(e, held)
			}
		}
	}
	for _, held := range keyRights(e) {
		e.rights = append(e.rights, held)
		b.createResource(e.resource.key, e)
		b.keyStatement(e, held)
		b.consumerStatement(e, held)
	}
}

// viaRole makes a role in the resource's account that the consumer assumes.
func (b *builder) viaRole(e *edge) {
	b.createResource(e.resource, e)
	b.createResource(e.resource.key, e)
	name := e.grant.AssumeRole
	if name == "" {
		name = e.resource.kind.roleName(e)
	}
	name, _ = expandText(name, e.values)
	if err := reference.CheckRoleName(name); err != nil {
		b.report(b.m.problem(RuleValue, e.path, "set assume_role to a shorter name", "the role that %q assumes: %v", e.grant.Name, err))
		return
	}
	e.assume = roleARN(e.resource.site, "", name)
	key := "role/" + e.resource.site.ID + "/" + name
	role := b.role(key, e.resource.site, e.resource.stage, e.path, e)
	if !b.shareable(role, e) {
		return
	}
	if role.name == "" {
		role.name = name
		role.description = fmt.Sprintf("Lets %s (%s) %s %s in stage %s", e.grant.Consumer, e.pair.consumerStage, strings.Join(e.grant.Access, ", "), e.grant.Resource, e.pair.stage)
	}
	b.trustStatement(e, role)
	for _, a := range e.accesses {
		if a.fanOut {
			b.registerConsumer(e)
		}
		for _, r := range e.resource.kind.rightsOf(a, e) {
			held := heldRight{right: r, resources: r.resources(e.resource, &e.grant.Only), conditions: r.conditions(e.resource, &e.grant.Only)}
			if r.side != resourceSide {
				e.rights = append(e.rights, held)
				s := allow(r.sid, held)
				if r.side == bothSides {
					s.Conditions = append(s.Conditions, endpoints(e)...)
				}
				role.permissions.add(statement{Statement: s, grants: []string{e.grant.Name}})
			}
		}
	}
	for _, held := range keyRights(e) {
		e.rights = append(e.rights, held)
		role.permissions.add(statement{Statement: allow(held.right.sid, held), grants: []string{e.grant.Name}})
	}
	b.assumeStatement(e, e.assume)
}

// viaTrust lets the consumer assume a role that the manifest declares.
func (b *builder) viaTrust(e *edge) {
	i := e.resource
	e.assume = i.arn
	role := b.declaredRole(i, e)
	b.trustStatement(e, role)
	b.assumeStatement(e, i.arn)
}

// rightsOf returns the rights of an access that apply to a grant.
func (k *kind) rightsOf(a *access, e *edge) []right {
	var out []right
	for _, r := range a.rights {
		if r.wanted == nil || r.wanted(e.resource, &e.grant.Only) {
			out = append(out, r)
		}
	}
	return out
}

// keyRights are what the consumer may do with the key of an encrypted resource:
// only through the service, and only for this resource where the service says
// for which one it asks.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
func keyRights(e *edge) []heldRight {
	i := e.resource
	if i.key == nil {
		return nil
	}
	var actions []string
	for _, a := range e.accesses {
		for _, action := range a.key {
			if !slices.Contains(actions, action) {
				actions = append(actions, action)
			}
		}
	}
	if len(actions) == 0 {
		return nil
	}
	slices.Sort(actions)
	conditions := condition("StringEquals", "kms:ViaService", i.kind.via+"."+i.site.Region+"."+dnsSuffix(i.site.Partition))
	if i.kind.keyContext != nil {
		conditions = append(conditions, i.kind.keyContext(i)...)
	}
	return []heldRight{{right: right{sid: "UseKey", actions: actions}, resources: []string{i.key.arn}, conditions: conditions, key: true}}
}

// roleName is the name of the role that a consumer assumes, unless the grant
// says otherwise.
func (k *kind) roleName(e *edge) string {
	if k.roleNames != nil {
		return k.roleNames(e)
	}
	return "{access}-{resource}-{stage}-by-{consumer}-{consumer_stage}"
}

// allow makes a statement without principal.
func allow(sid string, h heldRight) iam.Statement {
	return iam.Statement{Sid: sid, Effect: iam.Allow, Action: slices.Clone(h.right.actions), Resource: slices.Clone(h.resources), Conditions: slices.Clone(h.conditions)}
}

// who returns the principal of an edge, and the condition that narrows it.
func (e *edge) who() (*iam.Principals, []iam.Condition) {
	root := "arn:" + e.principal.site.Partition + ":iam::" + e.principal.site.ID + ":root"
	switch {
	case e.trust == "named" && !e.principal.account:
		return &iam.Principals{AWS: []string{e.principal.arn}}, nil
	case e.trust == "organization":
		return &iam.Principals{All: true}, condition("StringEquals", "aws:PrincipalOrgID", e.organization)
	case e.trust == "account":
		return &iam.Principals{AWS: []string{root}}, nil
	}
	return &iam.Principals{AWS: []string{root}}, condition("ArnEquals", "aws:PrincipalArn", e.principal.arn)
}

// named returns the key of the unit whose role must exist before a policy names
// it, or "".
func (e *edge) named() string {
	if e.trust == "named" {
		return e.principal.unit
	}
	return ""
}

// resourceStatement adds to the policy of the resource.
func (b *builder) resourceStatement(e *edge, h heldRight) {
	i, t := e.resource, e.resource.kind.policy
	p := b.resourcePlace(i, h.right.part, e)
	actions := [][]string{h.right.actions}
	if t.single && t.unconditional {
		actions = nil // one permission has one action
		for _, a := range h.right.actions {
			actions = append(actions, []string{a})
		}
	}
	for _, list := range actions {
		s := allow(h.right.sid, h)
		s.Action = slices.Clone(list)
		principals, narrowed := e.who()
		s.Principal, s.Conditions = principals, append(s.Conditions, narrowed...)
		s.Conditions = append(s.Conditions, endpoints(e)...)
		switch {
		case t.local != nil:
			for n := range s.Resource {
				s.Resource[n] = t.local(i, s.Resource[n])
			}
		case t.bare:
			s.Resource = nil
		case t.star:
			s.Resource = []string{"*"}
		}
		if t.single {
			s.Sid = clipSid(camel(e.grant.Name, e.principal.stage, h.right.sid))
		}
		p.add(statement{Statement: s, grants: []string{e.grant.Name}})
	}
	b.requires(p, e.named(), e.path)
}

// endpoints narrows a statement to VPC endpoints.
func endpoints(e *edge) []iam.Condition {
	return condition("StringEquals", "aws:SourceVpce", e.grant.Only.Endpoints...)
}

// keyStatement adds to the policy of the key that encrypts the resource.
func (b *builder) keyStatement(e *edge, h heldRight) {
	p := b.resourcePlace(e.resource.key, "", e)
	s := allow(camel("Use", "For", e.resource.name), h)
	principals, narrowed := e.who()
	s.Principal, s.Conditions, s.Resource = principals, append(s.Conditions, narrowed...), []string{"*"}
	p.add(statement{Statement: s, grants: []string{e.grant.Name}})
	b.requires(p, e.named(), e.path)
}

// consumerStatement adds to the permissions of the consumer's role.
func (b *builder) consumerStatement(e *edge, h heldRight) {
	if e.principal.account {
		return // whoever the account lets, by policies of its own
	}
	sid := camel(h.right.sid)
	b.permissionsOf(e).add(statement{Statement: allow(sid, h), grants: []string{e.grant.Name}})
}

func (b *builder) assumeStatement(e *edge, arn string) {
	h := heldRight{right: right{sid: "AssumeRole", actions: []string{"sts:AssumeRole"}}, resources: []string{arn}}
	if e.principal.pods.podIdentity() {
		h.right.actions = []string{"sts:AssumeRole", "sts:TagSession"}
	}
	if r := b.roles["role/"+e.principal.site.ID+"/"+e.principal.name]; r != nil {
		r.assumes = union(r.assumes, []string{arn})
	}
	b.consumerStatement(e, h)
}

// trustStatement lets the consumer assume a role. Third parties must send their
// external ID, or somebody else's request to them could use the role.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
func (b *builder) trustStatement(e *edge, role *roleUnit) {
	principals, conditions := e.who()
	if principals.All {
		// IAM refuses "Principal": "*" in trust policies, but takes this.
		// https://github.com/aws/aws-cdk/issues/5732
		principals = &iam.Principals{AWS: []string{"*"}}
	}
	s := iam.Statement{Sid: "AllowConsumer", Effect: iam.Allow, Principal: principals, Action: []string{"sts:AssumeRole"}, Conditions: conditions}
	if e.externalID != "" {
		s.Conditions = append(s.Conditions, condition("StringEquals", "sts:ExternalId", e.externalID)...)
	}
	if e.principal.pods.podIdentity() {
		b.podStatements(e, role, s)
	} else {
		role.trust.add(statement{Statement: s, grants: []string{e.grant.Name}})
	}
	b.requires(role.trust, e.named(), e.path)
}

// registerConsumer registers a stream consumer for enhanced fan-out.
//
// https://docs.aws.amazon.com/streams/latest/dev/building-enhanced-consumers-api.html
func (b *builder) registerConsumer(e *edge) {
	i := *e.resource // the ARN of the consumer is this grant's only
	e.resource = &i
	name := clipTo(e.grant.Name+"-"+e.pair.consumerStage, 128)
	key := "stream-consumer/" + i.name + "/" + i.stage + "/" + e.grant.Name
	i.fanOut = unitValue(key, "Arn")
	b.unit(&unit{
		key: key, id: camel(i.name, e.grant.Name, "Consumer"), site: i.site, stage: i.stage, phase: phasePolicies, path: e.path, owner: b.ownerOf(&i), app: i.app, grants: []string{e.grant.Name},
		kind: &template.Generic{
			TypeName:   "AWS::Kinesis::StreamConsumer",
			Properties: template.Object{{Key: "ConsumerName", Value: name}, {Key: "StreamARN", Value: i.arnInStack()}},
			Attributes: map[string]string{"Arn": "ConsumerARN"},
			Terraform: []template.Block{{
				Type: "aws_kinesis_stream_consumer", Attributes: map[string]string{"Arn": "arn"},
				Arguments: template.Object{{Key: "name", Value: name}, {Key: "stream_arn", Value: i.arn}},
			}},
		},
	})
}

// clipSid keeps an id of a statement within the 64 characters that EventBridge
// accepts.
func clipSid(s string) string { return clipTo(s, 64) }

// clipTo shortens a text, keeping texts apart that differ.
func clipTo(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit-8] + hash(s)[:8]
}

// podStatements lets pods with Pod Identity assume a role: by the tags of their
// sessions, or by the external ID that EKS sends when the tags are off. Sessions
// are tagged in both cases, which is an action of its own.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
func (b *builder) podStatements(e *edge, role *roleUnit, s iam.Statement) {
	p := e.principal.pods
	if p.tagged() {
		e.assumeConditions = p.tags()
		s.Action = []string{"sts:AssumeRole", "sts:TagSession"}
		s.Conditions = append(s.Conditions, e.assumeConditions...)
		role.trust.add(statement{Statement: s, grants: []string{e.grant.Name}})
		return
	}
	var ids []string
	for i := range p.clusters {
		ids = append(ids, p.identity(&p.clusters[i]))
	}
	tag := s
	tag.Sid, tag.Action = "AllowTags", []string{"sts:TagSession"}
	e.assumeConditions = condition("StringEquals", "sts:ExternalId", ids...)
	s.Conditions = append(slices.Clone(s.Conditions), e.assumeConditions...)
	role.trust.add(statement{Statement: s, grants: []string{e.grant.Name}})
	role.trust.add(statement{Statement: tag, grants: []string{e.grant.Name}})
}

package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// describe fills in what a plan says about itself.
func (b *builder) describe(p *Plan) {
	before := map[string]bool{}
	p.Weighings = map[string]Weighing{}
	for _, e := range p.edges {
		g := e.given()
		if _, ok := p.Weighings[g.Weighed]; !ok {
			p.Weighings[g.Weighed] = e.weigh()
		}
		p.Grants = append(p.Grants, g)
		if !e.resource.created() && e.resource.kind.name != "role" {
			before[fmt.Sprintf("the %s %s in %s", e.resource.kind.title, e.resource.title(), e.resource.site.Account)] = true
		}
		for _, i := range append(e.resource.parts.list(), e.resource) {
			if i != e.resource && !i.created() {
				before[fmt.Sprintf("the %s %s in %s, which the workflow %q uses", i.kind.title, i.title(), i.site.Account, e.resource.name)] = true
			}
			if i.key != nil && !i.key.created() {
				before[fmt.Sprintf("the KMS key %s in %s", i.key.title(), i.key.site.Account)] = true
			}
		}
		if e.principal.unit == "" && !e.principal.account {
			why := ""
			if e.trust == "named" {
				why = "; policies name it, and AWS refuses policies that name a role that does not exist"
			}
			before[fmt.Sprintf("the role %s in %s%s", e.principal.arn, e.principal.site.Account, why)] = true
		}
		if e.principal.site.ID == e.resource.site.ID {
			p.Warnings = append(p.Warnings, b.m.problem("GX-P09", e.path, "use an account for each party and stage", "in stage %s %s and its consumer are in one account, %s, where a permission of either side may be enough", e.pair.stage, e.resource.name, e.principal.site.ID))
		}
	}
	for _, id := range sortedKeys(b.found) {
		in := b.found[id]
		before[fmt.Sprintf("%s in %s (%s)", in.origin(), in.FromAccount, in.FromRegion)] = true
	}
	if b.options.Format == Terraform && b.targetsPods() {
		before["version 6 or later of Terraform's AWS provider, which knows target roles of Pod Identity (target_role_arn)"] = true
	}
	p.Before = sortedKeys(before)
	b.listDocuments(p)
	p.endpoints, p.found = b.endpoints, b.found
	p.Kubernetes = b.kubernetesFiles()
	for _, key := range b.roleOrder {
		p.roles = append(p.roles, b.roles[key])
	}
}

// targetsPods reports whether a Pod Identity association names a target role or
// leaves session tags out, which older providers for Terraform cannot say.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
func (b *builder) targetsPods() bool {
	for _, r := range b.roles {
		if r.pods.podIdentity() && (r.target() != "" || !r.pods.tagged()) {
			return true
		}
	}
	return false
}

func (i *instance) title() string {
	if iam.HasSymbol(i.arn) || i.arn == "" {
		return i.name
	}
	return i.arn
}

func (e *edge) given() Given {
	g := Given{
		Grant: e.grant.Name, App: e.app, Stage: e.pair.stage, Consumer: e.grant.Consumer, ConsumerStage: e.pair.consumerStage,
		Access: e.grant.Access, Resource: e.grant.Resource, Kind: e.resource.kind.name,
		Principal: e.principal.arn, Assume: e.assume, Via: e.via, Why: e.why, Trust: e.trust,
	}
	if !iam.HasSymbol(e.resource.arn) {
		g.ARN = e.resource.arn
	}
	g.Weighed = strings.Join([]string{g.Kind, g.Via, g.Trust}, " ")
	if e.principal.account {
		g.Principal = "arn:" + e.principal.site.Partition + ":iam::" + e.principal.site.ID + ":root"
	}
	if e.via == "trust" {
		g.Actions = []string{"sts:AssumeRole"}
	}
	for _, h := range e.rights {
		g.Actions = union(g.Actions, h.right.actions)
	}
	for _, w := range e.grant.Waive {
		if len(w.Stages) == 0 || slices.Contains(w.Stages, e.pair.stage) {
			g.Waivers = append(g.Waivers, w.Rule+": "+w.Reason)
		}
	}
	return g
}

// listDocuments collects every policy of the plan.
func (b *builder) listDocuments(p *Plan) {
	byGrant := map[string][]*edge{}
	for _, e := range p.edges {
		byGrant[e.grant.Name] = append(byGrant[e.grant.Name], e)
	}
	add := func(d *Document, serves func(e *edge) bool) {
		for _, name := range d.Grants {
			for _, e := range byGrant[name] {
				if serves(e) {
					d.edges = append(d.edges, e)
				}
			}
		}
		p.documents = append(p.documents, d)
	}
	for _, key := range b.placeOrder {
		place := b.places[key]
		add(&Document{Title: place.title, Account: place.inst.site.ID, Kind: iam.KindResource, Service: place.inst.kind.policy.service, Resource: place.inst.partARN(place.part), Policy: place.policy(), Grants: place.grants(), serves: place.serves()},
			func(e *edge) bool { return e.pair.stage == place.inst.stage })
	}
	for _, g := range b.endpoints {
		add(&Document{Title: g.place.title, Account: g.site.ID, Kind: iam.KindEndpoint, Resource: g.id, Policy: g.place.policy(), Grants: g.place.grants(), serves: g.place.serves()},
			func(e *edge) bool { return e.principal.stage == g.stage })
	}
	for _, key := range b.roleOrder {
		r := b.roles[key]
		serves := func(e *edge) bool {
			return e.pair.stage == r.stage && e.resource.site.ID == r.site.ID || e.principal.stage == r.stage && e.principal.site.ID == r.site.ID
		}
		if r.trust != nil && r.consumer == nil {
			add(&Document{Title: r.trust.title, Account: r.site.ID, Kind: iam.KindTrust, Principal: r.arn, Resource: r.arn, Policy: r.trust.policy(), Grants: r.grants, serves: r.trust.serves()}, serves)
		}
		if r.trustPolicy != nil {
			add(&Document{Title: fmt.Sprintf("trust policy of the role %q in %s", r.name, r.site.Account), Account: r.site.ID, Kind: iam.KindTrust, Principal: r.arn, Resource: r.arn, Policy: b.withProviders(r.trustPolicy), Grants: r.grants}, serves)
		}
		for n, part := range r.parts { // whose statements were divided anew
			add(&Document{Title: fmt.Sprintf("%s, part %d of %d", r.permissions.title, n+1, len(r.parts)), Account: r.site.ID, Kind: iam.KindIdentity, Principal: r.arn, Policy: part, Grants: r.grants}, serves)
		}
		if r.consumer == nil && len(r.permissions.statements) > 0 {
			add(&Document{Title: r.permissions.title, Account: r.site.ID, Kind: iam.KindIdentity, Principal: r.arn, Policy: r.permissions.policy(), Grants: r.grants, Inline: true, serves: r.permissions.serves()}, serves)
		}
	}
}

// withProviders puts the ARNs of identity providers into a trust policy.
func (b *builder) withProviders(p *iam.Policy) *iam.Policy {
	out := &iam.Policy{Version: p.Version, Statements: slices.Clone(p.Statements)}
	for i, s := range out.Statements {
		if len(s.Principal.Federated) > 0 {
			federated := slices.Clone(s.Principal.Federated)
			for k, f := range federated {
				if arn, ok := b.providers[f]; ok {
					federated[k] = arn
				}
			}
			out.Statements[i].Principal = &iam.Principals{Federated: federated}
		}
	}
	return out
}

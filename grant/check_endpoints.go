package grant

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// endpoints checks the policies of VPC endpoints: what grants declare passes,
// with all other policies as they are; and with all others open the endpoint
// alone refuses another action, another resource, another role and the same role
// of another account.
func (c *checking) endpoints() {
	for _, g := range c.plan.endpoints {
		gate := c.policies[iam.KindEndpoint.String()+" "+c.concrete(g.id)]
		for _, o := range g.open {
			if o.edge == nil || len(o.right.resources) == 0 {
				continue // anonymous requests, which the role's trust policy decides
			}
			for _, q := range c.questions(o.edge) {
				if q.caller != o.callerOf() || !slices.Contains(o.right.right.actions, q.action) || !slices.Contains(c.concreteAll(o.right.resources), q.pattern) {
					continue
				}
				c.throughGate(o.edge, g, gate, q)
			}
		}
	}
}

// callerOf is the role that an opening is for, as questions name it.
func (o *opening) callerOf() string {
	if o.caller == "" {
		return roleARN(o.edge.principal.site, "", "anyone")
	}
	return o.caller
}

func (c *checking) throughGate(e *edge, g *gate, gate *eval.Policy, q question) {
	ask := func(what string, q question, want bool) {
		in := &eval.Input{Request: c.request(e, q), Identity: q.identity, Resource: q.on, Endpoint: gate}
		if in.Identity == nil {
			in.Identity = []*eval.Policy{}
		}
		in.Request.Context.Set("aws:SourceVpce", c.concrete(g.id))
		c.count(in, want, Failure{Grant: e.grant.Name, Stage: e.pair.stage, Case: what, Side: "endpoint", Principal: q.caller, Action: q.action, Resource: q.resource})
	}
	declared := q
	if e.principal.account && q.caller != e.assume {
		declared.identity = openIdentity
	}
	ask("declared, through the endpoint "+g.name, declared, true)
	if q.pattern == "*" {
		return
	}
	neighbour := func(what string, change func(n *question)) {
		n := q
		change(&n)
		if c.passes(g, &n) {
			return
		}
		n.identity, n.on = openIdentity, openResource
		if strings.HasPrefix(n.action, "sts:") {
			n.on = openTrust
		}
		ask(what+", through the endpoint "+g.name, n, false)
	}
	if other := c.otherAction(q.action); other != "" {
		neighbour("another action", func(n *question) { n.action = other })
	}
	if other, ok := otherResource(e, q); ok {
		neighbour("another resource", func(n *question) { n.resource = other })
	}
	if !e.principal.account {
		neighbour("another role of the account", func(n *question) { n.caller += "-other" })
	}
	caller, _ := iam.ParseRoleARN(q.caller)
	neighbour("the same role in another account", func(n *question) {
		n.caller = strings.Replace(n.caller, ":"+string(caller.Account)+":", ":000000000000:", 1)
	})
}

// passes reports whether an endpoint is open for a request because of some
// grant, or of a statement that the manifest keeps.
func (c *checking) passes(g *gate, n *question) bool {
	caller, _ := iam.ParseRoleARN(n.caller)
	for _, o := range g.open {
		if o.edge == nil || o.callerOf() != n.caller && (o.caller != "" || string(caller.Account) != o.edge.principal.site.ID) {
			continue
		}
		for _, pattern := range c.concreteAll(o.right.resources) {
			if slices.Contains(o.right.right.actions, n.action) && iam.MatchWildcard(pattern, n.resource) {
				return true
			}
		}
	}
	return false
}

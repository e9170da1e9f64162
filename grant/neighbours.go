package grant

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// otherStages tries the resources of the grant's other stages.
func (c *checking) otherStages(e *edge, q question, neighbour func(string, func(*question), bool, bool)) {
	if q.caller == e.assume && e.via == "role" {
		return // within the resource's account
	}
	for _, other := range c.byGrant[e.grant.Name] {
		if other == e || e.principal.account {
			continue
		}
		target := strings.ReplaceAll(q.resource, e.resource.arn, other.resource.arn)
		if q.action == "sts:AssumeRole" && e.via == "role" {
			target = other.assume
		}
		if target == q.resource || target == "" {
			continue
		}
		on := c.policy(iam.KindResource, other.resource.arn)
		if q.action == "sts:AssumeRole" {
			on = c.policy(iam.KindTrust, target)
		}
		what := "stage " + other.pair.stage
		neighbour(what, func(n *question) { n.resource, n.account = target, other.resource.site.ID }, true, false)
		// A resource that is open to an account or an organization does not tell
		// its roles apart.
		if on != nil && (other.trust == "named" || other.trust == "matched") {
			neighbour(what, func(n *question) { n.resource, n.account, n.on = target, other.resource.site.ID, on }, false, true)
		}
		return // one other stage stands for all: their policies have one form
	}
}

// otherAction returns an action on the same type of resource that no grant can
// give, or "".
func (c *checking) otherAction(action string) string {
	if other, ok := c.actions[action]; ok {
		return other
	}
	c.actions[action] = ""
	a, ok := reference.LookupAction(action)
	if !ok {
		return ""
	}
	for _, other := range reference.Expand(a.Service + ":*") {
		if len(a.Resources) > 0 && len(other.Resources) > 0 && other.Resources[0].Type == a.Resources[0].Type && !granted(other.String()) {
			c.actions[action] = other.String()
			break
		}
	}
	return c.actions[action]
}

// granted reports whether any kind of resource knows an action.
func granted(action string) bool {
	for _, k := range kinds() {
		for _, a := range k.accesses {
			for _, r := range a.rights {
				if slices.Contains(r.actions, action) {
					return true
				}
			}
			if slices.Contains(a.key, action) {
				return true
			}
		}
	}
	return false
}

// otherResource returns a resource with almost the same ARN.
func otherResource(e *edge, q question) (string, bool) {
	if q.action == "sts:AssumeRole" {
		return q.resource + "-other", true
	}
	name := e.resource.physical
	if i := strings.LastIndex(q.resource, name); name != "" && i > 0 {
		return q.resource[:i] + name + "-other" + q.resource[i+len(name):], true
	}
	return q.resource + "0", !strings.HasSuffix(q.pattern, "*")
}

// grantedTo reports whether some grant lets a principal do what a neighbour
// asks, which is then no neighbour.
func (c *checking) grantedTo(n *question) bool {
	return slices.ContainsFunc(c.declared[n.caller], func(d question) bool { return d.covers(n) })
}

// givenTo reports whether the consumer's own permissions let a principal do what
// a neighbour asks, because of a grant whose conditions the resource checks.
func (c *checking) givenTo(n *question) bool {
	return slices.ContainsFunc(c.declared[n.caller], func(d question) bool {
		if !d.endpoints {
			return false
		}
		d.conditions = slices.DeleteFunc(slices.Clone(d.conditions), func(c iam.Condition) bool { return c.Key == "aws:SourceVpce" })
		return d.covers(n)
	})
}

// covers reports whether a declared request is the kind of request that n is,
// whoever makes it.
func (d *question) covers(n *question) bool {
	return d.action == n.action && iam.MatchWildcard(d.pattern, n.resource) && !slices.ContainsFunc(d.conditions, func(want iam.Condition) bool {
		return !slices.ContainsFunc(n.conditions, func(have iam.Condition) bool { return equalConditions([]iam.Condition{have}, []iam.Condition{want}) })
	})
}

// A wideGrant is a request that a resource allows a whole account or
// organization.
type wideGrant struct {
	edge     *edge
	question question
}

// openTo reports whether the resource allows a request to everybody where the
// caller is, by another grant.
func (c *checking) openTo(n *question) bool {
	return slices.ContainsFunc(c.wide, func(w wideGrant) bool {
		caller, _ := iam.ParseRoleARN(n.caller)
		among := w.edge.trust == "account" && string(caller.Account) == w.edge.principal.site.ID ||
			w.edge.trust == "organization" && n.organization == w.edge.organization
		return among && w.question.covers(n)
	})
}

package world

import (
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
)

// An update is the work of [World.Update].
type update struct {
	*World
	touched map[string]bool // ARNs of principals to be linked anew
}

// prepare compiles every policy of the patch, so that nothing can fail later.
func (u *update) prepare(s *Snapshot) error {
	get := func(where string, kind iam.Kind, name string, d Document) error {
		if _, err := u.store.get(kind, name, d); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		return nil
	}
	inline := func(arn string, list []InlinePolicy) error {
		for _, p := range list {
			if err := get(arn, iam.KindIdentity, inlineName(p.Name), p.Document); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range s.ControlPolicies {
		kind := iam.KindServiceControl
		if p.Type == TypeResourceControl {
			kind = iam.KindResourceControl
		}
		if err := get(p.ID, kind, controlName(p), p.Document); err != nil {
			return err
		}
	}
	for _, p := range s.Policies {
		if err := get(p.ARN, iam.KindIdentity, p.ARN, p.Document); err != nil {
			return err
		}
	}
	for _, g := range s.Groups {
		if err := inline(g.ARN, g.Inline); err != nil {
			return err
		}
	}
	for i := range s.Users {
		if err := inline(s.Users[i].ARN, s.Users[i].Inline); err != nil {
			return err
		}
	}
	for i := range s.Roles {
		r := &s.Roles[i]
		if err := inline(r.ARN, r.Inline); err != nil {
			return err
		}
		if err := get(r.ARN, iam.KindTrust, trustName, r.Trust); err != nil {
			return err
		}
	}
	for i := range s.Resources {
		if r := &s.Resources[i]; r.Policy != nil {
			if err := get(r.ARN, iam.KindResource, resourceName(r.ARN), *r.Policy); err != nil {
				return err
			}
		}
	}
	for _, e := range s.Endpoints {
		if e.Policy != nil {
			if err := get(e.ID, iam.KindEndpoint, endpointName(e.ID), *e.Policy); err != nil {
				return err
			}
		}
	}
	return nil
}

// The names under which explanations show policies.

const trustName = "trust policy"

func inlineName(name string) string  { return "inline policy " + name }
func resourceName(arn string) string { return "policy of " + arn }
func endpointName(id string) string  { return "policy of " + id }
func controlName(p ControlPolicy) string {
	if p.Name == "" {
		return p.ID
	}
	return p.Name + " (" + p.ID + ")"
}

// mustGet returns a policy that prepare has seen.
func (u *update) mustGet(kind iam.Kind, name string, d Document) *policy {
	p, err := u.store.get(kind, name, d)
	if err != nil {
		panic("world: a policy that was accepted is refused: " + err.Error())
	}
	return p
}

func (u *update) inline(list []InlinePolicy) []*policy {
	out := make([]*policy, len(list))
	for i, p := range list {
		out[i] = u.mustGet(iam.KindIdentity, inlineName(p.Name), p.Document)
	}
	return out
}

// apply takes in everything but organisations.
func (u *update) apply(s *Snapshot) {
	u.removeUnlisted(s)
	for _, p := range s.Policies {
		if old, ok := u.managed[p.ARN]; !ok || old != p.Document {
			u.touchHolders(p.ARN)
			u.managed[p.ARN] = p.Document
		}
	}
	for _, g := range s.Groups {
		record := u.group(groupARN(g.ARN, lastName(g.ARN)))
		record.id, record.inline, record.attached = g.ID, u.inline(g.Inline), u.internAll(g.Attached)
		for member := range record.members {
			u.touched[member] = true
		}
	}
	for i := range s.Users {
		x := &s.Users[i]
		p := u.newPrincipal(iam.PrincipalUser, x.ARN, x.ID, x.Inline, x.Attached, x.Boundary, x.Tags)
		for _, name := range x.Groups {
			p.groups = append(p.groups, u.intern(groupARN(x.ARN, name)))
		}
		u.replace(p)
	}
	for i := range s.Roles {
		x := &s.Roles[i]
		p := u.newPrincipal(iam.PrincipalRole, x.ARN, x.ID, x.Inline, x.Attached, x.Boundary, x.Tags)
		p.trust = u.mustGet(iam.KindTrust, trustName, x.Trust)
		u.replace(p)
	}
	for _, p := range s.Providers {
		u.providers[p.ARN] = p
	}
	for i := range s.Resources {
		u.addResource(&s.Resources[i])
	}
	for _, e := range s.Endpoints {
		record := &endpoint{Endpoint: e}
		if e.Policy != nil {
			record.policy = u.mustGet(iam.KindEndpoint, endpointName(e.ID), *e.Policy)
		}
		u.endpoints[e.ID] = record
	}
	for arn := range u.touched {
		u.link(arn)
	}
}

// removeUnlisted removes what a patch that lists an account completely no longer
// has.
func (u *update) removeUnlisted(s *Snapshot) {
	principals, resources := completeIn(s)
	if len(principals) > 0 {
		kept := make(map[string]bool)
		for i := range s.Users {
			kept[s.Users[i].ARN] = true
		}
		for i := range s.Roles {
			kept[s.Roles[i].ARN] = true
		}
		for _, g := range s.Groups {
			kept[groupARN(g.ARN, lastName(g.ARN))] = true
		}
		for _, p := range s.Policies {
			kept[p.ARN] = true
		}
		for arn, p := range u.principals {
			if p.kind != iam.PrincipalRootUser && principals[p.account] && !kept[arn] {
				u.unlink(p)
				delete(u.principals, arn)
			}
		}
		for arn, g := range u.groups {
			if principals[accountOf(arn)] && !kept[arn] {
				*g = group{members: g.members}
				for member := range g.members {
					u.touched[member] = true
				}
			}
		}
		for arn := range u.managed {
			if principals[accountOf(arn)] && !kept[arn] {
				u.touchHolders(arn)
				delete(u.managed, arn)
			}
		}
	}
	if len(resources) > 0 {
		kept := make(map[string]bool)
		for i := range s.Resources {
			kept[s.Resources[i].ARN] = true
		}
		for arn, r := range u.resources {
			if resources[r.account] && !kept[arn] {
				delete(u.resources, arn)
			}
		}
	}
}

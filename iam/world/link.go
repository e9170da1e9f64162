package world

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

func (u *update) newPrincipal(kind iam.PrincipalType, arn, id string, inline []InlinePolicy, attached []string, boundary string, tags map[string]string) *principal {
	return &principal{
		kind: kind, arn: arn, id: id, account: iam.AccountID(u.intern(string(accountOf(arn)))),
		inline: u.inline(inline), attached: u.internAll(attached), boundary: u.intern(boundary), tags: u.tags(tags),
	}
}

// replace puts a principal in the place of the one with its ARN.
func (u *update) replace(p *principal) {
	if old := u.principals[p.arn]; old != nil {
		u.unlink(old)
		for _, g := range old.groups {
			delete(u.group(g).members, p.arn)
		}
	}
	for _, g := range p.groups {
		u.group(g).members[p.arn] = true
	}
	u.principals[p.arn] = p
	u.touched[p.arn] = true
}

// unlink takes a principal out of everything that leads to it.
func (u *update) unlink(p *principal) {
	if !p.linked {
		return
	}
	for _, held := range append(p.policies[:len(p.policies):len(p.policies)], p.limit, p.trust) {
		if held == nil {
			continue
		}
		held.holders.remove(p)
		if len(held.holders.list) == 0 {
			u.index.remove(held)
			u.store.drop(held)
		}
	}
	delete(u.byAccount[p.account], p)
	if p.id != "" && u.ids[p.id] == p {
		delete(u.ids, p.id)
	}
	if p.kind == iam.PrincipalRole {
		delete(u.names, nameKey{p.account, lastName(p.arn)})
	}
}

// link resolves what a principal refers to.
func (u *update) link(arn string) {
	old := u.principals[arn]
	if old == nil {
		return
	}
	u.unlink(old)
	p := *old
	p.policies, p.limit, p.linked = nil, nil, true
	add := func(inline []*policy, attached []string) {
		for _, x := range inline {
			p.policies = append(p.policies, u.again(x))
		}
		for _, arn := range attached {
			p.policies = append(p.policies, u.managedPolicy(iam.KindIdentity, arn))
		}
	}
	add(p.inline, p.attached)
	for _, arn := range p.groups {
		g := u.group(arn)
		if g.id == "" && g.inline == nil && g.attached == nil {
			p.policies = append(p.policies, u.store.missing(iam.KindIdentity, "the policies of "+arn))
			continue
		}
		add(g.inline, g.attached)
	}
	if p.boundary != "" {
		p.limit = u.managedPolicy(iam.KindBoundary, p.boundary)
		p.limit.holders.add(&p)
	}
	slices.SortFunc(p.policies, func(a, b *policy) int { return strings.Compare(a.name, b.name) })
	p.policies = slices.Compact(p.policies)
	for _, x := range p.policies {
		x.holders.add(&p)
		u.index.add(x)
	}
	u.principals[arn] = &p
	if u.byAccount[p.account] == nil {
		u.byAccount[p.account] = make(map[*principal]bool)
	}
	u.byAccount[p.account][&p] = true
	if p.id != "" {
		u.ids[p.id] = &p
	}
	if p.kind == iam.PrincipalRole {
		u.names[nameKey{p.account, lastName(arn)}] = &p
		p.trust = u.again(p.trust)
		p.trust.holders.add(&p)
	}
}

// again returns the policy that stands in the store for p, which may have been
// dropped when its last holder was unlinked.
func (u *update) again(p *policy) *policy {
	if current, ok := u.store.policies[p.policyKey]; ok {
		return current
	}
	u.store.policies[p.policyKey] = p
	return p
}

// managedPolicy returns what stands behind the ARN of a managed policy.
func (u *update) managedPolicy(kind iam.Kind, arn string) *policy {
	if d, ok := u.managed[arn]; ok {
		return u.mustGet(kind, arn, d)
	}
	return u.store.missing(kind, arn)
}

// touchHolders marks those who have a managed policy.
func (u *update) touchHolders(arn string) {
	keys := []policyKey{standInKey(iam.KindIdentity, arn), standInKey(iam.KindBoundary, arn)}
	if d, ok := u.managed[arn]; ok {
		keys = append(keys, policyKey{iam.KindIdentity, arn, d.text}, policyKey{iam.KindBoundary, arn, d.text})
	}
	for _, key := range keys {
		if p, ok := u.store.policies[key]; ok {
			for _, h := range p.holders.list {
				u.touched[h.arn] = true
			}
		}
	}
}

// group returns the record of a group, which exists as soon as it has a member.
func (u *update) group(arn string) *group {
	g := u.groups[arn]
	if g == nil {
		g = &group{members: make(map[string]bool)}
		u.groups[arn] = g
	}
	return g
}

func (u *update) addResource(r *Resource) {
	record := &resource{arn: r.ARN, account: r.Account, tags: u.tags(r.Tags), key: r.KMSKey}
	if record.account == "" {
		record.account = accountOf(r.ARN)
	}
	if r.Policy != nil {
		record.policy = u.mustGet(iam.KindResource, resourceName(r.ARN), *r.Policy)
	}
	if old := u.resources[r.ARN]; old != nil {
		if record.account == "" {
			record.account = old.account
		}
		if record.policy == nil {
			record.policy = old.policy
		} else if old.policy != nil && old.policy != record.policy {
			u.store.drop(old.policy)
		}
		if r.Tags == nil {
			record.tags = old.tags
		}
		if record.key == "" {
			record.key = old.key
		}
	}
	u.resources[r.ARN] = record
}

// intern returns one copy of equal strings.
func (u *update) intern(s string) string {
	if s == "" {
		return ""
	}
	if same, ok := u.strings[s]; ok {
		return same
	}
	u.strings[s] = s
	return s
}

func (u *update) internAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = u.intern(s)
	}
	return out
}

func (u *update) tags(tags map[string]string) []tag {
	if len(tags) == 0 {
		return nil
	}
	out := make([]tag, 0, len(tags))
	for k, v := range tags {
		out = append(out, tag{u.intern(k), u.intern(v)})
	}
	slices.SortFunc(out, func(a, b tag) int { return strings.Compare(a.key, b.key) })
	return out
}

package world

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A World is a snapshot prepared for questions. It is safe for concurrent use.
type World struct {
	mu sync.RWMutex

	store *store
	index *index

	accounts   map[iam.AccountID]*account
	orgs       map[string]Organization
	controls   map[string]ControlPolicy
	managed    map[string]Document
	groups     map[string]*group                     // by ARN
	principals map[string]*principal                 // users, roles and root users, by ARN
	byAccount  map[iam.AccountID]map[*principal]bool // users and roles
	names      map[nameKey]*principal
	ids        map[string]*principal // by unique id
	resources  map[string]*resource  // by ARN
	endpoints  map[string]*endpoint  // by id
	providers  map[string]Provider   // by ARN
	strings    map[string]string     // interned
}

// A nameKey finds a role by what its sessions' ARNs say, which leave out the
// role's path.
type nameKey struct {
	account iam.AccountID
	name    string
}

// An account is immutable; a change of the organisation makes new ones.
type account struct {
	id        iam.AccountID
	partition string
	listed    bool // the snapshot is about it
	principal bool // all principals are listed
	resource  bool // all resources with policies are listed

	org             string // "" if it is in no organisation of the world
	orgPath         string // "o-…/r-…/ou-…/"
	management      bool
	serviceControl  [][]*eval.Policy
	resourceControl [][]*eval.Policy
	orgIDs          []string // values of conditions on organisations in the RCPs
}

// A group is an IAM group with its policies.
type group struct {
	id       string
	inline   []*policy
	attached []string
	members  map[string]bool // ARNs of users
}

// A principal is a user, a role or an account's root user. It is immutable: a
// change makes a new one.
type principal struct {
	kind     iam.PrincipalType
	arn      string
	id       string
	account  iam.AccountID
	inline   []*policy
	attached []string
	groups   []string // ARNs
	boundary string
	tags     []tag

	policies []*policy // everything that is attached, groups included
	limit    *policy   // the boundary
	trust    *policy   // of a role
	linked   bool      // the policies know that it has them
}

type tag struct{ key, value string }

// A resource is immutable.
type resource struct {
	arn     string
	account iam.AccountID
	policy  *policy
	tags    []tag
	key     string
}

// An endpoint is immutable.
type endpoint struct {
	Endpoint
	policy *policy
}

// Compile prepares a snapshot. It does not keep the snapshot. The error names
// what in it contradicts itself.
func Compile(s *Snapshot) (*World, error) {
	x := newIndex()
	w := &World{
		store: newStore(x), index: x,
		accounts: make(map[iam.AccountID]*account), orgs: make(map[string]Organization),
		controls: make(map[string]ControlPolicy), managed: make(map[string]Document),
		groups: make(map[string]*group), principals: make(map[string]*principal, len(s.Users)+len(s.Roles)),
		byAccount: make(map[iam.AccountID]map[*principal]bool),
		names:     make(map[nameKey]*principal, len(s.Roles)), ids: make(map[string]*principal, len(s.Users)+len(s.Roles)),
		resources: make(map[string]*resource, len(s.Resources)), endpoints: make(map[string]*endpoint),
		providers: make(map[string]Provider), strings: make(map[string]string),
	}
	if err := w.Update(s); err != nil {
		return nil, err
	}
	return w, nil
}

// Update merges a snapshot into the world by the rules of [Snapshot.Merge].
// Nothing that the patch does not mention is looked at: the cost is that of the
// patch and of those who have a policy in it. A patch that is refused changes
// nothing.
func (w *World) Update(patch *Snapshot) error {
	if err := patch.check(nil, false); err != nil { // prepare checks the policies
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	u := update{World: w, touched: make(map[string]bool)}
	for _, step := range []func(*Snapshot) error{u.prepare, u.organize} {
		if err := step(patch); err != nil {
			return err
		}
	}
	u.apply(patch)
	return nil
}

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

// accountOf returns the account in an ARN, or "".
func accountOf(arn string) iam.AccountID {
	rest := arn
	for range 4 {
		_, after, ok := strings.Cut(rest, ":")
		if !ok {
			return ""
		}
		rest = after
	}
	id, _, _ := strings.Cut(rest, ":")
	if account, err := iam.ParseAccountID(id); err == nil {
		return account
	}
	return ""
}

func partitionOf(arn string) string {
	_, rest, _ := strings.Cut(arn, ":")
	partition, _, _ := strings.Cut(rest, ":")
	return partition
}

// lastName returns the last part of the ARN of a role or user.
func lastName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// groupARN returns the key under which a user's group is kept. The path of a
// group is not in the user's list, and names are unique in an account.
func groupARN(userARN, name string) string {
	return "arn:" + partitionOf(userARN) + ":iam::" + string(accountOf(userARN)) + ":group/" + name
}

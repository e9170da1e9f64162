package world

import (
	"maps"
	"slices"

	"github.com/crossaccount/crossaccount/iam"
)

// Merge takes everything of other into s. A thing that both have, by ARN or id,
// is replaced by other's. Accounts and resources are merged field by field,
// because different commands know different parts of them, and so are the nodes
// of an organisation: a field that other leaves out stays. If other lists the
// principals or resources of an account completely, those that it does not have
// are removed. Merging the same thing twice changes nothing the second time.
func (s *Snapshot) Merge(other *Snapshot) {
	if s.Format == 0 {
		s.Format = Format
	}
	o := other.clone()
	s.removeUnlisted(o)
	for i := range o.Organizations {
		root := &o.Organizations[i].Root
		for j := range s.Organizations {
			root.inherit(s.Organizations[j].Root.members())
			s.Organizations[j].Root.move(root.places())
		}
	}
	s.Organizations = merge(s.Organizations, o.Organizations, func(x Organization) string { return x.ID }, mergeOrganization)
	s.Accounts = merge(s.Accounts, o.Accounts, func(x Account) string { return string(x.ID) }, mergeAccount)
	s.ControlPolicies = merge(s.ControlPolicies, o.ControlPolicies, func(x ControlPolicy) string { return x.ID }, nil)
	s.Policies = merge(s.Policies, o.Policies, func(x ManagedPolicy) string { return x.ARN }, nil)
	s.Users = merge(s.Users, o.Users, func(x User) string { return x.ARN }, nil)
	s.Groups = merge(s.Groups, o.Groups, func(x Group) string { return groupARN(x.ARN, lastName(x.ARN)) }, nil)
	s.Roles = merge(s.Roles, o.Roles, func(x Role) string { return x.ARN }, nil)
	s.Providers = merge(s.Providers, o.Providers, func(x Provider) string { return x.ARN }, nil)
	s.Resources = merge(s.Resources, o.Resources, func(x Resource) string { return x.ARN }, mergeResource)
	s.Endpoints = merge(s.Endpoints, o.Endpoints, func(x Endpoint) string { return x.ID }, nil)
}

// merge puts the elements of more into list. Elements with one key are combined;
// without combine the later one counts.
func merge[T any](list, more []T, key func(T) string, combine func(old, new T) T) []T {
	at := make(map[string]int, len(list))
	for i, x := range list {
		at[key(x)] = i
	}
	for _, x := range more {
		i, ok := at[key(x)]
		switch {
		case !ok:
			at[key(x)] = len(list)
			list = append(list, x)
		case combine != nil:
			list[i] = combine(list[i], x)
		default:
			list[i] = x
		}
	}
	return list
}

func mergeAccount(a, b Account) Account {
	if b.Name == "" {
		b.Name = a.Name
	}
	if b.Partition == "" {
		b.Partition = a.Partition
	}
	for _, c := range a.Complete {
		if !slices.Contains(b.Complete, c) {
			b.Complete = append(b.Complete, c)
		}
	}
	slices.Sort(b.Complete)
	return b
}

func mergeResource(a, b Resource) Resource {
	if b.Account == "" {
		b.Account = a.Account
	}
	if b.Policy == nil {
		b.Policy = a.Policy
	}
	if b.Tags == nil {
		b.Tags = a.Tags
	}
	if b.KMSKey == "" {
		b.KMSKey = a.KMSKey
	}
	return b
}

func mergeOrganization(a, b Organization) Organization {
	if b.ManagementAccount == "" {
		b.ManagementAccount = a.ManagementAccount
	}
	b.Root = mergeNode(a.Root, b.Root)
	return b
}

func mergeNode(a, b Node) Node {
	if b.Name == "" {
		b.Name = a.Name
	}
	if b.ServiceControl == nil {
		b.ServiceControl = a.ServiceControl
	}
	if b.ResourceControl == nil {
		b.ResourceControl = a.ResourceControl
	}
	b.Accounts = merge(a.Accounts, b.Accounts, func(m Member) string { return string(m.ID) }, mergeMember)
	b.Units = merge(a.Units, b.Units, func(u Node) string { return u.ID }, mergeNode)
	return b
}

func mergeMember(a, b Member) Member {
	if b.ServiceControl == nil {
		b.ServiceControl = a.ServiceControl
	}
	if b.ResourceControl == nil {
		b.ResourceControl = a.ResourceControl
	}
	return b
}

// removeUnlisted removes what other, which lists some accounts completely, no
// longer has.
func (s *Snapshot) removeUnlisted(other *Snapshot) {
	principals, resources := completeIn(other)
	gone := func(arn string, kept map[string]bool) bool { return principals[accountOf(arn)] && !kept[arn] }
	if len(principals) > 0 {
		users, groups, roles, policies := keys(other.Users, func(x User) string { return x.ARN }),
			keys(other.Groups, func(x Group) string { return x.ARN }), keys(other.Roles, func(x Role) string { return x.ARN }),
			keys(other.Policies, func(x ManagedPolicy) string { return x.ARN })
		s.Users = slices.DeleteFunc(s.Users, func(x User) bool { return gone(x.ARN, users) })
		s.Groups = slices.DeleteFunc(s.Groups, func(x Group) bool { return gone(x.ARN, groups) })
		s.Roles = slices.DeleteFunc(s.Roles, func(x Role) bool { return gone(x.ARN, roles) })
		s.Policies = slices.DeleteFunc(s.Policies, func(x ManagedPolicy) bool { return gone(x.ARN, policies) })
	}
	if len(resources) > 0 {
		kept := keys(other.Resources, func(x Resource) string { return x.ARN })
		s.Resources = slices.DeleteFunc(s.Resources, func(x Resource) bool {
			return resources[x.owner()] && !kept[x.ARN]
		})
	}
}

func keys[T any](list []T, key func(T) string) map[string]bool {
	out := make(map[string]bool, len(list))
	for _, x := range list {
		out[key(x)] = true
	}
	return out
}

// completeIn returns the accounts whose principals and resources a snapshot
// lists completely.
func completeIn(s *Snapshot) (principals, resources map[iam.AccountID]bool) {
	principals, resources = make(map[iam.AccountID]bool), make(map[iam.AccountID]bool)
	for _, a := range s.Accounts {
		if slices.Contains(a.Complete, CompletePrincipals) {
			principals[a.ID] = true
		}
		if slices.Contains(a.Complete, CompleteResources) {
			resources[a.ID] = true
		}
	}
	return principals, resources
}

// owner returns the account the resource belongs to.
func (r *Resource) owner() iam.AccountID {
	if r.Account != "" {
		return r.Account
	}
	return accountOf(r.ARN)
}

// move takes accounts out of every node but those where a newer snapshot has
// them, for accounts that changed their organisational unit.
func (n *Node) move(newer map[iam.AccountID]string) {
	n.Accounts = slices.DeleteFunc(n.Accounts, func(m Member) bool {
		at, moved := newer[m.ID]
		return moved && at != n.ID
	})
	for i := range n.Units {
		n.Units[i].move(newer)
	}
}

// places returns in which node each account is.
func (n *Node) places() map[iam.AccountID]string {
	out := make(map[iam.AccountID]string)
	for _, m := range n.Accounts {
		out[m.ID] = n.ID
	}
	for i := range n.Units {
		maps.Copy(out, n.Units[i].places())
	}
	return out
}

// members returns the accounts below a node.
func (n *Node) members() map[iam.AccountID]Member {
	out := make(map[iam.AccountID]Member)
	for _, m := range n.Accounts {
		out[m.ID] = m
	}
	for i := range n.Units {
		maps.Copy(out, n.Units[i].members())
	}
	return out
}

// inherit gives accounts the control policies they had at their old place, which
// are attached to the account itself and move with it.
func (n *Node) inherit(old map[iam.AccountID]Member) {
	for i, m := range n.Accounts {
		if before, ok := old[m.ID]; ok {
			n.Accounts[i] = mergeMember(before, m)
		}
	}
	for i := range n.Units {
		n.Units[i].inherit(old)
	}
}

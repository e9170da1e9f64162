package world

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Write writes the snapshot as world.json: indented, with all lists in one
// order, so that equal snapshots are equal files. Policies are written as
// [Document] keeps them. A snapshot with problems is not written.
func (s *Snapshot) Write(w io.Writer) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("write the world: %w", err)
	}
	sorted := s.sorted()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(sorted); err != nil {
		return fmt.Errorf("write the world: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// sorted returns a copy in which every list is in one order.
func (s *Snapshot) sorted() *Snapshot {
	c := s.clone()
	by(c.Organizations, func(o Organization) string { return o.ID })
	by(c.Accounts, func(a Account) string { return string(a.ID) })
	by(c.ControlPolicies, func(p ControlPolicy) string { return p.ID })
	by(c.Policies, func(p ManagedPolicy) string { return p.ARN })
	by(c.Users, func(u User) string { return u.ARN })
	by(c.Groups, func(g Group) string { return g.ARN })
	by(c.Roles, func(r Role) string { return r.ARN })
	by(c.Providers, func(p Provider) string { return p.ARN })
	by(c.Resources, func(r Resource) string { return r.ARN })
	by(c.Endpoints, func(e Endpoint) string { return e.ID })
	for i := range c.Organizations {
		c.Organizations[i].Root.sort()
	}
	for i := range c.Accounts {
		slices.Sort(c.Accounts[i].Complete)
	}
	for i := range c.Policies {
		by(c.Policies[i].OtherVersions, func(v PolicyVersion) string { return v.Version })
	}
	for i := range c.Users {
		u := &c.Users[i]
		slices.Sort(u.Groups)
		sortPolicies(u.Inline, u.Attached)
	}
	for i := range c.Groups {
		sortPolicies(c.Groups[i].Inline, c.Groups[i].Attached)
	}
	for i := range c.Roles {
		sortPolicies(c.Roles[i].Inline, c.Roles[i].Attached)
	}
	for i := range c.Providers {
		slices.Sort(c.Providers[i].ClientIDs)
	}
	return c
}

func by[T any](list []T, key func(T) string) {
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}

func sortPolicies(inline []InlinePolicy, attached []string) {
	by(inline, func(p InlinePolicy) string { return p.Name })
	slices.Sort(attached)
}

func (n *Node) sort() {
	slices.Sort(n.ServiceControl)
	slices.Sort(n.ResourceControl)
	by(n.Accounts, func(m Member) string { return string(m.ID) })
	for i := range n.Accounts {
		slices.Sort(n.Accounts[i].ServiceControl)
		slices.Sort(n.Accounts[i].ResourceControl)
	}
	by(n.Units, func(u Node) string { return u.ID })
	for i := range n.Units {
		n.Units[i].sort()
	}
}

// clone returns a copy that shares only what is never changed: documents, tags
// and strings.
func (s *Snapshot) clone() *Snapshot {
	c := *s
	c.Organizations = slices.Clone(s.Organizations)
	for i := range c.Organizations {
		c.Organizations[i].Root = c.Organizations[i].Root.clone()
	}
	c.Accounts = slices.Clone(s.Accounts)
	for i := range c.Accounts {
		c.Accounts[i].Complete = slices.Clone(c.Accounts[i].Complete)
	}
	c.ControlPolicies = slices.Clone(s.ControlPolicies)
	c.Policies = slices.Clone(s.Policies)
	for i := range c.Policies {
		c.Policies[i].OtherVersions = slices.Clone(c.Policies[i].OtherVersions)
	}
	c.Users = slices.Clone(s.Users)
	for i := range c.Users {
		u := &c.Users[i]
		u.Groups, u.Inline, u.Attached = slices.Clone(u.Groups), slices.Clone(u.Inline), slices.Clone(u.Attached)
	}
	c.Groups = slices.Clone(s.Groups)
	for i := range c.Groups {
		g := &c.Groups[i]
		g.Inline, g.Attached = slices.Clone(g.Inline), slices.Clone(g.Attached)
	}
	c.Roles = slices.Clone(s.Roles)
	for i := range c.Roles {
		r := &c.Roles[i]
		r.Inline, r.Attached = slices.Clone(r.Inline), slices.Clone(r.Attached)
	}
	c.Providers = slices.Clone(s.Providers)
	for i := range c.Providers {
		c.Providers[i].ClientIDs = slices.Clone(c.Providers[i].ClientIDs)
	}
	c.Resources = slices.Clone(s.Resources)
	c.Endpoints = slices.Clone(s.Endpoints)
	return &c
}

func (n Node) clone() Node {
	n.ServiceControl, n.ResourceControl = slices.Clone(n.ServiceControl), slices.Clone(n.ResourceControl)
	n.Accounts = slices.Clone(n.Accounts)
	for i := range n.Accounts {
		m := &n.Accounts[i]
		m.ServiceControl, m.ResourceControl = slices.Clone(m.ServiceControl), slices.Clone(m.ResourceControl)
	}
	n.Units = slices.Clone(n.Units)
	for i := range n.Units {
		n.Units[i] = n.Units[i].clone()
	}
	return n
}

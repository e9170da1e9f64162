package world

import (
	"fmt"
	"maps"
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// organize takes in accounts, organisations and control policies. If the patch
// has any, the records of all accounts are made anew; there are some thousands
// of accounts at most.
func (u *update) organize(s *Snapshot) error {
	if len(s.Accounts) == 0 && len(s.Organizations) == 0 && len(s.ControlPolicies) == 0 && !u.namesNewAccounts(s) {
		return nil
	}
	accounts, orgs, controls := make(map[iam.AccountID]*account), maps.Clone(u.orgs), maps.Clone(u.controls)
	for _, p := range s.ControlPolicies {
		controls[p.ID] = p
	}
	for _, o := range s.Organizations {
		o.Root = o.Root.clone()
		for id, other := range orgs {
			other.Root = other.Root.clone()
			o.Root.inherit(other.Root.members())
			other.Root.move(o.Root.places())
			orgs[id] = other
		}
		if old, known := orgs[o.ID]; known {
			o = mergeOrganization(old, o)
		}
		orgs[o.ID] = o
	}
	list := func(id iam.AccountID) *account {
		a := accounts[id]
		if a == nil {
			a = &account{id: id, partition: "aws"}
			if old := u.accounts[id]; old != nil {
				a.partition, a.listed, a.principal, a.resource = old.partition, old.listed, old.principal, old.resource
			}
			accounts[id] = a
		}
		return a
	}
	for id := range u.accounts {
		list(id)
	}
	for _, id := range accountsNamed(s) {
		list(id).listed = true
	}
	for _, x := range s.Accounts {
		a := list(x.ID)
		a.listed = true
		if x.Partition != "" {
			a.partition = x.Partition
		}
		a.principal = a.principal || slices.Contains(x.Complete, CompletePrincipals)
		a.resource = a.resource || slices.Contains(x.Complete, CompleteResources)
	}
	c := climber{update: u, controls: controls, list: list}
	for _, id := range slices.Sorted(maps.Keys(orgs)) {
		o := orgs[id]
		if err := c.climb(&o, &o.Root, id+"/", levels{}); err != nil {
			return err
		}
	}
	u.orgs, u.controls, u.accounts = orgs, controls, accounts
	for _, a := range accounts {
		arn := "arn:" + a.partition + ":iam::" + string(a.id) + ":root"
		if a.listed && u.principals[arn] == nil {
			u.principals[arn] = &principal{kind: iam.PrincipalRootUser, arn: arn, account: a.id}
		}
	}
	return nil
}

// accountsNamed returns the accounts whose principals a snapshot has. Whoever
// lists a role of an account knows the account.
func accountsNamed(s *Snapshot) []iam.AccountID {
	seen := make(map[iam.AccountID]bool)
	for i := range s.Users {
		seen[accountOf(s.Users[i].ARN)] = true
	}
	for i := range s.Roles {
		seen[accountOf(s.Roles[i].ARN)] = true
	}
	for i := range s.Resources {
		seen[s.Resources[i].owner()] = true
	}
	delete(seen, "")
	return slices.Sorted(maps.Keys(seen))
}

func (u *update) namesNewAccounts(s *Snapshot) bool {
	return slices.ContainsFunc(accountsNamed(s), func(id iam.AccountID) bool {
		a := u.accounts[id]
		return a == nil || !a.listed
	})
}

// levels are the control policies from an organisation's root downwards.
type levels struct {
	service, resource [][]*eval.Policy
	orgIDs            []string
}

// A climber walks through an organisation.
type climber struct {
	*update
	controls map[string]ControlPolicy
	list     func(iam.AccountID) *account
}

func (c *climber) climb(o *Organization, n *Node, path string, above levels) error {
	path += n.ID + "/"
	here, err := c.level(above, n.ServiceControl, n.ResourceControl)
	if err != nil {
		return fmt.Errorf("organization %s, %s: %w", o.ID, n.ID, err)
	}
	for _, m := range n.Accounts {
		own, err := c.level(here, m.ServiceControl, m.ResourceControl)
		if err != nil {
			return fmt.Errorf("organization %s, account %s: %w", o.ID, m.ID, err)
		}
		a := c.list(m.ID)
		a.org, a.orgPath = o.ID, path
		a.management = m.ID == o.ManagementAccount
		// The management account's principals and resources are exempt.
		// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html
		if !a.management {
			a.serviceControl, a.resourceControl, a.orgIDs = own.service, own.resource, own.orgIDs
		}
	}
	for i := range n.Units {
		if err := c.climb(o, &n.Units[i], path, here); err != nil {
			return err
		}
	}
	return nil
}

// level adds one level. A level to which nothing is attached allows everything.
func (c *climber) level(above levels, service, resource []string) (levels, error) {
	out := levels{service: slices.Clone(above.service), resource: slices.Clone(above.resource), orgIDs: above.orgIDs}
	if service == nil {
		service = []string{fullAccessSCP}
	}
	policies, err := c.policies(iam.KindServiceControl, service)
	if err != nil {
		return out, err
	}
	out.service = append(out.service, policies)
	policies, err = c.policies(iam.KindResourceControl, resource)
	if err != nil {
		return out, err
	}
	out.resource = append(out.resource, policies)
	for _, p := range policies {
		out.orgIDs = append(out.orgIDs[:len(out.orgIDs):len(out.orgIDs)], orgIDsIn(p.Source())...)
	}
	return out, nil
}

func (c *climber) policies(kind iam.Kind, ids []string) ([]*eval.Policy, error) {
	out := []*eval.Policy{}
	for _, id := range ids {
		p, known := c.controls[id]
		switch {
		case id == fullAccessRCP: // implied, see eval.Input
		case id == fullAccessSCP:
			full, err := c.store.get(iam.KindServiceControl, "FullAWSAccess", Document{fullAccess})
			if err != nil {
				return nil, err
			}
			out = append(out, full.eval())
		case !known:
			out = append(out, c.store.missing(kind, id).eval())
		case (p.Type == TypeResourceControl) != (kind == iam.KindResourceControl):
			return nil, fmt.Errorf("control policy %s is of type %s and cannot be attached as a %s", id, p.Type, kind)
		default:
			compiled, err := c.store.get(kind, controlName(p), p.Document)
			if err != nil {
				return nil, err
			}
			out = append(out, compiled.eval())
		}
	}
	return out, nil
}

const fullAccess = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

package world

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// organization reads describe-organization, list-roots, list-accounts and the
// lists of what is below a parent. They have to be added from the top: each
// places things below what is already known.
func (o *outputReader) organization() error {
	switch {
	case o.has("Organization"):
		var x struct{ Id, MasterAccountId string }
		if err := json.Unmarshal(o.fields["Organization"], &x); err != nil {
			return fmt.Errorf("Organization: %w", err)
		}
		for i := range o.into.Organizations {
			if known := &o.into.Organizations[i]; known.ID == x.Id {
				org, _, err := o.placeOf(known.Root.ID)
				if err != nil {
					return err
				}
				org.ManagementAccount = iam.AccountID(x.MasterAccountId)
				o.part.Organizations = []Organization{*org}
				return nil
			}
		}
		return fmt.Errorf("organization %s is not in the world; add the output of list-roots, which tells its management account too", x.Id)
	case o.has("Roots"):
		var roots []struct{ Id, Arn, Name string }
		if err := json.Unmarshal(o.fields["Roots"], &roots); err != nil {
			return fmt.Errorf("Roots: %w", err)
		}
		for _, x := range roots {
			parts := strings.Split(x.Arn, "/") // arn:aws:organizations::ACCOUNT:root/o-…/r-…
			if len(parts) != 3 {
				return fmt.Errorf("Roots: %q is not the ARN of a root", x.Arn)
			}
			o.part.Organizations = append(o.part.Organizations, Organization{
				ID: parts[1], ManagementAccount: accountOf(x.Arn), Root: Node{ID: x.Id, Name: x.Name},
			})
		}
	default:
		return o.below()
	}
	return nil
}

// below reads list-accounts-for-parent, list-accounts and
// list-organizational-units-for-parent.
func (o *outputReader) below() error {
	var accounts []struct{ Id, Arn, Name string }
	var units []struct{ Id, Arn, Name string }
	if o.has("Accounts") {
		if err := json.Unmarshal(o.fields["Accounts"], &accounts); err != nil {
			return fmt.Errorf("Accounts: %w", err)
		}
	}
	if o.has("OrganizationalUnits") {
		if err := json.Unmarshal(o.fields["OrganizationalUnits"], &units); err != nil {
			return fmt.Errorf("OrganizationalUnits: %w", err)
		}
	}
	for _, a := range accounts {
		o.part.Accounts = append(o.part.Accounts, Account{ID: iam.AccountID(a.Id), Name: a.Name})
	}
	if o.subject == "" {
		if len(units) > 0 {
			return fmt.Errorf("the output does not say which parent it is about; name the --parent-id")
		}
		return nil // list-accounts: names, but no places
	}
	org, node, err := o.placeOf(o.subject)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		node.Accounts = append(node.Accounts, Member{ID: iam.AccountID(a.Id)})
	}
	for _, u := range units {
		node.Units = append(node.Units, Node{ID: u.Id, Name: u.Name})
	}
	o.part.Organizations = []Organization{*org}
	return nil
}

// placeOf returns a copy of the way from an organisation's root down to a node,
// without anything beside it, and the node in it.
func (o *outputReader) placeOf(id string) (*Organization, *Node, error) {
	for i := range o.into.Organizations {
		org := &o.into.Organizations[i]
		if way := wayTo(&org.Root, id); way != nil {
			copied := &Organization{ID: org.ID, ManagementAccount: org.ManagementAccount}
			at := &copied.Root
			for j, n := range way {
				at.ID, at.Name = n.ID, n.Name
				if j < len(way)-1 {
					at.Units = []Node{{}}
					at = &at.Units[0]
				}
			}
			return copied, at, nil
		}
	}
	return nil, nil, fmt.Errorf("%s is in no organisation of the world; add the outputs from the top: list-roots, then what is below each parent", id)
}

func wayTo(n *Node, id string) []*Node {
	if n.ID == id {
		return []*Node{n}
	}
	for i := range n.Units {
		if way := wayTo(&n.Units[i], id); way != nil {
			return append([]*Node{n}, way...)
		}
	}
	return nil
}

// attachedControlPolicies reads organizations list-policies-for-target.
func (o *outputReader) attachedControlPolicies() error {
	var list []struct{ Id, Arn, Name, Type string }
	if err := json.Unmarshal(o.fields["Policies"], &list); err != nil {
		return fmt.Errorf("Policies: %w", err)
	}
	if o.subject == "" {
		return fmt.Errorf("the output does not say what the policies are attached to; name the --target-id")
	}
	var service, resource []string
	for _, p := range list {
		switch p.Type {
		case TypeServiceControl:
			service = append(service, p.Id)
		case TypeResourceControl:
			resource = append(resource, p.Id)
		default:
			return fmt.Errorf("Policies: %s is of type %s, which does not bear on access; list service and resource control policies", p.Id, p.Type)
		}
	}
	if _, err := iam.ParseAccountID(o.subject); err == nil {
		return o.attachedToAccount(iam.AccountID(o.subject), service, resource)
	}
	org, node, err := o.placeOf(o.subject)
	if err != nil {
		return err
	}
	node.ServiceControl, node.ResourceControl = service, resource
	o.part.Organizations = []Organization{*org}
	return nil
}

func (o *outputReader) attachedToAccount(id iam.AccountID, service, resource []string) error {
	for i := range o.into.Organizations {
		if at, ok := o.into.Organizations[i].Root.places()[id]; ok {
			org, node, err := o.placeOf(at)
			if err != nil {
				return err
			}
			node.Accounts = []Member{{ID: id, ServiceControl: service, ResourceControl: resource}}
			o.part.Organizations = []Organization{*org}
			return nil
		}
	}
	return fmt.Errorf("account %s is in no organisation of the world; add the output of list-accounts-for-parent first", id)
}

// controlPolicy reads organizations describe-policy.
func (o *outputReader) controlPolicy() error {
	var x struct {
		PolicySummary struct{ Id, Name, Type string }
		Content       string
	}
	if err := json.Unmarshal(o.fields["Policy"], &x); err != nil {
		return fmt.Errorf("Policy: %w", err)
	}
	if x.Content == "" || x.PolicySummary.Id == "" {
		return fmt.Errorf("Policy: is neither a resource policy nor the output of aws organizations describe-policy")
	}
	d, err := ParseDocument([]byte(x.Content))
	if err != nil {
		return fmt.Errorf("Policy %s: %w", x.PolicySummary.Id, err)
	}
	o.part.ControlPolicies = []ControlPolicy{{ID: x.PolicySummary.Id, Name: x.PolicySummary.Name, Type: x.PolicySummary.Type, Document: d}}
	return nil
}

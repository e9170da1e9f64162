package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// The output of aws iam get-account-authorization-details, as far as a world has
// it. Left out are dates, descriptions, instance profiles and counts.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
type accountDetails struct {
	UserDetailList  []userDetail
	GroupDetailList []groupDetail
	RoleDetailList  []roleDetail
	Policies        []policyDetail
	IsTruncated     bool
	Marker          string
	NextToken       string
}

type policyDocument struct {
	PolicyName     string
	PolicyDocument json.RawMessage
}

type attachedPolicy struct{ PolicyName, PolicyArn string }

type boundaryDetail struct{ PermissionsBoundaryType, PermissionsBoundaryArn string }

type userDetail struct {
	UserName, UserId, Arn   string
	UserPolicyList          []policyDocument
	GroupList               []string
	AttachedManagedPolicies []attachedPolicy
	PermissionsBoundary     boundaryDetail
	Tags                    json.RawMessage
}

type groupDetail struct {
	GroupName, GroupId, Arn string
	GroupPolicyList         []policyDocument
	AttachedManagedPolicies []attachedPolicy
}

type roleDetail struct {
	RoleName, RoleId, Arn    string
	AssumeRolePolicyDocument json.RawMessage
	RolePolicyList           []policyDocument
	AttachedManagedPolicies  []attachedPolicy
	PermissionsBoundary      boundaryDetail
	Tags                     json.RawMessage
}

type policyDetail struct {
	PolicyName, Arn, DefaultVersionId string
	PolicyVersionList                 []struct {
		Document         json.RawMessage
		VersionId        string
		IsDefaultVersion bool
	}
}

func (o *outputReader) accountDetails() error {
	var details accountDetails
	if err := json.Unmarshal(o.output, &details); err != nil {
		return fmt.Errorf("account authorization details: %w", err)
	}
	for i := range details.UserDetailList {
		if err := o.user(&details.UserDetailList[i]); err != nil {
			return fmt.Errorf("UserDetailList[%d] (%s): %w", i, details.UserDetailList[i].Arn, err)
		}
	}
	for i := range details.GroupDetailList {
		x := &details.GroupDetailList[i]
		inline, err := inlinePolicies(x.GroupPolicyList)
		if err != nil {
			return fmt.Errorf("GroupDetailList[%d] (%s): %w", i, x.Arn, err)
		}
		o.part.Groups = append(o.part.Groups, Group{ARN: x.Arn, ID: x.GroupId, Inline: inline, Attached: attachedARNs(x.AttachedManagedPolicies)})
	}
	for i := range details.RoleDetailList {
		if err := o.role(&details.RoleDetailList[i]); err != nil {
			return fmt.Errorf("RoleDetailList[%d] (%s): %w", i, details.RoleDetailList[i].Arn, err)
		}
	}
	for i := range details.Policies {
		if err := o.managedPolicy(&details.Policies[i]); err != nil {
			return fmt.Errorf("Policies[%d] (%s): %w", i, details.Policies[i].Arn, err)
		}
	}
	o.theAccount(&details)
	return nil
}

// theAccount adds the account the details are of, whose principals are now all
// known, unless the output is one page of several.
func (o *outputReader) theAccount(details *accountDetails) {
	complete := []string{CompletePrincipals}
	if details.IsTruncated || details.Marker != "" || details.NextToken != "" ||
		!o.has("UserDetailList", "GroupDetailList", "RoleDetailList") {
		complete = nil
	}
	for _, id := range accountsNamed(o.part) {
		a := Account{ID: id, Complete: complete}
		for i := range o.part.Roles {
			if accountOf(o.part.Roles[i].ARN) == id {
				a.Partition = partitionOf(o.part.Roles[i].ARN)
			}
		}
		if a.Partition == "aws" {
			a.Partition = ""
		}
		o.part.Accounts = append(o.part.Accounts, a)
	}
}

func (o *outputReader) user(x *userDetail) error {
	inline, err := inlinePolicies(x.UserPolicyList)
	if err != nil {
		return err
	}
	tags, err := optionalTags(x.Tags)
	if err != nil {
		return err
	}
	o.part.Users = append(o.part.Users, User{
		ARN: x.Arn, ID: x.UserId, Groups: x.GroupList, Inline: inline, Attached: attachedARNs(x.AttachedManagedPolicies),
		Boundary: x.PermissionsBoundary.PermissionsBoundaryArn, Tags: tags,
	})
	return nil
}

func (o *outputReader) role(x *roleDetail) error {
	inline, err := inlinePolicies(x.RolePolicyList)
	if err != nil {
		return err
	}
	tags, err := optionalTags(x.Tags)
	if err != nil {
		return err
	}
	trust, err := rawDocument(x.AssumeRolePolicyDocument)
	if err != nil {
		return fmt.Errorf("AssumeRolePolicyDocument: %w", err)
	}
	o.part.Roles = append(o.part.Roles, Role{
		ARN: x.Arn, ID: x.RoleId, Trust: trust, Inline: inline, Attached: attachedARNs(x.AttachedManagedPolicies),
		Boundary: x.PermissionsBoundary.PermissionsBoundaryArn, Tags: tags,
	})
	return nil
}

func (o *outputReader) managedPolicy(x *policyDetail) error {
	p := ManagedPolicy{ARN: x.Arn, Version: x.DefaultVersionId}
	for _, v := range x.PolicyVersionList {
		d, err := rawDocument(v.Document)
		if err != nil {
			return fmt.Errorf("version %s: %w", v.VersionId, err)
		}
		if v.IsDefaultVersion || v.VersionId == x.DefaultVersionId {
			p.Document = d
		} else {
			p.OtherVersions = append(p.OtherVersions, PolicyVersion{v.VersionId, d})
		}
	}
	if p.Document.IsZero() {
		return fmt.Errorf("PolicyVersionList has no document of the default version %s", x.DefaultVersionId)
	}
	o.part.Policies = append(o.part.Policies, p)
	return nil
}

func inlinePolicies(list []policyDocument) ([]InlinePolicy, error) {
	var out []InlinePolicy
	for _, x := range list {
		d, err := rawDocument(x.PolicyDocument)
		if err != nil {
			return nil, fmt.Errorf("inline policy %s: %w", x.PolicyName, err)
		}
		out = append(out, InlinePolicy{x.PolicyName, d})
	}
	return out, nil
}

// rawDocument reads a document that the aws command prints as an object, and the
// API returns as a URL-encoded string.
func rawDocument(raw json.RawMessage) (Document, error) {
	var text string
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0:
		return Document{}, fmt.Errorf("there is no policy document")
	case raw[0] != '"':
		return ParseDocument(raw)
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		return Document{}, err
	}
	return parseOutputDocument(text)
}

func attachedARNs(list []attachedPolicy) []string {
	var arns []string
	for _, x := range list {
		if !slices.Contains(arns, x.PolicyArn) {
			arns = append(arns, x.PolicyArn)
		}
	}
	return arns
}

func optionalTags(raw json.RawMessage) (map[string]string, error) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || string(raw) == "null" || string(raw) == "[]" {
		return nil, nil
	}
	return parseTags(raw)
}

// The outputs of aws organizations.

type orgSummary struct{ Id, Arn, MasterAccountId, MasterAccountArn string }

// organization reads describe-organization, list-roots, list-accounts and the
// lists of what is below a parent. They have to be added from the top: each
// places things below what is already known.
func (o *outputReader) organization() error {
	switch {
	case o.has("Organization"):
		var x orgSummary
		if err := json.Unmarshal(o.fields["Organization"], &x); err != nil {
			return fmt.Errorf("Organization: %w", err)
		}
		org := Organization{ID: x.Id, ManagementAccount: iam.AccountID(x.MasterAccountId), Root: Node{ID: rootUnknown}}
		for _, known := range o.into.Organizations {
			if known.ID == x.Id {
				org.Root = Node{ID: known.Root.ID}
			}
		}
		o.part.Organizations = []Organization{org}
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
			o.rootFound(parts[1], x.Id)
		}
	default:
		return o.below()
	}
	return nil
}

// rootUnknown is the root of an organisation of which only the id was read.
const rootUnknown = "r-0000"

// rootFound gives the root its id in the world that is merged into.
func (o *outputReader) rootFound(org, root string) {
	for i := range o.into.Organizations {
		if x := &o.into.Organizations[i]; x.ID == org && x.Root.ID == rootUnknown {
			x.Root.ID = root
		}
	}
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

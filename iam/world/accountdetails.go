package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
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

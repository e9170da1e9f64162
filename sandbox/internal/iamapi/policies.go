package iamapi

import (
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// CreatePolicyInput is the input of CreatePolicy.
type CreatePolicyInput struct {
	PolicyName     string
	Path           string // "" means "/"
	PolicyDocument string
	Description    string
	Tags           []Tag
}

// CreatePolicyOutput is the output of CreatePolicy.
type CreatePolicyOutput struct{ Policy Policy }

// CreatePolicy creates a managed policy with one version.
func (s *Service) CreatePolicy(c *authz.Call, in *CreatePolicyInput) (*CreatePolicyOutput, error) {
	if err := first(
		checkPolicyName(in.PolicyName), checkPath(in.Path), checkDocument(in.PolicyDocument),
		check("description", reference.CheckPolicyDescription(in.Description)), checkTags(in.Tags),
	); err != nil {
		return nil, err
	}
	t, err := s.accountTarget(c, "policy"+pathOf(in.Path)+in.PolicyName)
	if err != nil {
		return nil, err
	}
	if err := s.creating(c, "Policy", t.arn, in.Tags, details{}); err != nil {
		return nil, err
	}
	document, err := managedDocument(in.PolicyDocument, t.arn)
	if err != nil {
		return nil, err
	}
	p, err := s.directory.CreateManagedPolicy(c.Now, directory.ManagedPolicy{
		Account: c.Account(), Path: in.Path, Name: in.PolicyName, Description: in.Description, Tags: in.Tags,
	}, document)
	if err != nil {
		return nil, err
	}
	shape := listedPolicy(p, 0, 0)
	shape.Tags = p.Tags
	return &CreatePolicyOutput{shape}, nil
}

func managedDocument(text, arn string) (*directory.Document, error) {
	d, err := directory.NewDocument(text, iam.KindIdentity, arn)
	if err != nil {
		return nil, err
	}
	if d.Size > reference.MaxManagedPolicySize {
		return nil, limitExceeded("Cannot exceed quota for PolicySize: %d", reference.MaxManagedPolicySize)
	}
	return d, nil
}

// findPolicy checks a policy's ARN, asks whether the caller may do action on
// it, and returns it.
func (s *Service) findPolicy(c *authz.Call, arn, action string, more details) (*directory.ManagedPolicy, error) {
	if err := checkPolicyARN("policyArn", arn); err != nil {
		return nil, err
	}
	t := target{arn: arn, shown: "policy " + arn}
	p, ok := s.latest().ManagedPolicy(arn)
	if ok {
		t.tags = p.Tags
	}
	if err := s.authorize(c, action, t, more); err != nil {
		return nil, err
	}
	if !ok {
		return nil, directory.NoSuchPolicy(arn)
	}
	return p, nil
}

// ownPolicy is findPolicy for changes, which AWS's own policies do not take.
func (s *Service) ownPolicy(c *authz.Call, arn, action string, more details) (*directory.ManagedPolicy, error) {
	p, err := s.findPolicy(c, arn, action, more)
	if err == nil && p.Account == directory.AWSAccount {
		return nil, wire.Errorf(http.StatusForbidden, "AccessDenied", "AWS managed policies cannot be changed: %s", arn)
	}
	return p, err
}

// PolicyInput names a managed policy.
type PolicyInput struct{ PolicyArn string }

// GetPolicyOutput is the output of GetPolicy.
type GetPolicyOutput struct{ Policy Policy }

// GetPolicy returns a managed policy without its document.
func (s *Service) GetPolicy(c *authz.Call, in *PolicyInput) (*GetPolicyOutput, error) {
	p, err := s.findPolicy(c, in.PolicyArn, "GetPolicy", details{})
	if err != nil {
		return nil, err
	}
	shape := s.policy(c, p)
	shape.Description, shape.Tags = p.Description, p.Tags
	return &GetPolicyOutput{shape}, nil
}

// policy returns a policy with the numbers of its uses in the caller's account.
func (s *Service) policy(c *authz.Call, p *directory.ManagedPolicy) Policy {
	attached, bounded := s.latest().PolicyUseCount(c.Account(), p.ARN())
	return listedPolicy(p, attached, bounded)
}

// ListPoliciesInput is the input of ListPolicies.
type ListPoliciesInput struct {
	Scope             string // "All" (default), "AWS" or "Local"
	OnlyAttached      bool
	PathPrefix        string // "" means all
	PolicyUsageFilter string // "", "PermissionsPolicy" or "PermissionsBoundary"
	Paging
}

// ListPoliciesOutput is the output of ListPolicies.
type ListPoliciesOutput struct {
	Policies []Policy
	Paged
}

// ListPolicies returns managed policies: those of the account, then AWS's own,
// each sorted by name.
func (s *Service) ListPolicies(c *authz.Call, in *ListPoliciesInput) (*ListPoliciesOutput, error) {
	after, limit, err := in.start()
	if err := first(
		err, checkPrefix(in.PathPrefix), oneOf("scope", in.Scope, "All", "AWS", "Local"),
		oneOf("policyUsageFilter", in.PolicyUsageFilter, "PermissionsPolicy", "PermissionsBoundary"),
	); err != nil {
		return nil, err
	}
	t, err := s.accountTarget(c, "policy"+pathOf(in.PathPrefix))
	if err != nil {
		return nil, err
	}
	t.shown = "policy path " + pathOf(in.PathPrefix)
	if err := s.authorize(c, "ListPolicies", t, details{}); err != nil {
		return nil, err
	}
	list := &policyList{s: s, c: c, in: in, limit: limit}
	section, name, _ := strings.Cut(after, "/") // "local/NAME" or "aws/NAME"
	if in.Scope != "AWS" && section != "aws" {
		list.addLocal(name)
		name = ""
	}
	if in.Scope != "Local" {
		list.addAWS(name)
	}
	return &list.out, nil
}

// A policyList gathers one page of ListPolicies.
type policyList struct {
	s     *Service
	c     *authz.Call
	in    *ListPoliciesInput
	limit int
	out   ListPoliciesOutput
	last  string // marker of the last policy taken
}

// add takes a policy if it is asked for. It reports false when the page was
// full before.
func (l *policyList) add(section string, p *directory.ManagedPolicy) bool {
	if !strings.HasPrefix(p.Path, l.in.PathPrefix) {
		return true
	}
	shape := l.s.policy(l.c, p)
	used := shape.AttachmentCount + shape.PermissionsBoundaryUsageCount
	switch l.in.PolicyUsageFilter {
	case "PermissionsPolicy":
		used = shape.AttachmentCount
	case "PermissionsBoundary":
		used = shape.PermissionsBoundaryUsageCount
	}
	if used == 0 && (l.in.OnlyAttached || l.in.PolicyUsageFilter != "") {
		return true
	}
	if len(l.out.Policies) == l.limit {
		l.out.Paged = paged(true, l.last)
		return false
	}
	l.out.Policies = append(l.out.Policies, shape)
	l.last = section + "/" + p.Name
	return true
}

func (l *policyList) addLocal(after string) {
	const batch = 200
	for {
		policies, more := l.s.latest().ManagedPolicies(l.c.Account(), after, batch, func(*directory.ManagedPolicy) bool { return true })
		for _, p := range policies {
			if !l.add("local", p) {
				return
			}
			after = p.Name
		}
		if !more {
			return
		}
	}
}

func (l *policyList) addAWS(after string) {
	a, err := l.s.account(l.c)
	if err != nil || l.out.IsTruncated {
		return
	}
	for _, p := range l.s.directory.AWSManagedPolicies(a.Partition) {
		if p.Name > after && !l.add("aws", p) {
			return
		}
	}
}

// oneOf checks an optional parameter with a fixed set of values.
func oneOf(parameter, value string, allowed ...string) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return invalid(parameter, "Member must satisfy enum value set: ["+strings.Join(allowed, ", ")+"]")
}

// DeletePolicy deletes a managed policy that nobody uses and that has no
// version but its default.
func (s *Service) DeletePolicy(c *authz.Call, in *PolicyInput) error {
	if _, err := s.ownPolicy(c, in.PolicyArn, "DeletePolicy", details{}); err != nil {
		return err
	}
	return s.directory.DeleteManagedPolicy(c.Now, in.PolicyArn)
}

// ListEntitiesForPolicyInput is the input of ListEntitiesForPolicy.
type ListEntitiesForPolicyInput struct {
	PolicyArn         string
	EntityFilter      string // "", "User", "Role", "Group", …
	PathPrefix        string
	PolicyUsageFilter string // "PermissionsPolicy" (default) or "PermissionsBoundary"
	Paging
}

// ListEntitiesForPolicyOutput is the output of ListEntitiesForPolicy.
type ListEntitiesForPolicyOutput struct {
	PolicyGroups []struct{} // none: the sandbox has no groups
	PolicyUsers  []PolicyUser
	PolicyRoles  []PolicyRole
	Paged
}

// A PolicyUser is a user with a policy.
type PolicyUser struct{ UserName, UserId string }

// A PolicyRole is a role with a policy.
type PolicyRole struct{ RoleName, RoleId string }

// ListEntitiesForPolicy returns the users and roles of the caller's account
// that a policy is attached to, or that it is the permissions boundary of.
func (s *Service) ListEntitiesForPolicy(c *authz.Call, in *ListEntitiesForPolicyInput) (*ListEntitiesForPolicyOutput, error) {
	if err := first(
		checkPrefix(in.PathPrefix), oneOf("policyUsageFilter", in.PolicyUsageFilter, "PermissionsPolicy", "PermissionsBoundary"),
		oneOf("entityFilter", in.EntityFilter, "User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"),
	); err != nil {
		return nil, err
	}
	if _, err := s.findPolicy(c, in.PolicyArn, "ListEntitiesForPolicy", details{}); err != nil {
		return nil, err
	}
	view := s.latest()
	ids, boundedIDs := view.PolicyUse(c.Account(), in.PolicyArn)
	if in.PolicyUsageFilter == "PermissionsBoundary" {
		ids = boundedIDs
	}
	type entity struct{ sort, name, id string }
	var entities []entity
	for _, id := range ids {
		if u, ok := view.UserByID(id); ok && in.EntityFilter != "Role" && strings.HasPrefix(u.Path, in.PathPrefix) {
			entities = append(entities, entity{"user/" + u.Name, u.Name, id})
		}
		if r, ok := view.RoleByID(id); ok && in.EntityFilter != "User" && strings.HasPrefix(r.Path, in.PathPrefix) {
			entities = append(entities, entity{"role/" + r.Name, r.Name, id})
		}
	}
	if in.EntityFilter != "" && in.EntityFilter != "User" && in.EntityFilter != "Role" {
		entities = nil
	}
	sort.Slice(entities, func(i, j int) bool { return entities[i].sort < entities[j].sort })
	entities, paged, err := page(entities, in.Paging, func(e entity) string { return e.sort })
	if err != nil {
		return nil, err
	}
	out := &ListEntitiesForPolicyOutput{Paged: paged}
	for _, e := range entities {
		if strings.HasPrefix(e.sort, "user/") {
			out.PolicyUsers = append(out.PolicyUsers, PolicyUser{e.name, e.id})
		} else {
			out.PolicyRoles = append(out.PolicyRoles, PolicyRole{e.name, e.id})
		}
	}
	return out, nil
}

// TagPolicyInput is the input of TagPolicy.
type TagPolicyInput struct {
	PolicyArn string
	Tags      []Tag
}

// TagPolicy adds tags to a managed policy; a key it has already gets the new
// value.
func (s *Service) TagPolicy(c *authz.Call, in *TagPolicyInput) error {
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	if _, err := s.ownPolicy(c, in.PolicyArn, "TagPolicy", details{requestTags: in.Tags}); err != nil {
		return err
	}
	_, err := s.directory.UpdateManagedPolicy(c.Now, in.PolicyArn, func(p *directory.ManagedPolicy) (err error) {
		p.Tags, err = withTags(p.Tags, in.Tags)
		return err
	})
	return err
}

// UntagPolicyInput is the input of UntagPolicy.
type UntagPolicyInput struct {
	PolicyArn string
	TagKeys   []string
}

// UntagPolicy removes tags from a managed policy.
func (s *Service) UntagPolicy(c *authz.Call, in *UntagPolicyInput) error {
	if _, err := s.ownPolicy(c, in.PolicyArn, "UntagPolicy", untagging(in.TagKeys)); err != nil {
		return err
	}
	_, err := s.directory.UpdateManagedPolicy(c.Now, in.PolicyArn, func(p *directory.ManagedPolicy) error {
		p.Tags = withoutTags(p.Tags, in.TagKeys)
		return nil
	})
	return err
}

// ListPolicyTagsInput is the input of ListPolicyTags.
type ListPolicyTagsInput struct {
	PolicyArn string
	Paging
}

// ListPolicyTags returns a managed policy's tags, sorted by key.
func (s *Service) ListPolicyTags(c *authz.Call, in *ListPolicyTagsInput) (*ListTagsOutput, error) {
	p, err := s.findPolicy(c, in.PolicyArn, "ListPolicyTags", details{})
	if err != nil {
		return nil, err
	}
	tags, paged, err := pageTags(p.Tags, in.Paging)
	if err != nil {
		return nil, err
	}
	return &ListTagsOutput{tags, paged}, nil
}

func pageTags(tags []Tag, p Paging) ([]Tag, Paged, error) {
	sorted := slices.Clone(tags)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Key < sorted[j].Key })
	return page(sorted, p, func(t Tag) string { return t.Key })
}

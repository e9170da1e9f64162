package iamapi

import "github.com/crossaccount/crossaccount/sandbox/internal/authz"

// The operations on the policies, boundaries and tags of roles and users. What
// they do is in identity.go.

// PutRolePolicyInput is the input of PutRolePolicy.
type PutRolePolicyInput struct{ RoleName, PolicyName, PolicyDocument string }

// PutRolePolicy adds or replaces an inline policy of a role.
func (s *Service) PutRolePolicy(c *authz.Call, in *PutRolePolicyInput) error {
	return s.putPolicy(c, roles, in.RoleName, in.PolicyName, in.PolicyDocument)
}

// PutUserPolicyInput is the input of PutUserPolicy.
type PutUserPolicyInput struct{ UserName, PolicyName, PolicyDocument string }

// PutUserPolicy adds or replaces an inline policy of a user.
func (s *Service) PutUserPolicy(c *authz.Call, in *PutUserPolicyInput) error {
	return s.putPolicy(c, users, in.UserName, in.PolicyName, in.PolicyDocument)
}

// RolePolicyInput names an inline policy of a role.
type RolePolicyInput struct{ RoleName, PolicyName string }

// GetRolePolicyOutput is the output of GetRolePolicy.
type GetRolePolicyOutput struct {
	RoleName, PolicyName string
	PolicyDocument       string // URL-encoded JSON (RFC 3986)
}

// GetRolePolicy returns an inline policy of a role.
func (s *Service) GetRolePolicy(c *authz.Call, in *RolePolicyInput) (*GetRolePolicyOutput, error) {
	owner, document, err := s.getPolicy(c, roles, in.RoleName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &GetRolePolicyOutput{owner, in.PolicyName, document}, nil
}

// UserPolicyInput names an inline policy of a user.
type UserPolicyInput struct{ UserName, PolicyName string }

// GetUserPolicyOutput is the output of GetUserPolicy.
type GetUserPolicyOutput struct {
	UserName, PolicyName string
	PolicyDocument       string // URL-encoded JSON (RFC 3986)
}

// GetUserPolicy returns an inline policy of a user.
func (s *Service) GetUserPolicy(c *authz.Call, in *UserPolicyInput) (*GetUserPolicyOutput, error) {
	owner, document, err := s.getPolicy(c, users, in.UserName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &GetUserPolicyOutput{owner, in.PolicyName, document}, nil
}

// ListRolePoliciesInput is the input of ListRolePolicies.
type ListRolePoliciesInput struct {
	RoleName string
	Paging
}

// ListUserPoliciesInput is the input of ListUserPolicies.
type ListUserPoliciesInput struct {
	UserName string
	Paging
}

// ListInlinePoliciesOutput is the output of ListRolePolicies and
// ListUserPolicies.
type ListInlinePoliciesOutput struct {
	PolicyNames []string
	Paged
}

// ListRolePolicies returns the names of a role's inline policies.
func (s *Service) ListRolePolicies(c *authz.Call, in *ListRolePoliciesInput) (*ListInlinePoliciesOutput, error) {
	names, paged, err := s.listPolicies(c, roles, in.RoleName, in.Paging)
	if err != nil {
		return nil, err
	}
	return &ListInlinePoliciesOutput{names, paged}, nil
}

// ListUserPolicies returns the names of a user's inline policies.
func (s *Service) ListUserPolicies(c *authz.Call, in *ListUserPoliciesInput) (*ListInlinePoliciesOutput, error) {
	names, paged, err := s.listPolicies(c, users, in.UserName, in.Paging)
	if err != nil {
		return nil, err
	}
	return &ListInlinePoliciesOutput{names, paged}, nil
}

// DeleteRolePolicy deletes an inline policy of a role.
func (s *Service) DeleteRolePolicy(c *authz.Call, in *RolePolicyInput) error {
	return s.deletePolicy(c, roles, in.RoleName, in.PolicyName)
}

// DeleteUserPolicy deletes an inline policy of a user.
func (s *Service) DeleteUserPolicy(c *authz.Call, in *UserPolicyInput) error {
	return s.deletePolicy(c, users, in.UserName, in.PolicyName)
}

// AttachRolePolicyInput is the input of AttachRolePolicy and DetachRolePolicy.
type AttachRolePolicyInput struct{ RoleName, PolicyArn string }

// AttachUserPolicyInput is the input of AttachUserPolicy and DetachUserPolicy.
type AttachUserPolicyInput struct{ UserName, PolicyArn string }

// AttachRolePolicy attaches a managed policy to a role.
func (s *Service) AttachRolePolicy(c *authz.Call, in *AttachRolePolicyInput) error {
	return s.attach(c, roles, in.RoleName, in.PolicyArn)
}

// AttachUserPolicy attaches a managed policy to a user.
func (s *Service) AttachUserPolicy(c *authz.Call, in *AttachUserPolicyInput) error {
	return s.attach(c, users, in.UserName, in.PolicyArn)
}

// DetachRolePolicy detaches a managed policy from a role.
func (s *Service) DetachRolePolicy(c *authz.Call, in *AttachRolePolicyInput) error {
	return s.detach(c, roles, in.RoleName, in.PolicyArn)
}

// DetachUserPolicy detaches a managed policy from a user.
func (s *Service) DetachUserPolicy(c *authz.Call, in *AttachUserPolicyInput) error {
	return s.detach(c, users, in.UserName, in.PolicyArn)
}

// ListAttachedRolePoliciesInput is the input of ListAttachedRolePolicies.
type ListAttachedRolePoliciesInput struct {
	RoleName, PathPrefix string
	Paging
}

// ListAttachedUserPoliciesInput is the input of ListAttachedUserPolicies.
type ListAttachedUserPoliciesInput struct {
	UserName, PathPrefix string
	Paging
}

// ListAttachedPoliciesOutput is the output of ListAttachedRolePolicies and
// ListAttachedUserPolicies.
type ListAttachedPoliciesOutput struct {
	AttachedPolicies []AttachedPolicy
	Paged
}

// ListAttachedRolePolicies returns the managed policies of a role.
func (s *Service) ListAttachedRolePolicies(c *authz.Call, in *ListAttachedRolePoliciesInput) (*ListAttachedPoliciesOutput, error) {
	policies, paged, err := s.listAttached(c, roles, in.RoleName, in.PathPrefix, in.Paging)
	if err != nil {
		return nil, err
	}
	return &ListAttachedPoliciesOutput{policies, paged}, nil
}

// ListAttachedUserPolicies returns the managed policies of a user.
func (s *Service) ListAttachedUserPolicies(c *authz.Call, in *ListAttachedUserPoliciesInput) (*ListAttachedPoliciesOutput, error) {
	policies, paged, err := s.listAttached(c, users, in.UserName, in.PathPrefix, in.Paging)
	if err != nil {
		return nil, err
	}
	return &ListAttachedPoliciesOutput{policies, paged}, nil
}

// PutRolePermissionsBoundaryInput is the input of PutRolePermissionsBoundary.
type PutRolePermissionsBoundaryInput struct{ RoleName, PermissionsBoundary string }

// PutUserPermissionsBoundaryInput is the input of PutUserPermissionsBoundary.
type PutUserPermissionsBoundaryInput struct{ UserName, PermissionsBoundary string }

// PutRolePermissionsBoundary limits a role to what a managed policy allows.
func (s *Service) PutRolePermissionsBoundary(c *authz.Call, in *PutRolePermissionsBoundaryInput) error {
	return s.putBoundary(c, roles, in.RoleName, in.PermissionsBoundary)
}

// PutUserPermissionsBoundary limits a user to what a managed policy allows.
func (s *Service) PutUserPermissionsBoundary(c *authz.Call, in *PutUserPermissionsBoundaryInput) error {
	return s.putBoundary(c, users, in.UserName, in.PermissionsBoundary)
}

// RoleInput names a role.
type RoleInput struct{ RoleName string }

// UserInput names a user.
type UserInput struct{ UserName string }

// DeleteRolePermissionsBoundary takes a role's permissions boundary away.
func (s *Service) DeleteRolePermissionsBoundary(c *authz.Call, in *RoleInput) error {
	return s.deleteBoundary(c, roles, in.RoleName)
}

// DeleteUserPermissionsBoundary takes a user's permissions boundary away.
func (s *Service) DeleteUserPermissionsBoundary(c *authz.Call, in *UserInput) error {
	return s.deleteBoundary(c, users, in.UserName)
}

// TagRoleInput is the input of TagRole.
type TagRoleInput struct {
	RoleName string
	Tags     []Tag
}

// TagUserInput is the input of TagUser.
type TagUserInput struct {
	UserName string
	Tags     []Tag
}

// UntagRoleInput is the input of UntagRole.
type UntagRoleInput struct {
	RoleName string
	TagKeys  []string
}

// UntagUserInput is the input of UntagUser.
type UntagUserInput struct {
	UserName string
	TagKeys  []string
}

// TagRole adds tags to a role; a key it has already gets the new value.
func (s *Service) TagRole(c *authz.Call, in *TagRoleInput) error {
	return s.tag(c, roles, in.RoleName, in.Tags)
}

// TagUser adds tags to a user; a key it has already gets the new value.
func (s *Service) TagUser(c *authz.Call, in *TagUserInput) error {
	return s.tag(c, users, in.UserName, in.Tags)
}

// UntagRole removes tags from a role.
func (s *Service) UntagRole(c *authz.Call, in *UntagRoleInput) error {
	return s.untag(c, roles, in.RoleName, in.TagKeys)
}

// UntagUser removes tags from a user.
func (s *Service) UntagUser(c *authz.Call, in *UntagUserInput) error {
	return s.untag(c, users, in.UserName, in.TagKeys)
}

// ListRoleTagsInput is the input of ListRoleTags.
type ListRoleTagsInput struct {
	RoleName string
	Paging
}

// ListUserTagsInput is the input of ListUserTags.
type ListUserTagsInput struct {
	UserName string
	Paging
}

// ListTagsOutput is the output of the operations that list tags.
type ListTagsOutput struct {
	Tags []Tag
	Paged
}

// ListRoleTags returns a role's tags, sorted by key.
func (s *Service) ListRoleTags(c *authz.Call, in *ListRoleTagsInput) (*ListTagsOutput, error) {
	tags, paged, err := s.listTags(c, roles, in.RoleName, in.Paging)
	if err != nil {
		return nil, err
	}
	return &ListTagsOutput{tags, paged}, nil
}

// ListUserTags returns a user's tags, sorted by key.
func (s *Service) ListUserTags(c *authz.Call, in *ListUserTagsInput) (*ListTagsOutput, error) {
	tags, paged, err := s.listTags(c, users, in.UserName, in.Paging)
	if err != nil {
		return nil, err
	}
	return &ListTagsOutput{tags, paged}, nil
}

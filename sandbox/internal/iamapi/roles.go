package iamapi

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// CreateRoleInput is the input of CreateRole.
type CreateRoleInput struct {
	RoleName                 string
	Path                     string // "" means "/"
	AssumeRolePolicyDocument string
	Description              string
	MaxSessionDuration       *int   // seconds, 3,600 to 43,200; nil: 3,600
	PermissionsBoundary      string // ARN of a managed policy; "" for none
	Tags                     []Tag
}

// CreateRoleOutput is the output of CreateRole.
type CreateRoleOutput struct{ Role Role }

// CreateRole creates a role. The principals its trust policy names must have
// taken effect: with a delay of IAM changes, a role that names one made a
// moment ago is refused, as in AWS.
func (s *Service) CreateRole(c *authz.Call, in *CreateRoleInput) (*CreateRoleOutput, error) {
	duration, err := maxSessionDuration(in.MaxSessionDuration)
	if err := first(
		required("roleName", in.RoleName), check("roleName", reference.CheckRoleName(in.RoleName)), checkPath(in.Path),
		checkDocument(in.AssumeRolePolicyDocument), check("description", reference.CheckRoleDescription(in.Description)), err, checkTags(in.Tags),
	); err != nil {
		return nil, err
	}
	if in.PermissionsBoundary != "" {
		if err := checkPolicyARN("permissionsBoundary", in.PermissionsBoundary); err != nil {
			return nil, err
		}
	}
	t, err := s.accountTarget(c, "role"+pathOf(in.Path)+in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := s.creating(c, "Role", t.arn, in.Tags, boundaryKey(in.PermissionsBoundary)); err != nil {
		return nil, err
	}
	trust, err := s.trust(c, in.AssumeRolePolicyDocument, t.arn)
	if err != nil {
		return nil, err
	}
	role, err := s.directory.CreateRole(c.Now, directory.Role{
		Identity: directory.Identity{
			Account: c.Account(), Path: in.Path, Name: in.RoleName, Tags: in.Tags, Boundary: in.PermissionsBoundary, Created: c.Now,
		},
		Description: in.Description, Trust: trust, MaxSessionDuration: duration,
	})
	if err != nil {
		return nil, err
	}
	shape := s.role(role)
	shape.RoleLastUsed = nil
	return &CreateRoleOutput{shape}, nil
}

// trust makes a role's trust policy.
func (s *Service) trust(c *authz.Call, document, roleARN string) (*directory.Document, error) {
	d, err := s.directory.Effective(c.Now).NewResourceDocument(document, iam.KindTrust, "trust policy of "+roleARN)
	if err != nil {
		return nil, err
	}
	if d.Size > reference.MaxTrustPolicySize {
		return nil, limitExceeded("Cannot exceed quota for ACLSizePerRole: %d", reference.MaxTrustPolicySize)
	}
	return d, nil
}

func pathOf(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// GetRoleInput is the input of GetRole.
type GetRoleInput struct{ RoleName string }

// GetRoleOutput is the output of GetRole.
type GetRoleOutput struct{ Role Role }

// GetRole returns a role with its trust policy.
func (s *Service) GetRole(c *authz.Call, in *GetRoleInput) (*GetRoleOutput, error) {
	if _, err := s.find(c, roles, in.RoleName, "GetRole", nil); err != nil {
		return nil, err
	}
	role, ok := s.latest().Role(c.Account(), in.RoleName)
	if !ok {
		return nil, directory.NoSuchRole(in.RoleName)
	}
	return &GetRoleOutput{s.role(role)}, nil
}

// ListRolesInput is the input of ListRoles.
type ListRolesInput struct {
	PathPrefix string // "" means all
	Paging
}

// ListRolesOutput is the output of ListRoles.
type ListRolesOutput struct {
	Roles []Role
	Paged
}

// ListRoles returns the account's roles, sorted by name regardless of case.
func (s *Service) ListRoles(c *authz.Call, in *ListRolesInput) (*ListRolesOutput, error) {
	after, limit, err := in.start()
	if err := first(err, checkPrefix(in.PathPrefix)); err != nil {
		return nil, err
	}
	t, err := s.accountTarget(c, "role"+pathOf(in.PathPrefix))
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "ListRoles", t, details{}); err != nil {
		return nil, err
	}
	list, more := s.latest().Roles(c.Account(), in.PathPrefix, after, limit)
	out := &ListRolesOutput{Roles: make([]Role, len(list))}
	for i, role := range list {
		out.Roles[i] = s.listedRole(role)
	}
	if more {
		out.Paged = paged(true, list[len(list)-1].Name)
	}
	return out, nil
}

// UpdateRoleInput is the input of UpdateRole.
type UpdateRoleInput struct {
	RoleName           string
	Description        *string // nil: as it was
	MaxSessionDuration *int    // seconds; nil: 3,600
}

// UpdateRoleOutput is the output of UpdateRole, which is empty.
type UpdateRoleOutput struct{}

// UpdateRole changes a role's description and maximum session duration. As
// documented, a duration that is not given becomes one hour.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateRole.html
func (s *Service) UpdateRole(c *authz.Call, in *UpdateRoleInput) (*UpdateRoleOutput, error) {
	duration, err := maxSessionDuration(in.MaxSessionDuration)
	if err != nil {
		return nil, err
	}
	if in.Description != nil {
		if err := check("description", reference.CheckRoleDescription(*in.Description)); err != nil {
			return nil, err
		}
	}
	if _, err := s.find(c, roles, in.RoleName, "UpdateRole", nil); err != nil {
		return nil, err
	}
	_, err = s.directory.UpdateRole(c.Now, c.Account(), in.RoleName, func(r *directory.Role) error {
		r.MaxSessionDuration = duration
		if in.Description != nil {
			r.Description = *in.Description
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &UpdateRoleOutput{}, nil
}

// UpdateRoleDescriptionInput is the input of UpdateRoleDescription.
type UpdateRoleDescriptionInput struct{ RoleName, Description string }

// UpdateRoleDescriptionOutput is the output of UpdateRoleDescription.
type UpdateRoleDescriptionOutput struct{ Role Role }

// UpdateRoleDescription changes a role's description.
func (s *Service) UpdateRoleDescription(c *authz.Call, in *UpdateRoleDescriptionInput) (*UpdateRoleDescriptionOutput, error) {
	if err := check("description", reference.CheckRoleDescription(in.Description)); err != nil {
		return nil, err
	}
	if _, err := s.find(c, roles, in.RoleName, "UpdateRoleDescription", nil); err != nil {
		return nil, err
	}
	role, err := s.directory.UpdateRole(c.Now, c.Account(), in.RoleName, func(r *directory.Role) error {
		r.Description = in.Description
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &UpdateRoleDescriptionOutput{s.role(role)}, nil
}

// UpdateAssumeRolePolicyInput is the input of UpdateAssumeRolePolicy.
type UpdateAssumeRolePolicyInput struct{ RoleName, PolicyDocument string }

// UpdateAssumeRolePolicy replaces a role's trust policy.
func (s *Service) UpdateAssumeRolePolicy(c *authz.Call, in *UpdateAssumeRolePolicyInput) error {
	if err := checkDocument(in.PolicyDocument); err != nil {
		return err
	}
	f, err := s.find(c, roles, in.RoleName, "UpdateAssumeRolePolicy", nil)
	if err != nil {
		return err
	}
	trust, err := s.trust(c, in.PolicyDocument, f.arn)
	if err != nil {
		return err
	}
	_, err = s.directory.UpdateRole(c.Now, c.Account(), in.RoleName, func(r *directory.Role) error {
		r.Trust = trust
		return nil
	})
	return err
}

// DeleteRoleInput is the input of DeleteRole.
type DeleteRoleInput struct{ RoleName string }

// DeleteRole deletes a role that has no policies left.
func (s *Service) DeleteRole(c *authz.Call, in *DeleteRoleInput) error {
	if _, err := s.find(c, roles, in.RoleName, "DeleteRole", nil); err != nil {
		return err
	}
	return s.directory.DeleteRole(c.Now, c.Account(), in.RoleName)
}

// ListInstanceProfilesForRoleInput is the input of ListInstanceProfilesForRole.
type ListInstanceProfilesForRoleInput struct {
	RoleName string
	Paging
}

// ListInstanceProfilesForRoleOutput is the output of
// ListInstanceProfilesForRole.
type ListInstanceProfilesForRoleOutput struct {
	InstanceProfiles []struct{} // none: the sandbox has no instance profiles
	Paged
}

// ListInstanceProfilesForRole returns no instance profiles, as there are none.
// Terraform asks before it deletes a role.
func (s *Service) ListInstanceProfilesForRole(c *authz.Call, in *ListInstanceProfilesForRoleInput) (*ListInstanceProfilesForRoleOutput, error) {
	if _, err := s.find(c, roles, in.RoleName, "ListInstanceProfilesForRole", nil); err != nil {
		return nil, err
	}
	return &ListInstanceProfilesForRoleOutput{}, nil
}

package iamapi

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// CreateUserInput is the input of CreateUser.
type CreateUserInput struct {
	UserName            string
	Path                string // "" means "/"
	PermissionsBoundary string // ARN of a managed policy; "" for none
	Tags                []Tag
}

// CreateUserOutput is the output of CreateUser.
type CreateUserOutput struct{ User User }

// CreateUser creates a user without access keys.
func (s *Service) CreateUser(c *authz.Call, in *CreateUserInput) (*CreateUserOutput, error) {
	if err := first(
		required("userName", in.UserName), check("userName", reference.CheckUserName(in.UserName)), checkPath(in.Path), checkTags(in.Tags),
	); err != nil {
		return nil, err
	}
	if in.PermissionsBoundary != "" {
		if err := checkPolicyARN("permissionsBoundary", in.PermissionsBoundary); err != nil {
			return nil, err
		}
	}
	t, err := s.accountTarget(c, "user"+pathOf(in.Path)+in.UserName)
	if err != nil {
		return nil, err
	}
	if err := s.creating(c, "User", t.arn, in.Tags, boundaryKey(in.PermissionsBoundary)); err != nil {
		return nil, err
	}
	u, err := s.directory.CreateUser(c.Now, directory.User{Identity: directory.Identity{
		Account: c.Account(), Path: in.Path, Name: in.UserName, Tags: in.Tags, Boundary: in.PermissionsBoundary, Created: c.Now,
	}})
	if err != nil {
		return nil, err
	}
	return &CreateUserOutput{user(u)}, nil
}

// GetUserInput is the input of GetUser.
type GetUserInput struct{ UserName string } // "" means the caller

// GetUserOutput is the output of GetUser.
type GetUserOutput struct{ User User }

// GetUser returns a user; without a name the caller, which may then also be
// the root user.
func (s *Service) GetUser(c *authz.Call, in *GetUserInput) (*GetUserOutput, error) {
	if in.UserName == "" && c.Caller.Principal.Type == iam.PrincipalRootUser {
		a, err := s.account(c)
		if err != nil {
			return nil, err
		}
		return &GetUserOutput{User{Path: "/", UserId: string(a.ID), Arn: a.RootARN(), CreateDate: date(a.RootKey().Created)}}, nil
	}
	name, err := callerOr(c, in.UserName)
	if err != nil {
		return nil, err
	}
	if _, err := s.find(c, users, name, "GetUser", nil); err != nil {
		return nil, err
	}
	u, ok := s.latest().User(c.Account(), name)
	if !ok {
		return nil, directory.NoSuchUser(name)
	}
	return &GetUserOutput{user(u)}, nil
}

// callerOr returns the name given, or failing that the caller's.
func callerOr(c *authz.Call, name string) (string, error) {
	switch {
	case name != "":
		return name, nil
	case c.Caller.UserName != "":
		return c.Caller.UserName, nil
	}
	return "", wire.BadRequest("ValidationError", "Must specify userName when calling with non-User credentials")
}

// ListUsersInput is the input of ListUsers.
type ListUsersInput struct {
	PathPrefix string // "" means all
	Paging
}

// ListUsersOutput is the output of ListUsers.
type ListUsersOutput struct {
	Users []User
	Paged
}

// ListUsers returns the account's users, sorted by name regardless of case.
func (s *Service) ListUsers(c *authz.Call, in *ListUsersInput) (*ListUsersOutput, error) {
	after, limit, err := in.start()
	if err := first(err, checkPrefix(in.PathPrefix)); err != nil {
		return nil, err
	}
	t, err := s.accountTarget(c, "user"+pathOf(in.PathPrefix))
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "ListUsers", t, details{}); err != nil {
		return nil, err
	}
	list, more := s.latest().Users(c.Account(), in.PathPrefix, after, limit)
	out := &ListUsersOutput{Users: make([]User, len(list))}
	for i, u := range list {
		out.Users[i] = listedUser(u)
	}
	if more {
		out.Paged = paged(true, list[len(list)-1].Name)
	}
	return out, nil
}

// DeleteUserInput is the input of DeleteUser.
type DeleteUserInput struct{ UserName string }

// DeleteUser deletes a user that has neither policies nor access keys left.
func (s *Service) DeleteUser(c *authz.Call, in *DeleteUserInput) error {
	if _, err := s.find(c, users, in.UserName, "DeleteUser", nil); err != nil {
		return err
	}
	return s.directory.DeleteUser(c.Now, c.Account(), in.UserName)
}

// ListGroupsForUserInput is the input of ListGroupsForUser.
type ListGroupsForUserInput struct {
	UserName string
	Paging
}

// ListGroupsForUserOutput is the output of ListGroupsForUser.
type ListGroupsForUserOutput struct {
	Groups []struct{} // none: the sandbox has no groups
	Paged
}

// ListGroupsForUser returns no groups, as there are none. Terraform asks before
// it deletes a user.
func (s *Service) ListGroupsForUser(c *authz.Call, in *ListGroupsForUserInput) (*ListGroupsForUserOutput, error) {
	if _, err := s.find(c, users, in.UserName, "ListGroupsForUser", nil); err != nil {
		return nil, err
	}
	return &ListGroupsForUserOutput{}, nil
}

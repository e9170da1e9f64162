package iamapi

import (
	"net/http"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// CreateAccessKeyInput is the input of CreateAccessKey.
type CreateAccessKeyInput struct{ UserName string } // "" means the caller

// CreateAccessKeyOutput is the output of CreateAccessKey.
type CreateAccessKeyOutput struct{ AccessKey AccessKey }

// CreateAccessKey gives a user an access key. A root user has the one it was
// made with and gets no other.
func (s *Service) CreateAccessKey(c *authz.Call, in *CreateAccessKeyInput) (*CreateAccessKeyOutput, error) {
	if in.UserName == "" && c.Caller.Principal.Type == iam.PrincipalRootUser {
		return nil, wire.NotImplemented("iam", "CreateAccessKey for a root user")
	}
	name, err := callerOr(c, in.UserName)
	if err != nil {
		return nil, err
	}
	f, err := s.find(c, users, name, "CreateAccessKey", nil)
	if err != nil {
		return nil, err
	}
	key, err := s.directory.CreateAccessKey(c.Now, c.Account(), name)
	if err != nil {
		return nil, err
	}
	return &CreateAccessKeyOutput{AccessKey{
		UserName: f.Name, AccessKeyId: key.ID, Status: status(key.Active), SecretAccessKey: key.Secret, CreateDate: date(key.Created),
	}}, nil
}

// ListAccessKeysInput is the input of ListAccessKeys.
type ListAccessKeysInput struct {
	UserName string // "" means the caller
	Paging
}

// ListAccessKeysOutput is the output of ListAccessKeys.
type ListAccessKeysOutput struct {
	AccessKeyMetadata []AccessKeyMetadata
	Paged
}

// ListAccessKeys returns a user's access keys; without a name the caller's,
// which may then also be the root user.
func (s *Service) ListAccessKeys(c *authz.Call, in *ListAccessKeysInput) (*ListAccessKeysOutput, error) {
	if in.UserName == "" && c.Caller.Principal.Type == iam.PrincipalRootUser {
		a, err := s.account(c)
		if err != nil {
			return nil, err
		}
		return &ListAccessKeysOutput{AccessKeyMetadata: []AccessKeyMetadata{keyMetadata("", a.RootKey())}}, nil
	}
	name, err := callerOr(c, in.UserName)
	if err != nil {
		return nil, err
	}
	if _, err := s.find(c, users, name, "ListAccessKeys", nil); err != nil {
		return nil, err
	}
	u, ok := s.latest().User(c.Account(), name)
	if !ok {
		return nil, directory.NoSuchUser(name)
	}
	out := &ListAccessKeysOutput{}
	for _, key := range u.Keys {
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, keyMetadata(u.Name, key))
	}
	return out, nil
}

// UpdateAccessKeyInput is the input of UpdateAccessKey.
type UpdateAccessKeyInput struct {
	UserName    string // "" means the caller
	AccessKeyId string
	Status      string // "Active" or "Inactive"
}

// UpdateAccessKey switches an access key on or off.
func (s *Service) UpdateAccessKey(c *authz.Call, in *UpdateAccessKeyInput) error {
	if in.Status != status(true) && in.Status != status(false) {
		return invalid("status", "Member must satisfy enum value set: [Active, Inactive]")
	}
	name, err := s.keyOwner(c, "UpdateAccessKey", in.UserName, in.AccessKeyId)
	if err != nil {
		return err
	}
	return s.directory.SetAccessKeyActive(c.Now, c.Account(), name, in.AccessKeyId, in.Status == status(true))
}

// DeleteAccessKeyInput is the input of DeleteAccessKey.
type DeleteAccessKeyInput struct {
	UserName    string // "" means the caller
	AccessKeyId string
}

// DeleteAccessKey deletes an access key.
func (s *Service) DeleteAccessKey(c *authz.Call, in *DeleteAccessKeyInput) error {
	name, err := s.keyOwner(c, "DeleteAccessKey", in.UserName, in.AccessKeyId)
	if err != nil {
		return err
	}
	return s.directory.DeleteAccessKey(c.Now, c.Account(), name, in.AccessKeyId)
}

// keyOwner returns the user whose key is to be changed.
func (s *Service) keyOwner(c *authz.Call, action, userName, keyID string) (string, error) {
	if err := required("accessKeyId", keyID); err != nil {
		return "", err
	}
	name, err := callerOr(c, userName)
	if err != nil {
		return "", err
	}
	_, err = s.find(c, users, name, action, nil)
	return name, err
}

// GetAccessKeyLastUsedInput is the input of GetAccessKeyLastUsed.
type GetAccessKeyLastUsedInput struct{ AccessKeyId string }

// GetAccessKeyLastUsedOutput is the output of GetAccessKeyLastUsed.
type GetAccessKeyLastUsedOutput struct {
	UserName          string `wire:",omitempty"`
	AccessKeyLastUsed AccessKeyLastUsed
}

// An AccessKeyLastUsed says when a key last signed a request. Service and
// region are "N/A" if it never did.
type AccessKeyLastUsed struct {
	LastUsedDate *time.Time
	ServiceName  string
	Region       string
}

// GetAccessKeyLastUsed returns when a key of the caller's account was last
// used. A key of another account or none is refused.
func (s *Service) GetAccessKeyLastUsed(c *authz.Call, in *GetAccessKeyLastUsedInput) (*GetAccessKeyLastUsedOutput, error) {
	if err := required("accessKeyId", in.AccessKeyId); err != nil {
		return nil, err
	}
	t, err := s.accountTarget(c, "user/")
	if err != nil {
		return nil, err
	}
	out := &GetAccessKeyLastUsedOutput{AccessKeyLastUsed: AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}}
	key, ok := s.latest().AccessKey(in.AccessKeyId)
	ok = ok && key.Account == c.Account()
	if owner, found := s.latest().UserByID(key.UserID); ok && found {
		t.arn, t.tags, out.UserName = owner.ARN(), owner.Tags, owner.Name
	}
	if err := s.authorize(c, "GetAccessKeyLastUsed", t, details{}); err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.Errorf(http.StatusForbidden, "AccessDenied", "the access key does not belong to this account")
	}
	if use, used := s.directory.KeyLastUse(in.AccessKeyId); used {
		at := date(use.At)
		out.AccessKeyLastUsed = AccessKeyLastUsed{LastUsedDate: &at, ServiceName: use.Service, Region: use.Region}
	}
	return out, nil
}

package authz

import (
	"crypto/subtle"
	"errors"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// Why credentials are not accepted. Services have codes of their own for these.
var (
	ErrUnknownKey   = errors.New("the access key does not exist or is inactive")
	ErrInvalidToken = errors.New("the session token is missing or not the one that belongs to the access key")
	ErrExpiredToken = errors.New("the session has expired")
)

// A Credential is what a request must be signed with.
type Credential struct {
	Secret string
	Caller Caller
}

// Resolve finds whom an access key belongs to and the secret its requests must
// be signed with. The token is compared here, in constant time, but nothing is
// proven before the signature is verified: report ErrExpiredToken only then.
// For an expired session the credential is returned together with the error.
func (e *Engine) Resolve(accessKeyID, token string, now time.Time) (*Credential, error) {
	if session, ok := e.directory.Session(accessKeyID); ok {
		return e.resolveSession(session, token, now)
	}
	view := e.directory.Effective(now)
	key, ok := view.AccessKey(accessKeyID)
	switch {
	case !ok || !key.Active:
		return nil, ErrUnknownKey
	case token != "":
		return nil, ErrInvalidToken
	}
	if key.UserID == "" {
		account, ok := e.directory.Account(key.Account)
		if !ok {
			return nil, ErrUnknownKey
		}
		return &Credential{Secret: key.Secret, Caller: rootCaller(account, accessKeyID, nil)}, nil
	}
	user, ok := view.UserByID(key.UserID)
	if !ok {
		return nil, ErrUnknownKey
	}
	return &Credential{Secret: key.Secret, Caller: userCaller(user, accessKeyID, nil)}, nil
}

func (e *Engine) resolveSession(s *directory.Session, token string, now time.Time) (*Credential, error) {
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.Token)) != 1 {
		return nil, ErrInvalidToken
	}
	credential := &Credential{Secret: s.SecretAccessKey}
	view := e.directory.Effective(now)
	switch s.Type {
	case iam.PrincipalRoleSession:
		role, ok := view.RoleByID(s.PrincipalID)
		if !ok {
			// A role that was made moments ago is not in the effective view
			// yet, but then it could not have been assumed either.
			return nil, ErrUnknownKey
		}
		credential.Caller = roleCaller(role, s)
	case iam.PrincipalUser:
		user, ok := view.UserByID(s.PrincipalID)
		if !ok {
			return nil, ErrUnknownKey
		}
		credential.Caller = userCaller(user, s.AccessKeyID, s)
	case iam.PrincipalRootUser:
		account, ok := e.directory.Account(s.Account)
		if !ok {
			return nil, ErrUnknownKey
		}
		credential.Caller = rootCaller(account, s.AccessKeyID, s)
	default:
		return nil, ErrUnknownKey
	}
	if s.Expired(now) {
		return credential, ErrExpiredToken
	}
	return credential, nil
}

func rootCaller(a *directory.Account, key string, s *directory.Session) Caller {
	return Caller{
		Principal:   iam.Principal{Type: iam.PrincipalRootUser, ARN: a.RootARN(), Account: a.ID, UniqueID: string(a.ID)},
		UserID:      string(a.ID),
		AccessKeyID: key,
		Session:     s,
	}
}

func userCaller(u *directory.User, key string, s *directory.Session) Caller {
	return Caller{
		Principal:   iam.Principal{Type: iam.PrincipalUser, ARN: u.ARN(), Account: u.Account, UniqueID: u.ID},
		UserID:      u.ID,
		UserName:    u.Name,
		AccessKeyID: key,
		Session:     s,
	}
}

func roleCaller(r *directory.Role, s *directory.Session) Caller {
	return Caller{
		Principal: iam.Principal{
			Type:     iam.PrincipalRoleSession,
			ARN:      s.ARN,
			Account:  r.Account,
			RoleARN:  r.ARN(),
			UniqueID: r.ID,
		},
		UserID:      s.UserID(),
		AccessKeyID: s.AccessKeyID,
		Session:     s,
	}
}

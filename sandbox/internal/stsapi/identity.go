package stsapi

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// GetCallerIdentityInput has no parameters.
type GetCallerIdentityInput struct{}

// GetCallerIdentityOutput says who the caller is.
type GetCallerIdentityOutput struct {
	Arn     string
	UserId  string
	Account string
}

// GetCallerIdentity tells the caller who it is. No policy can forbid it, so
// nothing is decided.
func (s *Service) GetCallerIdentity(c *authz.Call, _ *GetCallerIdentityInput) (*GetCallerIdentityOutput, error) {
	return &GetCallerIdentityOutput{
		Arn:     c.Caller.Principal.ARN,
		UserId:  c.Caller.UserID,
		Account: string(c.Caller.Principal.Account),
	}, nil
}

// GetAccessKeyInfoInput names an access key.
type GetAccessKeyInfoInput struct {
	AccessKeyId *string
}

// GetAccessKeyInfoOutput says whose the key is.
type GetAccessKeyInfoOutput struct {
	Account string
}

// GetAccessKeyInfo returns the account that an access key id belongs to. The
// account is part of the id, so the key need not exist any more.
func (s *Service) GetAccessKeyInfo(c *authz.Call, in *GetAccessKeyInfoInput) (*GetAccessKeyInfoOutput, error) {
	var v violations
	v.check(keyIDText, in.AccessKeyId)
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := c.Authorize(authz.Query{Action: "sts:GetAccessKeyInfo", Resource: "*"}); err != nil {
		return nil, err
	}
	account, ok := accountOfKey(*in.AccessKeyId)
	if !ok {
		return nil, invalid("Invalid access key id: %s", wire.Clip(*in.AccessKeyId))
	}
	return &GetAccessKeyInfoOutput{Account: string(account)}, nil
}

// accountOfKey reads the account out of an access key id: behind the prefix,
// bits 7 to 46 of the first six bytes, base32.
func accountOfKey(id string) (iam.AccountID, bool) {
	if len(id) != 20 || id[:4] != "AKIA" && id[:4] != "ASIA" {
		return "", false
	}
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(id[4:])
	if err != nil {
		return "", false
	}
	head := binary.BigEndian.Uint64(append([]byte{0, 0}, raw[:6]...))
	account, err := iam.ParseAccountID(fmt.Sprintf("%012d", head>>7&(1<<40-1)))
	return account, err == nil
}

// Credentials are what a session signs its requests with.
type Credentials struct {
	AccessKeyId     string
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

func credentials(s *directory.Session) Credentials {
	return Credentials{
		AccessKeyId:     s.AccessKeyID,
		SecretAccessKey: s.SecretAccessKey,
		SessionToken:    s.Token,
		Expiration:      s.Expiry,
	}
}

// GetSessionTokenInput has the parameters of GetSessionToken.
type GetSessionTokenInput struct {
	DurationSeconds *int
	SerialNumber    *string
	TokenCode       *string
}

// GetSessionTokenOutput has the new credentials.
type GetSessionTokenOutput struct {
	Credentials Credentials
}

// GetSessionToken gives a user or root user temporary credentials of its own.
// It needs no permission, but long-term credentials.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
func (s *Service) GetSessionToken(c *authz.Call, in *GetSessionTokenInput) (*GetSessionTokenOutput, error) {
	var v violations
	v.checkRange("durationSeconds", in.DurationSeconds, 900, 129600)
	if err := v.err(); err != nil {
		return nil, err
	}
	if c.Caller.Session != nil {
		return nil, denied("Cannot call GetSessionToken with session credentials")
	}
	if err := refuseMFA(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	p := &c.Caller.Principal
	duration := 12 * time.Hour
	if in.DurationSeconds != nil {
		duration = time.Duration(*in.DurationSeconds) * time.Second
	}
	if p.Type == iam.PrincipalRootUser {
		duration = min(duration, time.Hour)
	}
	session := s.directory.StartSession(directory.Session{
		Type:        p.Type,
		Account:     p.Account,
		PrincipalID: p.UniqueID,
		Name:        c.Caller.UserName,
		ARN:         p.ARN,
		Issued:      c.Now,
		Expiry:      c.Now.Add(duration).Truncate(time.Second),
	})
	return &GetSessionTokenOutput{Credentials: credentials(session)}, nil
}

// refuseMFA refuses every MFA code: the sandbox has no devices that could have
// made one.
func refuseMFA(serial, code *string) error {
	if serial == nil && code == nil {
		return nil
	}
	return wire.Errorf(http.StatusForbidden, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
}

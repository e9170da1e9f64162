package codeartifactapi

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// How long a token may be valid, in seconds.
//
// https://docs.aws.amazon.com/codeartifact/latest/APIReference/API_GetAuthorizationToken.html
const (
	minDuration = 900
	maxDuration = 43200
)

// expiredKept is how long expired tokens are remembered, so that their users
// are told what is wrong with them.
const expiredKept = time.Hour

// A token stands for whoever got it: what it allows is decided by that
// principal's policies at the time of each request.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_bearer.html
type token struct {
	domain string // ARN
	caller authz.Caller
	expiry time.Time
}

// GetAuthorizationTokenInput is the input of GetAuthorizationToken.
type GetAuthorizationTokenInput struct {
	DomainNamed
	Duration string `json:"-" query:"duration"` // seconds; 0 means as long as the caller's credentials
}

// GetAuthorizationTokenOutput has a token.
type GetAuthorizationTokenOutput struct {
	AuthorizationToken string          `json:"authorizationToken"`
	Expiration         *wire.Timestamp `json:"expiration"`
}

// GetAuthorizationToken returns a token for the repositories of a domain. It
// takes a permission on the domain, and one to get a bearer token, which no
// resource's policy can give.
func (s *Service) GetAuthorizationToken(c *authz.Call, in *GetAuthorizationTokenInput) (*GetAuthorizationTokenOutput, error) {
	expiry, err := in.expiry(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.findDomain(c, in.DomainNamed, "GetAuthorizationToken")
	if err != nil {
		return nil, err
	}
	if err := c.Authorize(authz.Query{
		Action: "sts:GetServiceBearerToken", Resource: "*", ResourceAccount: c.Account(),
		Context: func(ctx *iam.Context) {
			ctx.Set("sts:AWSServiceName", servicePrincipal)
			ctx.Set("sts:DurationSeconds", strconv.Itoa(int(expiry.Sub(c.Now)/time.Second)))
		},
	}); err != nil {
		return nil, err
	}
	var secret [96]byte
	if _, err := io.ReadFull(s.random, secret[:]); err != nil {
		return nil, err
	}
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	for id, old := range s.tokens {
		if c.Now.After(old.expiry.Add(expiredKept)) {
			delete(s.tokens, id)
		}
	}
	caller := c.Caller
	caller.AccessKeyID = "" // requests with the token are not made with the key
	s.tokens[sha256.Sum256([]byte(text))] = &token{d.arn, caller, expiry}
	return &GetAuthorizationTokenOutput{text, wire.At(expiry)}, nil
}

func (in *GetAuthorizationTokenInput) expiry(c *authz.Call) (time.Time, error) {
	seconds := maxDuration
	if in.Duration != "" {
		var err error
		if seconds, err = strconv.Atoi(in.Duration); err != nil || seconds != 0 && seconds < minDuration || seconds > maxDuration {
			return time.Time{}, invalid("durationSeconds must be 0 or between %d and %d.", minDuration, maxDuration)
		}
	}
	switch {
	case seconds == 0 && c.Caller.Session != nil:
		return c.Caller.Session.Expiry, nil
	case seconds == 0:
		seconds = maxDuration // credentials without an end
	}
	return c.Now.Add(time.Duration(seconds) * time.Second), nil
}

// Authenticate says whose token a request to an endpoint brings. The token is a
// bearer token, or the password of the user aws. The error is to be written with
// [WriteError].
func (s *Service) Authenticate(r *http.Request, e Endpoint, now time.Time) (authz.Caller, error) {
	text, ok := bearer(r)
	if !ok {
		return authz.Caller{}, unauthenticated("The request has no authorization token: send one as a bearer token, or as the password of the user aws.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens[sha256.Sum256([]byte(text))]
	switch {
	case t == nil:
		return authz.Caller{}, unauthenticated("The authorization token is none of CodeArtifact.")
	case !now.Before(t.expiry):
		return authz.Caller{}, unauthenticated("The authorization token has expired. Get a new one.")
	case t.domain != s.domainARN(iam.AccountID(e.Owner), e.Region, e.Domain):
		return authz.Caller{}, unauthenticated("The authorization token is for another domain.")
	case !s.exists(t.caller, now):
		return authz.Caller{}, unauthenticated("The authorization token's principal does not exist any more.")
	}
	return t.caller, nil
}

func bearer(r *http.Request) (string, bool) {
	if user, password, ok := r.BasicAuth(); ok {
		return password, user == "aws" && password != ""
	}
	const scheme = "Bearer "
	value := r.Header.Get("Authorization")
	if len(value) <= len(scheme) || value[:len(scheme)] != scheme {
		return "", false
	}
	return value[len(scheme):], true
}

// exists reports whether a token's user or role is still there. One made anew
// under the same name is another.
func (s *Service) exists(caller authz.Caller, now time.Time) bool {
	view := s.directory.Effective(now)
	found := true
	switch caller.Principal.Type {
	case iam.PrincipalUser:
		_, found = view.UserByID(caller.Principal.UniqueID)
	case iam.PrincipalRoleSession:
		_, found = view.RoleByID(caller.Principal.UniqueID)
	default: // root users stay
	}
	return found
}

func unauthenticated(message string) error {
	return wire.Errorf(http.StatusUnauthorized, "UnauthenticatedException", "%s", message)
}

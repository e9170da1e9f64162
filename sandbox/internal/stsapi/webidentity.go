package stsapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/oidc"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// AssumeRoleWithWebIdentityInput has the parameters of
// AssumeRoleWithWebIdentity.
type AssumeRoleWithWebIdentityInput struct {
	RoleArn          *string
	RoleSessionName  *string
	WebIdentityToken *string
	ProviderId       *string
	PolicyArns       []PolicyDescriptor
	Policy           *string
	DurationSeconds  *int
}

// AssumeRoleWithWebIdentityOutput has the new credentials and what the token
// said.
type AssumeRoleWithWebIdentityOutput struct {
	Credentials                 Credentials
	SubjectFromWebIdentityToken string
	AssumedRoleUser             AssumedRoleUser
	PackedPolicySize            *int
	Provider                    string // the provider's ARN
	Audience                    string
	SourceIdentity              string `wire:",omitempty"`
}

// AssumeRoleWithWebIdentity gives whoever shows a token of an identity provider
// credentials of a role that trusts the provider and what the token says. The
// request is not signed; a signature would add nothing.
//
// The token must be signed by its issuer, be meant for one of the audiences that
// the provider of the role's own account lists, and be valid now. Then the trust
// policy decides, about a principal that has no account and no policies.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
func (s *Service) AssumeRoleWithWebIdentity(c *authz.Call, in *AssumeRoleWithWebIdentityInput) (*AssumeRoleWithWebIdentityOutput, error) {
	role := in.assumeRole()
	if err := in.validate(role); err != nil {
		return nil, err
	}
	if in.ProviderId != nil {
		return nil, wire.NotImplemented("sts", "AssumeRoleWithWebIdentity with ProviderId")
	}
	arn, err := iam.ParseRoleARN(*in.RoleArn)
	if err != nil {
		return nil, invalid("Request ARN is invalid")
	}
	view := s.directory.Effective(c.Now)
	provider, token, err := s.verify(c, view, arn.Account, *in.WebIdentityToken)
	if err != nil {
		return nil, err
	}
	session, claims, err := federated(provider, token)
	if err != nil {
		return nil, err
	}
	session.Name = *in.RoleSessionName

	byProvider := *c
	byProvider.Caller = authz.Caller{Principal: iam.Principal{Type: iam.PrincipalWebIdentity, ARN: provider.ARN()}}
	assumed, found := view.Role(arn.Account, arn.Name)
	found = found && assumed.ARN() == *in.RoleArn
	if err := session.authorize(&byProvider, *in.RoleArn, assumed, found); err != nil {
		// The answer is the same for every reason, as for AssumeRole.
		return nil, denied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	c.Caller = byProvider.Caller // for the record
	role.Tags = session.requestTags
	duration, err := role.duration(c, assumed, false)
	if err != nil {
		return nil, err
	}
	packed, err := session.limit(view, assumed, role)
	if err != nil {
		return nil, err
	}
	started := s.start(c, session, assumed, duration)
	return &AssumeRoleWithWebIdentityOutput{
		Credentials:                 credentials(started),
		SubjectFromWebIdentityToken: token.Subject,
		AssumedRoleUser:             AssumedRoleUser{AssumedRoleId: started.UserID(), Arn: started.ARN},
		PackedPolicySize:            packed,
		Provider:                    provider.ARN(),
		Audience:                    claims.audience,
		SourceIdentity:              started.SourceIdentity,
	}, nil
}

// assumeRole returns the parameters that AssumeRole has too.
func (in *AssumeRoleWithWebIdentityInput) assumeRole() *AssumeRoleInput {
	return &AssumeRoleInput{RoleArn: in.RoleArn, RoleSessionName: in.RoleSessionName, Policy: in.Policy, PolicyArns: in.PolicyArns, DurationSeconds: in.DurationSeconds}
}

var tokenText = text{name: "webIdentityToken", min: 4, max: 20000, required: true, hidden: true}

func (in *AssumeRoleWithWebIdentityInput) validate(role *AssumeRoleInput) error {
	var v violations
	v.check(tokenText, in.WebIdentityToken)
	if err := v.err(); err != nil {
		return err
	}
	return role.validate()
}

func invalidToken(format string, args ...any) *wire.Error {
	return wire.BadRequest("InvalidIdentityToken", format, args...)
}

// verify returns the token and the provider of the role's account that it is
// from. No other account's provider counts.
func (s *Service) verify(c *authz.Call, view directory.View, account iam.AccountID, raw string) (*directory.OIDCProvider, *oidc.Token, error) {
	unverified, err := oidc.Parse(raw)
	if err != nil {
		return nil, nil, tokenRefusal(err)
	}
	provider, ok := view.OIDCProvider(account, oidc.ProviderName(unverified.Issuer()))
	if !ok {
		return nil, nil, invalidToken("No OpenIDConnect provider found in your account for %s", wire.Clip(unverified.Issuer()))
	}
	token, err := s.issuers.Verify(unverified, c.Now)
	if err != nil {
		return nil, nil, tokenRefusal(err)
	}
	return provider, token, nil
}

// tokenRefusal words why a token is not accepted.
//
// https://repost.aws/knowledge-center/iam-oidc-idp-federation
func tokenRefusal(err error) *wire.Error {
	var missing *oidc.MissingClaimError
	var expired *oidc.ExpiredError
	switch {
	case errors.As(err, &missing):
		return invalidToken("Missing a required claim: %s", missing.Claim)
	case errors.As(err, &expired):
		return wire.BadRequest("ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d", expired.Now.Unix(), expired.Expiry.Unix())
	case errors.Is(err, oidc.ErrUnknownIssuer):
		return invalidToken("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	case errors.Is(err, oidc.ErrSignature):
		return invalidToken("The ID Token provided is not signed with a key of its issuer")
	case errors.Is(err, oidc.ErrNotYetValid):
		return invalidToken("The ID Token provided is not valid yet")
	}
	return invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
}

// claimed is what a token says beyond its subject.
type claimed struct {
	audience string // whom it is for: the authorized party if there is one
}

// federated begins a session of what the token says: the condition keys of the
// provider, session tags and source identity.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif
func federated(provider *directory.OIDCProvider, token *oidc.Token) (*session, *claimed, error) {
	s := &session{action: "sts:AssumeRoleWithWebIdentity"}
	s.FederatedProvider = provider.ARN()
	add := func(name string, multi bool, values ...string) {
		s.FederatedKeys = append(s.FederatedKeys, directory.FederatedKey{Name: provider.Issuer + ":" + name, Values: values, Multi: multi})
	}
	var party, email string
	var methods []string
	for name, into := range map[string]any{"azp": &party, "email": &email, "amr": &methods} {
		if _, err := token.Claim(name, into); err != nil {
			return nil, nil, rejected(name)
		}
	}

	// With an authorized party, that is the audience, and the claim aud the
	// original one.
	out := &claimed{audience: party}
	if party == "" {
		if len(token.Audience) > 1 {
			return nil, nil, invalidToken("The ID Token provided has several audiences and no authorized party (azp)")
		}
		out.audience = token.Audience[0]
	}
	if !slices.Contains(provider.ClientIDs, out.audience) {
		return nil, nil, invalidToken("Incorrect token audience")
	}
	add("sub", false, token.Subject)
	add("aud", false, out.audience)
	if party != "" && len(token.Audience) == 1 {
		add("oaud", false, token.Audience[0])
	}
	if email != "" {
		add("email", false, email)
	}
	if len(methods) > 0 {
		add("amr", true, methods...)
	}
	if _, err := token.Claim(sourceIdentityClaim, &s.SourceIdentity); err != nil {
		return nil, nil, rejected(sourceIdentityClaim)
	}
	var v violations
	if s.SourceIdentity != "" {
		v.check(sourceText, &s.SourceIdentity)
	}
	if err := s.tagsOf(token); err != nil {
		return nil, nil, err
	}
	v.checkTags(s.requestTags)
	if err := v.err(); err != nil {
		return nil, nil, err
	}
	return s, out, nil
}

func rejected(claim string) *wire.Error {
	return wire.Errorf(http.StatusForbidden, "IDPRejectedClaim", "The claim %s of the token has the wrong type", claim)
}

// Claims that AWS reads.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html
const (
	tagsClaim           = "https://aws.amazon.com/tags"
	sourceIdentityClaim = "https://aws.amazon.com/source_identity"
)

// tagsOf reads the session tags out of a token. Each has a list with one value.
func (s *session) tagsOf(token *oidc.Token) error {
	var claim struct {
		Principal  map[string][]string `json:"principal_tags"`
		Transitive []string            `json:"transitive_tag_keys"`
	}
	if _, err := token.Claim(tagsClaim, &claim); err != nil {
		return rejected(tagsClaim)
	}
	for key, values := range claim.Principal {
		if len(values) != 1 {
			return rejected(tagsClaim)
		}
		s.requestTags = append(s.requestTags, directory.Tag{Key: key, Value: values[0]})
	}
	slices.SortFunc(s.requestTags, func(a, b directory.Tag) int { return strings.Compare(a.Key, b.Key) })
	for _, key := range claim.Transitive {
		if !slices.ContainsFunc(s.requestTags, func(t directory.Tag) bool { return strings.EqualFold(t.Key, key) }) {
			return wire.BadRequest("InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
		}
	}
	s.Tags, s.TransitiveTags = s.requestTags, claim.Transitive
	return nil
}

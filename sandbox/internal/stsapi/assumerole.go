package stsapi

import (
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// AssumeRoleInput has the parameters of AssumeRole. Nil means not given, which
// is not the same as empty.
type AssumeRoleInput struct {
	RoleArn           *string
	RoleSessionName   *string
	ExternalId        *string
	DurationSeconds   *int
	Policy            *string
	PolicyArns        []PolicyDescriptor
	Tags              []directory.Tag
	TransitiveTagKeys []string
	SourceIdentity    *string
	SerialNumber      *string
	TokenCode         *string

	MinimumSessionTokenSize *int
	ProvidedContexts        []struct{ ProviderArn, ContextAssertion string }
}

// A PolicyDescriptor names a managed session policy.
type PolicyDescriptor struct {
	Arn string `wire:"arn"`
}

// AssumeRoleOutput has the new credentials.
type AssumeRoleOutput struct {
	Credentials      Credentials
	AssumedRoleUser  AssumedRoleUser
	PackedPolicySize *int // deprecated by AWS, which replaced it by the next two

	SessionTokenSize        int    // bytes
	SessionTokenUtilization int    // percent of the largest token
	SourceIdentity          string `wire:",omitempty"`
}

// AssumedRoleUser identifies the new session.
type AssumedRoleUser struct {
	AssumedRoleId string
	Arn           string
}

// The longest session of a chained role, and the default of all.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
const (
	chainedMax      = time.Hour
	defaultDuration = time.Hour
)

// maxTokenSize is the largest session token, in bytes.
const maxTokenSize = 4096

// AssumeRole gives the caller credentials of a role, if the caller's own
// policies and the role's trust policy both allow it.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (s *Service) AssumeRole(c *authz.Call, in *AssumeRoleInput) (*AssumeRoleOutput, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	if len(in.ProvidedContexts) > 0 {
		return nil, wire.NotImplemented("sts", "AssumeRole with ProvidedContexts")
	}
	if c.Caller.Principal.Type == iam.PrincipalRootUser {
		return nil, denied("Roles may not be assumed by root accounts.")
	}
	parsed, err := iam.ParseRoleARN(*in.RoleArn)
	if err != nil {
		return nil, invalid("Request ARN is invalid")
	}
	session, err := newSession(c, in)
	if err != nil {
		return nil, err
	}
	session.action = "sts:AssumeRole"

	// The trust policy comes from the view that authorization goes by, so a
	// role made moments ago looks like one that does not exist. What no answer
	// may depend on before the caller is authorized is anything else of the role.
	view := s.directory.Effective(c.Now)
	role, found := view.Role(parsed.Account, parsed.Name)
	found = found && role.ARN() == *in.RoleArn
	if err := session.authorize(c, *in.RoleArn, role, found); err != nil {
		return nil, err
	}
	if err := refuseMFA(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	duration, err := in.duration(c, role, session.Chained)
	if err != nil {
		return nil, err
	}
	packed, err := session.limit(view, role, in)
	if err != nil {
		return nil, err
	}

	if in.MinimumSessionTokenSize != nil {
		session.MinTokenSize = *in.MinimumSessionTokenSize
	}
	started := s.start(c, session, role, duration)
	return &AssumeRoleOutput{
		Credentials:      credentials(started),
		AssumedRoleUser:  AssumedRoleUser{AssumedRoleId: started.UserID(), Arn: started.ARN},
		PackedPolicySize: packed,
		SourceIdentity:   started.SourceIdentity,

		SessionTokenSize:        len(started.Token),
		SessionTokenUtilization: 100 * len(started.Token) / maxTokenSize,
	}, nil
}

// start makes the credentials of a session of the role that was allowed.
func (s *Service) start(c *authz.Call, session *session, role *directory.Role, duration time.Duration) *directory.Session {
	session.Type = iam.PrincipalRoleSession
	session.Account = role.Account
	session.PrincipalID = role.ID
	session.ARN = role.SessionARN(session.Name)
	session.Issued = c.Now
	session.Expiry = c.Now.Add(duration).Truncate(time.Second)
	return s.directory.StartSession(session.Session)
}

func (in *AssumeRoleInput) validate() error {
	var v violations
	v.check(roleARNText, in.RoleArn)
	v.check(sessionNameText, in.RoleSessionName)
	v.check(externalIDText, in.ExternalId)
	v.check(sourceText, in.SourceIdentity)
	v.check(policyText, in.Policy)
	v.checkRange("durationSeconds", in.DurationSeconds, 900, 43200)
	v.checkRange("minimumSessionTokenSize", in.MinimumSessionTokenSize, 0, maxTokenSize)
	if len(in.PolicyArns) > 10 {
		v.add("policyArns", "(list)", "have length less than or equal to 10")
	}
	v.checkTags(in.Tags)
	if len(in.TransitiveTagKeys) > 50 {
		v.add("transitiveTagKeys", "(list)", "have length less than or equal to 50")
	}
	if err := v.err(); err != nil {
		return err
	}
	if in.SourceIdentity != nil && strings.HasPrefix(strings.ToLower(*in.SourceIdentity), "aws:") {
		return invalid("Source identity cannot begin with the reserved prefix aws:")
	}
	return nil
}

// duration is how long the session lives. What a role allows at most does not
// bind AWS's own services.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-role-settings.html
func (in *AssumeRoleInput) duration(c *authz.Call, role *directory.Role, chained bool) (time.Duration, error) {
	if in.DurationSeconds == nil {
		return defaultDuration, nil
	}
	duration := time.Duration(*in.DurationSeconds) * time.Second
	switch {
	case chained && duration > chainedMax:
		return 0, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	case duration > role.MaxSessionDuration && c.Caller.Principal.Type != iam.PrincipalService:
		return 0, invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return duration, nil
}

// A session is one in the making.
type session struct {
	directory.Session
	action      string          // that makes it: "sts:AssumeRole"
	requestTags []directory.Tag // all tags of the new session, inherited ones first
	externalID  *string
}

// newSession works out what the session inherits from the caller's own.
func newSession(c *authz.Call, in *AssumeRoleInput) (*session, error) {
	s := &session{externalID: in.ExternalId}
	s.Name = *in.RoleSessionName
	var inherited []directory.Tag
	if caller := c.Caller.Session; caller != nil {
		s.Chained = c.Caller.Principal.Type == iam.PrincipalRoleSession
		s.SourceIdentity = caller.SourceIdentity
		for _, tag := range caller.Tags {
			if containsFold(caller.TransitiveTags, tag.Key) {
				inherited = append(inherited, tag)
				s.TransitiveTags = append(s.TransitiveTags, tag.Key)
			}
		}
	}
	for _, tag := range in.Tags {
		if containsFold(s.TransitiveTags, tag.Key) {
			return nil, wire.BadRequest("InvalidParameterValue", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
	}
	s.requestTags = append(inherited, in.Tags...)
	s.Tags = s.requestTags
	for _, key := range in.TransitiveTagKeys {
		if !slices.ContainsFunc(s.requestTags, func(t directory.Tag) bool { return strings.EqualFold(t.Key, key) }) {
			return nil, wire.BadRequest("InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
		}
		if !containsFold(s.TransitiveTags, key) {
			s.TransitiveTags = append(s.TransitiveTags, key)
		}
	}
	if in.SourceIdentity != nil {
		if s.SourceIdentity != "" && s.SourceIdentity != *in.SourceIdentity {
			return nil, denied("The source identity of the calling session cannot be changed: it was set when its role was assumed")
		}
		s.SourceIdentity = *in.SourceIdentity
	}
	return s, nil
}

// authorize asks for the session's action, and for sts:TagSession and
// sts:SetSourceIdentity if the session has tags or a source identity, of its
// own or inherited. Each needs both sides.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html
func (s *session) authorize(c *authz.Call, arn string, role *directory.Role, found bool) error {
	// Without a role there is no trust policy, and without one that allows it
	// nobody may assume a role, whatever its own policies say.
	query := authz.Query{Resource: arn, Trust: true, RequestTags: s.requestTags}
	if found {
		query.ResourcePolicy = role.Trust.Compiled
		query.ResourceTags = role.Tags
	}
	query.Context = func(ctx *iam.Context) {
		ctx.Set("sts:RoleSessionName", s.Name)
		if s.externalID != nil {
			ctx.Set("sts:ExternalId", *s.externalID)
		}
		if s.SourceIdentity != "" {
			ctx.Set("sts:SourceIdentity", s.SourceIdentity)
		}
		if len(s.TransitiveTags) > 0 {
			ctx.SetMulti("sts:TransitiveTagKeys", s.TransitiveTags...)
		}
		if s.FederatedProvider != "" {
			ctx.Set("aws:FederatedProvider", s.FederatedProvider)
			directory.SetFederatedKeys(ctx, s.FederatedKeys)
		}
		for _, tag := range query.ResourceTags {
			ctx.Set("iam:ResourceTag/"+tag.Key, tag.Value)
		}
	}
	actions := []string{s.action}
	if len(s.requestTags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if s.SourceIdentity != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	for _, query.Action = range actions {
		if err := c.Authorize(query); err != nil {
			return err
		}
	}
	return nil
}

package authz

import (
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// conditionKeys fills in the global condition keys, then the service's own.
// Keys that AWS leaves out of a request are left out here: their absence
// decides in conditions with negated operators and with Null.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (c *Call) conditionKeys(q Query) iam.Context {
	var ctx iam.Context
	c.requestKeys(&ctx)
	c.principalKeys(&ctx)
	c.sessionKeys(&ctx)

	owner := c.resourceAccount(q)
	if owner != "" {
		ctx.Set("aws:ResourceAccount", string(owner))
	}
	if id := c.engine.Organization(owner); id != "" {
		ctx.Set("aws:ResourceOrgID", id)
	}
	for _, tag := range q.ResourceTags {
		ctx.Set("aws:ResourceTag/"+tag.Key, tag.Value)
	}
	if q.RequestTags != nil {
		keys := make([]string, len(q.RequestTags))
		for i, tag := range q.RequestTags {
			keys[i] = tag.Key
			ctx.Set("aws:RequestTag/"+tag.Key, tag.Value)
		}
		ctx.SetMulti("aws:TagKeys", keys...)
	}
	if q.Context != nil {
		q.Context(&ctx)
	}
	return ctx
}

func (c *Call) requestKeys(ctx *iam.Context) {
	ctx.Set("aws:CurrentTime", c.Now.UTC().Format(time.RFC3339))
	ctx.Set("aws:EpochTime", strconv.FormatInt(c.Now.Unix(), 10))
	ctx.Set("aws:SecureTransport", strconv.FormatBool(c.Secure))
	if c.Region != "" {
		ctx.Set("aws:RequestedRegion", c.Region)
	}
	if c.UserAgent != "" {
		ctx.Set("aws:UserAgent", c.UserAgent)
	}
	if c.Referer != "" {
		ctx.Set("aws:Referer", c.Referer)
	}
	// A service that calls on somebody's behalf does so from an address of its
	// own, which no policy of a test knows.
	if c.SourceIP != "" && len(c.Via) == 0 {
		ctx.Set("aws:SourceIp", c.SourceIP)
	}
	if source, err := iam.ParseARN(c.SourceARN); err == nil {
		ctx.Set("aws:SourceArn", c.SourceARN)
		ctx.Set("aws:SourceAccount", source.Account)
		if id := c.engine.Organization(iam.AccountID(source.Account)); id != "" {
			ctx.Set("aws:SourceOrgID", id)
		}
	}
	if c.Caller.Anonymous() {
		return
	}
	ctx.Set("aws:ViaAWSService", strconv.FormatBool(len(c.Via) > 0))
	if len(c.Via) > 0 {
		ctx.SetMulti("aws:CalledVia", c.Via...)
		ctx.Set("aws:CalledViaFirst", c.Via[0])
		ctx.Set("aws:CalledViaLast", c.Via[len(c.Via)-1])
	}
}

func (c *Call) principalKeys(ctx *iam.Context) {
	p := &c.Caller.Principal
	switch p.Type {
	case iam.PrincipalAnonymous:
		ctx.Set("aws:PrincipalType", "Anonymous")
		ctx.Set("aws:PrincipalAccount", "anonymous")
		ctx.Set("aws:userid", "anonymous")
		return
	case iam.PrincipalService:
		ctx.Set("aws:PrincipalIsAWSService", "true")
		ctx.Set("aws:PrincipalServiceName", p.ARN)
		return
	case iam.PrincipalRootUser:
		ctx.Set("aws:PrincipalType", "Account")
	case iam.PrincipalUser:
		ctx.Set("aws:PrincipalType", "User")
		ctx.Set("aws:username", c.Caller.UserName)
	case iam.PrincipalRoleSession:
		ctx.Set("aws:PrincipalType", "AssumedRole")
	case iam.PrincipalFederatedUser:
		ctx.Set("aws:PrincipalType", "FederatedUser")
	case iam.PrincipalWebIdentity: // has no account, and is nobody before it has a session
		return
	case iam.PrincipalRole: // never signs a request
	}
	ctx.Set("aws:PrincipalIsAWSService", "false")
	arn := p.ARN
	if p.RoleARN != "" {
		arn = p.RoleARN // with its path, which the session's own ARN lacks
	}
	ctx.Set("aws:PrincipalArn", arn)
	ctx.Set("aws:PrincipalAccount", string(p.Account))
	ctx.Set("aws:userid", c.Caller.UserID)
	if id := c.engine.Organization(p.Account); id != "" {
		ctx.Set("aws:PrincipalOrgID", id)
	}
	for _, tag := range c.PrincipalTags() {
		ctx.Set("aws:PrincipalTag/"+tag.Key, tag.Value)
	}
}

// PrincipalTags returns the caller's tags as they are in force: those of the
// user, or those of the role overridden by those of the session.
func (c *Call) PrincipalTags() []directory.Tag {
	view := c.engine.directory.Effective(c.Now)
	p := &c.Caller.Principal
	var own, session []directory.Tag
	switch p.Type {
	case iam.PrincipalUser:
		if user, ok := view.UserByID(p.UniqueID); ok {
			own = user.Tags
		}
	case iam.PrincipalRoleSession:
		if role, ok := view.RoleByID(p.UniqueID); ok {
			own = role.Tags
		}
	default: // nobody else has tags of their own
	}
	if c.Caller.Session != nil {
		session = c.Caller.Session.Tags
	}
	return MergeTags(own, session)
}

// MergeTags returns the tags of base and over. Where both have a key, whatever
// its case, over wins.
func MergeTags(base, over []directory.Tag) []directory.Tag {
	merged := append([]directory.Tag(nil), over...)
	for _, tag := range base {
		if !hasTag(over, tag.Key) {
			merged = append(merged, tag)
		}
	}
	return merged
}

func hasTag(tags []directory.Tag, key string) bool {
	for _, tag := range tags {
		if strings.EqualFold(tag.Key, key) {
			return true
		}
	}
	return false
}

// sessionKeys are there for temporary credentials only.
func (c *Call) sessionKeys(ctx *iam.Context) {
	s := c.Caller.Session
	if s == nil {
		return
	}
	ctx.Set("aws:TokenIssueTime", s.Issued.UTC().Format(time.RFC3339))
	ctx.Set("aws:MultiFactorAuthPresent", strconv.FormatBool(s.MFA))
	if s.MFA {
		ctx.Set("aws:MultiFactorAuthAge", strconv.FormatInt(int64(c.Now.Sub(s.Issued)/time.Second), 10))
	}
	if s.SourceIdentity != "" {
		ctx.Set("aws:SourceIdentity", s.SourceIdentity)
	}
	if s.FederatedProvider != "" {
		ctx.Set("aws:FederatedProvider", s.FederatedProvider)
	}
	directory.SetFederatedKeys(ctx, s.FederatedKeys)
}

package authz

import (
	"context"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// A Caller is who makes a call, as resolved from the access key that signed it.
// The zero Caller is anonymous.
type Caller struct {
	Principal   iam.Principal
	UserID      string             // aws:userid: AIDA…, AROA…:session, or the account id for a root user
	UserName    string             // aws:username; empty unless an IAM user
	AccessKeyID string             // the key that signed the request; empty for anonymous and services
	Session     *directory.Session // nil unless the credentials are temporary
}

// Anonymous reports whether the request was not signed.
func (c *Caller) Anonymous() bool { return c.Principal.Type == iam.PrincipalAnonymous }

// A Call is one API call on its way through a service. Services read its
// fields, set Operation, and ask it for authorization. A Call belongs to one
// request and is not safe for concurrent use; calls made from it with
// [Call.Forward] and [Call.AsServiceRole] may be used after the request, with
// a Context of their own.
type Call struct {
	Context   context.Context
	Service   string // signing name: "sts", "iam", "s3", "cloudformation"
	Operation string // the API operation, once the service knows it; shown in the record
	Region    string // of the credential scope: "us-east-1"
	RequestID string
	Caller    Caller
	Now       time.Time // the sandbox's clock when the request arrived
	SourceIP  string    // without a port; empty for calls an AWS service makes with a role of its own
	UserAgent string
	Referer   string
	Secure    bool     // aws:SecureTransport
	Via       []string // service principals that call on the caller's behalf, first to last
	SourceARN string   // aws:SourceArn, of the resource a service calls for with its own name; see AsService

	engine *Engine
	trace  *trace
}

// Account returns the account whose state the call works on: the caller's.
func (c *Call) Account() iam.AccountID { return c.Caller.Principal.Account }

// A Query asks whether the caller of a [Call] may do one thing.
type Query struct {
	Action   string // "s3:GetObject"
	Resource string // the resource's ARN, or "*" for actions without one

	// ResourceAccount owns the resource. Empty means the account in the
	// resource's ARN, and failing that the caller's own.
	ResourceAccount iam.AccountID

	// ResourcePolicy is the resource's own policy, a role's trust policy
	// included; nil if it has none. Its kind decides how it counts.
	ResourcePolicy *eval.Policy

	ResourceTags []directory.Tag // aws:ResourceTag/KEY
	RequestTags  []directory.Tag // aws:RequestTag/KEY and aws:TagKeys; nil if the call carries no tags

	// Context adds the service's own condition keys. It may be nil.
	Context func(*iam.Context)

	// Trust marks sts:AssumeRole and its kin: a refusal names no reason, so
	// that a missing role, a wrong external ID and a wrong principal look the
	// same.
	Trust bool
}

// Authorize decides q for the caller, records the decision, and returns nil or
// an AccessDenied [*wire.Error] with status 403 and AWS's wording.
func (c *Call) Authorize(q Query) error {
	d := c.Decide(q)
	if d.Allowed() {
		return nil
	}
	return d.refusal()
}

// Allowed is [Call.Authorize] without an error, for services that choose
// between answers, such as 403 and 404.
func (c *Call) Allowed(q Query) (bool, *Decision) {
	d := c.Decide(q)
	return d.Allowed(), d
}

// Decide decides q for the caller and records the decision.
func (c *Call) Decide(q Query) *Decision {
	in := &eval.Input{
		Request: &iam.Request{
			Principal:       c.Caller.Principal,
			Action:          q.Action,
			Resource:        q.Resource,
			ResourceAccount: c.resourceAccount(q),
			Context:         c.conditionKeys(q),
		},
		Resource: q.ResourcePolicy,
	}
	c.engine.addCallerPolicies(c, in)
	return c.decided(q, in)
}

// Conceivable reports whether a resource policy might allow the caller of a call
// the action, under condition keys that are not known yet. Services that check a
// policy when it is given to them ask so. It is no decision, and nothing is
// recorded.
func (c *Call) Conceivable(q Query) bool {
	r := &iam.Request{Principal: c.Caller.Principal, Action: q.Action, Resource: q.Resource, ResourceAccount: c.resourceAccount(q)}
	r.Context.SetUnlistedUnknown()
	verdict := eval.Decide(&eval.Input{Request: r, Resource: q.ResourcePolicy}).Verdict
	return verdict == eval.Allowed || verdict == eval.Depends
}

func (c *Call) resourceAccount(q Query) iam.AccountID {
	if q.ResourceAccount != "" {
		return q.ResourceAccount
	}
	if arn, err := iam.ParseARN(q.Resource); err == nil {
		if account, err := iam.ParseAccountID(arn.Account); err == nil {
			return account
		}
	}
	return c.Caller.Principal.Account
}

func (c *Call) decided(q Query, in *eval.Input) *Decision {
	d := &Decision{
		Time:      c.Now,
		RequestID: c.RequestID,
		Service:   c.Service,
		Operation: c.Operation,
		Caller:    callerName(in.Request.Principal),
		Via:       c.Via,
		Action:    q.Action,
		Resource:  q.Resource,
		Trust:     q.Trust,
		Decision:  eval.Decide(in),
		input:     in,
	}
	c.trace.add(d)
	return d
}

// Forward returns a call of the same caller made through a service, such as
// "cloudformation.amazonaws.com". It sets aws:ViaAWSService and aws:CalledVia.
func (c *Call) Forward(service string) *Call {
	forwarded := *c
	forwarded.Via = append(c.Via[:len(c.Via):len(c.Via)], service)
	return &forwarded
}

// AsService returns a call that a service ("sns.amazonaws.com") makes with its
// own name for a resource, such as a topic for the queue it delivers to. It sets
// aws:SourceArn and aws:SourceAccount. Such a caller has no policies: only the
// policies of what it uses decide.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
func (c *Call) AsService(service, sourceARN, region string) *Call {
	own := *c
	own.Caller = Caller{Principal: iam.Principal{Type: iam.PrincipalService, ARN: service}}
	own.Via, own.SourceIP, own.UserAgent, own.Referer = nil, "", "", ""
	own.SourceARN, own.Region, own.Secure = sourceARN, region, true
	return &own
}

// AsServiceRole returns a call made by service ("cloudformation.amazonaws.com")
// with a session of the role, as a stack with a service role does. The role's
// trust policy must allow sts:AssumeRole to the service; otherwise the error is
// an AccessDenied [*wire.Error]. The caller's own iam:PassRole permission is
// the service's to check first.
func (c *Call) AsServiceRole(roleARN, service, sessionName string) (*Call, error) {
	return c.engine.assumeForService(c, roleARN, service, "", sessionName)
}

// AsServiceRoleFor is [Call.AsServiceRole] for services that say for which
// resource they assume the role: aws:SourceArn and aws:SourceAccount are there
// when the trust policy decides, and not in the calls made with the session.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
func (c *Call) AsServiceRoleFor(roleARN, service, sourceARN, sessionName string) (*Call, error) {
	return c.engine.assumeForService(c, roleARN, service, sourceARN, sessionName)
}

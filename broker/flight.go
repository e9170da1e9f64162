package broker

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/crossaccount/crossaccount/iam/reference"
)

// A ticket is the right to one call to a region: a token of its budget, and what
// its breaker lets through. It is taken before it is known whether a flight
// needs one.
type ticket struct {
	region *region // nil: none, or it was used
	probe  bool    // of the breaker
}

func (t *ticket) handBack() {
	if t.region != nil {
		t.region.refund()
		t.region.abandon(t.probe)
	}
}

// fly runs the entry's flight. It is a goroutine.
func (b *Broker) fly(h *Handle, t ticket) {
	defer b.flying.Done()
	defer b.schedule.landed()
	defer t.handBack()
	sh := b.shardOf(h.key)
	sh.Lock()
	f := h.flight
	if f == nil || f.started { // it was forgotten, and perhaps another began
		sh.Unlock()
		return
	}
	f.started = true
	sh.Unlock()
	ctx, cancel := context.WithTimeout(b.context, flightTime)
	defer cancel()
	s, err := b.obtain(ctx, h, f, &t)
	b.land(h, f, s, err)
}

// obtain gets a session for the entry from wherever there is one.
func (b *Broker) obtain(ctx context.Context, h *Handle, f *flight, t *ticket) (*session, *Error) {
	subject := h.Subject()
	if b.config.Authorize != nil && subject.Customer != "" {
		if err := b.config.Authorize(ctx, subject); CodeOf(err) == CodeRevoked {
			return nil, Revoked(err)
		} else if err != nil {
			return nil, &Error{Code: CodeUnavailable, Message: "it could not be found out whether the integration is still in use; try again later", cause: err}
		}
	}
	if b.config.SharedStore == nil {
		return b.issue(ctx, h, f, t, subject)
	}
	s, claimed := b.fromStore(ctx, h, f)
	if s != nil {
		return s, nil
	}
	s, err := b.issue(ctx, h, f, t, subject)
	b.toStore(h, s, claimed)
	return s, err
}

// issue calls STS, again where that may help and cannot multiply: when the
// credentials used were not accepted, and when the session was to last longer
// than the role allows.
func (b *Broker) issue(ctx context.Context, h *Handle, f *flight, t *ticket, subject Subject) (*session, *Error) {
	role := h.role.role()
	shorter := b.shortening(h)
	for renewed := false; ; {
		caller, err := b.caller(ctx, h, f)
		if err != nil {
			return nil, err
		}
		in := input(&role, h.purpose)
		seconds := shorten(role.Duration, shorter, caller.SessionToken != "")
		in.DurationSeconds = aws.Int32(int32(seconds / time.Second))
		a := b.assume(ctx, h, in, caller, t, f.renewing)
		v := a.verdict
		switch {
		case v.code == "":
			b.keepShortening(h, shorter)
			return b.accept(ctx, &a, subject, h, seconds)
		case v.ours && !renewed:
			renewed = true
			b.callerRefused(h, caller.AccessKeyID)
		case v.duration && seconds > reference.MaxChainedSession:
			shorter = toHour
		case v.duration && seconds > reference.MinSession:
			shorter = toMinimum
		default:
			return nil, failure(v, subject.RoleARN, a.err)
		}
	}
}

// How much shorter than asked for a role's sessions must be.
const (
	toHour    = 1 // no maximum is lower than an hour; chained sessions have that
	toMinimum = 2 // what STS issues in any case
)

func shorten(d time.Duration, shorter uint8, chained bool) time.Duration {
	if shorter >= toHour || chained {
		d = min(d, reference.MaxChainedSession)
	}
	if shorter == toMinimum {
		d = reference.MinSession
	}
	return d
}

func (b *Broker) shortening(h *Handle) uint8 {
	sh := b.shardOf(h.key)
	sh.Lock()
	defer sh.Unlock()
	return h.shorter
}

func (b *Broker) keepShortening(h *Handle, shorter uint8) {
	sh := b.shardOf(h.key)
	sh.Lock()
	defer sh.Unlock()
	h.shorter = shorter
}

// caller returns the credentials to assume the role with.
func (b *Broker) caller(ctx context.Context, h *Handle, f *flight) (aws.Credentials, *Error) {
	if h.parent == nil {
		c, err := b.base.Retrieve(ctx)
		if err != nil {
			return c, &Error{Code: CodeUnavailable, Message: "the broker's own AWS credentials cannot be obtained; check where the service gets them from", cause: err}
		}
		return c, nil
	}
	c, err := h.parent.Retrieve(ctx)
	if err != nil {
		e := &Error{Code: CodeOf(err), Message: "a role earlier in the chain cannot be assumed: " + errorText(err), cause: err}
		owner, _ := h.parent.role.who()
		switch {
		case owner != "" && (e.Code == CodeWithdrawn || e.Code == CodeRevoked):
			e.Code = CodeRefused // by the customer's role on the way
		case f.renewing && !e.Code.Retryable():
			// It says nothing about whether this role still trusts the earlier.
			e.Code = CodeUnavailable
		case e.Code == CodeWithdrawn:
			e.Code = CodeRefused
		}
		return c, e
	}
	return c, nil
}

func errorText(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "unknown failure"
}

// callerRefused drops the credentials that AWS did not accept.
func (b *Broker) callerRefused(h *Handle, accessKeyID string) {
	if h.parent != nil {
		h.parent.Invalidate(accessKeyID)
		return
	}
	b.base.Invalidate()
}

// input is the request as STS sees it, without the duration.
func input(role *Role, purpose *Purpose) *sts.AssumeRoleInput {
	in := &sts.AssumeRoleInput{RoleArn: &role.ARN, RoleSessionName: &role.SessionName}
	policy, arns := role.Policy, role.PolicyARNs
	if purpose != nil {
		policy, arns = purpose.Policy, purpose.PolicyARNs
	}
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	in.ExternalId, in.SourceIdentity, in.Policy = optional(role.ExternalID), optional(role.SourceIdentity), optional(policy)
	for _, arn := range arns {
		in.PolicyArns = append(in.PolicyArns, types.PolicyDescriptorType{Arn: aws.String(arn)})
	}
	for _, t := range role.Tags {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
	}
	in.TransitiveTagKeys = role.TransitiveTagKeys
	return in
}

// accept makes a session of what STS issued, and has it audited. No session lasts
// longer than was asked for: one that seems to shows that the clocks differ.
func (b *Broker) accept(ctx context.Context, a *answer, subject Subject, h *Handle, asked time.Duration) (*session, *Error) {
	c := a.output.Credentials
	nonsense := &Error{Code: CodeUnavailable, Message: "STS answered without usable credentials; try again later"}
	if c == nil || c.Expiration == nil {
		return nil, nonsense
	}
	now, expires := b.clock.now(), c.Expiration.UnixNano()
	if expires-now > int64(asked+minSkew) {
		expires = now + int64(asked)
	}
	s := newSession(h.role.accountID(), aws.ToString(c.AccessKeyId), aws.ToString(c.SecretAccessKey), aws.ToString(c.SessionToken), now, expires)
	if s == nil {
		return nil, nonsense
	}
	b.counts.issued.Add(1)
	if b.config.Observer == nil {
		return s, nil
	}
	requestID, _ := awsmiddleware.GetRequestIDMetadata(a.output.ResultMetadata)
	err := b.config.Observer.Issued(ctx, Issuance{
		Subject: subject, AccessKeyID: aws.ToString(c.AccessKeyId), Expires: time.Unix(0, expires).UTC(), IssuedAt: b.clock.source().UTC(),
		Region: a.region.name, RequestID: requestID,
		PackedPolicySize:        int(aws.ToInt32(a.output.PackedPolicySize)), //nolint:staticcheck // deprecated, and what STS still answers
		SessionTokenUtilization: int(aws.ToInt32(a.output.SessionTokenUtilization)),
	})
	if err != nil {
		return nil, &Error{Code: CodeUnavailable, Message: "the session could not be audited and is not used; try again later", cause: err}
	}
	return s, nil
}

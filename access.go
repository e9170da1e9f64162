package crossaccount

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/broker"
)

// An AccessOption says more about the access that [Client.Credentials] is asked
// for. Each narrows it, names it, or leads it on; none widens it.
type AccessOption func(*access)

// access is what options say. All of it is part of the key of the credentials.
type access struct {
	integration    string
	purpose        string
	policy         string
	policyARNs     []string
	tags           map[string]string
	sourceIdentity string
	duration       time.Duration
	through        []broker.Role
	class          broker.Class

	problem error
}

// ForIntegration names one of several integrations of the customer.
func ForIntegration(id string) AccessOption { return func(a *access) { a.integration = id } }

// ForPurpose names the purpose, one of [WithPurposes]: its session policy
// narrows what the credentials may do, the customer's CloudTrail shows it in the
// session name, and the audit records carry it.
func ForPurpose(name string) AccessOption { return func(a *access) { a.purpose = name } }

// NarrowedBy sends a session policy: the credentials may do what the role and
// the policy both allow. The policy ARNs, at most 10, are of managed policies in
// the customer's account; either may be empty.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
func NarrowedBy(policy string, policyARNs ...string) AccessOption {
	return func(a *access) { a.policy, a.policyARNs = policy, slices.Clone(policyARNs) }
}

// WithSessionTags tags the session. The role's trust policy must allow
// sts:TagSession, and verification must have seen that it does.
func WithSessionTags(tags map[string]string) AccessOption {
	return func(a *access) { a.tags = maps.Clone(tags) }
}

// WithSourceIdentity says on whose behalf the session is. The customer's
// CloudTrail shows it at every call. The role's trust policy must allow
// sts:SetSourceIdentity, and verification must have seen that it does.
func WithSourceIdentity(name string) AccessOption {
	return func(a *access) { a.sourceIdentity = name }
}

// Lasting asks for sessions of this length instead of Config.SessionDuration:
// 15 minutes to 12 hours, and at most what the role allows.
func Lasting(duration time.Duration) AccessOption {
	return func(a *access) { a.duration = duration }
}

// Through assumes further roles one after the other with the credentials of the
// customer's role. Such sessions last an hour at most. Purpose and session policy
// apply to the last role.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
func Through(roles ...broker.Role) AccessOption {
	return func(a *access) { a.through = slices.Clone(roles) }
}

// OverHTTP says that the credentials are handed to other processes, whose SDKs
// keep them: they are renewed earlier, so that they last at least 15 minutes.
func OverHTTP() AccessOption { return func(a *access) { a.class = broker.HTTPRead } }

// digest tells accesses apart. It is not a secret and not stored.
func (a *access) digest() digest {
	h := sha256.New()
	put := func(texts ...string) {
		for _, text := range texts {
			_ = binary.Write(h, binary.BigEndian, uint32(len(text)))
			h.Write([]byte(text))
		}
	}
	count := func(n int) { _ = binary.Write(h, binary.BigEndian, int64(n)) }
	put(a.purpose, a.policy, a.sourceIdentity)
	count(int(a.duration))
	count(int(a.class))
	count(len(a.policyARNs))
	put(a.policyARNs...)
	count(len(a.tags))
	for _, key := range slices.Sorted(maps.Keys(a.tags)) {
		put(key, a.tags[key])
	}
	for _, r := range a.through {
		put(r.ARN, r.ExternalID, r.SessionName, r.SourceIdentity, r.Policy, strconv.FormatBool(r.Shared))
		count(int(r.Duration))
		count(len(r.PolicyARNs))
		put(r.PolicyARNs...)
		count(len(r.TransitiveTagKeys))
		put(r.TransitiveTagKeys...)
		count(len(r.Tags))
		for _, tag := range r.Tags {
			put(tag.Key, tag.Value)
		}
	}
	return digest(h.Sum(nil))
}

// accessRequest says to the broker what is wanted. marked reports whether it
// sends tags or source identity only because verification saw that it may.
func (c *Client) accessRequest(integration *Integration, externalID string, a access, plain bool) (request broker.Request, marked bool, err error) {
	report := integration.Verification
	mayTag, mayName := report != nil && report.SessionTags, report != nil && report.SourceIdentity
	role := broker.Role{
		ARN:            integration.RoleARN,
		ExternalID:     externalID,
		SessionName:    sessionName(c.config.ServiceName, integration.CustomerID),
		SourceIdentity: a.sourceIdentity,
		Policy:         a.policy,
		PolicyARNs:     a.policyARNs,
		Duration:       c.config.SessionDuration,
	}
	if a.purpose != "" {
		role.SessionName = sessionName(c.config.ServiceName, integration.CustomerID+"+"+a.purpose)
	}
	if a.duration != 0 {
		role.Duration = a.duration
	}
	switch {
	case a.sourceIdentity != "" && !mayName:
		return request, false, NewError(CodeInvalidRequest, "the customer's role does not let us set a source identity", "leave WithSourceIdentity out, or let the customer update the stack and verify the role again", nil)
	case len(a.tags) > 0 && !mayTag:
		return request, false, NewError(CodeInvalidRequest, "the customer's role does not let us tag sessions", "leave WithSessionTags out, or let the customer update the stack and verify the role again", nil)
	}
	if mayName && !plain && a.sourceIdentity == "" {
		role.SourceIdentity, marked = c.sourceIdentity(), true
	}
	if mayTag && (!plain || len(a.tags) > 0) {
		role.Tags = []broker.Tag{{Key: integrationTag, Value: integration.ID}}
		for _, key := range slices.Sorted(maps.Keys(a.tags)) {
			role.Tags = append(role.Tags, broker.Tag{Key: key, Value: a.tags[key]})
		}
		marked = marked || len(a.tags) == 0
	}
	chain := []broker.Role{role}
	if len(a.through) > 0 {
		// Session policies are of the last role, and would keep the first from
		// assuming the next.
		chain[0].Policy, chain[0].PolicyARNs = "", nil
		chain = append(chain, a.through...)
		last := &chain[len(chain)-1]
		if a.policy != "" {
			last.Policy = a.policy
		}
		if len(a.policyARNs) > 0 {
			last.PolicyARNs = a.policyARNs
		}
		for i := range chain[1:] {
			if chain[i+1].SessionName == "" {
				chain[i+1].SessionName = role.SessionName
			}
		}
	}
	return broker.Request{
		Customer: integration.CustomerID, Integration: integration.ID, Purpose: a.purpose,
		Chain: chain, Class: a.class, Onboarded: integration.ActivatedAt,
	}, marked, nil
}

const integrationTag = "crossaccount:integration"

// brokerFor returns the client's broker, made at first use because the vendor's
// own credentials are loaded then.
func (c *Client) brokerFor(ctx context.Context) (*broker.Broker, error) {
	c.mu.Lock()
	made := c.broker
	c.mu.Unlock()
	if made != nil {
		return made, nil
	}
	base, err := c.awsConfig(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broker != nil {
		return c.broker, nil
	}
	if c.brokerClosed {
		return nil, NewError(CodeShuttingDown, "this process is about to end", "try again", nil)
	}
	made, err = broker.New(c.brokerConfig(base))
	if err != nil {
		return nil, NewError(CodeInvalidConfig, "configuration: "+err.Error(), "", err)
	}
	c.broker = made
	return made, nil
}

// BrokerStats returns what the client's broker counted and holds, for metrics. It
// looks at every entry, which takes some 10 ms with 100,000 of them.
func (c *Client) BrokerStats() broker.Stats {
	c.mu.Lock()
	made := c.broker
	c.mu.Unlock()
	if made == nil {
		return broker.Stats{}
	}
	return made.Stats()
}

func (c *Client) brokerConfig(base aws.Config) broker.Config {
	config := c.brokering
	config.AWSConfig = base
	config.BaseIdentity = c.config.ServiceAccountID + "/" + c.brokerRole
	config.Authorize = c.authorize
	config.Observer = &issuances{client: c, also: c.brokering.Observer}
	config.Now, config.Random, config.Logger = c.now, c.random, c.log
	if len(config.Regions) == 0 {
		config.Regions = []string{base.Region}
	}
	if config.SharedStore != nil && config.Sealer == nil {
		config.Sealer = sessionSealer{c.encryptor}
	}
	return config
}

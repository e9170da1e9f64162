package dynamodbapi

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A policy is the resource policy of a table or stream. The zero policy is
// none.
type policy struct {
	document *directory.Document
	revision string
}

func (p policy) compiled() *eval.Policy {
	if p.document == nil {
		return nil
	}
	return p.document.Compiled
}

// maxPolicySize is the limit of a resource policy in bytes. White space counts.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/rbac-considerations.html
const maxPolicySize = 20 << 10

// parsePolicy checks a policy for the table or stream with an ARN. Principals
// must exist, and resources must be the table and its indexes, or the stream.
// The caller holds the lock.
func (s *Service) parsePolicy(c *authz.Call, text, arn string) (policy, error) {
	if len(text) > maxPolicySize {
		return policy{}, invalid("Resource-based policy size exceeds the maximum of %d bytes: it has %d", maxPolicySize, len(text))
	}
	d, err := s.directory.Latest().NewResourceDocument(text, iam.KindResource, "resource policy of "+arn[strings.LastIndexByte(arn, ':')+1:])
	if err != nil {
		e := *wire.AsError(err)
		if e.Code == "MalformedPolicyDocument" {
			e.Code, e.Message = "ValidationException", "Invalid policy document: "+e.Message
		}
		return policy{}, &e
	}
	for _, st := range d.Compiled.Source().Statements {
		for _, action := range slices.Concat(st.Action, st.NotAction) {
			if action != "*" && !strings.HasPrefix(strings.ToLower(action), "dynamodb:") {
				return policy{}, invalid("Invalid policy document: the action %s is none of DynamoDB", wire.Clip(action))
			}
		}
		for _, resource := range slices.Concat(st.Resource, st.NotResource) {
			inTable := !strings.Contains(arn, "/stream/") && strings.HasPrefix(resource, arn+"/index/")
			if !inTable && !iam.MatchWildcard(resource, arn) {
				return policy{}, invalid("Invalid policy document: the resource %s is not %s or an index of it", wire.Clip(resource), arn)
			}
		}
	}
	return policy{d, s.revision(c.Now)}, nil
}

// PolicyInput names a table or stream by its ARN, and brings a policy.
type PolicyInput struct {
	ResourceArn                     string
	Policy                          string
	ExpectedRevisionID              string `json:"ExpectedRevisionId"`
	ConfirmRemoveSelfResourceAccess bool
}

// PolicyOutput shows a policy, or only its revision.
type PolicyOutput struct {
	Policy     string `json:",omitempty"`
	RevisionID string `json:"RevisionId,omitempty"`
}

// attached returns where the policy of a table or stream is kept, after
// authorising the action on it, and how to ask about it again.
func (s *Service) attached(c *authz.Call, arn, action string) (*policy, func() authz.Query, error) {
	if err := awsjson.Required("ResourceArn", arn); err != nil {
		return nil, nil, err
	}
	if !strings.HasPrefix(arn, "arn:") {
		return nil, nil, invalid("Invalid ResourceArn: %s", wire.Clip(arn))
	}
	if strings.Contains(arn, "/stream/") {
		x, err := s.findStream(c, arn, action)
		if err != nil {
			return nil, nil, err
		}
		return &x.policy, func() authz.Query { return x.query(arn, x.account, action) }, nil
	}
	ref := reference{table: arn, action: action}
	t, err := s.find(c, ref)
	if err != nil {
		return nil, nil, err
	}
	return &t.policy, func() authz.Query { return t.query(t.account, arn, ref) }, nil
}

// expected refuses a change if the policy is not the one that the request
// expects.
func (p *policy) expected(revision string) error {
	switch {
	case revision == "", revision == p.revision, revision == "NO_POLICY" && p.document == nil:
		return nil
	}
	return wire.BadRequest("PolicyNotFoundException", "The resource has no policy of revision %s", wire.Clip(revision))
}

// PutResourcePolicy replaces the resource policy of a table or stream. A
// policy that takes the caller's own right to replace it needs confirmation.
func (s *Service) PutResourcePolicy(c *authz.Call, in *PolicyInput) (*PolicyOutput, error) {
	if err := awsjson.Required("Policy", in.Policy); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, again, err := s.attached(c, in.ResourceArn, "PutResourcePolicy")
	if err != nil {
		return nil, err
	}
	if err := at.expected(in.ExpectedRevisionID); err != nil {
		return nil, err
	}
	p, err := s.parsePolicy(c, in.Policy, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	before := *at
	*at = p
	if !in.ConfirmRemoveSelfResourceAccess {
		if allowed, _ := c.Allowed(again()); !allowed {
			*at = before
			return nil, invalid("the policy would not let you change it in the future; set ConfirmRemoveSelfResourceAccess if that is what you want")
		}
	}
	return &PolicyOutput{RevisionID: p.revision}, nil
}

func noPolicy(arn string) error {
	return wire.BadRequest("PolicyNotFoundException", "Resource-based policy not found for the provided ResourceArn: %s", wire.Clip(arn))
}

// GetResourcePolicy shows the resource policy, principals as they are called
// now.
func (s *Service) GetResourcePolicy(c *authz.Call, in *PolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, _, err := s.attached(c, in.ResourceArn, "GetResourcePolicy")
	if err != nil {
		return nil, err
	}
	if p.document == nil {
		return nil, noPolicy(in.ResourceArn)
	}
	return &PolicyOutput{s.directory.Latest().Text(p.document), p.revision}, nil
}

// DeleteResourcePolicy takes the resource policy away. Without one it succeeds
// and answers no revision.
func (s *Service) DeleteResourcePolicy(c *authz.Call, in *PolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, _, err := s.attached(c, in.ResourceArn, "DeleteResourcePolicy")
	if err != nil {
		return nil, err
	}
	if err := p.expected(in.ExpectedRevisionID); err != nil {
		return nil, err
	}
	out := &PolicyOutput{RevisionID: p.revision}
	*p = policy{}
	return out, nil
}

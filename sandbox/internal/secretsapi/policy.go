package secretsapi

import (
	"fmt"
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxPolicySize is the limit of a resource policy in characters.
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
const maxPolicySize = 20480

// PutResourcePolicyInput is the input of PutResourcePolicy.
type PutResourcePolicyInput struct {
	SecretID          string `json:"SecretId"`
	ResourcePolicy    string
	BlockPublicPolicy bool
}

// PolicyOutput names a secret, and shows its resource policy if asked for.
type PolicyOutput struct {
	ARN, Name      string
	ResourcePolicy string `json:",omitempty"`
}

// PutResourcePolicy replaces the secret's resource policy.
func (s *Service) PutResourcePolicy(c *authz.Call, in *PutResourcePolicyInput) (*PolicyOutput, error) {
	if err := awsjson.Required("ResourcePolicy", in.ResourcePolicy); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "PutResourcePolicy", with(func(ctx *iam.Context) {
		ctx.Set("secretsmanager:BlockPublicPolicy", fmt.Sprint(in.BlockPublicPolicy))
	}))
	if err != nil {
		return nil, err
	}
	if len([]rune(in.ResourcePolicy)) > maxPolicySize {
		return nil, malformedPolicy("the resource policy is longer than %d characters", maxPolicySize)
	}
	d, err := s.directory.Latest().NewResourceDocument(in.ResourcePolicy, iam.KindResource, "resource policy of "+x.name)
	if err != nil {
		e := *wire.AsError(err)
		if e.Code == "MalformedPolicyDocument" {
			e.Code, e.Message = "MalformedPolicyDocumentException", "This resource policy contains an unsupported principal or a syntax error. "+e.Message
		}
		return nil, &e
	}
	if in.BlockPublicPolicy && isPublic(d.Compiled.Source()) {
		return nil, wire.BadRequest("PublicPolicyException", "You can't attach a resource policy that allows broad access to your secret. To proceed, set BlockPublicPolicy to false.")
	}
	x.policy = d
	return &PolicyOutput{ARN: x.arn(), Name: x.name}, nil
}

func malformedPolicy(format string, args ...any) error {
	return wire.BadRequest("MalformedPolicyDocumentException", format, args...)
}

// isPublic is simpler than AWS's check, which reasons about conditions: any
// statement that allows everybody something without a condition is public.
func isPublic(p *iam.Policy) bool {
	return slices.ContainsFunc(p.Statements, func(st iam.Statement) bool {
		return st.Effect == iam.Allow && st.Principal != nil && (st.Principal.All || slices.Contains(st.Principal.AWS, "*")) && len(st.Conditions) == 0
	})
}

// GetResourcePolicy shows the resource policy, principals as they are called
// now.
func (s *Service) GetResourcePolicy(c *authz.Call, in *SecretInput) (*PolicyOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	x, err := s.find(c, in.SecretID, "GetResourcePolicy", nil)
	if err != nil {
		return nil, err
	}
	out := &PolicyOutput{ARN: x.arn(), Name: x.name}
	if x.policy != nil {
		out.ResourcePolicy = s.directory.Latest().Text(x.policy)
	}
	return out, nil
}

// DeleteResourcePolicy takes the resource policy away.
func (s *Service) DeleteResourcePolicy(c *authz.Call, in *SecretInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "DeleteResourcePolicy", nil)
	if err != nil {
		return nil, err
	}
	x.policy = nil
	return &PolicyOutput{ARN: x.arn(), Name: x.name}, nil
}

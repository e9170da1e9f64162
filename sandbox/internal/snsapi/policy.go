package snsapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Limits of topic policies.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-language-api-permissions-reference.html
const (
	maxPolicySize       = 30 << 10 // bytes
	maxPolicyStatements = 100
	maxPolicyPrincipals = 200
)

// validActions are what a topic policy can allow, in lower case. SNS refuses
// policies with other actions and with wildcards.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-language-api-permissions-reference.html
var validActions = map[string]bool{
	"addpermission": true, "deletetopic": true, "getdataprotectionpolicy": true, "gettopicattributes": true,
	"listsubscriptionsbytopic": true, "listtagsforresource": true, "publish": true, "putdataprotectionpolicy": true,
	"removepermission": true, "settopicattributes": true, "subscribe": true,
	"receive": true, // once in the default policy of topics, and still accepted
}

// defaultPolicy is the policy of topics made without one. Its condition holds
// for other services of the owner's account, none of which the sandbox has: what
// the owner's principals may do is decided by their own policies.
func defaultPolicy(t *topic) string {
	return fmt.Sprintf(`{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},`+
		`"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe","SNS:ListSubscriptionsByTopic","SNS:Publish"],`+
		`"Resource":"%s","Condition":{"StringEquals":{"AWS:SourceOwner":"%s"}}}]}`, t.arn, t.account)
}

// parsePolicy checks a topic policy as SNS does when it is set.
func (s *Service) parsePolicy(t *topic, text string) (*directory.Document, error) {
	if text == "" {
		text = defaultPolicy(t)
	}
	if len(text) > maxPolicySize {
		return nil, invalidParameter("Policy is too large: %d bytes, and at most %d are allowed", len(text), maxPolicySize)
	}
	d, err := s.options.Directory.Latest().NewResourceDocument(text, iam.KindResource, "topic policy of "+t.name)
	var unknown *directory.InvalidPrincipalError
	switch {
	case errors.As(err, &unknown):
		e := wire.BadRequest("InvalidParameter", "Invalid parameter: Policy Error: PrincipalNotFound (%s)", unknown)
		e.Cause = err
		return nil, e
	case err != nil:
		return nil, invalidParameter("Policy Error: %s", wire.AsError(err).Message)
	}
	statements := d.Compiled.Source().Statements
	if len(statements) > maxPolicyStatements {
		return nil, invalidParameter("Policy has %d statements, and at most %d are allowed", len(statements), maxPolicyStatements)
	}
	principals := 0
	for _, st := range statements {
		if st.Principal != nil {
			principals += len(st.Principal.AWS) + len(st.Principal.Service)
		}
		for _, action := range slices.Concat(st.Action, st.NotAction) {
			name, ok := strings.CutPrefix(strings.ToLower(action), "sns:")
			if !ok || !validActions[name] {
				return nil, invalidParameter("Policy statement action out of service scope! (%s)", wire.Clip(action))
			}
		}
		if len(st.Resource) != 1 {
			return nil, invalidParameter("Policy statement must apply to a single resource!")
		}
		if st.Resource[0] != t.arn {
			return nil, invalidParameter("Policy Error: the resource %s is not this topic", wire.Clip(st.Resource[0]))
		}
	}
	if principals > maxPolicyPrincipals {
		return nil, invalidParameter("Policy has %d principals, and at most %d are allowed", principals, maxPolicyPrincipals)
	}
	return d, nil
}

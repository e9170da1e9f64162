package grant

import (
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// policyDescription says how the policy of a kind is written.
func (k *kind) policyDescription() string {
	switch {
	case k.name == "role":
		return "the role's trust policy (AWS::IAM::Role)"
	case k.policy == nil:
		return "none: access is through a role"
	case k.policy.resource != nil:
		i := &instance{name: "x", decl: &Resource{}, kind: k, site: &site{}, physical: "x", arn: "x"}
		document := &iam.Policy{Statements: []iam.Statement{{Action: []string{"x"}, Resource: []string{"x"}, Principal: &iam.Principals{AWS: []string{"x"}}}}}
		name, _ := k.policy.resource(i, "", document)
		if k.policy.single {
			return name + ", one for each statement"
		}
		return name + ", one document for all grants"
	case k.create != nil:
		return fmt.Sprintf("the property %s of %s if the resource is created here; else a command of the plan writes the document", k.policy.property, k.create.cloudFormation)
	}
	return "a document that a command of the plan writes"
}

// limits names the limits of a kind's policy.
func (k *kind) limits() []string {
	if k.name == "role" {
		return []string{fmt.Sprintf("the trust policy has at most %d characters", reference.MaxTrustPolicySize)}
	}
	if k.policy == nil {
		return nil
	}
	q, ok := reference.ResourcePolicyQuota(k.policy.service)
	if !ok {
		return nil
	}
	var out []string
	for _, l := range []struct {
		n    int
		what string
	}{{q.Size, "characters"}, {q.Statements, "statements"}, {q.Principals, "principals"}, {q.Conditions, "conditions"}, {q.ActionsPerStatement, "actions in one statement"}} {
		if l.n > 0 {
			out = append(out, fmt.Sprintf("the policy has at most %d %s", l.n, l.what))
		}
	}
	return append(out, "source: "+q.Source)
}

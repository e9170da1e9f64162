package crossaccount

import (
	"net/url"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// trust judges the role's trust policy as it is written. The probes speak for
// the probe identity only; a statement that admits another principal of our
// account without the external ID would let that principal be abused.
func (v *verification) trust(document string) {
	const expectation = "no statement of the trust policy admits our account without the external ID"
	open, err := admitsWithoutExternalID(document, v.role, iam.AccountID(v.client.config.ServiceAccountID))
	switch {
	case err != nil:
		v.add(Step{Name: StepTrustPolicy, Expectation: expectation, Result: Skipped, Detail: "the trust policy cannot be understood; the probes were refused"})
	case open:
		const message = "the trust policy has a statement that admits our account without the external ID"
		v.add(Step{Name: StepTrustPolicy, Expectation: expectation, Result: Failed, Detail: message, Remedy: trustRemedy})
		r := v.report
		r.Result, r.Code, r.Message, r.Remedy = Failed, CodeExternalIDNotRequired, message, trustRemedy
	default:
		v.add(Step{Name: StepTrustPolicy, Expectation: expectation, Result: Passed})
	}
}

// everything stands for the vendor's own permissions, which we do not know.
var everything = mustCompile(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
	Effect: iam.Allow, Action: []string{"*"}, Resource: []string{"*"},
}}})

func mustCompile(p *iam.Policy) *eval.Policy {
	compiled, err := eval.Compile(p, iam.KindIdentity, "everything")
	if err != nil {
		panic(err)
	}
	return compiled
}

// admitsWithoutExternalID reports whether some principal of the account might
// assume the role without an external ID: a role that nobody names, or one that
// the policy names. Of the circumstances only the external ID's absence and the
// account are known.
func admitsWithoutExternalID(document string, role iam.RoleARN, account iam.AccountID) (bool, error) {
	text, err := url.PathUnescape(document)
	if err != nil {
		return false, err
	}
	policy, err := iam.ParsePolicy([]byte(text))
	if err != nil {
		return false, err
	}
	trust, err := eval.Compile(policy, iam.KindTrust, "trust policy")
	if err != nil {
		return false, err
	}
	var context iam.Context
	for _, s := range policy.Statements {
		for _, condition := range s.Conditions {
			if !strings.EqualFold(condition.Key, "sts:ExternalId") {
				context.SetUnknown(condition.Key)
			}
		}
	}
	context.Set("aws:PrincipalAccount", string(account))
	for _, principal := range principalsOf(policy, role.Partition, account) {
		decision := eval.Decide(&eval.Input{
			Request: &iam.Request{
				Principal: principal, Action: "sts:AssumeRole", Resource: role.String(),
				ResourceAccount: role.Account, Context: context,
			},
			Identity: []*eval.Policy{everything},
			Resource: trust,
		})
		if decision.Verdict == eval.Allowed || decision.Verdict == eval.Depends {
			return true, nil
		}
	}
	return false, nil
}

// principalsOf returns principals of the account: one that no policy names, and
// those that this policy names.
func principalsOf(policy *iam.Policy, partition string, account iam.AccountID) []iam.Principal {
	unnamed := iam.RoleARN{Partition: partition, Account: account, Path: "/", Name: "unnamed"}
	principals := []iam.Principal{roleSessionOf(unnamed)}
	for _, s := range policy.Statements {
		if s.Principal == nil {
			continue
		}
		for _, arn := range s.Principal.AWS {
			named, err := iam.ParseARN(arn)
			if err != nil || named.Account != string(account) {
				continue
			}
			if role, err := iam.ParseRoleARN(arn); err == nil {
				principals = append(principals, roleSessionOf(role))
			} else if strings.HasPrefix(named.Resource, "user/") {
				principals = append(principals, iam.Principal{Type: iam.PrincipalUser, ARN: arn, Account: account})
			}
		}
	}
	return principals
}

func roleSessionOf(role iam.RoleARN) iam.Principal {
	return iam.Principal{
		Type: iam.PrincipalRoleSession, ARN: role.SessionARN("session").String(), Account: role.Account, RoleARN: role.String(),
	}
}

package crossaccount

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// trust judges the role's trust policy as it is written. The probes speak for
// the probe identity and for the external IDs they tried; a statement that
// admits another principal of our account, or another external ID that nobody
// would guess, would let that be abused. The problem says why there is no
// document.
func (v *verification) trust(document, problem string) {
	const expectation = "every statement of the trust policy that admits our account requires exactly this external ID"
	if document == "" && problem != "" {
		v.add(Step{Name: StepTrustPolicy, Expectation: expectation, Result: Skipped, Detail: problem + ", so its trust policy was not read; the probes were refused"})
		return
	}
	loose, err := looseStatements(document, v.externalID, v.role, iam.AccountID(v.client.config.ServiceAccountID))
	r := v.report
	switch {
	case err != nil:
		const message = "the trust policy was read but cannot be understood, so another way in cannot be excluded"
		const remedy = "update the stack with our current template, or write the trust policy as the template does; then try again"
		v.client.log.Warn("crossaccount: a trust policy cannot be understood", "customer", r.CustomerID, "integration", r.IntegrationID, "role", r.RoleARN)
		v.add(Step{Name: StepTrustPolicy, Expectation: expectation, Result: Inconclusive, Detail: message, Remedy: remedy})
		r.Result, r.Code, r.Message, r.Remedy = Inconclusive, CodeInconclusive, message, remedy
	case len(loose) > 0:
		message := "the trust policy admits our account without exactly the external ID of this integration, in " + strings.Join(loose, ", ")
		const remedy = "let every statement that admits our account require sts:ExternalId with StringEquals and exactly the external ID of this integration, and no other value; " +
			"updating the stack with our template and an empty " + ParameterPreviousExternalID + " does it"
		v.add(Step{Name: StepTrustPolicy, Expectation: expectation, Result: Failed, Detail: message, Remedy: remedy})
		r.Result, r.Code, r.Message, r.Remedy = Failed, CodeExternalIDNotRequired, message, remedy
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

// looseStatements returns the statements, as "statement 2", by which some
// principal of the account might assume the role without exactly the external
// ID. It compares what is written: only StringEquals with no other value will
// do, because what other operators admit depends on IDs we have not tried.
func looseStatements(document, externalID string, role iam.RoleARN, account iam.AccountID) ([]string, error) {
	text, err := url.PathUnescape(document)
	if err != nil {
		return nil, err
	}
	policy, err := iam.ParsePolicy([]byte(text))
	if err != nil {
		return nil, err
	}
	if _, err := eval.Compile(policy, iam.KindTrust, "trust policy"); err != nil {
		return nil, err
	}
	var denials []iam.Statement
	for _, s := range policy.Statements {
		if s.Effect == iam.Deny {
			denials = append(denials, s)
		}
	}
	principals := principalsOf(policy, role.Partition, account)
	var loose []string
	for n, s := range policy.Statements {
		if s.Effect != iam.Allow || requiresExactly(s, externalID) || namesOthersOnly(s, account) {
			continue
		}
		s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), isExternalID)
		alone := &iam.Policy{Version: policy.Version, Statements: append([]iam.Statement{s}, denials...)}
		admits, err := mayAdmit(alone, principals, role, account)
		if err != nil {
			return nil, err
		}
		if admits {
			loose = append(loose, fmt.Sprint("statement ", n+1))
		}
	}
	return loose, nil
}

func isExternalID(c iam.Condition) bool { return strings.EqualFold(c.Key, "sts:ExternalId") }

// requiresExactly reports whether the statement holds for this external ID only.
// All conditions of a statement must hold, so one such condition is enough.
func requiresExactly(s iam.Statement, externalID string) bool {
	return slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool {
		operator, err := iam.ParseOperator(c.Operator)
		return err == nil && operator == iam.Operator{Name: "StringEquals"} && isExternalID(c) && len(c.Values) > 0 &&
			!slices.ContainsFunc(c.Values, func(value string) bool { return value != externalID })
	})
}

// namesOthersOnly reports whether a condition limits the statement to
// principals that are written with another account than ours.
func namesOthersOnly(s iam.Statement, account iam.AccountID) bool {
	return slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool {
		switch c.Operator {
		case "StringEquals", "StringLike", "ArnEquals", "ArnLike":
		default:
			return false
		}
		return strings.EqualFold(c.Key, "aws:PrincipalArn") && len(c.Values) > 0 && !slices.ContainsFunc(c.Values, func(value string) bool {
			arn := strings.SplitN(value, ":", 6)
			return len(arn) < 6 || arn[4] == string(account) || strings.ContainsAny(strings.Join(arn[:5], ""), "*?$")
		})
	})
}

// mayAdmit reports whether one of the principals might assume the role by this
// policy. Of the circumstances only the account is known.
func mayAdmit(policy *iam.Policy, principals []iam.Principal, role iam.RoleARN, account iam.AccountID) (bool, error) {
	trust, err := eval.Compile(policy, iam.KindTrust, "trust policy")
	if err != nil {
		return false, err
	}
	var context iam.Context
	context.SetUnlistedUnknown()
	context.Set("aws:PrincipalAccount", string(account))
	for _, s := range policy.Statements {
		for _, condition := range s.Conditions {
			if !strings.EqualFold(condition.Key, "aws:PrincipalAccount") {
				context.SetUnknown(condition.Key) // also those that the principal would give
			}
		}
	}
	for _, principal := range principals {
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
			kind, rest, _ := strings.Cut(named.Resource, "/")
			switch role, err := iam.ParseRoleARN(arn); {
			case err == nil:
				principals = append(principals, roleSessionOf(role))
			case kind == "user":
				principals = append(principals, iam.Principal{Type: iam.PrincipalUser, ARN: arn, Account: account})
			case kind == "assumed-role":
				name, _, _ := strings.Cut(rest, "/")
				session := roleSessionOf(iam.RoleARN{Partition: partition, Account: account, Path: "/", Name: name})
				session.ARN = arn
				principals = append(principals, session)
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

package crossaccount

import (
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// The trust policy, asked as AWS would ask it.
func TestTrustPolicyDecides(t *testing.T) {
	const broker, probe, other = "arn:aws:iam::111122223333:role/broker", "arn:aws:iam::111122223333:role/probe", "arn:aws:iam::111122223333:role/other"
	narrow := minimalInput()
	narrow.TrustedRoles = []string{broker, probe}
	narrow.SessionTags, narrow.SourceIdentity = true, true
	wild := minimalInput()
	wild.TrustedRoles = []string{"arn:aws:iam::111122223333:role/br*"}
	plain := minimalInput()

	type attempt struct {
		name       string
		in         stackInput
		parameters []string
		principal  string
		action     string
		externalID string // "-" for none
		want       eval.Verdict
	}
	const assume = "sts:AssumeRole"
	tests := []attempt{
		{"right", plain, nil, other, assume, "acme-Abc123", eval.Allowed},
		{"missing", plain, nil, other, assume, "-", eval.ImplicitlyDenied},
		{"wrong", plain, nil, other, assume, "acme-Abc124", eval.ImplicitlyDenied},
		{"case flipped", plain, nil, other, assume, "ACME-aBC123", eval.ImplicitlyDenied},
		{"prefix", plain, nil, other, assume, "acme-Abc12", eval.ImplicitlyDenied},
		{"empty, as the previous one is", plain, nil, other, assume, "", eval.ImplicitlyDenied},
		{"another account", plain, nil, "arn:aws:iam::999999999999:role/broker", assume, "acme-Abc123", eval.ImplicitlyDenied},
		{"new, while it is changed", plain, []string{ParameterPreviousExternalID, "older"}, other, assume, "acme-Abc123", eval.Allowed},
		{"previous, while it is changed", plain, []string{ParameterPreviousExternalID, "older"}, other, assume, "older", eval.Allowed},
		{"wrong, while it is changed", plain, []string{ParameterPreviousExternalID, "older"}, other, assume, "old", eval.ImplicitlyDenied},
		{"previous, afterwards", plain, nil, other, assume, "older", eval.ImplicitlyDenied},
		{"broker", narrow, nil, broker, assume, "acme-Abc123", eval.Allowed},
		{"probe", narrow, nil, probe, assume, "acme-Abc123", eval.Allowed},
		{"broker without", narrow, nil, broker, assume, "-", eval.ImplicitlyDenied},
		{"a role that is not ours to use", narrow, nil, other, assume, "acme-Abc123", eval.ImplicitlyDenied},
		{"a role named like the broker", narrow, nil, broker + "2", assume, "acme-Abc123", eval.ImplicitlyDenied},
		{"broker by wildcard", wild, nil, broker, assume, "acme-Abc123", eval.Allowed},
		{"other by wildcard", wild, nil, other, assume, "acme-Abc123", eval.ImplicitlyDenied},
		{"tags by the broker", narrow, nil, broker, "sts:TagSession", "-", eval.Allowed},
		{"tags by another", narrow, nil, other, "sts:TagSession", "-", eval.ImplicitlyDenied},
		{"source identity by the broker", narrow, nil, broker, "sts:SetSourceIdentity", "-", eval.Allowed},
		{"source identity by another", narrow, nil, other, "sts:SetSourceIdentity", "-", eval.ImplicitlyDenied},
		{"tags that are not asked for", plain, nil, broker, "sts:TagSession", "acme-Abc123", eval.ImplicitlyDenied},
		{"web identity", plain, nil, broker, "sts:AssumeRoleWithWebIdentity", "acme-Abc123", eval.ImplicitlyDenied},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stack := resolved(t, mustBuild(t, test.in), test.parameters...)
			trust, err := eval.Compile(theRole(t, stack).Trust, iam.KindTrust, "trust")
			if err != nil {
				t.Fatal(err)
			}
			account := strings.Split(test.principal, ":")[4]
			all, err := eval.Compile(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{Effect: iam.Allow, Action: []string{"sts:*"}, Resource: []string{"*"}}}}, iam.KindIdentity, "all")
			if err != nil {
				t.Fatal(err)
			}
			var context iam.Context
			context.Set("aws:PrincipalArn", test.principal)
			context.Set("aws:PrincipalAccount", account)
			if test.externalID != "-" {
				context.Set("sts:ExternalId", test.externalID)
			}
			role := strings.TrimPrefix(test.principal, "arn:aws:iam::"+account+":role/")
			got := eval.Decide(&eval.Input{
				Request: &iam.Request{
					Principal: iam.Principal{Type: iam.PrincipalRoleSession, Account: iam.AccountID(account), RoleARN: test.principal,
						ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/session"},
					Action: test.action, Resource: "arn:aws:iam::444455556666:role/Acme-Analytics/Acme-Analytics-access", ResourceAccount: "444455556666",
					Context: context,
				},
				Identity: []*eval.Policy{all}, Resource: trust,
			})
			if got.Verdict != test.want {
				t.Errorf("verdict %v, want %v", got.Verdict, test.want)
			}
		})
	}
}

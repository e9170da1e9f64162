package eval_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// mustCompile compiles a policy written as JSON.
func mustCompile(t testing.TB, kind iam.Kind, name, document string) *eval.Policy {
	t.Helper()
	p, err := iam.ParsePolicy([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := eval.Compile(p, kind, name)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestCompileRefuses(t *testing.T) {
	allow := func(change func(*iam.Statement)) *iam.Policy {
		s := iam.Statement{Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: []string{"*"}}
		change(&s)
		return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{s}}
	}
	for _, test := range []struct {
		name   string
		policy *iam.Policy
		kind   iam.Kind
		want   string
	}{
		{"version", &iam.Policy{Version: "2020-01-01"}, iam.KindIdentity, `Version "2020-01-01"`},
		{"effect", allow(func(s *iam.Statement) { s.Effect = "allow" }), iam.KindIdentity, `Effect "allow"`},
		{"no action", allow(func(s *iam.Statement) { s.Action = nil }), iam.KindIdentity, "neither an Action nor a NotAction"},
		{"no resource", allow(func(s *iam.Statement) { s.Resource = nil }), iam.KindIdentity, "neither a Resource nor a NotResource"},
		{"principal", allow(func(s *iam.Statement) { s.Principal = &iam.Principals{All: true} }), iam.KindIdentity, "cannot have a Principal"},
		{"no principal", allow(func(*iam.Statement) {}), iam.KindResource, "must say whom it means"},
		{"NotPrincipal in a trust policy", allow(func(s *iam.Statement) { s.NotPrincipal = &iam.Principals{All: true} }), iam.KindTrust, "cannot have NotPrincipal"},
		{"malformed principal", allow(func(s *iam.Statement) { s.Principal = &iam.Principals{AWS: []string{"alice"}} }), iam.KindResource, `"alice" is neither`},
		{"operator", allow(func(s *iam.Statement) {
			s.Conditions = []iam.Condition{{Operator: "SringEquals", Key: "aws:username", Values: []string{"a"}}}
		}), iam.KindIdentity, `did you mean "StringEquals"`},
		{"symbol", allow(func(s *iam.Statement) { s.Resource = []string{"arn:" + iam.Symbol("AWS::Partition") + ":s3:::b"} }), iam.KindIdentity, `"arn:<AWS::Partition>:s3:::b" contains a symbol`},
		{"symbol in a condition", allow(func(s *iam.Statement) {
			s.Conditions = []iam.Condition{{Operator: "StringEquals", Key: "sts:ExternalId", Values: []string{"vendor-" + iam.Symbol("ExternalId")}}}
		}), iam.KindIdentity, "has a value with a symbol"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := eval.Compile(test.policy, test.kind, "p")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "vendor-") {
				t.Errorf("the error shows a condition's value: %v", err)
			}
		})
	}
}

// Nobody must get what another principal's tags would give, however many
// decisions run at once over one policy.
func TestNothingLeaksBetweenPrincipals(t *testing.T) {
	shared := mustCompile(t, iam.KindIdentity, "abac", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::data/${aws:PrincipalTag/team}/*",
		 "Condition":{"StringEquals":{"s3:ExistingObjectTag/team":"${aws:PrincipalTag/team}"}}},
		{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringNotEquals":{"s3:ExistingObjectTag/team":"${aws:PrincipalTag/team}"}}}]}`)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				mine, its := fmt.Sprintf("team%d", worker), fmt.Sprintf("team%d", i%8)
				r := &iam.Request{
					Principal: iam.Principal{Type: iam.PrincipalRole, ARN: "arn:aws:iam::111122223333:role/" + mine, Account: account},
					Action:    "s3:GetObject", Resource: "arn:aws:s3:::data/" + its + "/a", ResourceAccount: account,
				}
				r.Context.Set("aws:PrincipalTag/team", mine)
				r.Context.Set("s3:ExistingObjectTag/team", its)
				d := eval.Decide(&eval.Input{Request: r, Identity: []*eval.Policy{shared}})
				if (d.Verdict == eval.Allowed) != (mine == its) {
					t.Errorf("%s reads the object of %s: %s", mine, its, d.Verdict)
				}
				if i%50 == 0 {
					_ = eval.Explain(&eval.Input{Request: r, Identity: []*eval.Policy{shared}}).String()
				}
			}
		})
	}
	wg.Wait()
}

func TestDecisionSaysWhatDecided(t *testing.T) {
	identity := mustCompile(t, iam.KindIdentity, "reader", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"ec2:*","Resource":"*"},
		{"Sid":"Read","Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}`)
	bucket := mustCompile(t, iam.KindResource, "bucket", `{
		"Version":"2012-10-17",
		"Statement":[
			{"Sid":"Reader","Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:GetObject","Resource":"*"},
			{"Sid":"NoSecrets","Effect":"Deny","Principal":"*","Action":"*","Resource":"arn:aws:s3:::data/secret/*"}]}`)
	nothing := mustCompile(t, iam.KindIdentity, "nothing", `{"Version":"2012-10-17","Statement":[]}`)
	for _, test := range []struct {
		name, object string
		identity     *eval.Policy
		resource     *eval.Policy
		verdict      eval.Verdict
		layer        eval.Layer
		side         eval.Side
		statements   string
	}{
		{"both sides allow", "a.txt", identity, bucket, eval.Allowed, eval.LayerIdentity, eval.SideBoth, `"bucket" statement 0 (Reader), "reader" statement 1 (Read)`},
		{"explicit deny", "secret/a", identity, bucket, eval.ExplicitlyDenied, eval.LayerResource, eval.SideResource, `"bucket" statement 1 (NoSecrets)`},
		{"resource side missing", "a.txt", identity, nil, eval.ImplicitlyDenied, eval.LayerResource, eval.SideResource, ""},
		{"principal side missing", "a.txt", nothing, bucket, eval.ImplicitlyDenied, eval.LayerIdentity, eval.SidePrincipal, ""},
		{"both missing", "a.txt", nothing, nil, eval.ImplicitlyDenied, eval.LayerResource, eval.SideBoth, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := eval.Decide(&eval.Input{
				Request: &iam.Request{
					Principal: callers[1], Action: "s3:GetObject", Resource: "arn:aws:s3:::data/" + test.object, ResourceAccount: other,
				},
				Identity: []*eval.Policy{test.identity}, Resource: test.resource,
			})
			var names []string
			for _, ref := range d.Statements() {
				names = append(names, ref.String())
			}
			if d.Verdict != test.verdict || d.Layer != test.layer || d.Side != test.side || strings.Join(names, ", ") != test.statements {
				t.Errorf("got %s by %s (%s): %s\nwant %s by %s (%s): %s", d.Verdict, d.Layer, d.Side, strings.Join(names, ", "),
					test.verdict, test.layer, test.side, test.statements)
			}
		})
	}
	ref := eval.StatementRef{Policy: bucket, Index: 1, Layer: eval.LayerResource}
	if line := ref.Position().Line; line != 5 {
		t.Errorf("the second statement is on line %d, want 5", line)
	}
}

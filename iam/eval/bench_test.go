package eval_test

import (
	"fmt"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// ladder makes the decision the speed targets are about: a role of one account
// reads an object of another, with n identity statements in policies of twenty
// of which the last matches through a tag variable.
func ladder(tb testing.TB, n int) *eval.Input {
	tb.Helper()
	services := []string{"s3", "ec2", "dynamodb", "sqs", "sns", "lambda", "kms", "logs", "ecr", "states"}
	var identity []*eval.Policy
	var statements []iam.Statement
	for i := range n {
		service := services[i%len(services)]
		s := iam.Statement{
			Effect:   iam.Allow,
			Action:   []string{service + ":Get*", service + ":List*", service + ":Describe*"},
			Resource: []string{fmt.Sprintf("arn:aws:%s:::thing-%d/*", service, i)},
		}
		if i%17 == 16 {
			s.Effect = iam.Deny
		}
		if i%4 == 3 {
			s.Conditions = []iam.Condition{{Operator: "StringEquals", Key: "aws:RequestedRegion", Values: []string{"eu-west-1"}}}
		}
		if i == n-1 {
			s = iam.Statement{
				Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: []string{"arn:aws:s3:::data/*"},
				Conditions: []iam.Condition{{Operator: "StringEquals", Key: "s3:ExistingObjectTag/team", Values: []string{"${aws:PrincipalTag/team}"}}},
			}
		}
		if statements = append(statements, s); len(statements) == 20 || i == n-1 {
			p, err := eval.Compile(&iam.Policy{Version: iam.Version2012, Statements: statements}, iam.KindIdentity, fmt.Sprintf("policy-%d", i/20))
			if err != nil {
				tb.Fatal(err)
			}
			identity, statements = append(identity, p), nil
		}
	}
	full := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	guard := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","NotAction":["iam:*","s3:*"],"Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["eu-west-1"]}}}]}`
	in := &eval.Input{
		Request: &iam.Request{
			Principal: iam.Principal{Type: iam.PrincipalRole, ARN: "arn:aws:iam::111122223333:role/reader", Account: account},
			Action:    "s3:GetObject", Resource: "arn:aws:s3:::data/a.txt", ResourceAccount: other,
		},
		Identity: identity,
		Resource: mustCompile(tb, iam.KindResource, "bucket", `{"Version":"2012-10-17","Statement":[
			{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
			{"Effect":"Allow","Principal":{"AWS":"777788889999"},"Action":"s3:*","Resource":"*"},
			{"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"},"Action":"s3:GetObject","Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:PutObject","Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::data","arn:aws:s3:::data/*"]}]}`),
		ServiceControl: [][]*eval.Policy{
			{mustCompile(tb, iam.KindServiceControl, "full", full)},
			{mustCompile(tb, iam.KindServiceControl, "guard", guard)},
		},
	}
	c := &in.Request.Context
	c.Set("aws:SecureTransport", "true")
	c.Set("aws:RequestedRegion", "eu-west-1")
	c.Set("aws:PrincipalArn", "arn:aws:iam::111122223333:role/reader")
	c.Set("aws:PrincipalAccount", account)
	c.Set("aws:PrincipalTag/team", "red")
	c.Set("s3:ExistingObjectTag/team", "red")
	return in
}

func TestDecideDoesNotAllocate(t *testing.T) {
	in := ladder(t, 200)
	if d := eval.Decide(in); d.Verdict != eval.Allowed {
		t.Fatalf("the ladder is not climbed:\n%s", eval.Explain(in))
	}
	allocations := testing.AllocsPerRun(100, func() {
		d := eval.Decide(in)
		if len(d.Statements()) == 0 {
			t.Error("no statement decided")
		}
	})
	if allocations != 0 {
		t.Errorf("Decide allocates %v times", allocations)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{20, 200, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := ladder(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if d := eval.Decide(in); d.Verdict != eval.Allowed {
					b.Fatal(d.Verdict)
				}
			}
		})
	}
}

func BenchmarkExplain(b *testing.B) {
	in := ladder(b, 20)
	b.ReportAllocs()
	for b.Loop() {
		eval.Explain(in)
	}
}

func BenchmarkCompile(b *testing.B) {
	in := ladder(b, 2000)
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range in.Identity {
			if _, err := eval.Compile(p.Source(), p.Kind(), p.Name()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

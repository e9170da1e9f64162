package main

import (
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// The workload is what the documentation of the command says it is.
func TestWorkload(t *testing.T) {
	for _, n := range sizes {
		statements := identityStatements(n)
		denies, conditions := 0, 0
		for i := range statements {
			if statements[i].Effect == iam.Deny {
				denies++
			}
			if len(statements[i].Conditions) > 0 {
				conditions++
			}
		}
		if denies != n/17 || conditions != n/4 {
			t.Errorf("of %d statements %d deny and %d have conditions", n, denies, conditions)
		}
		c, err := newCase(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.IdentityPolicies) != n/perPolicy || len(c.Request.Context) != 6 {
			t.Errorf("%d policies, %d context keys", len(c.IdentityPolicies), len(c.Request.Context))
		}
		in, err := c.Input()
		if err != nil {
			t.Fatal(err)
		}
		d := eval.Decide(in)
		if !d.Allowed() {
			t.Fatalf("%d statements:\n%s", n, eval.Explain(in))
		}
		if refs := d.Statements(); len(refs) != 4 || refs[3].Sid() != statements[n-1].Sid {
			t.Errorf("decided by %v", refs)
		}
		if allocated := testing.AllocsPerRun(20, func() { eval.Decide(in) }); allocated != 0 {
			t.Errorf("deciding with %d statements allocates %v times", n, allocated)
		}

		// Without the last statement there is no grant, here as in Cedar.
		in.Identity = in.Identity[:len(in.Identity)-1]
		if d := eval.Decide(in); d.Verdict != eval.ImplicitlyDenied {
			t.Errorf("without the last policy: %s", d.Verdict)
		}
		q, err := newCedarQuestion(n)
		if err != nil {
			t.Fatal(err)
		}
		last := cedar.PolicyID("policy" + strings.TrimPrefix(statements[n-1].Sid, "Statement"))
		if q.policies.Remove(last); q.allowed() {
			t.Error("cedar-go allows without the last statement")
		}
	}
}

// The command runs through; how long anything takes is nobody's concern here.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, 1, time.Millisecond, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| 2000 | iam/eval |") {
		t.Errorf("the table lacks a row:\n%s", out.String())
	}
}

func BenchmarkDecide(b *testing.B) {
	c, err := newCase(2000)
	if err != nil {
		b.Fatal(err)
	}
	in, err := c.Input()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		eval.Decide(in)
	}
}

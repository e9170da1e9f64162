package crossaccount

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// grants lists what statements grant: one line for every pair of an action and
// a resource.
func grants(statements []iam.Statement) []string {
	var all []string
	for _, s := range statements {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				all = append(all, fmt.Sprint(s.Effect, " ", action, " ", resource, " ", s.Conditions))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestSplitLosesNothingAndIsStable(t *testing.T) {
	size := (&template.Stack{}).Size
	rapid.Check(t, func(t *rapid.T) {
		statement := rapid.Custom(func(t *rapid.T) iam.Statement {
			word := func(kind string, longest int) []string {
				return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string {
					return kind + strings.Repeat("x", rapid.IntRange(0, longest).Draw(t, "length")) + fmt.Sprint(rapid.IntRange(0, 9999).Draw(t, "n"))
				}), 1, rapid.SampledFrom([]int{1, 3, 60}).Draw(t, "most"), rapid.ID[string]).Draw(t, kind)
			}
			s := iam.Statement{Effect: rapid.SampledFrom([]iam.Effect{iam.Allow, iam.Deny}).Draw(t, "effect"), Action: word("s3:", 100), Resource: word("arn:aws:s3:::", 300)}
			if rapid.Bool().Draw(t, "conditional") {
				s.Conditions = []iam.Condition{when("StringEquals", "aws:username", "x")}
			}
			return s
		})
		statements := rapid.SliceOfN(statement, 1, 12).Draw(t, "statements")
		for i := range statements {
			statements[i].Sid = rapid.SampledFrom([]string{"", strings.Repeat("S", rapid.IntRange(1, 300).Draw(t, "sid length")) + fmt.Sprint(i), fmt.Sprintf("S%dPart2", i-1)}).Draw(t, "sid")
		}
		policies, err := split(statements, size)
		if err != nil {
			t.Fatal(err)
		}
		var spread []iam.Statement
		for _, p := range policies {
			if n := p.Size(); n > reference.MaxManagedPolicySize {
				t.Fatalf("a policy has %d characters", n)
			}
			spread = append(spread, p.Statements...)
		}
		if diff := cmp.Diff(grants(statements), grants(spread)); diff != "" {
			t.Fatal(diff)
		}
		// One more statement at the end changes at most one of the policies, if
		// it need not be divided.
		extra := iam.Statement{Effect: iam.Allow, Action: []string{"sqs:SendMessage"}, Resource: []string{"*"}}
		more, err := split(append(slices.Clone(statements), extra), size)
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for i, p := range policies {
			if !cmp.Equal(p.Statements, more[i].Statements) {
				changed++
			}
		}
		if changed > 1 || changed+len(more)-len(policies) != 1 {
			t.Fatalf("%d policies changed and %d were added", changed, len(more)-len(policies))
		}
	})
}

func TestSplitPartsHaveTheirOwnSids(t *testing.T) {
	var resources []string
	for i := range 500 {
		resources = append(resources, fmt.Sprintf("arn:aws:s3:::bucket-number-%d/*", i))
	}
	policies, err := split([]iam.Statement{
		{Sid: "Big", Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: resources},
		{Sid: "BigPart2", Effect: iam.Allow, Action: []string{"s3:PutObject"}, Resource: []string{"*"}},
	}, (&template.Stack{}).Size)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range policies {
		for _, s := range p.Statements {
			if seen[s.Sid] {
				t.Errorf("two statements have the sid %q", s.Sid)
			}
			seen[s.Sid] = true
		}
	}
}

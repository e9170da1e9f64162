package directory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

// AWS's own policies are well-formed, so that a finding in one of them is a
// mistake of ours: in the copy, or in the linter.
func TestAWSManagedPoliciesAreWellFormed(t *testing.T) {
	policies := directory.New(directory.Options{Random: rand.NewChaCha8([32]byte{1})}).AWSManagedPolicies("aws")
	if len(policies) < 15 {
		t.Fatalf("only %d policies", len(policies))
	}
	for _, p := range policies {
		for _, f := range lint.Document([]byte(p.Versions[0].Document.Text), lint.Options{Kind: iam.KindIdentity}) {
			if f.Severity >= lint.Warning {
				t.Errorf("%s: %v", p.Name, f)
			}
		}
	}
}

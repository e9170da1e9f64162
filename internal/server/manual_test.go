package server_test

import (
	"os"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/internal/servetest"
)

// The policies that the manual tells vendors to use are those that all tests of
// the served vendor run with.
func TestPoliciesOfTheManual(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range servetest.Policies() {
		if !strings.Contains(unspaced(string(manual)), "```json"+unspaced(policy)+"```") {
			t.Errorf("docs/operating.md does not show the policy\n%s", policy)
		}
	}
}

func unspaced(text string) string { return strings.Join(strings.Fields(text), "") }

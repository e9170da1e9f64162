package policies

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam/lint"
)

// stateMachineRule is about documents that are not policies, so the linter of
// policies may not know it.
var stateMachineRule = lint.Rule{
	ID:       "GX-T08",
	Title:    "a state machine and a role it assumes do not fit together",
	Why:      "the task fails when it runs, or whoever starts an execution decides which role is assumed",
	Fix:      "name the role in the task, and allow the execution role to assume that role and no other",
	Link:     "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html",
	Severity: lint.Error,
}

// Rules returns the rules of all findings, sorted by id: those about policies
// and those about what surrounds them.
func Rules() []lint.Rule {
	rules := lint.Rules()
	if !slices.ContainsFunc(rules, func(r lint.Rule) bool { return r.ID == stateMachineRule.ID }) {
		rules = append(rules, stateMachineRule)
		slices.SortFunc(rules, func(a, b lint.Rule) int { return strings.Compare(a.ID, b.ID) })
	}
	return rules
}

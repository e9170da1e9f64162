package grant

import (
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
)

// lint looks at every document. What grants waived, with a reason, is left out:
// see accepted.
func (c *checking) lint() {
	for _, d := range c.plan.documents {
		o := lint.Options{Kind: d.Kind, Service: d.Service, Inline: d.Inline, Account: iam.AccountID(d.Account)}
		for _, f := range lint.Policy(c.concretePolicy(d), o) {
			if left, _ := lint.Suppress([]lint.Finding{f}, d.accepted(f)); f.Severity >= lint.Warning && len(left) > 0 {
				c.report.Findings = append(c.report.Findings, DocumentLint{d.Title, d.Grants, f})
			}
		}
	}
}

// accepted returns why a finding is accepted, if it is. A statement that serves
// several grants is accepted only if all of them do. What is about the whole
// document is accepted if one grant that it serves does, and so is a statement
// whose grants are not known: one of a consumer's permissions, which are packed
// for all grants together, of the trust policy of a consumer's role, and what a
// resource keeps.
func (d *Document) accepted(f lint.Finding) []lint.Suppression {
	var owners []string
	if n, ok := statementOf(f.Path); ok && n < len(d.serves) {
		owners = d.serves[n]
	}
	var all []lint.Suppression
	for _, e := range d.edges {
		reason := e.accepts(f.ID, d.Service)
		switch concerned := slices.Contains(owners, e.grant.Name); {
		case concerned && reason == "":
			return nil
		case reason != "" && (concerned || len(owners) == 0):
			all = append(all, lint.Suppression{ID: f.ID, Reason: reason, Optional: true})
		}
	}
	return all
}

// accepts returns why a grant in a stage accepts findings of a rule, or "".
func (e *edge) accepts(rule, service string) string {
	if w, ok := e.grant.waived(rule, e.pair.stage); ok {
		return w.Reason
	}
	switch wide := e.trust == "account" || e.trust == "organization"; {
	case rule == "GX-P01" && service == "execute-api" && e.resource.decl.CORS:
		return "preflight requests have no credentials, and cors asks for them"
	case (rule == RulePrincipals || rule == RuleExternalID) && wide:
		return "the manifest gives the whole account this access"
	}
	return ""
}

// statementOf returns the number in a path such as "Statement[2].Action[0]".
func statementOf(path string) (int, bool) {
	rest, ok := strings.CutPrefix(path, "Statement[")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, "]")
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

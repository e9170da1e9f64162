package lint

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

var redundancyRules = []Rule{
	{
		ID:       "GX-S10",
		Title:    "a part of the policy repeats another",
		Why:      "it changes nothing, costs size, and hides what matters",
		Fix:      "remove it",
		Link:     grammarPage,
		Severity: Info,
		check:    checkRedundancy,
	},
	{
		ID:       "GX-S11",
		Title:    "a Sid is empty",
		Why:      "an empty Sid names nothing",
		Fix:      "give the statement a Sid, or leave the element out",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_sid.html",
		Severity: Info,
		check:    checkEmptySids,
	},
	{
		ID:       "GX-S12",
		Title:    "a resource control policy does more than such policies can",
		Why:      "AWS Organizations refuses the document, or the service is not covered and nothing is held back",
		Fix:      "deny named actions of covered services to everybody, with conditions",
		Link:     "https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps_syntax.html",
		Severity: Error,
		check:    checkResourceControl,
	},
}

func checkRedundancy(r *reporter) {
	statements := make(map[string]string, len(r.policy.Statements)) // path by canonical form
	r.statements(func(path string, s *iam.Statement) {
		for _, list := range []struct {
			element string
			values  []string
			fold    bool
		}{{"Action", s.Action, true}, {"NotAction", s.NotAction, true}, {"Resource", s.Resource, false}, {"NotResource", s.NotResource, false}} {
			r.reportCovered(path+"."+list.element, list.values, list.fold)
		}
		for _, c := range s.Conditions {
			r.reportRepeated(conditionPath(path, c), c)
		}
		without := *s
		without.Sid = ""
		key := string((&iam.Policy{Version: r.policy.Version, Statements: []iam.Statement{without}}).Canonical())
		if first, ok := statements[key]; ok {
			r.report(Info, path, "", "the statement says the same as %s", first)
			return
		}
		statements[key] = path
	})
}

// reportCovered reports the values of a list that another value of it covers.
func (r *reporter) reportCovered(path string, list []string, fold bool) {
	const most = 500 // far more than a policy can hold; bounds the work on hostile input
	if len(list) < 2 || len(list) > most {
		return
	}
	first := make(map[string]bool, len(list))
	folded := make([]string, len(list))
	var patterns []string
	for i, v := range list {
		if fold {
			v = strings.ToLower(v)
		}
		folded[i] = v
		if strings.ContainsAny(v, "*?") && !strings.Contains(v, "${") {
			patterns = append(patterns, v)
		}
	}
	for i, v := range folded {
		at := fmt.Sprintf("%s[%d]", path, i)
		if first[v] {
			r.report(Info, at, "", "%q is in the list twice", clip(list[i]))
			continue
		}
		first[v] = true
		for _, p := range patterns {
			if p != v && iam.MatchWildcard(p, v) && (!iam.MatchWildcard(v, p) || len(p) < len(v)) {
				r.report(Info, at, "", "%q is covered by %q in the same list", clip(list[i]), clip(p))
				break
			}
		}
	}
}

// reportRepeated reports values of a condition that are there twice.
func (r *reporter) reportRepeated(path string, c iam.Condition) {
	seen := make(map[string]bool, len(c.Values))
	for i, v := range c.Values {
		if seen[v] {
			r.report(Info, fmt.Sprintf("%s[%d]", path, i), "", "%s is in the list twice", shown(c.Key, v))
		}
		seen[v] = true
	}
}

// checkEmptySids finds the element by its position, as a parsed policy does not
// tell an empty Sid from none.
func checkEmptySids(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		if at := r.policy.Position(path + ".Sid"); s.Sid == "" && at != r.policy.Position(path) && r.readable(path+".Sid") {
			r.report(Info, path+".Sid", "", "the Sid is empty")
		}
	})
}

// checkResourceControl leaves Principal to GX-S06.
func checkResourceControl(r *reporter) {
	if r.options.Kind != iam.KindResourceControl {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect == iam.Allow {
			r.refuse(path+".Effect", "deny instead; AWS attaches RCPFullAWSAccess, which allows everything", "a resource control policy can only deny")
		}
		if s.NotPrincipal != nil {
			r.refuse(path+".NotPrincipal", "use a condition on aws:PrincipalArn or aws:PrincipalAccount", "a resource control policy cannot have NotPrincipal")
		}
		if s.NotAction != nil {
			r.refuse(path+".NotAction", "", "a resource control policy cannot have NotAction")
		}
		values(path+".Action", s.Action, func(path, action string) {
			prefix, _, hasColon := strings.Cut(action, ":")
			if allWildcards(action) {
				r.refuse(path, "name the services", "a resource control policy cannot have every action of every service")
				return
			}
			service, ok := reference.LookupService(prefix)
			if ok && hasColon && !service.ResourceControlPolicies {
				r.report(Warning, path, "", "resource control policies do not reach %s (%s)", clip(prefix), reference.Version())
			}
		})
	})
}

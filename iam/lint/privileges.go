package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

var privilegeRules = []Rule{
	{
		ID:       "GX-A09",
		Title:    "a wildcard leaves out actions that reading usually needs",
		Why:      "the names of these actions begin differently, so the wildcard does not allow them",
		Fix:      "add the actions if they are used",
		Link:     actionsPage,
		Severity: Warning,
		check:    checkLeftOutReads,
	},
	{
		ID:       "GX-A10",
		Title:    "every role may be passed to a service",
		Why:      "whoever may pass any role can let a service act with the permissions of the strongest one",
		Fix:      "name the roles by ARN, or add a condition on iam:PassedToService",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html",
		Severity: Warning,
		check:    checkPassRole,
	},
	{
		ID:       "GX-A11",
		Title:    "the service-linked role of any service may be made",
		Why:      "services can be given rights in the account that nobody thought of",
		Fix:      "add a condition StringEquals on iam:AWSServiceName, or name the role by ARN",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html",
		Severity: Info,
		check:    checkServiceLinkedRoles,
	},
}

// oftenMissed are, by a wildcard for reading in lower case, the actions that
// readers of the same things need as well. Only the services are listed where
// the reading of the data itself is left out.
var oftenMissed = map[string][]string{
	"dynamodb:get*": {"dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan"},
	"ecr:get*":      {"ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability"},
}

func checkLeftOutReads(r *reporter) {
	switch r.options.Kind {
	case iam.KindIdentity, iam.KindResource, iam.KindSession:
	default:
		return
	}
	var allowed []string
	for i := range r.policy.Statements {
		if s := &r.policy.Statements[i]; s.Effect == iam.Allow {
			allowed = append(allowed, s.Action...)
		}
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow {
			return
		}
		values(path+".Action", s.Action, func(path, action string) {
			var missing []string
			for _, full := range oftenMissed[strings.ToLower(action)] {
				if !slices.ContainsFunc(allowed, func(pattern string) bool { return matchesAction(pattern, full) }) {
					missing = append(missing, full)
				}
			}
			if len(missing) > 0 {
				r.report(Warning, path, "", "%s does not include %s", clip(action), strings.Join(missing, ", "))
			}
		})
	})
}

// matchesAction reports whether a value of an Action element names an action.
// Symbols stand for anything.
func matchesAction(pattern, action string) bool {
	pattern = iam.ReplaceSymbols(pattern, func(string) string { return "*" })
	return iam.MatchWildcard(strings.ToLower(pattern), strings.ToLower(action))
}

func checkPassRole(r *reporter) {
	r.reportAnyRole("iam:PassRole", []string{"iam:passedtoservice", "iam:associatedresourcearn", "aws:resourcetag/", "iam:resourcetag/"}, func(path, resource string) {
		r.report(Warning, path, "", "every role may be passed to a service")
	})
}

func checkServiceLinkedRoles(r *reporter) {
	r.reportAnyRole("iam:CreateServiceLinkedRole", []string{"iam:awsservicename"}, func(path, resource string) {
		r.report(Info, path, "", "the service-linked role of any service may be made")
	})
}

// reportAnyRole calls visit for resources that stand for every role, where an
// identity policy allows an action of IAM on them by name. Wildcards like iam:*
// are not meant: they say themselves that they give everything.
func (r *reporter) reportAnyRole(action string, keys []string, visit func(path, resource string)) {
	if r.options.Kind != iam.KindIdentity {
		return
	}
	_, name, _ := strings.Cut(action, ":")
	isNamed := func(pattern string) bool {
		prefix, rest, ok := strings.Cut(pattern, ":")
		return ok && strings.EqualFold(prefix, "iam") && len(strings.TrimRight(rest, "*")) >= len(name)/2 && matchesAction(pattern, action)
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || !slices.ContainsFunc(s.Action, isNamed) || limitedBy(s, keys) {
			return
		}
		values(path+".Resource", s.Resource, func(path, resource string) {
			a, err := iam.ParseARN(resource)
			if allWildcards(resource) || err == nil && (a.Resource == "role/*" || allWildcards(a.Resource)) {
				visit(path, resource)
			}
		})
	})
}

// limitedBy reports whether a statement has a condition on one of the keys,
// whatever it demands.
func limitedBy(s *iam.Statement, keys []string) bool {
	return slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool { return matchesKey(c.Key, keys) })
}

// knownObsolete are actions that AWS's own older policies contain although the
// reference does not list them. Lower case.
var knownObsolete = []string{"sns:receive"}

func isObsolete(action string) bool {
	return slices.Contains(knownObsolete, strings.ToLower(action))
}

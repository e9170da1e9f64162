package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

const actionsPage = "https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html"

var actionRules = []Rule{
	{
		ID:       "GX-A01",
		Title:    "the service of an action is unknown",
		Why:      "the action matches no request, so the statement does not do what it says",
		Fix:      "write the service prefix of the service authorization reference before the colon",
		Link:     actionsPage,
		Severity: Error,
		check:    checkServices,
	},
	{
		ID:       "GX-A02",
		Title:    "an action is unknown, or a wildcard matches none",
		Why:      "the action matches no request, so the statement does not do what it says",
		Fix:      "look the action up in the service authorization reference",
		Link:     actionsPage,
		Severity: Error,
		check:    checkActions,
	},
	{
		ID:       "GX-A04",
		Title:    "all actions of a service, or of all services, are given to another account",
		Why:      "the grant includes changing and deleting, and every action AWS adds later",
		Fix:      "name the actions that are needed",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege",
		Severity: Warning,
		check:    checkAllActions,
	},
	{
		ID:       "GX-A05",
		Title:    "an action of another service stands in a resource policy",
		Why:      "a resource policy can only allow its own service's actions; AWS refuses others or ignores them",
		Fix:      "put the action into the identity policy of the caller, or into the other resource's policy",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_identity-vs-resource.html",
		Severity: Error,
		check:    checkForeignActions,
	},
	{
		ID:       "GX-A06",
		Title:    "sts:GetServiceBearerToken stands in a resource policy",
		Why:      "it has no effect there; callers cannot get a token through it",
		Fix:      "allow sts:GetServiceBearerToken in the identity policy of the caller",
		Link:     "https://docs.aws.amazon.com/codeartifact/latest/ug/repo-policies.html",
		Severity: Error,
		check:    checkBearerToken,
	},
	{
		ID:       "GX-A08",
		Title:    "another account may change the resource's policy",
		Why:      "whoever can change the policy can give themselves and anybody else every permission on the resource",
		Fix:      "leave the action to principals of the resource's own account",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_identity-vs-resource.html",
		Severity: Error,
		check:    checkPolicyChanges,
	},
}

// eachAction calls visit for the values of Action and NotAction.
func eachAction(r *reporter, visit func(path, action string, s *iam.Statement)) {
	r.statements(func(path string, s *iam.Statement) {
		values(path+".Action", s.Action, func(path, action string) { visit(path, action, s) })
		values(path+".NotAction", s.NotAction, func(path, action string) { visit(path, action, s) })
	})
}

func checkServices(r *reporter) {
	eachAction(r, func(path, action string, _ *iam.Statement) {
		if action == "" || allWildcards(action) {
			return
		}
		prefix, _, hasColon := strings.Cut(action, ":")
		switch {
		case iam.HasSymbol(prefix):
		case !hasColon && strings.Trim(action, "*?") != action:
			// Such as "s3*": AWS accepts only a lone "*" without a colon.
			r.refuse(path, "", "the action %q has no service prefix", clip(action))
		case !hasColon:
			fix := ""
			if owners := servicesWith(action); len(owners) == 1 {
				fix = "write " + owners[0]
			}
			r.refuse(path, fix, "the action %q has no service prefix", clip(action))
		case allWildcards(prefix):
		case strings.ContainsAny(prefix, "*?"):
			r.refuse(path, "name the service", "the service prefix %q has a wildcard", clip(prefix))
		default:
			if _, ok := reference.LookupService(prefix); ok {
				return
			}
			if near := reference.SuggestService(prefix); near != "" {
				r.report(Error, path, "write "+near+action[len(prefix):], "the service %q is unknown; did you mean %q?", clip(prefix), near)
				return
			}
			r.report(Warning, path, "", "the service %q is not in the reference (%s)", clip(prefix), reference.Version())
		}
	})
}

// servicesWith returns the actions of all services that have the given name.
func servicesWith(name string) []string {
	var found []string
	for _, prefix := range reference.Services() {
		s, _ := reference.LookupService(prefix)
		if a, ok := s.Action(name); ok {
			found = append(found, a.String())
		}
	}
	return found
}

func checkActions(r *reporter) {
	eachAction(r, func(path, action string, _ *iam.Statement) {
		prefix, name, hasColon := strings.Cut(action, ":")
		if !hasColon || reference.MatchesAction(action) || isObsolete(action) {
			return
		}
		if _, ok := reference.LookupService(prefix); !ok {
			return // GX-A01
		}
		if hasWildcard(action) || iam.HasSymbol(action) {
			r.report(Error, path, "", "no action of %s matches %q", prefix, clip(name))
			return
		}
		if near := reference.SuggestAction(action); near != "" {
			r.report(Error, path, "write "+near, "the action %q is unknown; did you mean %q?", clip(action), near)
			return
		}
		r.report(Warning, path, "", "the action %q is not in the reference (%s)", clip(action), reference.Version())
	})
}

func checkAllActions(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || !r.crossesAccounts(s) {
			return
		}
		values(path+".Action", s.Action, func(path, action string) {
			prefix, name, hasColon := strings.Cut(action, ":")
			switch {
			case allWildcards(action) || allWildcards(prefix) && allWildcards(name):
				r.report(Warning, path, "", "every action of every service is allowed")
			case hasColon && allWildcards(name):
				r.report(Warning, path, "", "every action of %s is allowed", clip(prefix))
			}
		})
	})
}

// crossesAccounts reports whether a statement is known to concern another
// account.
func (r *reporter) crossesAccounts(s *iam.Statement) bool {
	switch r.options.Kind {
	case iam.KindServiceControl, iam.KindResourceControl, iam.KindBoundary, iam.KindEndpoint:
		return false // they limit and grant nothing
	}
	if r.options.CrossAccount {
		return true
	}
	if s.Principal == nil || r.options.Account == "" {
		return false
	}
	if r.onlyOwnCallers(s) {
		return false
	}
	if s.Principal.All {
		return true
	}
	return slices.ContainsFunc(s.Principal.AWS, func(p string) bool {
		account, ok := principalAccount(p)
		return p == "*" || ok && account != string(r.options.Account)
	})
}

// callerAccountKeys hold the account of the caller, or of the caller's access
// point.
var callerAccountKeys = []string{"aws:principalaccount", "aws:sourceaccount", "aws:sourceowner", "kms:calleraccount", "s3:dataaccesspointaccount"}

// onlyOwnCallers reports whether a condition holds back everybody but the
// policy's own account, whatever Principal says.
func (r *reporter) onlyOwnCallers(s *iam.Statement) bool {
	return slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool {
		op, err := iam.ParseOperator(c.Operator)
		return err == nil && strings.HasPrefix(op.Name, "String") && !op.Negated() && !op.IfExists && op.Set != iam.SetForAllValues &&
			matchesKey(c.Key, callerAccountKeys) && len(c.Values) == 1 && c.Values[0] == string(r.options.Account)
	})
}

// policyServices are resource policies whose actions have another prefix than
// the service that stores them.
var policyServices = map[string][]string{
	"apigateway":  {"execute-api"},
	"opensearch":  {"es"},
	"kafka":       {"kafka", "kafka-cluster"},
	"vpc-lattice": {"vpc-lattice-svcs", "vpc-lattice"},
}

func checkForeignActions(r *reporter) {
	eachAction(r, func(path, action string, _ *iam.Statement) {
		if r.isForeign(action) && !isBearerToken(action) {
			r.report(Error, path, "", "%q is no action of %s, to which this resource policy belongs", clip(action), r.options.Service)
		}
	})
}

// isForeign reports whether an action cannot stand in the resource policy
// because it belongs to another service.
func (r *reporter) isForeign(action string) bool {
	if r.options.Kind != iam.KindResource || r.options.Service == "" {
		return false
	}
	own := policyServices[r.options.Service]
	if own == nil {
		own = []string{r.options.Service}
	}
	prefix, _, hasColon := strings.Cut(strings.ToLower(action), ":")
	return hasColon && !open(prefix) && !hasWildcard(prefix) && !slices.Contains(own, prefix)
}

func isBearerToken(action string) bool {
	return strings.EqualFold(action, "sts:GetServiceBearerToken")
}

func checkBearerToken(r *reporter) {
	if r.options.Kind != iam.KindResource {
		return
	}
	eachAction(r, func(path, action string, _ *iam.Statement) {
		if isBearerToken(action) {
			r.report(Error, path, "", "sts:GetServiceBearerToken has no effect in a resource policy")
		}
	})
}

// policyChanges are the actions that change a resource's policy, in lower case.
var policyChanges = []string{
	"backup:putbackupvaultaccesspolicy",
	"codeartifact:putdomainpermissionspolicy",
	"codeartifact:putrepositorypermissionspolicy",
	"dynamodb:putresourcepolicy",
	"ecr:setrepositorypolicy",
	"events:putpermission",
	"glue:putresourcepolicy",
	"kafka:putclusterpolicy",
	"kinesis:putresourcepolicy",
	"kms:putkeypolicy",
	"lambda:addpermission",
	"s3:putbucketacl",
	"s3:putbucketpolicy",
	"secretsmanager:putresourcepolicy",
	"sns:addpermission",
	"sns:settopicattributes",
	"sqs:addpermission",
	"sqs:setqueueattributes",
}

func checkPolicyChanges(r *reporter) {
	if r.options.Kind != iam.KindResource {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || !r.crossesAccounts(s) {
			return
		}
		values(path+".Action", s.Action, func(path, action string) {
			if allWildcards(action) || iam.HasSymbol(action) || r.isForeign(action) {
				return // GX-A04
			}
			if change := changesPolicy(action); change != nil {
				r.report(Error, path, "", "another account is allowed %s", change)
			}
		})
	})
}

// changesPolicy returns an action on the resource's policy that a value of an
// Action element names, or nil.
func changesPolicy(action string) *reference.Action {
	for _, change := range policyChanges {
		if iam.MatchWildcard(strings.ToLower(action), change) {
			a, _ := reference.LookupAction(change)
			return a
		}
	}
	return nil
}

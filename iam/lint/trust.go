package lint

import (
	"errors"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

const (
	trustPage      = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-role-trust-policy.html"
	externalIDPage = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html"
	oidcPage       = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html"
)

var trustRules = []Rule{
	{
		ID:       "GX-T01",
		Title:    "a trust policy has an action that does not assume the role",
		Why:      "a trust policy can only hold the actions that make sessions of the role; AWS refuses others",
		Fix:      "use sts:AssumeRole, or its web identity or SAML form, with sts:TagSession and sts:SetSourceIdentity as needed",
		Link:     trustPage,
		Severity: Error,
		check:    checkTrustActions,
	},
	{
		ID:       "GX-T02",
		Title:    "a whole account may assume the role",
		Why:      "a service in that account that acts for several customers can be talked into using this role for the wrong one",
		Fix:      "add a condition StringEquals on sts:ExternalId, or one on aws:PrincipalArn or aws:PrincipalOrgID",
		Link:     externalIDPage,
		Severity: Error,
		check:    checkAccountTrust,
	},
	{
		ID:       "GX-T03",
		Title:    "an external ID cannot be sent",
		Why:      "STS refuses the value in AssumeRole, so nobody can assume the role",
		Fix:      "use 2 to 1,224 letters, digits or _+=,.@:/-",
		Link:     "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html",
		Severity: Error,
		check:    checkExternalIDs,
	},
	{
		ID:       "GX-T04",
		Title:    "principal and action do not belong together",
		Why:      "identity providers use AssumeRoleWithWebIdentity or AssumeRoleWithSAML, everybody else AssumeRole; the statement never matches",
		Fix:      "use the action that goes with the principal",
		Link:     oidcPage,
		Severity: Error,
		check:    checkTrustPairs,
	},
	{
		ID:       "GX-T05",
		Title:    "a web identity role does not say whose tokens it accepts",
		Why:      "everybody with a token of the provider, such as every pod of the cluster or every repository of the host, can assume the role",
		Fix:      "add StringEquals conditions on the provider's :sub and :aud keys",
		Link:     oidcPage,
		Severity: Error,
		check:    checkWebIdentity,
	},
	{
		ID:       "GX-T06",
		Title:    "conditions and identity provider do not belong together",
		Why:      "the keys of another provider are never in the request, so the role cannot be assumed",
		Fix:      "write the provider's host and path, without https://, before :sub and :aud",
		Link:     oidcPage,
		Severity: Error,
		check:    checkProvider,
	},
	{
		ID:       "GX-T09",
		Title:    "any role may be assumed",
		Why:      "whoever has the policy can use every role, in any account, that trusts them",
		Fix:      "name the roles by ARN, with account and name",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_permissions-to-switch.html",
		Severity: Warning,
		check:    checkAssumeTargets,
	},
	{
		ID:       "GX-T11",
		Title:    "a role for a web identity is also open to instances",
		Why:      "the service left over from a copied policy can still use the role, past the conditions on the token",
		Fix:      "remove the statement for the service, or make two roles",
		Link:     trustPage,
		Severity: Warning,
		check:    checkLeftOverService,
	},
}

// The actions a trust policy can hold, in lower case.
var trustActions = []string{
	"sts:assumerole", "sts:assumerolewithwebidentity", "sts:assumerolewithsaml", "sts:tagsession", "sts:setsourceidentity", "sts:setcontext",
}

func checkTrustActions(r *reporter) {
	if r.options.Kind != iam.KindTrust {
		return
	}
	allows, assumes := false, false
	eachAction(r, func(path, action string, s *iam.Statement) {
		lower := strings.ToLower(action)
		switch {
		case iam.HasSymbol(action):
			assumes = true
		case !slices.ContainsFunc(trustActions, func(known string) bool { return iam.MatchWildcard(lower, known) }):
			r.refuse(path, "", "%q does not assume a role", clip(action))
			return
		case (lower == "sts:*" || strings.Trim(lower, "*") == "") && s.Effect == iam.Allow:
			r.report(Error, path, "", "%q is more than a trust policy can hold", clip(action))
			assumes = true
			return
		}
		allows = allows || s.Effect == iam.Allow
		assumes = assumes || s.Effect == iam.Allow && strings.HasPrefix(lower, "sts:assume") || s.NotAction != nil
	})
	if allows && !assumes {
		r.report(Error, "Statement", "add sts:AssumeRole", "no statement allows anybody to assume the role")
	}
}

// allowsAction reports whether a statement of a trust policy allows an action.
func allowsAction(s *iam.Statement, action string) bool {
	return s.Effect == iam.Allow && slices.ContainsFunc(s.Action, func(pattern string) bool {
		pattern = iam.ReplaceSymbols(pattern, func(string) string { return "*" })
		return iam.MatchWildcard(strings.ToLower(pattern), strings.ToLower(action))
	})
}

func checkAccountTrust(r *reporter) {
	if r.options.Kind != iam.KindTrust {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Principal == nil || !allowsAction(s, "sts:AssumeRole") {
			return
		}
		if !restricted(s, narrowingKeys, true) {
			values(path+".Principal.AWS", s.Principal.AWS, func(path, principal string) {
				account, _ := principalAccount(principal)
				if isWholeAccount(principal) && account != string(r.options.Account) && !iam.HasSymbol(account) {
					r.report(Error, path, "", "the whole account %s may assume the role, without external ID or any condition on the caller", clip(account))
				}
			})
		}
		r.reportThirdParties(path, s)
		r.checkExternalIDStrength(path, s)
	})
}

// reportThirdParties looks at principals outside the organisation, if its
// accounts are known.
func (r *reporter) reportThirdParties(path string, s *iam.Statement) {
	if len(r.options.OrganizationAccounts) == 0 || restricted(s, []string{"sts:externalid"}, true) {
		return
	}
	values(path+".Principal.AWS", s.Principal.AWS, func(path, principal string) {
		account, known := principalAccount(principal)
		if known && !isWholeAccount(principal) && account != string(r.options.Account) && !slices.Contains(r.options.OrganizationAccounts, iam.AccountID(account)) {
			r.report(Warning, path, "add a condition StringEquals on sts:ExternalId", "%q belongs to a third party, who should send an external ID", clip(principal))
		}
	})
}

// checkExternalIDStrength warns of external IDs that can be guessed.
func (r *reporter) checkExternalIDStrength(path string, s *iam.Statement) {
	for _, c := range s.Conditions {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || !strings.HasPrefix(op.Name, "String") || !strings.EqualFold(c.Key, "sts:ExternalId") {
			continue
		}
		values(conditionPath(path, c), c.Values, func(path, value string) {
			if open(value) || hasWildcard(value) {
				return
			}
			if why := reference.WeakExternalID(value); why != "" {
				r.report(Warning, path, "use a random value that the trusted side made", "the external ID %s", why)
			}
		})
	}
}

func checkExternalIDs(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || op.Name == "Null" || !strings.EqualFold(c.Key, "sts:ExternalId") {
			return
		}
		like := strings.HasSuffix(op.Name, "Like")
		values(path, c.Values, func(path, value string) {
			if open(value) || like && hasWildcard(value) || strings.Contains(value, "*") {
				return // GX-C04 judges an asterisk without Like
			}
			var limit *reference.LimitError
			if err := reference.CheckExternalID(value); errors.As(err, &limit) {
				r.report(Error, path, "", "the external ID %s", limit.Rule)
			}
		})
	})
}

func checkTrustPairs(r *reporter) {
	if r.options.Kind != iam.KindTrust {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		p := s.Principal
		if p == nil || s.Effect != iam.Allow || slices.ContainsFunc(s.Action, iam.HasSymbol) || !r.readable(path+".Principal") {
			return
		}
		plain := allowsAction(s, "sts:AssumeRole")
		federated := allowsAction(s, "sts:AssumeRoleWithWebIdentity") || allowsAction(s, "sts:AssumeRoleWithSAML")
		if len(p.Federated) > 0 && plain && !federated {
			r.report(Error, path+".Principal.Federated", "use sts:AssumeRoleWithWebIdentity, or sts:AssumeRoleWithSAML for a SAML provider", "an identity provider cannot use sts:AssumeRole")
		}
		if len(p.AWS)+len(p.Service) > 0 && federated && !plain {
			kind := "AWS"
			if len(p.AWS) == 0 {
				kind = "Service"
			}
			r.report(Error, path+".Principal."+kind, "use sts:AssumeRole", "only an identity provider can use sts:AssumeRoleWithWebIdentity or sts:AssumeRoleWithSAML")
		}
	})
}

// oidcProvider returns the host and path of an OpenID Connect provider from its
// ARN.
func oidcProvider(principal string) (iam.ARN, string, bool) {
	a, err := iam.ParseARN(principal)
	if err != nil {
		return iam.ARN{}, "", false
	}
	provider, ok := strings.CutPrefix(a.Resource, "oidc-provider/")
	return a, provider, ok
}

func checkWebIdentity(r *reporter) {
	if r.options.Kind != iam.KindTrust {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Principal == nil || !allowsAction(s, "sts:AssumeRoleWithWebIdentity") || !r.readable(path+".Condition") {
			return
		}
		r.reportPublicProvider(path, s)
		isOIDC := slices.ContainsFunc(s.Principal.Federated, func(p string) bool {
			_, _, ok := oidcProvider(p)
			return ok
		})
		if !isOIDC {
			return
		}
		for _, claim := range []string{"sub", "aud"} {
			if !slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool { return hasClaim(c, claim) }) {
				r.report(Error, path, "", "no condition says which :%s the token must have", claim)
			}
		}
		for _, c := range s.Conditions {
			op, err := iam.ParseOperator(c.Operator)
			if err != nil || !hasClaim(c, "sub") {
				continue
			}
			values(conditionPath(path, c), c.Values, func(path, value string) {
				switch {
				case op.Name == "StringLike" && isOpenSubject(value):
					r.report(Error, path, "name the one subject that may assume the role", "the subject %q is every subject, or every one of a kind", clip(value))
				case op.Name == "StringLike" && !hasWildcard(value) && !open(value):
					r.report(Warning, path, "use StringEquals", "StringLike is used without a wildcard")
				}
			})
		}
	})
}

// publicProviders are the identity providers that need no ARN, with the claims
// that say for which application a token is. Their subjects are those of the
// whole world.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif
var publicProviders = map[string][]string{
	"cognito-identity.amazonaws.com": {"aud"},
	"accounts.google.com":            {"aud", "oaud"},
	"www.amazon.com":                 {"app_id"},
	"graph.facebook.com":             {"app_id"},
}

func (r *reporter) reportPublicProvider(path string, s *iam.Statement) {
	for _, provider := range s.Principal.Federated {
		claims := publicProviders[provider]
		if len(claims) == 0 || slices.ContainsFunc(claims, func(claim string) bool {
			return slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool { return hasClaim(c, claim) })
		}) {
			continue
		}
		r.report(Error, path, "add a condition StringEquals on "+provider+":"+claims[0], "no condition says for which application %s must have made the token", provider)
	}
}

// hasClaim reports whether a condition demands a value of a token's claim. One
// whose operator is misspelt does: GX-C01 reports that, and it is mended there.
func hasClaim(c iam.Condition, claim string) bool {
	if !strings.HasSuffix(strings.ToLower(c.Key), ":"+claim) {
		return false
	}
	op, err := iam.ParseOperator(c.Operator)
	return err != nil || !op.Negated() && !op.IfExists && op.Set != iam.SetForAllValues && op.Name != "Null"
}

// isOpenSubject recognises subjects that name nobody in particular: nothing but
// wildcards after the fixed beginning that all subjects of the provider share.
func isOpenSubject(value string) bool {
	for _, beginning := range []string{"system:serviceaccount:", "repo:", "project_path:", "organization:"} {
		value = strings.TrimPrefix(value, beginning)
	}
	return strings.Trim(value, "*?:/") == ""
}

func checkProvider(r *reporter) {
	if r.options.Kind != iam.KindTrust {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Principal == nil || s.Effect != iam.Allow {
			return
		}
		var providers []string
		values(path+".Principal.Federated", s.Principal.Federated, func(path, principal string) {
			if strings.Contains(principal, "https://") {
				r.report(Error, path, "leave out https://", "the provider %q contains https://", clip(principal))
				return
			}
			a, provider, ok := oidcProvider(principal)
			if !ok {
				provider = principal
			}
			providers = append(providers, provider)
			if own := string(r.options.Account); ok && own != "" && !iam.HasSymbol(a.Account) && a.Account != own {
				r.report(Error, path, "create the provider in the role's account, or chain the roles", "the provider is in the account %s, but a role can only trust providers of its own account", clip(a.Account))
			}
		})
		for _, c := range s.Conditions {
			if strings.HasPrefix(strings.ToLower(c.Key), "https://") {
				r.report(Error, conditionPath(path, c), "leave out https://", "the condition key %q begins with https://", clip(c.Key))
				continue
			}
			i := strings.LastIndexByte(c.Key, ':')
			if i < 0 || len(providers) == 0 || iam.HasSymbol(c.Key) || slices.ContainsFunc(providers, iam.HasSymbol) {
				continue
			}
			prefix := c.Key[:i]
			if !strings.Contains(prefix, ".") || slices.ContainsFunc(providers, func(p string) bool { return strings.EqualFold(p, prefix) }) {
				continue
			}
			r.report(Error, conditionPath(path, c), "", "the condition key %q belongs to another identity provider than %q", clip(c.Key), clip(providers[0]))
		}
	})
}

func checkAssumeTargets(r *reporter) {
	switch r.options.Kind {
	case iam.KindIdentity, iam.KindSession:
	default:
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		named := slices.ContainsFunc(s.Action, func(action string) bool {
			// A lone * is judged by GX-A04 and GX-R03.
			return !allWildcards(action) && iam.MatchWildcard(strings.ToLower(action), "sts:assumerole")
		})
		if s.Effect != iam.Allow || !named || restricted(s, []string{"aws:resourceaccount", "aws:resourceorgid", "aws:resourceorgpaths", "aws:resourcetag/", "iam:resourcetag/"}, true) {
			return
		}
		values(path+".Resource", s.Resource, func(path, resource string) {
			if allWildcards(resource) {
				r.report(Warning, path, "", "every role in every account may be assumed")
				return
			}
			a, err := iam.ParseARN(resource)
			switch {
			case err != nil:
			case hasWildcard(a.Account):
				r.report(Warning, path, "", "roles in any account may be assumed")
			case a.Resource == "role/*" || allWildcards(a.Resource):
				r.report(Warning, path, "", "every role of the account may be assumed")
			}
		})
	})
}

// checkLeftOverService finds the trust in ec2.amazonaws.com that stays behind
// when an instance role is turned into one for pods.
func checkLeftOverService(r *reporter) {
	if r.options.Kind != iam.KindTrust {
		return
	}
	web := slices.ContainsFunc(r.policy.Statements, func(s iam.Statement) bool {
		return s.Principal != nil && len(s.Principal.Federated) > 0 && allowsAction(&s, "sts:AssumeRoleWithWebIdentity")
	})
	if !web {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Principal == nil || !allowsAction(s, "sts:AssumeRole") {
			return
		}
		values(path+".Principal.Service", s.Principal.Service, func(path, service string) {
			if strings.HasPrefix(service, "ec2.amazonaws.com") {
				r.report(Warning, path, "", "%s may assume a role that is meant for a web identity", clip(service))
			}
		})
	})
}

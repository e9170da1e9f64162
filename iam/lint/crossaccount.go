package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

var crossAccountRules = []Rule{
	{
		ID:       "GX-A03",
		Title:    "an action has no effect in this place",
		Why:      "the service never lets a resource policy, or another account, allow the action, so the grant is not what it seems",
		Fix:      "leave the action out; where it is needed, let the other account assume a role in the resource's account",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies-cross-account-resource-access.html",
		Severity: Error,
		check:    checkEffectAcrossAccounts,
	},
	{
		ID:       "GX-A07",
		Title:    "access that was declared to be for reading can change something",
		Why:      "whoever has the permission can do more than was agreed",
		Fix:      "leave the action out, or declare that the access is for writing",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_understand-policy-summary-access-level-summaries.html",
		Severity: Error,
		check:    checkReadOnly,
	},
	{
		ID:       "GX-P09",
		Title:    "the policy names other accounts than it is meant for",
		Why:      "the wrong account gets access, or the right one does not",
		Fix:      "name the accounts that the access was declared for",
		Link:     principalPage,
		Severity: Error,
		check:    checkNamedAccounts,
	},
	{
		ID:       "GX-R10",
		Title:    "partitions or regions do not fit together",
		Why:      "access never crosses partitions, and some integrations never cross regions, so the statement allows nothing",
		Fix:      "use principals and resources of one partition, and of one region where the integration needs it",
		Link:     arnsPage,
		Severity: Error,
		check:    checkPartitions,
	},
}

// owner returns the account that the policy belongs to, as far as it is known or
// can be read off the policy: the account of all its resources, or that of the
// root statement of a key policy. "" if it cannot.
func (r *reporter) owner() string {
	if r.options.Account != "" || r.options.Kind != iam.KindResource {
		return string(r.options.Account)
	}
	owner := ""
	for i := range r.policy.Statements {
		s := &r.policy.Statements[i]
		for _, resource := range s.Resource {
			a, err := iam.ParseARN(resource)
			if err != nil {
				continue
			}
			if _, err := iam.ParseAccountID(a.Account); err != nil || owner != "" && owner != a.Account {
				return ""
			}
			owner = a.Account
		}
		if s.Effect == iam.Allow && s.Principal != nil && len(s.Principal.AWS) == 1 && isWholeAccount(s.Principal.AWS[0]) &&
			len(s.Conditions) == 0 && slices.ContainsFunc(s.Action, func(a string) bool { return strings.EqualFold(a, "kms:*") }) {
			account, _ := principalAccount(s.Principal.AWS[0])
			if owner != "" && owner != account {
				return ""
			}
			owner = account
		}
	}
	return owner
}

// foreignOnly reports whether all principals of a statement are known to be in
// other accounts than the resource.
func foreignOnly(s *iam.Statement, owner string) bool {
	p := s.Principal
	if p == nil || p.All || owner == "" || len(p.AWS) == 0 || len(p.Service)+len(p.Federated)+len(p.CanonicalUser) > 0 {
		return false
	}
	return !slices.ContainsFunc(p.AWS, func(principal string) bool {
		account, known := principalAccount(principal)
		return !known || account == owner
	})
}

// foreignResources reports whether all resources of a statement are known to be
// in other accounts than the policy.
func foreignResources(s *iam.Statement, owner string) bool {
	return owner != "" && len(s.Resource) > 0 && !slices.ContainsFunc(s.Resource, func(resource string) bool {
		a, err := iam.ParseARN(resource)
		if err != nil {
			return true
		}
		_, err = iam.ParseAccountID(a.Account)
		return err != nil || a.Account == owner
	})
}

func checkEffectAcrossAccounts(r *reporter) {
	owner := r.owner()
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow {
			return
		}
		foreign := false
		switch r.options.Kind {
		case iam.KindResource:
			foreign = foreignOnly(s, owner)
			r.reportUnenforced(path, s)
		case iam.KindIdentity:
			foreign = foreignResources(s, owner)
		default:
			return
		}
		values(path+".Action", s.Action, func(path, action string) {
			if allWildcards(action) || r.isForeign(action) || isBearerToken(action) {
				return
			}
			if r.options.Kind == iam.KindResource && r.crossesAccounts(s) && changesPolicy(action) != nil {
				return // GX-A08
			}
			matches := reference.Expand(action)
			switch {
			case len(matches) == 0:
			case foreign && !slices.ContainsFunc(matches, func(a *reference.Action) bool { return !reference.HasNoEffectAcrossAccounts(a.String()) }):
				r.report(Error, path, "", "%s has no effect for callers in another account", clip(action))
			case r.options.Kind == iam.KindResource && !slices.ContainsFunc(matches, func(a *reference.Action) bool { return !listsWithoutResource(a) }):
				r.report(Error, path, "allow the action in the identity policy of the caller", "%s works on no particular resource, so no resource policy can allow it", clip(action))
			}
		})
	})
}

// listsWithoutResource recognises actions like secretsmanager:ListSecrets, which
// list what is in the caller's own account.
func listsWithoutResource(a *reference.Action) bool {
	return len(a.Resources) == 0 && a.Level == reference.LevelList
}

// reportUnenforced reports principals that CloudWatch Logs does not look for.
// Destinations are the exception: their policies name accounts.
//
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html
func (r *reporter) reportUnenforced(path string, s *iam.Statement) {
	if r.options.Service != "logs" || s.Principal == nil || len(s.Principal.AWS) == 0 || slices.Contains(s.Principal.AWS, "*") {
		return
	}
	forDestination := slices.ContainsFunc(s.Action, func(action string) bool {
		return iam.MatchWildcard(strings.ToLower(action), "logs:putsubscriptionfilter") || iam.MatchWildcard(strings.ToLower(action), "logs:putaccountpolicy")
	})
	if !forDestination {
		r.report(Error, path+".Principal.AWS", "use a destination, or a role in the log group's account", "CloudWatch Logs enforces resource policies only for services, not for accounts, users or roles")
	}
}

// readsLikeWrite are actions that AWS classifies as writing although they give
// no more than what reading needs. Lower case.
var readsLikeWrite = []string{
	"kms:decrypt", "sts:assumerole", "sts:assumerolewithwebidentity", "sts:assumerolewithsaml", "sts:tagsession", "sts:setsourceidentity", "sts:setcontext",
}

func checkReadOnly(r *reporter) {
	if !r.options.ReadOnly || r.options.Kind == iam.KindTrust {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || r.options.Kind == iam.KindResource && s.Principal != nil && r.allOwn(s) {
			return
		}
		values(path+".Action", s.Action, func(path, action string) {
			if allWildcards(action) {
				r.report(Error, path, "", "every action is allowed, but the access is for reading")
				return
			}
			for _, a := range reference.Expand(action) {
				switch full := strings.ToLower(a.String()); {
				case iam.HasSymbol(action), a.Level == reference.LevelList, a.Level == reference.LevelRead, slices.Contains(readsLikeWrite, full):
					continue
				case full == "execute-api:invoke" && onlyReadsAPI(s):
					continue
				default:
					r.report(Error, path, "", "%s is of level %s, but the access is for reading", a, a.Level)
					return
				}
			}
		})
	})
}

// allOwn reports whether a statement's principals are services or in the
// resource's own account, whose administration is not part of a grant.
func (r *reporter) allOwn(s *iam.Statement) bool {
	owner, p := r.owner(), s.Principal
	return owner != "" && !p.All && !slices.ContainsFunc(p.AWS, func(principal string) bool {
		account, known := principalAccount(principal)
		return !known || account != owner
	})
}

// onlyReadsAPI reports whether all resources of a statement are methods that
// read.
func onlyReadsAPI(s *iam.Statement) bool {
	return len(s.Resource) > 0 && !slices.ContainsFunc(s.Resource, func(resource string) bool {
		rest, ok := apiMethod(resource)
		parts := strings.SplitN(rest, "/", 4)
		return !ok || len(parts) < 3 || parts[2] != "GET" && parts[2] != "HEAD" && parts[2] != "OPTIONS"
	})
}

func checkNamedAccounts(r *reporter) {
	switch r.options.Kind {
	case iam.KindResource, iam.KindTrust:
	default:
		return
	}
	owner := string(r.options.Account)
	first, foreign := "", false // path of the first principal in the policy's own account
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || s.Principal == nil {
			return
		}
		foreign = foreign || s.Principal.All || len(s.Principal.Service)+len(s.Principal.Federated)+len(s.Principal.CanonicalUser) > 0
		values(path+".Principal.AWS", s.Principal.AWS, func(path, principal string) {
			account, known := principalAccount(principal)
			switch {
			case !known || principal == "*":
				foreign = true
			case account == owner:
				if first == "" {
					first = path
				}
			default:
				foreign = true
				if len(r.options.Consumers) > 0 && !slices.Contains(r.options.Consumers, iam.AccountID(account)) {
					r.report(Error, path, "", "the account %s is not among the accounts that the access was declared for", clip(account))
				}
			}
		})
	})
	if r.options.CrossAccount && first != "" && !foreign {
		r.report(Error, first, "", "the policy is meant for other accounts, but names only its own, %s", owner)
	}
}

func checkPartitions(r *reporter) {
	switch r.options.Kind {
	case iam.KindResource, iam.KindTrust:
	default:
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || s.Principal == nil {
			return
		}
		// The statement's partition is that of its resources, or else that of
		// its first principal.
		own := partitionOf(r.options.Resource)
		for _, resource := range s.Resource {
			if p := partitionOf(resource); own == "" {
				own = p
			}
		}
		values(path+".Principal.AWS", s.Principal.AWS, func(path, principal string) {
			switch p := partitionOf(principal); {
			case p == "":
			case own == "":
				own = p
			case p != own:
				r.report(Error, path, "", "the principal is in the partition %s, but the policy belongs to %s", p, own)
			}
		})
		r.reportRuleRegion(path, s)
	})
}

// partitionOf returns the partition of an ARN, or "" if it is not known.
func partitionOf(text string) string {
	a, err := iam.ParseARN(text)
	if err != nil {
		return ""
	}
	p, ok := iam.LookupPartition(a.Partition)
	if !ok {
		return ""
	}
	return p.ID
}

// reportRuleRegion reports rules of EventBridge in another region than the
// target they are allowed to use. Only event buses can be targets elsewhere.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-region.html
func (r *reporter) reportRuleRegion(path string, s *iam.Statement) {
	region := ""
	for _, resource := range s.Resource {
		a, err := iam.ParseARN(resource)
		if err != nil || a.Service != "sqs" && a.Service != "sns" && a.Service != "lambda" || open(a.Region) || hasWildcard(a.Region) || region != "" && region != a.Region {
			return
		}
		region = a.Region
	}
	for _, c := range s.Conditions {
		if region == "" || !strings.EqualFold(c.Key, "aws:SourceArn") {
			continue
		}
		values(conditionPath(path, c), c.Values, func(path, value string) {
			a, err := iam.ParseARN(value)
			if err != nil || a.Service != "events" || !strings.HasPrefix(a.Resource, "rule/") || open(a.Region) || hasWildcard(a.Region) || a.Region == region {
				return
			}
			r.report(Error, path, "use a rule of the same region; events go to other regions through an event bus", "the rule is in %s, but the resource is in %s", clip(a.Region), clip(region))
		})
	}
}

package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// reportMissingTag reports a condition on the resource's tags together with
// actions whose requests have none: those on no particular resource, such as
// ec2:DescribeInstances, and those on a resource that does not exist yet, such
// as the instance of ec2:RunInstances. Only tag keys are judged so, because for
// them the reference says per action and resource type what is supported; other
// keys are in more requests than it lists.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-resourcetag
func (r *reporter) reportMissingTag(path string, c iam.Condition, s *iam.Statement) {
	op, err := iam.ParseOperator(c.Operator)
	_, name, _ := strings.Cut(strings.ToLower(c.Key), ":")
	if !strings.HasPrefix(name, "resourcetag/") || s.Effect != iam.Allow || err != nil ||
		op.Negated() || op.IfExists || op.Set == iam.SetForAllValues || op.Name == "Null" || r.options.Kind == iam.KindTrust {
		return
	}
	const maxActions = 200 // far more than a policy can hold; bounds the work on hostile input
	if len(s.Action) > maxActions || len(s.Resource) > maxActions {
		return
	}
	for _, action := range s.Action {
		if allWildcards(action) || iam.HasSymbol(action) {
			continue
		}
		matches := reference.Expand(action)
		var without []*reference.Action
		missing := "" // the resource of the last of these that has no tags
		for _, a := range matches {
			if on, lacks := r.lacksTag(a, c.Key, s); lacks {
				without, missing = append(without, a), on
			}
		}
		// A wildcard is judged by most of what it stands for.
		const most = 4
		if len(without) == 0 || len(without)*most < len(matches)*(most-1) {
			continue
		}
		switch {
		case len(matches) > 1:
			r.report(Warning, path, "allow the actions that have no tagged resource in a statement without the condition",
				"%d of the %d actions of %s have no resource with tags in their requests, so the condition on %s never allows them", len(without), len(matches), clip(action), clip(c.Key))
		case missing == "":
			r.report(Warning, path, "allow the action in a statement without the condition",
				"%s works on no particular resource, so %s is never in its requests and the statement never allows it", without[0], clip(c.Key))
		default:
			r.report(Warning, path, "allow the action on the "+missing+" in a statement without the condition; aws:RequestTag limits which tags it gets",
				"the %s of %s has no tags yet, so %s is not in that part of the request and the statement never allows it", missing, without[0], clip(c.Key))
		}
	}
}

// lacksTag reports whether requests for an action need a part on which the key
// never is, and that nothing else in the policy allows. On is that part's
// resource type, "" if the action works on no particular resource.
func (r *reporter) lacksTag(a *reference.Action, key string, s *iam.Statement) (on string, lacks bool) {
	if supports(a.ConditionKeys, key) {
		return "", false
	}
	if len(a.Resources) == 0 {
		return "", !r.allowedWithout(a, nil, key)
	}
	listed := slices.ContainsFunc(a.Resources, func(t reference.ActionResource) bool { return supports(t.ConditionKeys, key) })
	if !listed {
		return "", false // the service's table does not say it per action
	}
	for _, t := range a.Resources {
		names := func(resource string) bool { return r.namesAnything(resource) || t.Type.MatchesARN(resource) }
		if t.Required && !supports(t.ConditionKeys, key) && slices.ContainsFunc(s.Resource, names) && !r.allowedWithout(a, t.Type, key) {
			return t.Type.Name, true
		}
	}
	return "", false
}

// allowedWithout reports whether another statement allows the action on
// resources of a type (on any, if nil) without a condition on the key.
func (r *reporter) allowedWithout(a *reference.Action, t *reference.ResourceType, key string) bool {
	return slices.ContainsFunc(r.policy.Statements, func(s iam.Statement) bool {
		return s.Effect == iam.Allow &&
			!slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool { return strings.EqualFold(c.Key, key) }) &&
			slices.ContainsFunc(s.Action, func(pattern string) bool {
				pattern = iam.ReplaceSymbols(pattern, func(string) string { return "*" })
				return iam.MatchWildcard(strings.ToLower(pattern), strings.ToLower(a.String()))
			}) &&
			(t == nil || slices.ContainsFunc(s.Resource, func(resource string) bool {
				return r.namesAnything(resource) || t.MatchesARN(resource)
			}))
	})
}

// supports reports whether a list of keys has the tag key. Names before the
// slash decide; case does not matter.
func supports(keys []string, key string) bool {
	stem, _, _ := strings.Cut(strings.ToLower(key), "/")
	return slices.ContainsFunc(keys, func(k string) bool {
		known, _, _ := strings.Cut(strings.ToLower(k), "/")
		return known == stem
	})
}

package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

const sessionTagsPage = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html"

var sessionRules = []Rule{
	{
		ID:       "GX-T07",
		Title:    "session tags are sent or demanded, but nobody may send them",
		Why:      "AssumeRole with tags needs sts:TagSession on both sides and is refused without it",
		Fix:      "allow sts:TagSession beside sts:AssumeRole",
		Link:     sessionTagsPage,
		Severity: Error,
		check:    checkSessionTags,
	},
	{
		ID:       "GX-T08",
		Title:    "the external ID does not fit the state machine that sends it",
		Why:      "Step Functions sends the ARN of the state machine as external ID, so another value admits no workflow",
		Fix:      "write the ARN of the calling state machine",
		Link:     "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html",
		Severity: Error,
		check:    checkStateMachine,
	},
	{
		ID:       "GX-T10",
		Title:    "a role can lack the permissions boundary or the path that is required",
		Why:      "a role outside the boundary or the path escapes what the organisation relies on",
		Fix:      "set the boundary and the path, and demand them of whoever makes roles",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html",
		Severity: Warning,
		check:    checkRequirements,
	},
}

// tagDemands are the keys that are only in requests with session tags.
var tagDemands = []string{"aws:requesttag/", "aws:tagkeys", "sts:transitivetagkeys"}

// podsService assumes roles with session tags always.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
const podsService = "pods.eks.amazonaws.com"

func checkSessionTags(r *reporter) {
	switch r.options.Kind {
	case iam.KindTrust, iam.KindIdentity:
	default:
		return
	}
	tags, podTags := false, false
	for i := range r.policy.Statements {
		s := &r.policy.Statements[i]
		if s.Effect != iam.Allow || !allowsAction(s, "sts:TagSession") && s.NotAction == nil {
			continue
		}
		tags = true
		podTags = podTags || s.Principal != nil && (s.Principal.All || slices.ContainsFunc(s.Principal.Service, func(p string) bool { return p == podsService || iam.HasSymbol(p) }))
	}
	r.statements(func(path string, s *iam.Statement) {
		assumes := slices.ContainsFunc(s.Action, func(action string) bool { return strings.HasPrefix(strings.ToLower(action), "sts:assumerole") })
		if s.Effect != iam.Allow || !assumes {
			return
		}
		if s.Principal != nil && !podTags {
			values(path+".Principal.Service", s.Principal.Service, func(path, service string) {
				if service == podsService {
					r.report(Error, path, "", "%s sends session tags, but no statement allows it sts:TagSession", podsService)
				}
			})
		}
		for _, c := range s.Conditions {
			op, err := iam.ParseOperator(c.Operator)
			if tags || err != nil || !matchesKey(c.Key, tagDemands) || op.Negated() || op.IfExists || op.Set == iam.SetForAllValues || op.Name == "Null" {
				continue
			}
			r.report(Error, conditionPath(path, c), "", "%s is only in requests with session tags, which no statement allows", clip(c.Key))
		}
	})
	r.reportPodIDs()
}

// reportPodIDs reports external IDs that begin like those of EKS Pod Identity,
// REGION/ACCOUNT/CLUSTER/NAMESPACE/SERVICEACCOUNT, and end differently.
func (r *reporter) reportPodIDs() {
	const parts = 5
	eachExternalID(r, func(path, value string, s *iam.Statement) {
		id := strings.Split(value, "/")
		if _, ok := iam.PartitionOfRegion(id[0]); !ok || len(id) < parts-2 || open(value) || hasWildcard(value) {
			return
		}
		_, err := iam.ParseAccountID(id[1])
		if len(id) != parts || err != nil || slices.Contains(id, "") {
			r.report(Error, path, "write region/account/cluster/namespace/service-account", "the external ID begins like one of EKS Pod Identity but does not have its five parts")
		}
	})
}

// eachExternalID calls visit for the values that statements of a trust policy
// demand as external ID. They must not be put into messages.
func eachExternalID(r *reporter, visit func(path, value string, s *iam.Statement)) {
	if r.options.Kind != iam.KindTrust {
		return
	}
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || s.Effect != iam.Allow || op.Negated() || op.Name == "Null" || !strings.EqualFold(c.Key, "sts:ExternalId") {
			return
		}
		values(path, c.Values, func(path, value string) { visit(path, value, s) })
	})
}

func checkStateMachine(r *reporter) {
	found, first := false, ""
	eachExternalID(r, func(path, value string, s *iam.Statement) {
		if first == "" {
			first = path
		}
		if wanted := r.options.StateMachine; wanted != "" && (value == wanted || iam.HasSymbol(value) || iam.MatchWildcard(value, wanted)) {
			found = true
		}
		a, err := iam.ParseARN(value)
		if err != nil || a.Service != "states" {
			return
		}
		if kind, _, _ := strings.Cut(a.Resource, ":"); kind != "stateMachine" && !open(kind) {
			r.report(Error, path, "", "the external ID is not the ARN of a state machine but of another resource of Step Functions")
		}
		if s.Principal == nil || len(s.Principal.AWS) == 0 || open(a.Account) || hasWildcard(a.Account) {
			return
		}
		if !slices.ContainsFunc(s.Principal.AWS, func(p string) bool {
			account, known := principalAccount(p)
			return !known || account == a.Account
		}) {
			r.report(Error, path, "", "the state machine of the external ID is in another account than the trusted principal")
		}
	})
	if r.options.StateMachine == "" || r.options.Kind != iam.KindTrust || found {
		return
	}
	if first == "" {
		first = "Statement"
	}
	r.report(Error, first, "write "+clip(r.options.StateMachine), "no condition on sts:ExternalId admits the state machine %s", clip(r.options.StateMachine))
}

// The actions that make something which can have a boundary and a path, in lower
// case, with the type of its ARN.
var makesPrincipal = map[string]string{"iam:createrole": "role/", "iam:createuser": "user/"}

func checkRequirements(r *reporter) {
	o := r.options
	if o.RequiredBoundary == "" && o.RequiredPath == "" {
		return
	}
	switch o.Kind {
	case iam.KindTrust:
		if o.Role == nil {
			return
		}
		path := o.Role.Path
		if path == "" {
			path = "/"
		}
		if o.RequiredBoundary != "" && o.Role.Boundary != o.RequiredBoundary && !iam.HasSymbol(o.Role.Boundary) {
			r.report(Warning, "", "set the permissions boundary "+clip(o.RequiredBoundary), "the role does not have the required permissions boundary")
		}
		if o.RequiredPath != "" && !strings.HasPrefix(path, o.RequiredPath) && !iam.HasSymbol(path) {
			r.report(Warning, "", "set the path "+clip(o.RequiredPath), "the role's path %q does not begin with %q", clip(path), clip(o.RequiredPath))
		}
	case iam.KindIdentity:
		r.statements(func(path string, s *iam.Statement) { r.reportUnboundedMakers(path, s) })
	}
}

// reportUnboundedMakers looks at who may make roles and users.
func (r *reporter) reportUnboundedMakers(path string, s *iam.Statement) {
	if s.Effect != iam.Allow {
		return
	}
	boundary := restricted(s, []string{"iam:permissionsboundary"}, true)
	values(path+".Action", s.Action, func(at, action string) {
		for _, made := range []string{"iam:createrole", "iam:createuser"} {
			if !matchesAction(action, made) || iam.HasSymbol(action) {
				continue
			}
			if r.options.RequiredBoundary != "" && !boundary {
				r.report(Warning, at, "add a condition StringEquals on iam:PermissionsBoundary", "%s makes principals without the required permissions boundary", clip(action))
			}
			inside := makesPrincipal[made] + strings.TrimPrefix(r.options.RequiredPath, "/")
			if r.options.RequiredPath != "" && slices.ContainsFunc(s.Resource, func(resource string) bool {
				a, err := iam.ParseARN(resource)
				return allWildcards(resource) || err == nil && !open(a.Resource) && !strings.HasPrefix(a.Resource, inside)
			}) {
				r.report(Warning, at, "limit Resource to "+makesPrincipal[made]+strings.TrimPrefix(clip(r.options.RequiredPath), "/")+"*", "%s makes principals outside the path %s", clip(action), clip(r.options.RequiredPath))
			}
			return
		}
	})
}

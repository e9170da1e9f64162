package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

const principalPage = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html"

var principalRules = []Rule{
	{
		ID:       "GX-P01",
		Title:    "everybody is allowed",
		Why:      "any AWS account, and with most services anybody at all, can use the permission",
		Fix:      "name the principals, or add a condition on aws:PrincipalOrgID, aws:PrincipalArn or aws:SourceAccount",
		Link:     principalPage,
		Severity: Error,
		check:    checkEverybody,
	},
	{
		ID:       "GX-P02",
		Title:    "a whole other account is allowed",
		Why:      "every principal there that its own account lets do so can use the permission",
		Fix:      "add a condition on aws:PrincipalArn, or suppress the finding with the reason why the account is meant",
		Link:     principalPage,
		Severity: Warning,
		check:    checkWholeAccount,
	},
	{
		ID:       "GX-P03",
		Title:    "a principal has a wildcard",
		Why:      "principals cannot have wildcards; AWS refuses the document or the wildcard matches nothing",
		Fix:      "name the account and add a condition on aws:PrincipalArn with ArnLike",
		Link:     principalPage,
		Severity: Error,
		check:    checkPartialWildcard,
	},
	{
		ID:       "GX-P04",
		Title:    "a principal is malformed",
		Why:      "AWS refuses the document",
		Fix:      `write {"AWS": …}, {"Service": …} or {"Federated": …} with an account id, an ARN or a service's name`,
		Link:     principalPage,
		Severity: Error,
		check:    checkPrincipalForm,
	},
	{
		ID:       "GX-P05",
		Title:    "a principal is a unique id",
		Why:      "AWS shows the id of a role or user instead of its ARN when the role or user has been deleted; nobody matches it any more",
		Fix:      "name the role again by its ARN",
		Link:     principalPage,
		Severity: Warning,
		check:    checkUniqueIDs,
	},
	{
		ID:       "GX-P07",
		Title:    "NotPrincipal is used with Allow",
		Why:      "everybody who is not listed is allowed, also anonymous callers",
		Fix:      "list who is allowed in Principal",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html",
		Severity: Error,
		check:    checkNotPrincipal,
	},
}

// eachPrincipal calls visit for the principals of every type in Principal and
// NotPrincipal that could be read.
func eachPrincipal(r *reporter, visit func(path, kind, principal string)) {
	r.statements(func(path string, s *iam.Statement) {
		for name, p := range map[string]*iam.Principals{"Principal": s.Principal, "NotPrincipal": s.NotPrincipal} {
			at := path + "." + name
			if p == nil || !r.readable(at) {
				continue
			}
			for kind, list := range map[string][]string{"AWS": p.AWS, "Service": p.Service, "Federated": p.Federated} {
				values(at+"."+kind, list, func(path, principal string) { visit(path, kind, principal) })
			}
		}
	})
}

// principalAccount returns the account that a value of Principal.AWS belongs to
// as it is written there.
func principalAccount(principal string) (string, bool) {
	if a, err := iam.ParseARN(principal); err == nil {
		return a.Account, !open(a.Account) && !hasWildcard(a.Account)
	}
	_, err := iam.ParseAccountID(principal)
	return principal, err == nil
}

// isWholeAccount reports whether a value of Principal.AWS names an account.
func isWholeAccount(principal string) bool {
	if a, err := iam.ParseARN(principal); err == nil {
		return a.Service == "iam" && a.Resource == "root"
	}
	_, err := iam.ParseAccountID(principal)
	return err == nil
}

// The keys that say who calls. A positive condition on one of them makes "*" or
// a whole account less than that. Lower case; a slash at the end takes any tag.
var callerKeys = []string{
	"aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount", "aws:principalarn", "aws:principaltag/",
	"aws:userid", "aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid", "aws:sourceorgpaths", "aws:sourceowner",
	"aws:sourcevpc", "aws:sourcevpcarn", "aws:sourcevpce", "aws:vpceaccount", "aws:vpceorgid", "aws:vpceorgpaths", "aws:sourceip", "aws:vpcsourceip",
	"aws:principalservicename", "aws:principalservicenameslist", "aws:principalisawsservice",
	"kms:calleraccount", "s3:dataaccesspointaccount", "s3:dataaccesspointarn", "lambda:sourcefunctionarn",
	"elasticfilesystem:accessedviamounttarget",
}

// The keys that narrow a whole account.
var narrowingKeys = append([]string{"sts:externalid", "aws:requesttag/", "aws:username", "aws:sourceidentity", "sts:sourceidentity"}, callerKeys...)

// restricted reports whether the statement has a condition that surely holds
// back some callers: on one of the keys, positive, not satisfied by the key's
// absence, and with values that do not match everything. accountKnown says that
// the statement's principals or resources already name accounts, so that a
// pattern may leave the account open.
func restricted(s *iam.Statement, keys []string, accountKnown bool) bool {
	return slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || op.Negated() || op.IfExists || op.Set == iam.SetForAllValues || op.Name == "Null" {
			return false
		}
		return matchesKey(c.Key, keys) && len(c.Values) > 0 && !slices.ContainsFunc(c.Values, func(v string) bool {
			return matchesEverything(op, c.Key, v, accountKnown)
		})
	})
}

func matchesKey(key string, keys []string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(keys, func(k string) bool {
		return k == key || strings.HasSuffix(k, "/") && strings.HasPrefix(key, k)
	})
}

// matchesEverything reports whether one value of a condition lets every caller
// pass. An ARN pattern whose account is a wildcard does too: anybody can make a
// role of any name in an account of their own. ARNs of S3 buckets have no
// account, but their names are unique.
func matchesEverything(op iam.Operator, key, value string, accountKnown bool) bool {
	switch op.Name {
	case "IpAddress":
		return strings.HasSuffix(value, "/0")
	case "Bool":
		return strings.EqualFold(value, "false")
	case "StringLike", "ArnLike", "ArnEquals":
	default:
		return false
	}
	if strings.Trim(value, "*?:") == "" {
		return true
	}
	if a, err := iam.ParseARN(value); err == nil && strings.HasSuffix(strings.ToLower(key), "arn") {
		openAccount := a.Account != "" && strings.Trim(a.Account, "*?") == ""
		return openAccount && !accountKnown || allWildcards(a.Resource) && (accountKnown || a.Account == "")
	}
	return strings.HasPrefix(value, "arn:*") && !strings.Contains(value[len("arn:*"):], ":")
}

func checkEverybody(r *reporter) {
	if r.options.Kind != iam.KindResource && r.options.Kind != iam.KindTrust {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || s.Principal == nil || !r.readable(path+".Principal") || !r.readable(path+".Condition") {
			return
		}
		everybody := s.Principal.All || slices.Contains(s.Principal.AWS, "*")
		if everybody && !restricted(s, callerKeys, false) && !r.deniedToOthers(s) {
			r.report(Error, path+".Principal", "", "everybody is allowed, and no condition says who calls")
		}
	})
}

// deniedToOthers reports whether another statement denies everything that s
// allows to all callers but some. That is how the policies of private APIs are
// documented.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html
func (r *reporter) deniedToOthers(s *iam.Statement) bool {
	return slices.ContainsFunc(r.policy.Statements, func(d iam.Statement) bool {
		if d.Effect != iam.Deny || d.Principal == nil || !d.Principal.All && !slices.Contains(d.Principal.AWS, "*") ||
			len(d.Conditions) != 1 || !coversAll(d.Action, s.Action, true) || !coversAll(d.Resource, s.Resource, false) {
			return false
		}
		c := d.Conditions[0]
		op, err := iam.ParseOperator(c.Operator)
		return err == nil && op.Negated() && !op.IfExists && op.Set == iam.SetNone && len(c.Values) > 0 && matchesKey(c.Key, callerKeys)
	})
}

// coversAll reports whether each value is covered by one of the patterns.
func coversAll(patterns, list []string, fold bool) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(v string) bool {
		return !slices.ContainsFunc(patterns, func(p string) bool {
			if fold {
				p, v = strings.ToLower(p), strings.ToLower(v)
			}
			return iam.MatchWildcard(p, v)
		})
	})
}

func checkWholeAccount(r *reporter) {
	if r.options.Kind != iam.KindResource {
		return // GX-T02 judges trust policies
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || s.Principal == nil || restricted(s, narrowingKeys, true) {
			return
		}
		values(path+".Principal.AWS", s.Principal.AWS, func(path, principal string) {
			account, known := principalAccount(principal)
			foreign := known && r.options.Account != "" && account != string(r.options.Account) ||
				known && r.options.Account == "" && r.options.CrossAccount
			switch {
			case !isWholeAccount(principal):
			case foreign && r.options.derived && !r.options.CrossAccount:
				r.report(Info, path, "", "the whole account %s is allowed", account)
			case foreign:
				r.report(Warning, path, "", "the whole account %s is allowed", account)
			case known && r.options.Account == "" && !isDefaultKeyStatement(s):
				r.report(Info, path, "", "the whole account %s is allowed, which is right if it owns the resource and wide if not", account)
			}
		})
	})
}

// isDefaultKeyStatement recognises the statement by which a KMS key leaves all
// decisions to the policies of the account that owns it.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
func isDefaultKeyStatement(s *iam.Statement) bool {
	return len(s.Action) == 1 && strings.EqualFold(s.Action[0], "kms:*")
}

func checkPartialWildcard(r *reporter) {
	eachPrincipal(r, func(path, kind, principal string) {
		if principal != "*" && strings.ContainsAny(principal, "*?") {
			r.refuse(path, "", "the principal %q has a wildcard", clip(principal))
		}
		if principal == "*" && kind != "AWS" {
			r.report(Error, path, "", "a %s principal cannot be \"*\"", strings.ToLower(kind))
		}
	})
}

var (
	uniqueID    = regexp.MustCompile(`^A[A-Z]{3}[A-Z0-9]{12,28}$`)
	serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*\.[A-Za-z0-9._-]*[A-Za-z]$`)
)

// What an ARN in Principal.AWS may name.
var principalResources = []string{"root", "user/", "role/", "assumed-role/", "federated-user/"}

func checkPrincipalForm(r *reporter) {
	eachPrincipal(r, func(path, kind, principal string) {
		if strings.ContainsAny(principal, "*?") || iam.HasSymbol(principal) || principal == "" {
			return
		}
		switch kind {
		case "AWS":
			if fault := faultOfPrincipal(principal); fault != "" {
				r.refuse(path, "", "the principal %q %s", clip(principal), fault)
			}
		case "Service":
			if !serviceName.MatchString(principal) {
				r.refuse(path, "write a name like ec2.amazonaws.com", "the service principal %q is malformed", clip(principal))
			}
		}
	})
}

func faultOfPrincipal(principal string) string {
	if !strings.HasPrefix(principal, "arn:") {
		switch {
		case uniqueID.MatchString(principal):
			return ""
		case strings.Trim(principal, "0123456789") != "":
			return "is neither an ARN nor an account id"
		case len(principal) != 12:
			return "is not the 12 digits of an account id"
		}
		return ""
	}
	a, err := iam.ParseARN(principal)
	switch {
	case err != nil:
		return "is not an ARN: " + arnFault(principal)
	case a.Service != "iam" && a.Service != "sts":
		return "is not the ARN of an account, user, role or session"
	case a.Region != "":
		return "has a region, but IAM's resources have none"
	}
	if fault, _ := faultOfARN(a); fault != "" {
		return fault
	}
	if a.Account == "" {
		return "lacks the account"
	}
	for _, group := range []string{"group/", "policy/", "instance-profile/"} {
		if strings.HasPrefix(a.Resource, group) {
			return "is a " + strings.ReplaceAll(strings.TrimSuffix(group, "/"), "-", " ") + ", which cannot be a principal"
		}
	}
	if !slices.ContainsFunc(principalResources, func(p string) bool {
		return a.Resource == p || strings.HasSuffix(p, "/") && strings.HasPrefix(a.Resource, p) && len(a.Resource) > len(p)
	}) {
		return "names neither root nor a user, role or session"
	}
	return ""
}

func checkUniqueIDs(r *reporter) {
	eachPrincipal(r, func(path, kind, principal string) {
		if kind == "AWS" && uniqueID.MatchString(principal) {
			r.report(Warning, path, "", "the principal %s is the unique id of a user or role that was probably deleted", clip(principal))
		}
	})
}

func checkNotPrincipal(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect == iam.Allow && s.NotPrincipal != nil {
			r.report(Error, path+".NotPrincipal", "", "NotPrincipal with Allow allows everybody who is not listed")
		}
	})
}

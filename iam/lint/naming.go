package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// namingRules are about how policies name roles and sessions.
var namingRules = []Rule{
	{
		ID:       "GX-P06",
		Title:    "a role that may be made again is named as principal",
		Why:      "AWS stores the role's unique id, so a role of the same name made later is not admitted, and the policy cannot be written before the role exists",
		Fix:      "name the account and add a condition ArnLike on aws:PrincipalArn",
		Link:     principalPage,
		Severity: Warning,
		check:    checkRecreatedRoles,
	},
	{
		ID:       "GX-P08",
		Title:    "the ARN of a role or session is not the one that requests have",
		Why:      "aws:PrincipalArn holds the ARN of the role with its path, never that of a session, so the condition matches nobody",
		Fix:      "write arn:aws:iam::ACCOUNT:role/PATH/NAME",
		Link:     keysPage + "#condition-keys-principalarn",
		Severity: Error,
		check:    checkPrincipalARNs,
	},
	{
		ID:       "GX-P11",
		Title:    "a session or role is named twice",
		Why:      "the role admits all its sessions, so naming one of them adds nothing",
		Fix:      "name only the role, or only the session",
		Link:     principalPage,
		Severity: Info,
		check:    checkRedundantPrincipals,
	},
}

func checkRecreatedRoles(r *reporter) {
	if !r.options.RecreatedRoles || r.options.Kind != iam.KindResource && r.options.Kind != iam.KindTrust {
		return
	}
	eachPrincipal(r, func(path, kind, principal string) {
		a, err := iam.ParseARN(principal)
		if kind != "AWS" || err != nil || !strings.HasPrefix(a.Resource, "role/") || strings.HasPrefix(path, "NotPrincipal") {
			return
		}
		r.report(Warning, path, "", "the role %q stops matching when it is deleted and made again", clip(principal))
	})
}

// servicePaths are the paths of roles that AWS makes, by the beginning of their
// names. People often leave them out.
//
// https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html
var servicePaths = []struct{ name, path string }{
	{"AWSReservedSSO_", "aws-reserved/sso.amazonaws.com/"},
	{"AWSServiceRoleFor", "aws-service-role/"},
}

// faultOfRoleARN says why no caller has the ARN, for roles whose path is known.
func faultOfRoleARN(a iam.ARN) string {
	name, isRole := strings.CutPrefix(a.Resource, "role/")
	if !isRole || a.Service != "iam" {
		return ""
	}
	for _, known := range servicePaths {
		if strings.HasPrefix(name, known.name) {
			return "lacks the path role/" + known.path + " that such roles have"
		}
	}
	return ""
}

func checkPrincipalARNs(r *reporter) {
	eachPrincipal(r, func(path, kind, principal string) {
		a, err := iam.ParseARN(principal)
		if err != nil || kind != "AWS" {
			return
		}
		if fault := faultOfRoleARN(a); fault != "" {
			r.refuse(path, "write the role's ARN as IAM shows it", "the principal %q %s", clip(principal), fault)
		}
	})
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		if !strings.EqualFold(c.Key, "aws:PrincipalArn") {
			return
		}
		values(path, c.Values, func(path, value string) {
			a, err := iam.ParseARN(value)
			if err != nil {
				return
			}
			switch fault := faultOfRoleARN(a); {
			case a.Service == "sts" && strings.HasPrefix(a.Resource, "assumed-role/"):
				r.report(Error, path, "", "aws:PrincipalArn is the role's ARN, never that of a session like %q", clip(value))
			case fault != "":
				r.report(Error, path, "", "the ARN %q %s", clip(value), fault)
			case a.Service == "iam" && a.Resource == "root" && s.Effect == iam.Allow && !hasWildcard(a.Account) && !isNegated(c.Operator):
				r.report(Warning, path, "use aws:PrincipalAccount for the whole account", "%q in aws:PrincipalArn is only the root user of the account", clip(value))
			}
		})
	})
}

func isNegated(operator string) bool {
	op, err := iam.ParseOperator(operator)
	return err == nil && op.Negated()
}

func checkRedundantPrincipals(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		for element, p := range map[string]*iam.Principals{"Principal": s.Principal, "NotPrincipal": s.NotPrincipal} {
			if p == nil || len(p.AWS) < 2 {
				continue
			}
			seen := make(map[string]bool, len(p.AWS))
			roles := make(map[string]bool) // ACCOUNT/NAME, as sessions show them
			for _, principal := range p.AWS {
				if a, err := iam.ParseARN(principal); err == nil && a.Service == "iam" && strings.HasPrefix(a.Resource, "role/") {
					roles[a.Account+a.Resource[strings.LastIndexByte(a.Resource, '/'):]] = true
				}
			}
			values(path+"."+element+".AWS", p.AWS, func(path, principal string) {
				if seen[principal] {
					r.report(Info, path, "name it once", "the principal %q is named twice", clip(principal))
				}
				seen[principal] = true
				a, err := iam.ParseARN(principal)
				if err != nil || a.Service != "sts" {
					return
				}
				parts := strings.Split(a.Resource, "/")
				if len(parts) == 3 && parts[0] == "assumed-role" && roles[a.Account+"/"+parts[1]] {
					r.report(Info, path, "", "the session %q is covered by its role", clip(principal))
				}
			})
			if i := slices.Index(p.AWS, "*"); i >= 0 {
				r.report(Info, path+"."+element+".AWS", "name only the others, or only the asterisk", "the asterisk covers the other principals")
			}
		}
	})
}

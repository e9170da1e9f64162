package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

var sourceRules = []Rule{
	{
		ID:       "GX-P10",
		Title:    "a service may use the resource on behalf of anybody",
		Why:      "other customers of the service can have it use this resource too (the confused deputy)",
		Fix:      "add conditions on aws:SourceArn and aws:SourceAccount, or on aws:SourceOrgID",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html",
		Severity: Error,
		check:    checkServiceSources,
	},
}

// The keys that tell on whose behalf a service calls, and those of single
// services that do the same. Lower case.
var sourceKeys = []string{
	"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths", "aws:sourceowner",
	"lambda:eventsourcetoken", "lambda:sourcefunctionarn", "s3:x-amz-source-account",
}

// accountKeysOfSources tie a source to an account whatever its ARN says.
var accountKeysOfSources = []string{"aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths", "aws:sourceowner"}

func checkServiceSources(r *reporter) {
	if r.options.Kind != iam.KindResource {
		return // in trust policies the calling service rarely sends its source
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || s.Principal == nil || !r.readable(path+".Condition") {
			return
		}
		service := r.options.Service
		if service == "" && len(s.Action) > 0 {
			service, _, _ = strings.Cut(s.Action[0], ":")
		}
		values(path+".Principal.Service", s.Principal.Service, func(at, principal string) {
			source, sends := reference.SendsSource(service, principal)
			if !sends {
				return
			}
			if !namesSource(s) {
				r.add(Finding{Severity: Error, Path: at, Position: r.policy.Position(at), Message: principal + " may use the resource for any of its customers", Link: source})
				return
			}
			if !restricted(s, accountKeysOfSources, false) {
				r.reportOpenSources(path, s)
			}
		})
	})
}

// namesSource reports whether a statement demands anything of its source.
func namesSource(s *iam.Statement) bool {
	return slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool {
		op, err := iam.ParseOperator(c.Operator)
		return err == nil && matchesKey(c.Key, sourceKeys) && !op.Negated() && !op.IfExists && op.Set != iam.SetForAllValues && op.Name != "Null" &&
			!slices.ContainsFunc(c.Values, func(v string) bool {
				a, err := iam.ParseARN(v)
				return strings.Trim(v, "*?:") == "" || err == nil && strings.Trim(a.Account, "*?") == "" && allWildcards(a.Resource)
			})
	})
}

// reportOpenSources looks at the ARNs of a statement that limits its sources by
// nothing else.
func (r *reporter) reportOpenSources(path string, s *iam.Statement) {
	for _, c := range s.Conditions {
		if !strings.EqualFold(c.Key, "aws:SourceArn") {
			continue
		}
		values(conditionPath(path, c), c.Values, func(path, value string) {
			a, err := iam.ParseARN(value)
			switch {
			case err != nil || open(a.Account):
			case a.Service == "s3" && a.Account == "" && !open(a.Resource):
				r.report(Warning, path, "add a condition StringEquals on aws:SourceAccount", "the ARN of a bucket has no account, and after the bucket is deleted its name can be taken by anybody")
			case strings.ContainsAny(a.Account, "*?"):
				r.report(Warning, path, "write the account's id, or add a condition on aws:SourceAccount", "the source %q may be in any account", clip(value))
			}
		})
	}
}

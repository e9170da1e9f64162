package lint

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

const (
	operatorsPage   = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"
	keysPage        = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html"
	multivaluedPage = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html"
)

var conditionRules = []Rule{
	{
		ID:       "GX-C01",
		Title:    "a condition operator is unknown",
		Why:      "AWS refuses the document",
		Fix:      "use one of the operators of the policy language",
		Link:     operatorsPage,
		Severity: Error,
		check:    checkOperators,
	},
	{
		ID:       "GX-C02",
		Title:    "a condition key is unknown or cannot be in the request",
		Why:      "a key that no request has makes an Allow useless and a Deny harmless",
		Fix:      "look the key up in the service authorization reference",
		Link:     keysPage,
		Severity: Error,
		check:    checkKeys,
	},
	{
		ID:       "GX-C03",
		Title:    "operator, key and value are of different types",
		Why:      "the condition never matches, or not as it reads",
		Fix:      "use the operator for the key's type and write the value in its notation",
		Link:     operatorsPage,
		Severity: Error,
		check:    checkTypes,
	},
	{
		ID:       "GX-C04",
		Title:    "a wildcard is used with an operator that has none",
		Why:      "the asterisk is compared as a character, so the condition matches nothing real",
		Fix:      "use the Like form of the operator",
		Link:     operatorsPage,
		Severity: Warning,
		check:    checkWildcards,
	},
	{
		ID:       "GX-C05",
		Title:    "ForAllValues is used with Allow",
		Why:      "ForAllValues also matches when the key is absent, so the statement allows requests without it",
		Fix:      "leave out ForAllValues for a key with one value; otherwise add a condition Null with the value false on the key",
		Link:     multivaluedPage,
		Severity: Error,
		check:    checkForAllValues,
	},
	{
		ID:       "GX-C06",
		Title:    "a restriction is lifted when its key is absent",
		Why:      "whoever calls without the key passes",
		Fix:      "use the operator without IfExists",
		Link:     operatorsPage,
		Severity: Error,
		check:    checkIfExists,
	},
	{
		ID:       "GX-C07",
		Title:    "only negated conditions restrict an Allow",
		Why:      "a negated operator also matches when the key is absent, and everything that is not listed",
		Fix:      "say what is allowed with a positive operator, or deny what is not",
		Link:     operatorsPage,
		Severity: Warning,
		check:    checkNegated,
	},
	{
		ID:       "GX-C10",
		Title:    "a policy variable is malformed",
		Why:      "the variable is never replaced, so the text matches nothing",
		Fix:      "write ${prefix:key} or ${prefix:key, 'default'}",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html",
		Severity: Error,
		check:    checkVariables,
	},
	{
		ID:       "GX-C13",
		Title:    "an organisation or account id is malformed",
		Why:      "no request has such a value, so the condition never matches",
		Fix:      "write o- and 10 to 32 lower-case letters or digits for an organisation, 12 digits for an account",
		Link:     keysPage,
		Severity: Error,
		check:    checkIDs,
	},
}

// eachCondition calls visit for every condition with its path.
func eachCondition(r *reporter, visit func(path string, c iam.Condition, s *iam.Statement)) {
	r.statements(func(path string, s *iam.Statement) {
		for _, c := range s.Conditions {
			visit(conditionPath(path, c), c, s)
		}
	})
}

// shown returns a condition's value for a message. External IDs are never
// shown.
func shown(key, value string) string {
	if strings.EqualFold(key, "sts:ExternalId") {
		return "the value"
	}
	return strconv.Quote(clip(value))
}

func checkOperators(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, _ *iam.Statement) {
		if _, err := iam.ParseOperator(c.Operator); err != nil {
			r.refuse(strings.TrimSuffix(path, "."+c.Key), "", "%s", err)
		}
	})
}

func checkKeys(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		if iam.HasSymbol(c.Key) || c.Key == "" {
			return
		}
		prefix, name, hasColon := strings.Cut(c.Key, ":")
		switch {
		case !hasColon && isProviderKey(prefix):
			r.report(Error, path, "write "+c.Key+":sub or "+c.Key+":aud", "the condition key %q is an identity provider without the name of a claim", clip(c.Key))
			return
		case !hasColon:
			fix := ""
			if near := reference.SuggestKey(c.Key); near != "" {
				fix = "write " + near
			}
			r.refuse(path, fix, "the condition key %q has no prefix", clip(c.Key))
			return
		case isProviderKey(prefix) || name == "":
			return
		}
		if _, ok := reference.LookupKey(c.Key); ok {
			r.reportForeignKey(path, prefix, c, s)
			r.reportMissingTag(path, c, s)
			return
		}
		if stem, missing := tagKeyWithoutName(c.Key); missing {
			r.report(Error, path, "write "+stem+"/KEY with the key of the tag", "the condition key %q does not say which tag is meant", clip(c.Key))
			return
		}
		_, isService := reference.LookupService(prefix)
		near := reference.SuggestKey(c.Key)
		switch {
		case near != "":
			r.report(Error, path, "write "+near, "the condition key %q is unknown; did you mean %q?", clip(c.Key), near)
		case isService || strings.EqualFold(prefix, "aws"):
			r.report(Warning, path, "", "the condition key %q is not in the reference (%s)", clip(c.Key), reference.Version())
		default:
			r.report(Warning, path, "", "the condition key %q has the unknown prefix %q", clip(c.Key), clip(prefix))
		}
	})
}

// isProviderKey recognises keys of identity providers, whose names are as many
// as there are providers.
func isProviderKey(prefix string) bool {
	return strings.ContainsAny(prefix, "./") || strings.EqualFold(prefix, "saml") || strings.EqualFold(prefix, "https") ||
		strings.HasPrefix(strings.ToLower(prefix), "cognito-identity")
}

// reportForeignKey reports a key of a service none of whose actions the
// statement allows.
func (r *reporter) reportForeignKey(path, prefix string, c iam.Condition, s *iam.Statement) {
	op, err := iam.ParseOperator(c.Operator)
	if s.Effect != iam.Allow || err != nil || op.Negated() || op.IfExists || op.Set == iam.SetForAllValues || op.Name == "Null" || len(s.Action) == 0 {
		return
	}
	if isGlobal(c.Key) {
		return
	}
	used := slices.ContainsFunc(s.Action, func(action string) bool {
		service, _, hasColon := strings.Cut(action, ":")
		if !hasColon || open(service) || hasWildcard(service) || strings.EqualFold(service, prefix) {
			return true
		}
		// Services that share keys, such as s3express and s3, list them in
		// their own tables too.
		other, ok := reference.LookupService(service)
		if !ok {
			return true
		}
		_, ok = other.ConditionKey(c.Key)
		return ok
	})
	if !used {
		r.report(Error, path, "remove the condition, or move the actions it is meant for into a statement of their own",
			"the key %s is never in requests for the statement's actions, so the statement allows nothing", clip(c.Key))
	}
}

// isGlobal reports whether a key belongs to every service's requests.
func isGlobal(key string) bool {
	if len(key) >= 4 && strings.EqualFold(key[:4], "aws:") {
		return true
	}
	return slices.ContainsFunc(reference.GlobalKeys(), func(k reference.ConditionKey) bool { return strings.EqualFold(k.Name, key) })
}

// operatorKind is the type of values an operator compares.
func operatorKind(op iam.Operator) reference.KeyKind {
	switch {
	case strings.HasPrefix(op.Name, "String"), op.Name == "BinaryEquals":
		return reference.KeyString
	case strings.HasPrefix(op.Name, "Numeric"):
		return reference.KeyNumeric
	case strings.HasPrefix(op.Name, "Date"):
		return reference.KeyDate
	case strings.HasPrefix(op.Name, "Arn"):
		return reference.KeyARN
	case op.Name == "Bool":
		return reference.KeyBool
	case op.Name == "IpAddress", op.Name == "NotIpAddress":
		return reference.KeyIPAddress
	}
	return reference.KeyUnknown
}

func checkTypes(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, _ *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil {
			return
		}
		values(path, c.Values, func(path, value string) {
			if fault := faultOfValue(op, value); fault != "" {
				r.report(Error, path, "", "%s %s, which %s needs", shown(c.Key, value), fault, op.Name)
			}
		})
		if (op.Name == "Bool" || op.Name == "Null") && len(c.Values) > 1 {
			r.report(Error, path, "write true or false", "%s has %d values, but takes one", op.Name, len(c.Values))
		}
		if op.Name == "Null" && op.Set != iam.SetNone {
			r.report(Info, path, "write Null", "Null asks whether the key is there, for which ForAllValues and ForAnyValue mean nothing")
		}
		key, ok := reference.LookupKey(c.Key)
		if !ok || key.HasPlaceholder() || key.Type.Kind == reference.KeyUnknown || op.Name == "Null" || op.Name == "BinaryEquals" {
			return
		}
		severity := compareTypes(operatorKind(op), key)
		if severity != 0 {
			r.report(severity, path, "", "%s compares %s values, but %s is of type %s", op.Name, operatorKind(op), key.Name, key.Type.Kind)
		}
		if key.Type.Multivalued && op.Set == iam.SetNone && strings.HasPrefix(key.Name, "aws:") {
			r.report(Warning, path, "write ForAnyValue:"+op.String(), "%s has several values, and %s without ForAnyValue or ForAllValues does not match it reliably", key.Name, op.Name)
		}
	})
}

// compareTypes judges an operator for one kind of values on a key of another.
// Text operators do work on ARNs and ARN operators on text that is an ARN, which
// AWS's own examples make use of; text operators also work on the usual notation
// of the other kinds.
func compareTypes(operator reference.KeyKind, key reference.ConditionKey) Severity {
	kind := key.Type.Kind
	switch {
	case operator == kind:
		return 0
	case operator == reference.KeyString && kind == reference.KeyARN, operator == reference.KeyARN && kind == reference.KeyString:
		return 0
	case strings.EqualFold(key.Name, "aws:EpochTime") && operator == reference.KeyNumeric:
		return 0
	case operator == reference.KeyString:
		return Warning
	case operator == reference.KeyDate && kind == reference.KeyNumeric, operator == reference.KeyNumeric && kind == reference.KeyDate:
		return Warning
	case kind == reference.KeyString:
		// The reference calls many keys String whose values are numbers,
		// dates or truth values in writing.
		return Warning
	}
	return Error
}

// faultOfValue says why a value cannot be one of the operator's kind.
func faultOfValue(op iam.Operator, value string) string {
	if open(value) {
		return ""
	}
	switch kind := operatorKind(op); {
	case op.Name == "Null" || kind == reference.KeyBool:
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return "is neither true nor false"
		}
	case kind == reference.KeyNumeric:
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return "is not a number"
		}
	case kind == reference.KeyDate:
		if !isDate(value) {
			return "is neither a date like 2030-01-31T00:00:00Z nor a number of seconds"
		}
	case kind == reference.KeyIPAddress:
		if _, err := netip.ParsePrefix(value); err != nil {
			if _, err := netip.ParseAddr(value); err != nil {
				return "is neither an IP address nor a range like 203.0.113.0/24"
			}
		}
	case kind == reference.KeyARN:
		if !strings.HasPrefix(value, "arn:") && !hasWildcard(value) {
			return "is not an ARN"
		}
	}
	return ""
}

func isDate(value string) bool {
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02T15Z07:00", "2006-01-02", "2006-01", "20060102T150405Z", "20060102"} {
		if _, err := time.Parse(layout, value); err == nil {
			return true
		}
	}
	return false
}

func checkWildcards(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, _ *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || !strings.HasPrefix(op.Name, "String") || strings.HasSuffix(op.Name, "Like") {
			return
		}
		like := "StringLike"
		if op.Negated() {
			like = "StringNotLike"
		}
		values(path, c.Values, func(path, value string) {
			if strings.Contains(withoutVariables(value), "*") {
				r.report(Warning, path, "use "+like, "%s has an asterisk, which %s compares as a character", shown(c.Key, value), op.Name)
			}
		})
	})
}

// absenceIsHarmless lists multivalued keys whose absence means that there is
// nothing to restrict: no tags, or no attribute of an item named.
var absenceIsHarmless = []string{"aws:tagkeys", "dynamodb:leadingkeys", "dynamodb:attributes", "kms:encryptioncontextkeys", "sts:transitivetagkeys"}

func checkForAllValues(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || op.Set != iam.SetForAllValues || s.Effect != iam.Allow || requiresPresence(s, c.Key) {
			return
		}
		key, known := reference.LookupKey(c.Key)
		single := known && key.Type.Kind != reference.KeyUnknown && !key.Type.Multivalued
		switch {
		case single && isGlobal(c.Key):
			r.report(Error, path, "", "%s has one value; ForAllValues lets requests without it pass", key.Name)
		case !matchesKey(c.Key, absenceIsHarmless):
			r.report(Warning, path, "", "ForAllValues lets requests without %s pass", clip(c.Key))
		}
	})
}

// requiresPresence reports whether the statement demands that the key exists.
func requiresPresence(s *iam.Statement, key string) bool {
	return slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || !strings.EqualFold(c.Key, key) {
			return false
		}
		if op.Name == "Null" {
			return len(c.Values) == 1 && strings.EqualFold(c.Values[0], "false")
		}
		return !op.Negated() && !op.IfExists && op.Set != iam.SetForAllValues
	})
}

// requiredKeys identify the caller; a restriction on one of them is void if its
// absence passes.
var requiredKeys = []string{
	"sts:externalid", "aws:principalarn", "aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount",
	"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid",
}

func checkIfExists(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || s.Effect != iam.Allow || op.Negated() || requiresPresence(s, c.Key) {
			return
		}
		lower := strings.ToLower(c.Key)
		if !matchesKey(c.Key, requiredKeys) && !(strings.ContainsAny(lower, "./") && strings.HasSuffix(lower, ":sub")) {
			return
		}
		switch {
		case op.IfExists:
			r.report(Warning, path, "", "%s lets requests without %s pass", op, clip(c.Key))
		case op.Name == "Null" && slices.ContainsFunc(c.Values, func(v string) bool { return strings.EqualFold(v, "true") }):
			r.report(Error, path, `write "false", which demands that the key is there`, "Null with the value true allows only requests without %s", clip(c.Key))
		}
	})
}

func checkNegated(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || len(s.Conditions) == 0 {
			return
		}
		for _, c := range s.Conditions {
			op, err := iam.ParseOperator(c.Operator)
			if err != nil || !op.Negated() || requiresPresence(s, c.Key) {
				return
			}
		}
		r.report(Warning, conditionPath(path, s.Conditions[0]), "", "the statement's only conditions are negated, so requests without the keys pass")
	})
}

var (
	organisationKeys = []string{"aws:principalorgid", "aws:resourceorgid", "aws:sourceorgid", "aws:vpceorgid"}
	accountKeys      = []string{"aws:principalaccount", "aws:resourceaccount", "aws:sourceaccount", "aws:vpceaccount", "kms:calleraccount", "s3:resourceaccount"}
	organisationID   = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)
)

func checkIDs(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, _ *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || !strings.HasPrefix(op.Name, "String") {
			return
		}
		values(path, c.Values, func(path, value string) {
			_, notAccount := iam.ParseAccountID(value)
			switch {
			case open(value) || hasWildcard(value):
			case matchesKey(c.Key, organisationKeys) && !organisationID.MatchString(value):
				r.report(Error, path, "", "%q is not the id of an organisation", clip(value))
			case strings.EqualFold(c.Key, "aws:PrincipalOrgID") && r.options.OrganizationID != "" && value != r.options.OrganizationID && !op.Negated():
				r.report(Warning, path, "write "+clip(r.options.OrganizationID), "%q is not your organisation %s", clip(value), clip(r.options.OrganizationID))
			case matchesKey(c.Key, accountKeys) && notAccount != nil && !isServiceAccount(value):
				r.report(Error, path, "", "%q is not the id of an account", clip(value))
			}
		})
	})
}

// isServiceAccount recognises the names that AWS uses instead of account ids
// for its own resources, such as "aws" and "cloudfront".
func isServiceAccount(value string) bool {
	return value != "" && strings.Trim(value, "abcdefghijklmnopqrstuvwxyz-") == ""
}

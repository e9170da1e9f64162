package lint

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// keyRules are about when a key is in a request, and what it is worth there.
var keyRules = []Rule{
	{
		ID:       "GX-C09",
		Title:    "an ARN is compared as text with a wildcard",
		Why:      "in StringLike an asterisk also crosses the colons between the parts of an ARN",
		Fix:      "use ArnLike",
		Link:     operatorsPage + "#Conditions_ARN",
		Severity: Info,
		check:    checkARNOperators,
	},
	{
		ID:       "GX-C11",
		Title:    "a condition key is deprecated, or never sent by the statement's principals",
		Why:      "a key that these callers do not send makes the statement match nobody",
		Fix:      "use a key that the callers send",
		Link:     keysPage,
		Severity: Warning,
		check:    checkSenders,
	},
	{
		ID:       "GX-C12",
		Title:    "a private address is not tied to a network",
		Why:      "everybody can make a VPC that has the same private addresses",
		Fix:      "add a condition on aws:SourceVpc, aws:SourceVpce or aws:VpceAccount to the statement",
		Link:     keysPage + "#condition-keys-vpcsourceip",
		Severity: Error,
		check:    checkVPCAddresses,
	},
	{
		ID:       "GX-C14",
		Title:    "an address cannot be, or is not written, as aws:SourceIp has it",
		Why:      "aws:SourceIp is the public address of the caller, so a private one is never in it",
		Fix:      "use the public addresses, or aws:VpcSourceIp with aws:SourceVpc for calls through a VPC endpoint",
		Link:     keysPage + "#condition-keys-sourceip",
		Severity: Warning,
		check:    checkAddresses,
	},
}

func checkARNOperators(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		key, ok := reference.LookupKey(c.Key)
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || s.Effect != iam.Allow || op.Name != "StringLike" || !ok || key.Type.Kind != reference.KeyARN {
			return
		}
		if slices.ContainsFunc(c.Values, func(v string) bool { return strings.HasPrefix(v, "arn:") && hasWildcard(v) }) {
			r.report(Info, path, "", "StringLike compares %s as text", key.Name)
		}
	})
}

// deprecatedKeys are keys that AWS replaced, in lower case, with what to use
// instead.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
var deprecatedKeys = map[string]string{"aws:sourceowner": "aws:SourceAccount"}

// The keys only AWS services send when they call by themselves, and those that
// only users and roles have. Lower case.
var (
	serviceKeys = []string{"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"}
	callerOnly  = []string{"aws:principalarn", "aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount", "aws:principaltag/"}
)

func checkSenders(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		if instead, ok := deprecatedKeys[strings.ToLower(c.Key)]; ok {
			r.report(Info, path, "use "+instead, "the condition key %s is deprecated", clip(c.Key))
		}
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || s.Effect != iam.Allow || s.Principal == nil || s.Principal.All || op.Negated() || op.IfExists ||
			op.Set == iam.SetForAllValues || op.Name == "Null" || r.options.Kind != iam.KindResource && r.options.Kind != iam.KindTrust || !r.readable(path[:strings.Index(path, ".")]+".Principal") {
			return
		}
		p := s.Principal
		switch {
		case len(p.Service) == 0 && len(p.AWS) > 0 && !slices.Contains(p.AWS, "*") && !slices.ContainsFunc(p.AWS, iam.HasSymbol) && matchesKey(c.Key, serviceKeys):
			r.report(Warning, path, "name the service in Principal.Service, or use aws:PrincipalArn", "%s is only in requests of AWS services, but the statement is for accounts, users or roles", clip(c.Key))
		case r.options.Kind == iam.KindResource && len(p.AWS)+len(p.Federated)+len(p.CanonicalUser) == 0 && len(p.Service) > 0 && matchesKey(c.Key, callerOnly):
			r.report(Warning, path, "use aws:SourceArn, aws:SourceAccount or aws:SourceOrgID", "%s is never in requests of AWS services, for which the statement is", clip(c.Key))
		}
	})
}

var networkKeys = []string{
	"aws:sourcevpc", "aws:sourcevpcarn", "aws:sourcevpce", "aws:vpceaccount", "aws:vpceorgid", "aws:vpceorgpaths",
}

func checkVPCAddresses(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err == nil && s.Effect == iam.Allow && op.Name == "IpAddress" && strings.EqualFold(c.Key, "aws:VpcSourceIp") && !limitedBy(s, networkKeys) {
			r.report(Error, path, "", "the private address is not tied to a VPC or endpoint")
		}
	})
}

func checkAddresses(r *reporter) {
	eachCondition(r, func(path string, c iam.Condition, s *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || operatorKind(op) != reference.KeyIPAddress {
			return
		}
		private := 0
		values(path, c.Values, func(path, value string) {
			prefix, err := netip.ParsePrefix(value)
			if err != nil {
				addr, err := netip.ParseAddr(value)
				if err != nil {
					return // GX-C03
				}
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
			if prefix != prefix.Masked() {
				r.report(Info, path, "write "+prefix.Masked().String(), "the range %s is written with bits that do not count", clip(value))
			}
			if prefix.Addr().IsPrivate() {
				private++
			}
		})
		if strings.EqualFold(c.Key, "aws:SourceIp") && private > 0 && private == len(c.Values) {
			effect := "the statement never applies"
			if op.Negated() {
				effect = "the statement applies to every caller"
			}
			r.report(Warning, path, "", "aws:SourceIp is compared with private addresses only, so %s", effect)
		}
	})
}

// tagKeyWithoutName recognises aws:ResourceTag and its like without the tag's
// name, which no request has.
func tagKeyWithoutName(key string) (stem string, missing bool) {
	name := strings.TrimSuffix(key, "/")
	for _, k := range append(reference.GlobalKeys(), serviceTagKeys(key)...) {
		before, _, isTag := strings.Cut(k.Name, "/$")
		if isTag && strings.EqualFold(before, name) {
			return before, true
		}
	}
	return "", false
}

// serviceTagKeys returns the keys of the service that a key's prefix names.
func serviceTagKeys(key string) []reference.ConditionKey {
	prefix, _, _ := strings.Cut(key, ":")
	s, ok := reference.LookupService(prefix)
	if !ok {
		return nil
	}
	return s.ConditionKeys()
}

package s3api

import (
	"net/netip"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// isPublic reports whether a bucket policy is public as Block Public Access
// understands it: unless every statement that allows something allows it to
// fixed principals, or only under a condition that pins the request to
// something fixed. A value with a wildcard or a policy variable is not fixed.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status
func isPublic(p *iam.Policy) bool {
	for i := range p.Statements {
		s := &p.Statements[i]
		if s.Effect == iam.Allow && !fixedPrincipals(s) && !pinned(s.Conditions) {
			return true
		}
	}
	return false
}

// fixedPrincipals reports whether a statement names whom it is about.
func fixedPrincipals(s *iam.Statement) bool {
	if s.Principal == nil || s.Principal.All {
		return false // NotPrincipal: everybody but
	}
	for _, name := range s.Principal.AWS {
		if strings.Contains(name, "*") {
			return false
		}
	}
	return true
}

func pinned(conditions []iam.Condition) bool {
	for _, c := range conditions {
		if pins(c) {
			return true
		}
	}
	return false
}

// The condition keys that pin a request to somebody if their value is fixed.
var pinningKeys = map[string]bool{
	"aws:principalorgid": true, "aws:principalaccount": true, "aws:principalarn": true,
	"aws:sourcearn": true, "aws:sourcevpc": true, "aws:sourcevpce": true,
	"aws:sourceowner": true, "aws:sourceaccount": true, "aws:sourceorgid": true,
	"aws:userid": true,
	"s3:x-amz-server-side-encryption-aws-kms-key-id": true,
	"s3:dataaccesspointaccount":                      true,
}

// pins reports whether the condition holds only for requests from somewhere
// fixed.
func pins(c iam.Condition) bool {
	operator, err := iam.ParseOperator(c.Operator)
	if err != nil || operator.IfExists || operator.Set == iam.SetForAllValues || len(c.Values) == 0 {
		return false // holds for requests without the key
	}
	key := strings.ToLower(c.Key)
	for _, value := range c.Values {
		switch operator.Name {
		case "IpAddress":
			if key != "aws:sourceip" || broad(value) {
				return false
			}
		case "StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike":
			switch {
			case key == "s3:dataaccesspointarn":
				// The name of the access point may have a wildcard, its account
				// may not.
				if arn, err := iam.ParseARN(value); err != nil || strings.ContainsAny(arn.Account, "*?$") || arn.Account == "" {
					return false
				}
			case !pinningKeys[key] || strings.ContainsAny(value, "*?") || strings.Contains(value, "${"):
				return false
			}
		default:
			return false
		}
	}
	return true
}

// broad reports whether a range of addresses is too wide to be a restriction.
// AWS says so of anything wider than /8 for IPv4 and /32 for IPv6, private
// ranges aside.
func broad(value string) bool {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		_, err := netip.ParseAddr(value)
		return err != nil
	}
	if prefix.Addr().Is4() {
		return prefix.Bits() < 8
	}
	return prefix.Bits() < 32
}

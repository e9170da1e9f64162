package s3api

import (
	"testing"

	"github.com/crossaccount/crossaccount/iam"
)

func TestParseHost(t *testing.T) {
	for host, want := range map[string]address{
		"s3.amazonaws.com":                                 {},
		"s3.us-east-1.amazonaws.com":                       {region: "us-east-1"},
		"s3-eu-west-1.amazonaws.com":                       {region: "eu-west-1"},
		"b.s3.amazonaws.com:443":                           {bucket: "b"},
		"b.s3.cn-north-1.amazonaws.com.cn":                 {bucket: "b", region: "cn-north-1"},
		"my.dotted.b.s3.dualstack.eu-west-1.amazonaws.com": {bucket: "my.dotted.b", region: "eu-west-1"},
		"s3.b.s3.us-east-1.amazonaws.com":                  {bucket: "s3.b", region: "us-east-1"},
		"b.s3-fips.us-gov-west-1.amazonaws.com":            {bucket: "b", region: "us-gov-west-1"},
		"localhost:4566":                                   {},
		"b.localhost:4566":                                 {bucket: "b"},
		"b.s3.localhost":                                   {bucket: "b"},
		"127.0.0.1:4566":                                   {},
	} {
		if got, kind := parseHost(host); got != want || kind == hostUnsupported {
			t.Errorf("parseHost(%q) = %+v, %v; want %+v", host, got, kind, want)
		}
	}
	for _, host := range []string{
		"b.s3-website-us-east-1.amazonaws.com", "b.s3-website.eu-central-1.amazonaws.com",
		"ap-111111111111.s3-accesspoint.us-east-1.amazonaws.com", "111111111111.s3-control.us-east-1.amazonaws.com",
		"iam.amazonaws.com",
	} {
		if got, kind := parseHost(host); kind != hostUnsupported {
			t.Errorf("parseHost(%q) = %+v, %v; want it refused", host, got, kind)
		}
		if IsEndpoint(host) {
			t.Errorf("IsEndpoint(%q)", host)
		}
	}
}

func TestIsPublic(t *testing.T) {
	statement := func(principal, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal +
			`,"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"` + condition + `}]}`
	}
	condition := func(s string) string { return `,"Condition":{` + s + `}` }
	for _, test := range []struct {
		name, policy string
		want         bool
	}{
		{"account", statement(`{"AWS":"111111111111"}`, ""), false},
		{"service", statement(`{"Service":"states.amazonaws.com"}`, ""), false},
		{"everybody", statement(`"*"`, ""), true},
		{"everybody as AWS", statement(`{"AWS":"*"}`, ""), true},
		{"one of several", statement(`{"AWS":["111111111111","*"]}`, ""), true},
		{"organisation", statement(`"*"`, condition(`"StringEquals":{"aws:PrincipalOrgID":"o-1"}`)), false},
		{"organisation in any case", statement(`"*"`, condition(`"stringEquals":{"AWS:principalorgid":"o-1"}`)), false},
		{"any organisation", statement(`"*"`, condition(`"StringLike":{"aws:PrincipalOrgID":"o-*"}`)), true},
		{"not one organisation", statement(`"*"`, condition(`"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}`)), true},
		{"if it exists", statement(`"*"`, condition(`"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}`)), true},
		{"for all values", statement(`"*"`, condition(`"ForAllValues:StringEquals":{"aws:PrincipalOrgID":"o-1"}`)), true},
		{"variable", statement(`"*"`, condition(`"StringEquals":{"aws:SourceAccount":"${aws:PrincipalAccount}"}`)), true},
		{"addresses", statement(`"*"`, condition(`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`)), false},
		{"all addresses", statement(`"*"`, condition(`"IpAddress":{"aws:SourceIp":["203.0.113.0/24","0.0.0.0/1"]}`)), true},
		{"agent", statement(`"*"`, condition(`"StringEquals":{"aws:UserAgent":"x"}`)), true},
		{"denial only", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b"}]}`, false},
		{"everybody but", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"111111111111"},"Action":"s3:*","Resource":"arn:aws:s3:::b"}]}`, true},
	} {
		p, err := iam.ParsePolicy([]byte(test.policy))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := isPublic(p); got != test.want {
			t.Errorf("%s: isPublic = %v", test.name, got)
		}
	}
}

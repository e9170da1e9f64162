package iam_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
)

func mustParse(t *testing.T, document string) *iam.Policy {
	t.Helper()
	p, err := iam.ParsePolicy([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseARN(t *testing.T) {
	for _, s := range []string{
		"arn:aws:s3:::bucket/key:with:colons/and/slashes",
		"arn:aws-cn:iam::123456789012:role/path/Name",
		"arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/n/consumer/c:1700000000",
		"arn:*:s3:::*",
		"arn:" + iam.Symbol("AWS::Partition") + ":iam::" + iam.Symbol("AWS::AccountId") + ":role/x",
	} {
		a, err := iam.ParseARN(s)
		if err != nil {
			t.Errorf("ParseARN(%q): %v", s, err)
		} else if a.String() != s {
			t.Errorf("%q became %q", s, a)
		}
	}
	for s, message := range map[string]string{
		"":                             "must begin with",
		"ARN:aws:s3:::b":               "must begin with",
		"arn:aws:s3":                   "has 3 of 6 parts",
		"arn::s3:::b":                  "partition is empty",
		"arn:aws::::b":                 "service is empty",
		"arn:aws:s3:::":                "resource is empty",
		"x" + strings.Repeat("y", 1e4): "…",
	} {
		if _, err := iam.ParseARN(s); err == nil || !strings.Contains(err.Error(), message) || len(err.Error()) > 400 {
			t.Errorf("ParseARN(%.20q) = %v, want an error with %q", s, err, message)
		}
	}
}

func TestParseRoleARN(t *testing.T) {
	r, err := iam.ParseRoleARN("arn:aws:iam::123456789012:role/team/a/Reader")
	if err != nil {
		t.Fatal(err)
	}
	want := iam.RoleARN{Partition: "aws", Account: "123456789012", Path: "/team/a/", Name: "Reader"}
	if r != want || r.String() != "arn:aws:iam::123456789012:role/team/a/Reader" {
		t.Errorf("got %+v %s", r, r)
	}
	if got := r.SessionARN("s").String(); got != "arn:aws:sts::123456789012:assumed-role/Reader/s" {
		t.Errorf("SessionARN = %s", got)
	}
	for _, s := range []string{
		"arn:aws:iam::123456789012:user/a",
		"arn:aws:iam::123456789012:role/",
		"arn:aws:iam::123456789012:role/a*",
		"arn:aws:iam::123456789012:role/" + strings.Repeat("a", 65),
		"arn:aws:iam::123456789012:role//a",
		"arn:aws:iam::123456789012:role/" + strings.Repeat("p/", 256) + "a",
		"arn:aws:iam::12345678901:role/a",
		"arn:aws:iam::*:role/a",
		"arn:aws:iam:us-east-1:123456789012:role/a",
		"arn:aws:sts::123456789012:assumed-role/a/b",
		"arn:mars:iam::123456789012:role/a",
		"arn:aws:iam::123456789012:role/a\n",
		"arn:aws:iam::123456789012:role/" + iam.Symbol("RoleName"),
	} {
		if r, err := iam.ParseRoleARN(s); err == nil {
			t.Errorf("ParseRoleARN(%q) accepted: %+v", s, r)
		}
	}
}

func TestPartitionOfRegion(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": "aws", "ap-southeast-5": "aws", "mx-central-1": "aws", "cn-northwest-1": "aws-cn",
		"us-gov-east-1": "aws-us-gov", "us-isob-east-1": "aws-iso-b", "eusc-de-east-1": "aws-eusc",
		"": "", "us-east-1.evil.example": "", "us-east-1\n": "", "../x": "", "US-EAST-1": "",
	} {
		p, ok := iam.PartitionOfRegion(region)
		if p.ID != want || ok != (want != "") {
			t.Errorf("PartitionOfRegion(%q) = %q, want %q", region, p.ID, want)
		}
	}
	for _, p := range iam.Partitions() {
		if got, _ := iam.PartitionOfRegion(p.DefaultRegion); got.ID != p.ID {
			t.Errorf("%s: its default region %s belongs to %q", p.ID, p.DefaultRegion, got.ID)
		}
	}
}

func TestSymbols(t *testing.T) {
	s := "arn:" + iam.Symbol("AWS::Partition") + ":iam::" + iam.Symbol(`we"ird*?:/`) + ":root"
	want := []iam.Piece{{Text: "arn:"}, {Text: "AWS::Partition", IsSymbol: true}, {Text: ":iam::"}, {Text: `we"ird*?:/`, IsSymbol: true}, {Text: ":root"}}
	if diff := cmp.Diff(want, iam.Pieces(s)); diff != "" {
		t.Error(diff)
	}
	if got := iam.ReplaceSymbols(s, func(id string) string { return "<" + id + ">" }); got != `arn:<AWS::Partition>:iam::<we"ird*?:/>:root` {
		t.Errorf("ReplaceSymbols = %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "id")
		symbol := iam.Symbol(id)
		if strings.ContainsAny(symbol, ":/*?${}\"' \\,@") {
			t.Fatalf("the symbol for %q has a meaningful character", id)
		}
		if diff := cmp.Diff([]iam.Piece{{Text: id, IsSymbol: true}}, iam.Pieces(symbol)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestMarshalRefusesWhatAPolicyCannotSay(t *testing.T) {
	for name, s := range map[string]iam.Statement{
		"symbol":         {Effect: iam.Allow, Action: []string{"a:B"}, Resource: []string{iam.Symbol("x")}},
		"same condition": {Effect: iam.Allow, Conditions: []iam.Condition{{Operator: "Null", Key: "a"}, {Operator: "null", Key: "A"}}},
	} {
		if data, err := (&iam.Policy{Statements: []iam.Statement{s}}).MarshalJSON(); err == nil {
			t.Errorf("%s: written as %s", name, data)
		}
	}
}

func TestCanonical(t *testing.T) {
	a := mustParse(t, `{"Version":"2012-10-17","Statement":[
		{"Sid":"x","Effect":"Deny","Principal":"*","Action":"*"},
		{"Effect":"Allow","Principal":{"AWS":["123456789012","arn:aws:iam::123456789012:root"]},"Action":["S3:getobject","s3:PutObject"],
		 "Condition":{"stringequals":{"AWS:PrincipalOrgId":["b","a"]},"Bool":{"aws:SecureTransport":true}}}]}`)
	b := mustParse(t, `{"Version":"2012-10-17","Id":"i","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":["s3:PutObject","s3:GetObject","s3:PutObject"],
		 "Condition":{"Bool":{"aws:securetransport":"true"},"StringEquals":{"aws:PrincipalOrgID":["a","b"]}}},
		{"Effect":"Deny","Principal":"*","Action":["*"]}]}`)
	if string(a.Canonical()) != string(b.Canonical()) {
		t.Errorf("equal policies differ:\n%s\n%s", a.Canonical(), b.Canonical())
	}
	c := mustParse(t, `{"Statement":[{"Effect":"Deny","Principal":"*","Action":["*"]}]}`)
	if !bytes.Contains(c.Canonical(), []byte(iam.Version2008)) {
		t.Errorf("an absent version means %s: %s", iam.Version2008, c.Canonical())
	}
}

func TestCheck(t *testing.T) {
	const (
		principal = `"Principal":{"AWS":"123456789012"},`
		resource  = `,"Resource":"*"`
	)
	for _, tt := range []struct {
		kind    iam.Kind
		before  string
		after   string
		problem string // "" for none
	}{
		{iam.KindIdentity, "", resource, ""},
		{iam.KindIdentity, principal, resource, "cannot have Principal"},
		{iam.KindIdentity, "", "", "Resource element is missing"},
		{iam.KindSession, principal, resource, "cannot have Principal"},
		{iam.KindTrust, principal, "", ""},
		{iam.KindTrust, "", "", "Principal element is missing"},
		{iam.KindTrust, principal, resource, "the role is the resource"},
		{iam.KindTrust, `"NotPrincipal":{"AWS":"*"},`, "", "cannot have NotPrincipal"},
		{iam.KindTrust, `"Principal":{"CanonicalUser":"x"},`, "", "canonical users"},
		{iam.KindResource, principal, "", ""},
		{iam.KindResource, "", resource, "Principal element is missing"},
		{iam.KindResourceControl, `"Principal":"*",`, resource, ""},
		{iam.KindResourceControl, principal, resource, `must have Principal "*"`},
	} {
		p := mustParse(t, `{"Statement":[{`+tt.before+`"Effect":"Allow","Action":"sts:AssumeRole"`+tt.after+`}]}`)
		problems := p.Check(tt.kind)
		switch {
		case tt.problem == "" && len(problems) > 0:
			t.Errorf("%s %s%s: %v", tt.kind, tt.before, tt.after, problems)
		case tt.problem != "" && (len(problems) != 1 || !strings.Contains(problems[0].Message, tt.problem)):
			t.Errorf("%s %s%s: %v, want %q", tt.kind, tt.before, tt.after, problems, tt.problem)
		}
	}
	if problems := (&iam.Policy{}).Check(iam.KindIdentity); len(problems) != 1 {
		t.Errorf("an empty policy: %v", problems)
	}
	empty := mustParse(t, `{"Statement":[{"Effect":"Allow","Action":[],"Resource":[]}]}`)
	if problems := empty.Check(iam.KindIdentity); len(problems) != 2 {
		t.Errorf("empty lists: %v, want two problems", problems)
	}
}

func TestParseOperator(t *testing.T) {
	for _, name := range iam.Operators() {
		for prefix, set := range map[string]iam.SetOperator{"": iam.SetNone, "ForAllValues:": iam.SetForAllValues, "ForAnyValue:": iam.SetForAnyValue} {
			for _, suffix := range []string{"", "IfExists"} {
				if name == "Null" && suffix != "" {
					continue
				}
				want := iam.Operator{Name: name, Set: set, IfExists: suffix != ""}
				got, err := iam.ParseOperator(strings.ToUpper(prefix + name + suffix))
				if err != nil || got != want || got.String() != prefix+name+suffix {
					t.Errorf("ParseOperator(%s) = %+v, %v", prefix+name+suffix, got, err)
				}
			}
		}
	}
	if !(iam.Operator{Name: "StringNotLike"}).Negated() || !(iam.Operator{Name: "NotIpAddress"}).Negated() || (iam.Operator{Name: "Null"}).Negated() {
		t.Error("Negated is wrong")
	}
}

func TestMatchWildcard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{0,8}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "s")
		want := regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + "$").MatchString(s)
		if got := iam.MatchWildcard(pattern, s); got != want {
			t.Fatalf("MatchWildcard(%q, %q) = %v", pattern, s, got)
		}
	})
	matched := false
	if n := testing.AllocsPerRun(10, func() { matched = iam.MatchWildcard("arn:*:s3:::*/x", "arn:aws:s3:::bucket/y/x") }); n != 0 || !matched {
		t.Errorf("MatchWildcard = %v and allocates %v times", matched, n)
	}
}

func TestContext(t *testing.T) {
	var c iam.Context
	if _, _, state := c.Lookup("aws:x"); state != iam.KeyAbsent {
		t.Error("a key nobody mentioned is not absent")
	}
	c.Set("aws:PrincipalArn", "a")
	c.SetMulti("aws:TagKeys")
	c.SetUnknown("aws:SourceIp")
	if values, multi, state := c.Lookup("AWS:principalarn"); state != iam.KeyGiven || multi || len(values) != 1 {
		t.Error("names of keys must not be case-sensitive")
	}
	if values, multi, state := c.Lookup("aws:TagKeys"); state != iam.KeyGiven || !multi || len(values) != 0 {
		t.Error("an empty multivalued key is given")
	}
	if _, _, state := c.Lookup("aws:sourceip"); state != iam.KeyUnknown {
		t.Error("SetUnknown was lost")
	}
	clone := c.Clone()
	clone.Delete("AWS:TagKeys")
	clone.SetUnlistedUnknown()
	if _, _, state := clone.Lookup("aws:TagKeys"); state != iam.KeyUnknown {
		t.Error("in an open world an unmentioned key is unknown")
	}
	if diff := cmp.Diff([]string{"aws:PrincipalArn", "aws:SourceIp", "aws:TagKeys"}, c.Keys()); diff != "" {
		t.Error(diff)
	}
	c.SetUnlistedUnknown()
	c.SetAbsent("aws:SourceVpce")
	c.SetFamilyAbsent("aws:PrincipalTag/")
	c.Set("aws:PrincipalTag/team", "red")
	for key, want := range map[string]iam.KeyState{
		"aws:sourcevpce":          iam.KeyAbsent,
		"aws:PrincipalTag/TEAM":   iam.KeyGiven,
		"AWS:principaltag/tier":   iam.KeyAbsent,
		"aws:PrincipalTagLike":    iam.KeyUnknown,
		"aws:ResourceTag/team":    iam.KeyUnknown,
		"aws:PrincipalTag/unsaid": iam.KeyAbsent,
	} {
		if _, _, state := c.Lookup(key); state != want {
			t.Errorf("state of %s is %d, want %d", key, state, want)
		}
	}
}

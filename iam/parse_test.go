package iam_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crossaccount/crossaccount/iam"
)

func TestParsePolicyReadsEveryElement(t *testing.T) {
	got, err := iam.ParsePolicy([]byte(`{
  "Version": "2012-10-17",
  "Id": "example",
  "Statement": [{
    "Sid": "One",
    "Effect": "Allow",
    "Principal": {"AWS": "123456789012", "Service": ["ec2.amazonaws.com", "states.amazonaws.com"]},
    "Action": "s3:GetObject",
    "Resource": ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"],
    "Condition": {
      "NumericLessThan": {"s3:max-keys": 10},
      "Bool": {"aws:SecureTransport": true},
      "StringEquals": {"aws:PrincipalOrgID": ["o-a", "o-b"]}
    }
  }, {
    "Effect": "Deny",
    "NotPrincipal": {"CanonicalUser": "x"},
    "NotAction": ["a:B"],
    "NotResource": "*"
  }]
}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &iam.Policy{
		Version: "2012-10-17",
		ID:      "example",
		Statements: []iam.Statement{{
			Sid:       "One",
			Effect:    iam.Allow,
			Principal: &iam.Principals{AWS: []string{"123456789012"}, Service: []string{"ec2.amazonaws.com", "states.amazonaws.com"}},
			Action:    []string{"s3:GetObject"},
			Resource:  []string{"arn:aws:s3:::a/*", "arn:aws:s3:::b/*"},
			Conditions: []iam.Condition{
				{Operator: "NumericLessThan", Key: "s3:max-keys", Values: []string{"10"}},
				{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"true"}},
				{Operator: "StringEquals", Key: "aws:PrincipalOrgID", Values: []string{"o-a", "o-b"}},
			},
		}, {
			Effect:       iam.Deny,
			NotPrincipal: &iam.Principals{CanonicalUser: []string{"x"}},
			NotAction:    []string{"a:B"},
			NotResource:  []string{"*"},
		}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(iam.Policy{})); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]iam.Position{
		"Statement[0]":                                {Offset: 63, Line: 4, Column: 17},
		"Statement[0].Resource[1]":                    {Offset: 263, Line: 9, Column: 38},
		"Statement[0].Condition.Bool":                 {Offset: 352, Line: 12, Column: 7},
		"Statement[0].Condition.Bool.no-such-key[0]":  {Offset: 352, Line: 12, Column: 7},
		"Statement[1].NotResource":                    {Offset: 540, Line: 19, Column: 5},
		"Statement[1].NotResource[0].deeper.and[not]": {Offset: 555, Line: 19, Column: 20},
	} {
		if got := got.Position(path); got.Line != want.Line || got.Column != want.Column {
			t.Errorf("Position(%s) = %d:%d, want %d:%d", path, got.Line, got.Column, want.Line, want.Column)
		}
	}
}

func TestParsePolicyAcceptsOneStatementWithoutArray(t *testing.T) {
	p, err := iam.ParsePolicy([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	if err != nil || len(p.Statements) != 1 {
		t.Fatalf("got %v, %v; want one statement", p, err)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	statement := func(body string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + body + `}]}`
	}
	for _, tt := range []struct {
		name, document string
		code           iam.ProblemCode
		message        string // part of the error
	}{
		{"nothing", ``, iam.ProblemJSON, "line 1, column 1: unexpected end"},
		{"not JSON", `{`, iam.ProblemJSON, "expected a key"},
		{"single quotes", `{'a': 1}`, iam.ProblemJSON, "double quotes"},
		{"trailing comma in object", "{\"Version\":\"2012-10-17\",\n}", iam.ProblemJSON, "line 2, column 1: trailing comma"},
		{"trailing comma in array", statement(`"Action":["a:B",],"Resource":"*"`), iam.ProblemJSON, "trailing comma"},
		{"unquoted star", statement(`"Action":"a:B","Resource":*`), iam.ProblemJSON, "unexpected '*'"},
		{"text after the end", statement(`"Action":"*"`) + "x", iam.ProblemJSON, "after the end"},
		{"unterminated string", `{"Version":"2012`, iam.ProblemJSON, "no closing quote"},
		{"raw line break in a string", "{\"Id\":\"a\nb\"}", iam.ProblemJSON, "control character"},
		{"broken escape", `{"Id":"\x"}`, iam.ProblemJSON, "escape sequence"},
		{"half a surrogate pair", `{"Id":"\ud800"}`, iam.ProblemJSON, "surrogate"},
		{"invalid UTF-8", "{\"Id\":\n\"\xff\"}", iam.ProblemJSON, "line 2, column 2: not valid UTF-8"},
		{"leading zero", `{"Id":01}`, iam.ProblemJSON, "malformed number"},
		{"too deep", strings.Repeat("[", 1000), iam.ProblemJSON, "nested more than"},
		{"an array", `[]`, iam.ProblemWrongType, "must be an object"},
		{"no statement", `{"Version":"2012-10-17"}`, iam.ProblemMissing, "Statement element is missing"},
		{"statement is text", `{"Statement":"x"}`, iam.ProblemWrongType, "a statement must be an object"},
		{"unknown version", `{"Version":"2020-01-01","Statement":[]}`, iam.ProblemWrongValue, `use "2012-10-17"`},
		{"version is a number", `{"Version":2012,"Statement":[]}`, iam.ProblemWrongType, "must be a string"},
		{"duplicate key", statement(`"Action":"a:B","Action":"c:D","Resource":"*"`), iam.ProblemDuplicateKey, `"Action" appears twice`},
		{"duplicate key in another case", statement(`"Action":"a:B","Condition":{"StringEquals":{"aws:x":"1","AWS:X":"2"}}`), iam.ProblemDuplicateKey, `"AWS:X" appears twice`},
		{"duplicate operator", statement(`"Action":"a:B","Condition":{"Null":{"a":"true"},"null":{"b":"true"}}`), iam.ProblemDuplicateKey, `"null" appears twice`},
		{"misspelt element", statement(`"Action":"*","Principals":"*"`), iam.ProblemUnknownElement, `did you mean "Principal"?`},
		{"misspelt effect", `{"Statement":[{"Effect":"allow","Action":"*","Resource":"*"}]}`, iam.ProblemWrongValue, `"Allow" or "Deny"`},
		{"no effect", `{"Statement":[{"Action":"*","Resource":"*"}]}`, iam.ProblemMissing, "Effect element is missing"},
		{"empty effect", `{"Statement":[{"Effect":"","Action":"*","Resource":"*"}]}`, iam.ProblemWrongValue, `not ""`},
		{"action is a number", statement(`"Action":1`), iam.ProblemWrongType, "Statement[0].Action: must be a string or an array"},
		{"action holds null", statement(`"Action":["a:B",null]`), iam.ProblemWrongType, "Statement[0].Action[1]"},
		{"both actions", statement(`"Action":"a:B","NotAction":"c:D","Resource":"*"`), iam.ProblemExclusive, "both Action and NotAction"},
		{"principal is an ARN", statement(`"Action":"*","Principal":"arn:aws:iam::123456789012:root"`), iam.ProblemWrongValue, `write {"AWS":`},
		{"unknown principal type", statement(`"Action":"*","Principal":{"Aws":"*"}`), iam.ProblemUnknownElement, `did you mean "AWS"?`},
		{"principal names nobody", statement(`"Action":"*","Principal":{}`), iam.ProblemWrongValue, "names nobody"},
		{"misspelt operator", statement(`"Action":"*","Condition":{"SringEquals":{"a":"b"}}`), iam.ProblemOperator, `did you mean "StringEquals"?`},
		{"unknown set operator", statement(`"Action":"*","Condition":{"ForAnyValues:StringEquals":{"a":"b"}}`), iam.ProblemOperator, "ForAnyValue"},
		{"Null with IfExists", statement(`"Action":"*","Condition":{"NullIfExists":{"a":"true"}}`), iam.ProblemOperator, "cannot have the suffix IfExists"},
		{"condition is an array", statement(`"Action":"*","Condition":[]`), iam.ProblemWrongType, "object of operators"},
		{"condition value is an object", statement(`"Action":"*","Condition":{"Null":{"a":{}}}`), iam.ProblemWrongType, "not an object"},
		{"a forged symbol", statement(`"Action":"*","Resource":"` + iam.Symbol("AWS::Partition") + `"`), iam.ProblemWrongValue, "private use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := iam.ParsePolicy([]byte(tt.document))
			if err == nil {
				t.Fatal("accepted")
			}
			if p != nil {
				t.Error("a refused policy was returned")
			}
			_, problems := iam.Parse([]byte(tt.document))
			found := false
			for _, problem := range problems {
				found = found || problem.Code == tt.code
			}
			if !found {
				t.Errorf("problems %v have none with code %s", problems, tt.code)
			}
			if !strings.Contains(err.Error(), tt.message) {
				t.Errorf("error is\n%s\nwant it to contain\n%s", err, tt.message)
			}
		})
	}
}

func TestParseReportsEveryProblemInOrder(t *testing.T) {
	_, problems := iam.Parse([]byte(`{"Statement":[{"Efect":"Allow","Action":1,"Condition":{"Bol":{}}}],"Version":"1"}`))
	var got []iam.ProblemCode
	for _, p := range problems {
		got = append(got, p.Code)
	}
	want := []iam.ProblemCode{iam.ProblemMissing, iam.ProblemUnknownElement, iam.ProblemWrongType, iam.ProblemOperator, iam.ProblemWrongValue}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%v\n%s", problems, diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":{"a":[true,1,"x"]}}}]}`)
	f.Add(`{"Statement":{"Sid":"\u00e9\ud83d\ude00","Effect":"Deny","NotPrincipal":{"AWS":["*"]},"NotAction":[],"NotResource":"*"}}`)
	f.Fuzz(func(t *testing.T, document string) {
		p, err := iam.ParsePolicy([]byte(document))
		if err != nil {
			return
		}
		written, err := p.MarshalJSON()
		if err != nil {
			t.Fatalf("a parsed policy cannot be written: %v", err)
		}
		again, err := iam.ParsePolicy(written)
		if err != nil {
			t.Fatalf("a written policy does not parse: %v\n%s", err, written)
		}
		rewritten, err := again.MarshalJSON()
		if err != nil || string(rewritten) != string(written) {
			t.Fatalf("%s\nbecame\n%s (%v)", written, rewritten, err)
		}
		canonical, err := iam.ParsePolicy(p.Canonical())
		if err != nil {
			t.Fatalf("the canonical form does not parse: %v\n%s", err, p.Canonical())
		}
		if string(canonical.Canonical()) != string(p.Canonical()) {
			t.Fatalf("the canonical form is not stable:\n%s\n%s", p.Canonical(), canonical.Canonical())
		}
	})
}

package iam_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
)

// A value gives the same policy, problems and positions as its text.
func TestParseValueAgreesWithParse(t *testing.T) {
	for _, document := range []string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":["arn:aws:s3:::b/*"],"Condition":{"Bool":{"aws:SecureTransport":true},"NumericLessThan":{"aws:MultiFactorAuthAge":60}}}]}`,
		`{"Statement":{"Effect":"Permit","Principals":"*"},"Statement":[]}`,
		`["a"]`, `"text"`, `null`, `{}`,
	} {
		v, err := iam.ReadValue([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		want, wantProblems := iam.Parse([]byte(document))
		got, problems := iam.ParseValue(v)
		if diff := cmp.Diff(wantProblems, problems); diff != "" {
			t.Errorf("%s: problems (-Parse +ParseValue):\n%s", document, diff)
		}
		if (want == nil) != (got == nil) {
			t.Fatalf("%s: Parse gives %v, ParseValue %v", document, want, got)
		}
		if got != nil {
			if diff := cmp.Diff(string(want.Indent()), string(got.Indent())); diff != "" {
				t.Errorf("%s: policies differ:\n%s", document, diff)
			}
			if a, b := want.Position("Statement[0].Action[0]"), got.Position("Statement[0].Action[0]"); a != b {
				t.Errorf("%s: position %v, want %v", document, b, a)
			}
		}
	}
}

// Symbols are what a value has over text.
func TestParseValueTakesSymbols(t *testing.T) {
	document := []byte(`{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + iam.Symbol("Bucket") + `/*"}]}`)
	if _, problems := iam.Parse(document); len(problems) != 1 {
		t.Errorf("text with a symbol has the problems %v, want one", problems)
	}
	v, err := iam.ReadValue(document)
	if err != nil {
		t.Fatal(err)
	}
	p, problems := iam.ParseValue(v)
	if len(problems) > 0 || !iam.HasSymbol(p.Statements[0].Resource[0]) {
		t.Errorf("got %+v with problems %v", p, problems)
	}
	if got := v.Get("Statement").Items[0].Get("Effect").Text; got != "Allow" {
		t.Errorf("Effect is %q", got)
	}
	if v.Get("Nothing").Get("Below") != nil {
		t.Error("a missing member has members")
	}
}

func TestReadValueRefuses(t *testing.T) {
	for _, document := range []string{``, `{"a":1,}`, `{"a"}`, "\"\xff\"", `{} {}`} {
		if _, err := iam.ReadValue([]byte(document)); err == nil {
			t.Errorf("%q was read", document)
		}
	}
}

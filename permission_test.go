package crossaccount

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// object reads JSON as configuration files do.
func object(t *testing.T, text string) map[string]interface{} {
	t.Helper()
	var v map[string]interface{}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func when(operator, key string, values ...string) iam.Condition {
	return iam.Condition{Operator: operator, Key: key, Values: values}
}

func TestConditionsOfEveryShape(t *testing.T) {
	type block = map[string]interface{}
	number := 7
	moment := time.Date(2026, 11, 21, 1, 2, 3, 0, time.FixedZone("", 3600))
	tests := []struct {
		name string
		in   block
		want []iam.Condition
	}{
		{"none", nil, nil},
		{"text", object(t, `{"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}`), []iam.Condition{when("StringEquals", "aws:RequestedRegion", "eu-west-1")}},
		{"list", object(t, `{"StringLike": {"s3:prefix": ["a/*", "b/*"]}}`), []iam.Condition{when("StringLike", "s3:prefix", "a/*", "b/*")}},
		{"true", object(t, `{"Bool": {"aws:SecureTransport": true}}`), []iam.Condition{when("Bool", "aws:SecureTransport", "true")}},
		{"numbers", object(t, `{"NumericLessThan": {"s3:max-keys": [10, 1.5, 1e21]}}`), []iam.Condition{when("NumericLessThan", "s3:max-keys", "10", "1.5", "1000000000000000000000")}},
		{"set operator", object(t, `{"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": ["a"]}}`), []iam.Condition{when("ForAnyValue:StringEqualsIfExists", "aws:TagKeys", "a")}},
		{"sorted", object(t, `{"StringLike": {"b:x": "1", "a:x": "2"}, "Bool": {"c:x": "true"}}`), []iam.Condition{
			when("Bool", "c:x", "true"), when("StringLike", "a:x", "2"), when("StringLike", "b:x", "1"),
		}},
		{"Go maps of strings", block{"StringEquals": map[string]string{"a:x": "1"}}, []iam.Condition{when("StringEquals", "a:x", "1")}},
		{"Go maps of lists", block{"StringEquals": map[string][]string{"a:x": {"1", "2"}}}, []iam.Condition{when("StringEquals", "a:x", "1", "2")}},
		{"Go scalars", block{"StringEquals": map[string]any{"a:x": []any{&number, uint8(1), float32(0.1), json.Number("12"), moment, [1]bool{}[0]}}},
			[]iam.Condition{when("StringEquals", "a:x", "7", "1", "0.1", "12", "2026-11-21T00:02:03Z", "false")}},
		{"ARNs of any partition", object(t, `{"ArnLike": {"aws:SourceArn": "arn:aws:s3:::${AWS::AccountId}-x"}}`),
			[]iam.Condition{when("ArnLike", "aws:SourceArn", "arn:"+template.Partition+":s3:::"+template.AccountID+"-x")}},
		{"policy variables stay", object(t, `{"StringEquals": {"s3:prefix": "${aws:username}"}}`), []iam.Condition{when("StringEquals", "s3:prefix", "${aws:username}")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var f findings
			got := f.conditions("at", test.in)
			if len(f.problems) > 0 {
				t.Fatal(f.problems)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What AWS would refuse is refused with the index of the permission and the
// name of the field.
func TestPermissionsThatAWSRefuses(t *testing.T) {
	ok := func(change func(*Permission)) Permission {
		p := Permission{Effect: "Allow", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::b/*"}}
		change(&p)
		return p
	}
	condition := func(text string) Permission {
		return ok(func(p *Permission) { p.Condition = object(t, text) })
	}
	tests := map[string]struct {
		permission Permission
		field      string
		says       string
	}{
		"effect":                 {ok(func(p *Permission) { p.Effect = "allow" }), "p[1].effect", "Allow or Deny"},
		"no actions":             {ok(func(p *Permission) { p.Actions = nil }), "p[1].actions", "at least one"},
		"no resources":           {ok(func(p *Permission) { p.Resources = []string{} }), "p[1].resources", "at least one"},
		"action without service": {ok(func(p *Permission) { p.Actions = []string{"s3:GetObject", "GetObject"} }), "p[1].actions[1]", "no service prefix"},
		"empty action":           {ok(func(p *Permission) { p.Actions = []string{""} }), "p[1].actions", ""},
		"wildcard service":       {ok(func(p *Permission) { p.Actions = []string{"s*:Get"} }), "p[1].actions", "wildcard"},
		"malformed ARN":          {ok(func(p *Permission) { p.Resources = []string{"my-bucket/*"} }), "p[1].resources", "ARN"},
		"short ARN":              {ok(func(p *Permission) { p.Resources = []string{"arn:aws:s3"} }), "p[1].resources", "ARN"},
		"typographic quote":      {ok(func(p *Permission) { p.Resources = []string{"arn:aws:s3:::“b”"} }), "p[1].resources[0]", "U+201C"},
		"forged symbol":          {ok(func(p *Permission) { p.Resources = []string{"arn:aws:s3:::" + template.Ref("ExternalId")} }), "p[1].resources[0]", "U+E000"},
		"forged symbol in sid":   {ok(func(p *Permission) { p.Sid = template.AccountID }), "p[1].sid", "letters"},
		"sid with a space":       {ok(func(p *Permission) { p.Sid = "My Statement" }), "p[1].sid", "letters"},
		"sid with an emoji":      {ok(func(p *Permission) { p.Sid = "ok🙂" }), "p[1].sid", "letters"},
		"sid twice":              {ok(func(p *Permission) { p.Sid = "First" }), "p[1].sid", "p[0]"},
		"misspelt operator":      {condition(`{"SringEquals": {"aws:username": "x"}}`), "p[1].condition.SringEquals", `"StringEquals"`},
		"operator with a text":   {condition(`{"StringEquals": "x"}`), "p[1].condition.StringEquals", "object"},
		"operator with a list":   {condition(`{"StringEquals": [{"a:b": "c"}]}`), "p[1].condition.StringEquals", "object"},
		"operator with nothing":  {condition(`{"StringEquals": {}}`), "p[1].condition.StringEquals", "no condition keys"},
		"null":                   {condition(`{"StringEquals": {"aws:username": null}}`), "p[1].condition.StringEquals.aws:username", "null"},
		"null in a list":         {condition(`{"StringEquals": {"aws:username": ["a", null]}}`), "p[1].condition.StringEquals.aws:username[1]", "null"},
		"object as value":        {condition(`{"StringEquals": {"aws:username": {"Ref": "x"}}}`), "p[1].condition.StringEquals.aws:username", "map"},
		"list in a list":         {condition(`{"StringEquals": {"aws:username": [["a"]]}}`), "p[1].condition.StringEquals.aws:username[0]", "slice"},
		"key without prefix":     {condition(`{"StringEquals": {"Ref": "AWS::AccountId"}}`), "p[1].condition.StringEquals.Ref", "prefix:Name"},
		"illegal character":      {condition(`{"StringEquals": {"aws:username": "Ł"}}`), "p[1].condition.StringEquals.aws:username", "U+0141"},
		"not a number": {ok(func(p *Permission) {
			p.Condition = map[string]any{"NumericEquals": map[string]any{"s3:max-keys": math.NaN()}}
		}), "p[1].condition.NumericEquals.s3:max-keys", "finite"},
		"channel": {ok(func(p *Permission) {
			p.Condition = map[string]any{"StringEquals": map[string]any{"aws:username": make(chan int)}}
		}), "p[1].condition.StringEquals.aws:username", "chan"},
		"number as key": {ok(func(p *Permission) {
			p.Condition = map[string]any{"StringEquals": map[int]any{1: "x"}}
		}), "p[1].condition.StringEquals", "object"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var f findings
			f.statements("p", []Permission{ok(func(p *Permission) { p.Sid = "First" }), test.permission})
			if len(f.problems) == 0 {
				t.Fatal("it is accepted")
			}
			for _, problem := range f.problems {
				if strings.HasPrefix(problem, test.field) && strings.Contains(problem, test.says) {
					return
				}
			}
			t.Errorf("no problem of %s says %q: %q", test.field, test.says, f.problems)
		})
	}
}

// What AWS accepts is a warning, with what to do about it.
func TestPermissionsThatAreUnwise(t *testing.T) {
	tests := map[string]struct {
		permission Permission
		field      string
	}{
		"bucket action on objects": {Permission{Actions: []string{"s3:GetObject", "s3:ListBucket"}, Resources: []string{"arn:aws:s3:::b/*"}}, "p[0].actions[1]"},
		"unknown action":           {Permission{Actions: []string{"s3:GetObjekt"}, Resources: []string{"*"}}, "p[0].actions[0]"},
		"unknown service":          {Permission{Actions: []string{"qqq:Get"}, Resources: []string{"*"}}, "p[0].actions[0]"},
		"everything":               {Permission{Actions: []string{"*"}, Resources: []string{"*"}}, "p[0].actions[0]"},
		"all resources":            {Permission{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}, "p[0].resources[0]"},
		"unknown condition key":    {Permission{Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::b/*"}, Condition: map[string]any{"StringEquals": map[string]any{"aws:SourceAcount": "x"}}}, "p[0].condition.StringEquals.aws:SourceAcount"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var f findings
			f.statements("p", []Permission{test.permission})
			if len(f.problems) > 0 {
				t.Fatalf("it is refused: %q", f.problems)
			}
			for _, w := range f.warnings {
				if w.Field == test.field && w.Code != "" && w.Message != "" && w.Remedy != "" {
					return
				}
			}
			t.Errorf("no complete warning about %s: %v", test.field, f.warnings)
		})
	}
}

// A resource that no role of this installation can reach is useless, and says
// so with what to do.
func TestForeignPartitionIsAWarning(t *testing.T) {
	for name, test := range map[string]struct {
		region, resource string
		foreign          bool
	}{
		"China from the commercial partition":    {"us-east-1", "arn:aws-cn:s3:::b/*", true},
		"GovCloud without a default region":      {"", "arn:aws-us-gov:s3:::b/*", true},
		"GovCloud from China":                    {"cn-north-1", "arn:aws-us-gov:s3:::b/*", true},
		"China from China":                       {"cn-north-1", "arn:aws-cn:s3:::b/*", false},
		"aws, which is the customer's partition": {"cn-north-1", "arn:aws:s3:::b/*", false},
		"any partition":                          {"us-east-1", "arn:aws*:s3:::b/*", false},
		"pseudo parameter":                       {"us-east-1", "arn:${AWS::Partition}:s3:::b/*", false},
		"everything":                             {"us-east-1", "*", false},
	} {
		t.Run(name, func(t *testing.T) {
			in := minimalInput()
			in.Config.DefaultRegion = test.region
			in.Config.OngoingPermissions = []Permission{{Effect: "Allow", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::a/*", test.resource}}}
			_, warnings, err := buildStack(in)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, w := range warnings {
				if w.Code == "foreign_partition" {
					found = true
					if w.Field != "ongoing_permissions[0].resources[1]" || w.Message == "" || w.Remedy == "" {
						t.Errorf("incomplete warning %v", w)
					}
				}
			}
			if found != test.foreign {
				t.Errorf("warnings %v, want a foreign partition: %v", warnings, test.foreign)
			}
		})
	}
}

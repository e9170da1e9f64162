package template_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/internal/stacktest"
)

func TestFullStackIsLegal(t *testing.T) {
	if err := stacktest.Full().Check(); err != nil {
		t.Fatal(err)
	}
}

func role(s *template.Stack) *template.Role { return s.Resources[0].Kind.(*template.Role) }
func managed(s *template.Stack) *template.ManagedPolicy {
	return s.Resources[1].Kind.(*template.ManagedPolicy)
}

func allow(resources ...string) *iam.Policy {
	return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: resources}}}
}

func TestCheckRefusesWhatAWSRefuses(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name  string
		spoil func(*template.Stack)
		field string // of the problem
		says  string
	}{
		{"too many parameters", func(s *template.Stack) {
			for i := range 200 {
				s.Parameters = append(s.Parameters, template.Parameter{ID: "P" + strings.Repeat("x", i+1)})
			}
		}, "Stack", "at most 200"},
		{"too many resources", func(s *template.Stack) {
			for i := range 500 {
				s.Resources = append(s.Resources, template.Resource{ID: "R" + strings.Repeat("x", i/250) + string(rune('a'+i%26)), Kind: managed(s)})
			}
		}, "Stack", "at most 500"},
		{"no resources", func(s *template.Stack) { s.Resources = nil }, "Resources", "at least one"},
		{"long description", func(s *template.Stack) { s.Description = long(1025) }, "Description", "at most 1024"},
		{"reference in a description", func(s *template.Stack) { s.Description = template.Region }, "Description", "references"},
		{"logical id with a hyphen", func(s *template.Stack) { s.Resources[1].ID = "My-Policy" }, "Resources[1]", "letters and digits"},
		{"logical id twice", func(s *template.Stack) { s.Resources[1].ID = "Role" }, "Resources[1]", "is taken"},
		{"ids that differ in case only", func(s *template.Stack) { s.Parameters[1].ID = "EXTERNALID"; s.Parameters[0].ID = "Externalid" }, "Parameters[1]", "is taken"},
		{"unknown parameter", func(s *template.Stack) { managed(s).Document = allow(template.Ref("Nobody")) }, "Resources.Always.Document.Statement[0].Resource[0]", `no parameter "Nobody"`},
		{"unknown resource", func(s *template.Stack) { s.Outputs[0].Value = template.Attribute("Nobody", "Arn") }, "Outputs.RoleArn.Value", `no resource "Nobody"`},
		{"unknown attribute", func(s *template.Stack) { s.Outputs[0].Value = template.Attribute("Role", "Nothing") }, "Outputs.RoleArn.Value", "no attribute"},
		{"foreign symbol", func(s *template.Stack) { s.Outputs[0].Value = iam.Symbol("AWS::Whatever") }, "Outputs.RoleArn.Value", "unknown reference"},
		{"unknown condition", func(s *template.Stack) { s.Resources[1].Condition = "Nobody" }, "Resources.Always.Condition", `no condition "Nobody"`},
		{"condition on itself", func(s *template.Stack) { s.Conditions[1].Expr = template.Not{Expr: template.Is("Quiet")} }, "Conditions.Quiet", "depends on itself"},
		{"And of one", func(s *template.Stack) { s.Conditions[0].Expr = template.And{template.Is("Setup")} }, "Conditions.Quiet", "2 to 10"},
		{"condition on a resource", func(s *template.Stack) { s.Conditions[2].Expr = template.Equals{A: template.Attribute("Role", "Arn")} }, "Conditions.Setup", "can only compare"},
		{"reference to what may not exist", func(s *template.Stack) { s.Outputs[0].Value = template.Attribute("OnlyDuringSetup", "Arn") }, "Outputs.RoleArn.Value", "exists only while"},
		{"role that needs itself", func(s *template.Stack) { role(s).Description = template.Attribute("Role", "Arn") }, "Resources.Role", "depends on itself"},
		{"role that needs its policy", func(s *template.Stack) { role(s).Description = template.Attribute("Always", "Arn") }, "Resources.Always", "depends on itself"},
		{"If inside a text", func(s *template.Stack) { s.Outputs[0].Value = "x" + template.If("Setup", "a", "b") }, "Outputs.RoleArn.Value", "whole of a string"},
		{"nested If", func(s *template.Stack) {
			s.Outputs[0].Value = template.If("Setup", template.If("Setup", "a", "b"), "c")
		}, "Outputs.RoleArn.Value", "nested"},
		{"Optional first", func(s *template.Stack) { managed(s).Document = allow(template.Optional("Setup", "*"), "*") }, "Resources.Always.Document.Statement[0].Resource[0]", "not of its first"},
		{"two Optionals", func(s *template.Stack) {
			managed(s).Document = allow("*", template.Optional("Setup", "*"), template.Optional("Setup", "*"))
		}, "Resources.Always.Document.Statement[0].Resource[2]", "only one"},
		{"default that is not allowed", func(s *template.Stack) { s.Parameters[2].Default = new("later") }, "Parameters.Phase.Default", "must be one of"},
		{"default that is no number", func(s *template.Stack) { s.Parameters[3].Default = new("many") }, "Parameters.Limit.Default", "number"},
		{"pattern of one format only", func(s *template.Stack) { s.Parameters[0].Pattern = `\d+` }, "Parameters.ExternalId.Pattern", "backslash"},
		{"broken pattern", func(s *template.Stack) { s.Parameters[0].Pattern = `[` }, "Parameters.ExternalId.Pattern", "regular expression"},
		{"impossible lengths", func(s *template.Stack) { s.Parameters[0].MinLength = 65 }, "Parameters.ExternalId", "no legal value"},
		{"long role name", func(s *template.Stack) { role(s).Name = long(65) }, "Resources.Role.Name", "at most 64"},
		{"role name that may become long", func(s *template.Stack) { role(s).Name = template.Ref("ExternalId") + "-x" }, "Resources.Role.Name", "at most 64"},
		{"role name with a slash", func(s *template.Stack) { role(s).Name = "a/b" }, "Resources.Role.Name", "illegal character"},
		{"role named after a resource", func(s *template.Stack) { role(s).Name = template.Attribute("Always", "Name") }, "Resources.Role.Name", "cannot refer"},
		{"no policy name", func(s *template.Stack) { managed(s).Name = "" }, "Resources.Always.Name", "empty"},
		{"long policy name", func(s *template.Stack) { managed(s).Name = long(129) }, "Resources.Always.Name", "at most 128"},
		{"path without slash", func(s *template.Stack) { role(s).Path = "/vendor" }, "Resources.Role.Path", "begin and end"},
		{"long path", func(s *template.Stack) { role(s).Path = "/" + long(511) + "/" }, "Resources.Role.Path", "at most 512"},
		{"description outside Latin-1", func(s *template.Stack) { role(s).Description = "łódź" }, "Resources.Role.Description", "Latin-1"},
		{"long role description", func(s *template.Stack) { role(s).Description = long(1001) }, "Resources.Role.Description", "at most 1000"},
		{"session too short", func(s *template.Stack) { role(s).MaxSessionDuration = 900 }, "Resources.Role.MaxSessionDuration", "between 3600 and 43200"},
		{"no trust policy", func(s *template.Stack) { role(s).Trust = nil }, "Resources.Role.Trust", "no policy"},
		{"large trust policy", func(s *template.Stack) {
			role(s).Trust.Statements[0].Conditions[0].Values = []string{long(2048)}
		}, "Resources.Role.Trust", "at most 2048"},
		{"large managed policy", func(s *template.Stack) { managed(s).Document = allow("arn:aws:s3:::" + long(6144)) }, "Resources.Always.Document", "at most 6144"},
		{"large inline policies", func(s *template.Stack) { role(s).Inline[0].Document = allow("arn:aws:s3:::" + long(10240)) }, "Resources.Role.Inline", "at most 10240"},
		{"inline policy twice", func(s *template.Stack) { role(s).Inline = append(role(s).Inline, role(s).Inline[0]) }, "Resources.Role.Inline[1].Name", "unique"},
		{"character IAM refuses", func(s *template.Stack) { managed(s).Document = allow("arn:aws:s3:::Ā") }, "Resources.Always.Document", "U+0100"},
		{"policy that is none", func(s *template.Stack) { managed(s).Document = &iam.Policy{} }, "Resources.Always.Document.Statement", "at least one"},
		{"eleven attachments", func(s *template.Stack) {
			for range 9 {
				role(s).ManagedPolicyARNs = append(role(s).ManagedPolicyARNs, "arn:aws:iam::aws:policy/ReadOnlyAccess")
			}
		}, "Resources.Role", "may have 10"},
		{"attachment to what is no role", func(s *template.Stack) { managed(s).Roles = []string{"Always"} }, "Resources.Always.Roles[0]", "no role"},
		{"boundary that is no ARN", func(s *template.Stack) { role(s).PermissionsBoundary = "limits" }, "Resources.Role.PermissionsBoundary", "no ARN"},
		{"too many tags", func(s *template.Stack) {
			for i := range 51 {
				role(s).Tags = append(role(s).Tags, template.Tag{Key: long(i + 10)})
			}
		}, "Resources.Role.Tags", "may have 50"},
		{"reserved tag", func(s *template.Stack) { role(s).Tags[0].Key = "AWS:x" }, "Resources.Role.Tags[0]", "reserved"},
		{"tag twice", func(s *template.Stack) { role(s).Tags[1].Key = "Owner" }, "Resources.Role.Tags[1]", "twice"},
		{"long tag value", func(s *template.Stack) { role(s).Tags[0].Value = long(257) }, "Resources.Role.Tags[0]", "at most 256"},
		{"NUL in a tag", func(s *template.Stack) { role(s).Tags[0].Value = "a\x00b" }, "Resources.Role.Tags[0].Value", "NUL"},
		{"dynamic reference in a resource", func(s *template.Stack) { managed(s).Document = allow("arn:aws:s3:::{{resolve:ssm:bucket}}/*") }, "Resources.Always.Document.Statement[0].Resource[0]", "{{resolve:"},
		{"dynamic reference around a symbol", func(s *template.Stack) {
			managed(s).Document = allow("arn:aws:s3:::{{resolve:secretsmanager:" + template.Region + "}}")
		}, "Resources.Always.Document.Statement[0].Resource[0]", "{{resolve:"},
		{"dynamic reference that a parameter completes", func(s *template.Stack) {
			managed(s).Document = allow("arn:aws:s3:::{{res" + template.Ref("ExternalId") + "x}}")
		}, "Resources.Always.Document.Statement[0].Resource[0]", "some values of parameter"},
		{"dynamic reference in an action", func(s *template.Stack) {
			managed(s).Document = allow("*")
			managed(s).Document.Statements[0].Action = []string{"{{resolve:ssm:action}}"}
		}, "Resources.Always.Document.Statement[0].Action", "{{resolve:"},
		{"dynamic reference in a Sid", func(s *template.Stack) { managed(s).Document.Statements[0].Sid = "{{resolve:ssm:sid}}" }, "Resources.Always.Document.Statement[0].Sid", "{{resolve:"},
		{"dynamic reference in a condition's key", func(s *template.Stack) {
			role(s).Trust.Statements[0].Conditions[0].Key = "aws:PrincipalTag/{{resolve:ssm:key}}"
		}, "Resources.Role.Trust.Statement[0].Condition", "{{resolve:"},
		{"dynamic reference in a condition's value", func(s *template.Stack) {
			role(s).Trust.Statements[0].Conditions[0].Values = []string{"{{RESOLVE:ssm-secure:id}}"}
		}, "Resources.Role.Trust.Statement[0].Condition.StringEquals.sts:ExternalId[0]", "{{resolve:"},
		{"dynamic reference in a tag", func(s *template.Stack) { role(s).Tags[0].Value = "{{resolve:ssm:owner}}" }, "Resources.Role.Tags[0].Value", "{{resolve:"},
		{"dynamic reference in a description", func(s *template.Stack) { s.Description = "{{resolve:ssm:text}}" }, "Description", "{{resolve:"},
		{"dynamic reference in a default", func(s *template.Stack) { s.Parameters[0].Default = new("{{resolve:ssm:id}}") }, "Parameters.ExternalId.Default", "{{resolve:"},
		{"dynamic reference in a branch", func(s *template.Stack) {
			s.Outputs[0].Value = template.If("Setup", "a", "{{resolve:ssm:id}}")
		}, "Outputs.RoleArn.Value", "{{resolve:"},
		{"invalid UTF-8", func(s *template.Stack) { role(s).Description = "\xff" }, "Resources.Role.Description", "UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := stacktest.Full()
			test.spoil(s)
			err := s.Check()
			var e *template.Error
			if !errors.As(err, &e) {
				t.Fatalf("Check() = %v, want a *template.Error", err)
			}
			for _, p := range e.Problems {
				if p.Field == test.field && strings.Contains(p.Message, test.says) {
					return
				}
			}
			t.Errorf("no problem of %s says %q:\n%v", test.field, test.says, err)
		})
	}
}

func TestResolve(t *testing.T) {
	resolve := func(t *testing.T, change map[string]string) *template.Stack {
		t.Helper()
		values := stacktest.Values()
		for name, value := range change {
			values[name] = value
		}
		s, err := stacktest.Full().Resolve(values)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("defaults", func(t *testing.T) {
		s := resolve(t, nil)
		r := role(s)
		got := map[string]any{
			"name": r.Name, "boundary": r.PermissionsBoundary, "tag": r.Tags[1].Value, "resources": len(s.Resources),
			"trusted": r.Trust.Statements[0].Principal.AWS, "ids": r.Trust.Statements[0].Conditions[0].Values,
			"teams": r.Trust.Statements[0].Conditions[2].Values, "self": managed(s).Document.Statements[1].Resource,
			"outputs": []string{s.Outputs[0].Value, s.Outputs[1].Value, s.Outputs[2].Value},
		}
		want := map[string]any{
			"name": "reader-us-gov-west-1", "boundary": "arn:aws-us-gov:iam::444455556666:policy/limits", "tag": "amazonaws.com", "resources": 3,
			"trusted": []string{"arn:aws-us-gov:iam::111122223333:root"}, "ids": []string{"acme-0123456789abcdef"},
			"teams": []string{"a", "b", "c"}, "self": []string{"arn:aws-us-gov:iam::444455556666:role/vendor/reader-us-gov-west-1"},
			"outputs": []string{"arn:aws-us-gov:iam::444455556666:role/vendor/reader-us-gov-west-1", "in us-gov-west-1/amazonaws.com as reader-us-gov-west-1", "finish setup"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("other conditions", func(t *testing.T) {
		s := resolve(t, map[string]string{"Phase": "neither", "Previous": "older"})
		conditions := role(s).Trust.Statements[0].Conditions
		got := [][]string{conditions[0].Values, conditions[2].Values, {s.Outputs[2].Value}}
		if diff := cmp.Diff([][]string{{"acme-0123456789abcdef", "older"}, {"a", "c"}, {"it's done"}}, got); diff != "" {
			t.Error(diff)
		}
		if len(s.Resources) != 2 {
			t.Errorf("%d resources, want the conditional one gone", len(s.Resources))
		}
	})
	for name, test := range map[string]struct{ parameter, value, says string }{
		"illegal value":      {"ExternalId", "secret value", "must match"},
		"too short":          {"ExternalId", "x", "at least 2"},
		"not allowed":        {"Phase", "secret", "must be one of"},
		"unknown parameter":  {"Nobody", "secret", "no such parameter"},
		"line break":         {"Previous", "secret\nvalue", "control character"},
		"longer than 4096 B": {"Previous", strings.Repeat("secret", 1000), "at most 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			values := stacktest.Values()
			values[test.parameter] = test.value
			_, err := stacktest.Full().Resolve(values)
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), test.parameter) {
				t.Fatalf("error %v, want one about %s that says %q", err, test.parameter, test.says)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats the value: %v", err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		values := stacktest.Values()
		delete(values, "AWS::Partition")
		if _, err := stacktest.Full().Resolve(values); err == nil || !strings.Contains(err.Error(), "AWS::Partition") {
			t.Errorf("error %v, want one about AWS::Partition", err)
		}
		values = stacktest.Values()
		delete(values, "ExternalId")
		if _, err := stacktest.Full().Resolve(values); err == nil || !strings.Contains(err.Error(), "ExternalId") {
			t.Errorf("error %v, want one about ExternalId", err)
		}
	})
}

func TestHashChangesWithContentOnly(t *testing.T) {
	base := stacktest.Full().Hash()
	if len(base) != 64 {
		t.Fatalf("hash %q is no SHA-256", base)
	}
	same := stacktest.Full()
	same.Metadata = template.Metadata{Version: "8", Generator: "another test"}
	if same.Hash() != base {
		t.Error("metadata changes the hash")
	}
	for name, change := range map[string]func(*template.Stack){
		"description": func(s *template.Stack) { s.Description += "." },
		"default":     func(s *template.Stack) { s.Parameters[1].Default = new("x") },
		"condition":   func(s *template.Stack) { s.Conditions[2].Expr = template.Equals{A: template.Ref("Phase"), B: "x"} },
		"session":     func(s *template.Stack) { role(s).MaxSessionDuration++ },
		"action":      func(s *template.Stack) { managed(s).Document.Statements[0].Action[0] = "s3:*" },
		"resource":    func(s *template.Stack) { managed(s).Document.Statements[0].Resource[0] = "*" },
		"guard":       func(s *template.Stack) { s.Resources[2].Condition = "" },
		"output":      func(s *template.Stack) { s.Outputs[0].Value = "x" },
		"attachment":  func(s *template.Stack) { managed(s).Roles = nil },
	} {
		s := stacktest.Full()
		change(s)
		if s.Hash() == base {
			t.Errorf("%s does not change the hash", name)
		}
	}
}

func TestSizeReckonsWithTheLongestValues(t *testing.T) {
	s := stacktest.Full()
	short := s.Size(allow("arn:aws:s3:::x"))
	tests := map[string]int{
		"arn:" + template.Partition + ":s3:::x":                 len("aws-us-gov") - len("aws"),
		"arn:aws:s3:::x" + template.AccountID:                   12,
		"arn:aws:s3:::x" + template.Ref("ExternalId"):           64,
		"arn:aws:s3:::x" + template.Ref("Limit"):                3,
		"arn:aws:s3:::x" + template.Ref("Phase"):                len("it's done"),
		"arn:aws:s3:::x" + template.Attribute("Always", "Name"): len("always"),
	}
	for resource, want := range tests {
		if got := s.Size(allow(resource)) - short; got != want {
			t.Errorf("%v counts %d characters, want %d", template.Parts(resource), got, want)
		}
	}
}

func TestSnakeCase(t *testing.T) {
	for id, want := range map[string]string{
		"ExternalId": "external_id", "RoleARN": "role_arn", "ARNOfRole": "arn_of_role", "x": "x", "Policy1": "policy1", "ABC": "abc",
	} {
		if got := template.SnakeCase(id); got != want {
			t.Errorf("SnakeCase(%q) = %q, want %q", id, got, want)
		}
	}
}

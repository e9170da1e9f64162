// Package stacktest has stacks for the tests of the packages that write stacks:
// one that uses everything, and as many hostile ones as a test wants.
package stacktest

import (
	"strings"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// Values has a legal value for everything a stack of this package needs.
func Values() map[string]string {
	return map[string]string{
		"ExternalId":     "acme-0123456789abcdef",
		"AWS::Partition": "aws-us-gov",
		"AWS::AccountId": "444455556666",
		"AWS::Region":    "us-gov-west-1",
		"AWS::URLSuffix": "amazonaws.com",
	}
}

// Full returns a stack that uses every feature of the package.
func Full() *template.Stack {
	return &template.Stack{
		Description: "Everything a stack can have",
		Metadata:    template.Metadata{Version: "7", Generator: "a test"},
		Parameters: []template.Parameter{
			{ID: "ExternalId", Label: "External ID", Description: "Yours", Pattern: "[A-Za-z0-9-]+", MinLength: 2, MaxLength: 64, Constraint: "2 to 64 letters"},
			{ID: "Previous", Default: new(""), SizeHint: 64},
			{ID: "Phase", Default: new("setup"), AllowedValues: []string{"setup", "it's done", "neither"}},
			{ID: "Limit", Type: template.Number, Default: new("12"), SizeHint: 3},
		},
		Conditions: []template.Condition{
			{ID: "Quiet", Expr: template.And{template.Not{Expr: template.Is("Setup")}, template.Or{template.Is("HasPrevious"), template.Equals{A: template.Region, B: "eu-west-1"}}}},
			{ID: "HasPrevious", Expr: template.Not{Expr: template.Equals{A: template.Ref("Previous"), B: ""}}},
			{ID: "Setup", Expr: template.Equals{A: template.Ref("Phase"), B: "setup"}},
		},
		Resources: []template.Resource{
			{ID: "Role", Kind: &template.Role{
				Name:               "reader-" + template.Region,
				Path:               "/vendor/",
				Description:        "Reads $things, 100 %{of} ${them} in \"quotes\" & <brackets>",
				MaxSessionDuration: 7200,
				Trust: policy(iam.Statement{
					Effect:    iam.Allow,
					Principal: &iam.Principals{AWS: []string{"arn:" + template.Partition + ":iam::111122223333:root"}},
					Action:    []string{"sts:AssumeRole"},
					Conditions: []iam.Condition{
						{Operator: "StringEquals", Key: "sts:ExternalId", Values: []string{template.Ref("ExternalId"), template.Optional("HasPrevious", template.Ref("Previous"))}},
						{Operator: "NumericLessThan", Key: "aws:MultiFactorAuthAge", Values: []string{template.Ref("Limit")}},
						{Operator: "StringEquals", Key: "aws:PrincipalTag/team", Values: []string{"a", template.Optional("Setup", "b"), "c"}},
					},
				}),
				Inline: []template.InlinePolicy{{Name: "self", Document: policy(iam.Statement{
					Sid: "Self", Effect: iam.Allow, Action: []string{"sts:GetCallerIdentity"}, Resource: []string{"*"},
				})}},
				ManagedPolicyARNs:   []string{"arn:" + template.Partition + ":iam::aws:policy/SecurityAudit"},
				PermissionsBoundary: "arn:" + template.Partition + ":iam::" + template.AccountID + ":policy/limits",
				Tags:                []template.Tag{{Key: "owner", Value: "data team"}, {Key: "domain", Value: template.URLSuffix}},
			}},
			{ID: "Always", Kind: &template.ManagedPolicy{
				Name: "always", Path: "/vendor/", Description: "Granted always", Roles: []string{"Role"},
				Document: policy(iam.Statement{
					Sid: "Home", Effect: iam.Allow, Action: []string{"s3:GetObject", "s3:PutObject"},
					Resource: []string{"arn:" + template.Partition + ":s3:::homes/${aws:username}/*", "arn:" + template.Partition + ":s3:::${"},
				}, iam.Statement{
					Sid: "Self", Effect: iam.Allow, Action: []string{"iam:GetRole"}, Resource: []string{template.Attribute("Role", "Arn")},
				}),
			}},
			{ID: "OnlyDuringSetup", Condition: "Setup", Kind: &template.ManagedPolicy{
				Name: "setup", Path: "/vendor/", Roles: []string{"Role"},
				Document: policy(iam.Statement{Effect: iam.Deny, Action: []string{"iam:*"}, Resource: []string{"*"}}),
			}},
		},
		Outputs: []template.Output{
			{ID: "RoleArn", Description: "The role", Value: template.Attribute("Role", "Arn")},
			{ID: "Where", Value: "in " + template.Region + "/" + template.URLSuffix + " as " + template.Attribute("Role", "Name")},
			{ID: "NextSteps", Value: template.If("Setup", "finish "+template.Ref("Phase"), "it's done")},
		},
	}
}

func policy(statements ...iam.Statement) *iam.Policy {
	return &iam.Policy{Version: iam.Version2012, Statements: statements}
}

// dangerous are pieces of text that mean something to JSON, CloudFormation,
// Terraform or a shell.
var dangerous = []string{
	"$", "{", "}", "%", "${", "%{", "$${", "${!", "${AWS::Region}", "${Role.Arn}", "${aws:username}", "${*}",
	"'", `"`, "\\", "`", "$(touch pwned)", "`touch pwned`", "; touch pwned;", "| touch pwned", "&& touch pwned", "\ntouch pwned\n", "#", "!", "~",
	"Ref", "Fn::Sub", `{"Ref":"x"}`, `","x":"`, "<", ">", "&", "file:///etc/passwd", "EOF", "-", "--", "*", "?", "é", "ÿ", " ", "\t", "\r", "\n", "a",
}

// Text generates texts that try to be something else, with references to the
// variables and to a parameter Value in between.
func Text() *rapid.Generator[string] {
	references := []string{template.Ref("Value"), template.Partition, template.AccountID, template.Region, template.URLSuffix}
	return rapid.Custom(func(t *rapid.T) string {
		pieces := rapid.SliceOfN(rapid.SampledFrom(append(references, dangerous...)), 1, 8).Draw(t, "pieces")
		return static(strings.Join(pieces, ""))
	})
}

// static keeps a text from becoming a dynamic reference of CloudFormation with
// some values of the parameter, which stacks refuse.
func static(text string) string {
	value := template.Ref("Value")
	return strings.ReplaceAll(text, "{"+value, "{."+value)
}

// Hostile returns a legal stack whose texts try to be something else, and the
// values for its parameters.
func Hostile(t *rapid.T) (*template.Stack, map[string]string) {
	text := func(label string) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(dangerous), 0, 6).Draw(t, label), "")
	}
	independent := []string{template.Ref("Value"), template.Partition, template.AccountID, template.Region, template.URLSuffix}
	all := append([]string{template.Attribute("Role", "Arn"), template.Attribute("Role", "Name")}, independent...)
	mixedOf := func(references []string, label string) string {
		var b strings.Builder
		for range rapid.IntRange(0, 3).Draw(t, label+" references") {
			b.WriteString(text(label))
			b.WriteString(rapid.SampledFrom(references).Draw(t, label))
		}
		b.WriteString(text(label))
		return static(b.String())
	}
	mixed := func(label string) string { return mixedOf(all, label) }
	own := func(label string) string { return mixedOf(independent, label) } // for the role itself
	printable := func(s string) string { return strings.NewReplacer("\r", " ", "\t", " ").Replace(s) }
	list := []string{own("value"), own("value"), template.Optional("Given", own("optional")), own("value")}
	s := &template.Stack{
		Description: printable(text("description")),
		Metadata:    template.Metadata{Version: printable(text("version")), Generator: printable(text("generator"))},
		Parameters: []template.Parameter{
			{ID: "Value", Description: printable(text("help")), Default: new(""), SizeHint: 20},
			{ID: "Odd", Default: new(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(text("default"))), SizeHint: 20},
		},
		Conditions: []template.Condition{
			{ID: "Given", Expr: template.Not{Expr: template.Equals{A: template.Ref("Value"), B: ""}}},
			{ID: "Same", Expr: template.Equals{A: template.Ref("Odd") + text("compared"), B: text("compared")}},
		},
		Resources: []template.Resource{
			{ID: "Role", Kind: &template.Role{
				Name: "role", Path: "/vendor/", Description: text("role description"),
				Trust: policy(iam.Statement{
					Effect: iam.Allow, Principal: &iam.Principals{AWS: []string{"111122223333"}}, Action: []string{"sts:AssumeRole"},
					Conditions: []iam.Condition{{Operator: "StringEquals", Key: "sts:ExternalId", Values: list}},
				}),
				Inline: []template.InlinePolicy{{Name: "inline", Document: policy(iam.Statement{
					Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: []string{"arn:aws:s3:::" + own("resource") + "x"},
				})}},
			}},
			{ID: "Policy", Condition: "Same", Kind: &template.ManagedPolicy{
				Name: "policy", Path: "/vendor/", Description: text("policy description"), Roles: []string{"Role"},
				Document: policy(iam.Statement{
					Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: []string{"arn:aws:s3:::" + mixed("resource") + "x"},
					Conditions: []iam.Condition{{Operator: "StringLike", Key: "aws:PrincipalTag/" + strings.Map(plainRune, text("key")) + "x", Values: []string{mixed("value")}}},
				}),
			}},
		},
		Outputs: []template.Output{
			{ID: "Mixed", Description: printable(text("output")), Value: mixed("output") + "."},
			{ID: "Either", Value: template.If("Given", mixed("then"), mixed("otherwise"))},
		},
	}
	values := Values()
	delete(values, "ExternalId")
	if rapid.Bool().Draw(t, "given") {
		values["Value"] = strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(text("parameter"))
	}
	return s, values
}

// plainRune drops what a condition key cannot have.
func plainRune(r rune) rune {
	if r < '!' || r > '~' {
		return -1
	}
	return r
}

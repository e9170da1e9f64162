package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// lambdaFunction is the kind of Lambda functions. Their policies are written as
// AWS::Lambda::Permission, one statement each, which cannot have conditions on
// the caller: the role is always named.
//
// https://docs.aws.amazon.com/lambda/latest/dg/permissions-function-cross-account.html
func lambdaFunction() *kind {
	function := func(i *instance, n *Narrowing) []string {
		if n.Qualifier != "" {
			return []string{i.arn + ":" + n.Qualifier}
		}
		return []string{i.arn}
	}
	return &kind{
		name: "lambda-function", title: "Lambda function", service: "lambda",
		page: "https://docs.aws.amazon.com/lambda/latest/dg/permissions-function-cross-account.html",
		arn:  arnOf("lambda", "function:"),
		accesses: []access{
			{word: "invoke", doc: "invoke the function", rights: []right{{sid: "Invoke", actions: []string{"lambda:InvokeFunction"}, on: function}}},
			{word: "read", doc: "read the function's configuration", readOnly: true, rights: []right{{sid: "ReadConfiguration", actions: []string{"lambda:GetFunctionConfiguration"}, on: function}}},
		},
		narrowing: []string{"qualifier"},
		policy: &policyType{
			service: "lambda", single: true, unconditional: true,
			resource: func(i *instance, _ string, p *iam.Policy) (string, template.Object) {
				s := p.Statements[0]
				return "AWS::Lambda::Permission", template.Object{
					{Key: "FunctionName", Value: s.Resource[0]}, {Key: "Action", Value: s.Action[0]}, {Key: "Principal", Value: s.Principal.AWS[0]},
				}
			},
			terraform: func(i *instance, sid string, p *iam.Policy) template.Block {
				s := p.Statements[0]
				o := template.Object{{Key: "statement_id", Value: sid}, {Key: "action", Value: s.Action[0]}, {Key: "function_name", Value: i.arn}, {Key: "principal", Value: s.Principal.AWS[0]}}
				if q, ok := cutPrefix(s.Resource[0], i.arn+":"); ok {
					o.Add("qualifier", q)
				}
				return template.Block{Type: "aws_lambda_permission", Arguments: o}
			},
		},
		caveats: []string{
			"A permission for an alias or version holds only for callers that name it.",
			"Permissions name the role; a role that is created anew must be granted again.",
			"AWS::Lambda::ResourcePolicy, new in 2026, writes the whole policy; never use both on one function.",
		},
	}
}

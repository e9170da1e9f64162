package grant

import (
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// dynamoTable is the kind of DynamoDB tables with their indexes and streams.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/access-control-resource-based.html
func dynamoTable() *kind {
	withIndexes := func(i *instance, n *Narrowing) []string {
		arns := []string{i.arn}
		for _, index := range n.Indexes {
			arns = append(arns, i.arn+"/index/"+index)
		}
		return arns
	}
	limited := func(_ *instance, n *Narrowing) []iam.Condition {
		c := condition("ForAllValues:StringEquals", "dynamodb:LeadingKeys", n.Keys...)
		if len(c) > 0 {
			// ForAllValues is true for a request without the key.
			c = append(c, condition("Null", "dynamodb:LeadingKeys", "false")...)
		}
		if len(n.Attributes) > 0 {
			c = append(c, condition("ForAllValues:StringEquals", "dynamodb:Attributes", n.Attributes...)...)
			c = append(c, condition("Null", "dynamodb:Attributes", "false")...)
		}
		return c
	}
	describe := right{sid: "DescribeTable", actions: []string{"dynamodb:DescribeTable"}}
	unlimited := func(_ *instance, n *Narrowing) bool { return len(n.Keys) == 0 }
	return &kind{
		name: "dynamodb-table", title: "DynamoDB table", service: "dynamodb",
		page: "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/rbac-cross-account-access.html",
		arn:  arnOf("dynamodb", "table/"),
		accesses: []access{
			{word: "read", doc: "get and query items, and scan unless keys narrow the grant", readOnly: true, key: []string{"kms:Decrypt"}, rights: []right{
				{sid: "ReadItems", actions: []string{"dynamodb:GetItem", "dynamodb:BatchGetItem"}, when: limited},
				{sid: "QueryItems", actions: []string{"dynamodb:Query"}, on: withIndexes, when: limited},
				{sid: "ScanItems", actions: []string{"dynamodb:Scan"}, on: withIndexes, when: limited, wanted: unlimited},
				describe,
			}},
			{word: "write", doc: "put, update and delete items", key: []string{"kms:Decrypt"}, rights: []right{
				{sid: "WriteItems", actions: []string{"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}, when: limited},
				describe,
			}},
		},
		narrowing:  []string{"indexes", "keys", "attributes"},
		near:       func(i *instance, _ string) []string { return []string{i.arn + "/index/another"} },
		encryption: "aws-owned", via: "dynamodb",
		policy: &policyType{
			service: "dynamodb", property: "ResourcePolicy.PolicyDocument",
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_dynamodb_resource_policy", Arguments: template.Object{{Key: "resource_arn", Value: i.arn}, {Key: "policy", Value: p}}}
			},
			put: func(i *instance, _ string) []string {
				return []string{"aws", "dynamodb", "put-resource-policy", "--resource-arn", i.arn, "--policy", documentFile}
			},
			remove: func(i *instance, _ string) []string {
				return []string{"aws", "dynamodb", "delete-resource-policy", "--resource-arn", i.arn}
			},
		},
		create: &createType{cloudFormation: "AWS::DynamoDB::Table", nameProperty: "TableName", keyProperty: "SSESpecification.KMSMasterKeyId", arnAttribute: "Arn"},
		caveats: []string{
			"Consumers pass the table's ARN as TableName.",
			"Queries of an index need the index in only.indexes: its ARN is another resource, but its rights are in the table's policy.",
			"A table that is encrypted with alias/aws/dynamodb cannot be used from other accounts; the default key, which AWS owns, can.",
			"Between two changes of one resource's policy DynamoDB wants 15 seconds.",
			"CloudFormation does not notice when somebody else changes the policy.",
		},
	}
}

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

// ecrRepository is the kind of private ECR repositories. Statements of their
// policies have no Resource element.
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policy-examples.html
func ecrRepository() *kind {
	token := right{sid: "GetAuthorizationToken", actions: []string{"ecr:GetAuthorizationToken"}, on: everything, side: consumerSide}
	pull := []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"}
	push := []string{"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"}
	return &kind{
		name: "ecr-repository", title: "ECR repository", service: "ecr",
		page: "https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policy-examples.html",
		arn:  arnOf("ecr", "repository/"),
		accesses: []access{
			{word: "pull", doc: "pull images", readOnly: true, rights: []right{token, {sid: "PullImages", actions: pull}}},
			{word: "push", doc: "push images", rights: []right{token, {sid: "PushImages", actions: append(slices.Clone(push), pull...)}}},
		},
		policy: &policyType{
			service: "ecr", property: "RepositoryPolicyText", bare: true,
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_ecr_repository_policy", Arguments: template.Object{{Key: "repository", Value: i.physical}, {Key: "policy", Value: p}}}
			},
			put: func(i *instance, _ string) []string {
				return []string{"aws", "ecr", "set-repository-policy", "--registry-id", i.site.ID, "--repository-name", i.physical, "--policy-text", documentFile}
			},
			remove: func(i *instance, _ string) []string {
				return []string{"aws", "ecr", "delete-repository-policy", "--registry-id", i.site.ID, "--repository-name", i.physical}
			},
		},
		create: &createType{cloudFormation: "AWS::ECR::Repository", nameProperty: "RepositoryName", arnAttribute: "Arn"},
		caveats: []string{
			"The token for docker login comes from the consumer's own account: GetAuthorizationToken cannot be granted by a repository.",
			"Functions that run an image of another account need a statement for lambda.amazonaws.com as well; put it in keep.",
		},
	}
}

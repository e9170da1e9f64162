package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// streamPart is the stream of a table. It has a policy of its own, and an ARN
// that ends in the time it was switched on.
const streamPart = "stream"

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
	limited := func(n *Narrowing, key string, values ...string) []iam.Condition {
		c := condition("ForAllValues:StringEquals", "dynamodb:LeadingKeys", n.Keys...)
		if len(c) > 0 {
			// ForAllValues is true for a request without the key.
			c = append(c, condition("Null", "dynamodb:LeadingKeys", "false")...)
		}
		if len(n.Attributes) > 0 {
			c = append(c, condition("ForAllValues:StringEquals", "dynamodb:Attributes", n.Attributes...)...)
			c = append(c, condition("Null", "dynamodb:Attributes", "false")...)
			c = append(c, condition("StringEqualsIfExists", key, values...)...)
		}
		return c
	}
	// A query that names no attributes, and a write that asks for the old item,
	// would get all of them: dynamodb:Attributes has those of the request alone.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples_dynamodb_attributes.html
	reading := func(_ *instance, n *Narrowing) []iam.Condition {
		return limited(n, "dynamodb:Select", "SPECIFIC_ATTRIBUTES")
	}
	writing := func(_ *instance, n *Narrowing) []iam.Condition {
		return limited(n, "dynamodb:ReturnValues", "NONE", "UPDATED_NEW", "UPDATED_OLD")
	}
	describe := right{sid: "DescribeTable", actions: []string{"dynamodb:DescribeTable"}}
	unlimited := func(_ *instance, n *Narrowing) bool { return len(n.Keys) == 0 }
	return &kind{
		name: "dynamodb-table", title: "DynamoDB table", service: "dynamodb",
		page: "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/rbac-cross-account-access.html",
		arn:  arnOf("dynamodb", "table/"),
		accesses: []access{
			{word: "read", doc: "get and query items, and scan unless keys narrow the grant", readOnly: true, key: []string{"kms:Decrypt"}, rights: []right{
				{sid: "ReadItems", actions: []string{"dynamodb:GetItem", "dynamodb:BatchGetItem"}, when: reading},
				{sid: "QueryItems", actions: []string{"dynamodb:Query"}, on: withIndexes, when: reading},
				{sid: "ScanItems", actions: []string{"dynamodb:Scan"}, on: withIndexes, when: reading, wanted: unlimited},
				describe,
			}},
			{word: "write", doc: "put, update and delete items", key: []string{"kms:Decrypt"}, rights: []right{
				{sid: "WriteItems", actions: []string{"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}, when: writing},
				describe,
			}},
			{word: "stream", doc: "read the table's stream, also by a Lambda event source mapping", readOnly: true, key: []string{"kms:Decrypt"}, ignores: []string{"indexes", "keys", "attributes"}, rights: []right{
				{sid: "ReadStream", actions: []string{"dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"}, part: streamPart, on: func(i *instance, _ *Narrowing) []string {
					return []string{i.partARN(streamPart)}
				}},
			}},
		},
		narrowing:  []string{"indexes", "keys", "attributes"},
		near:       func(i *instance, _ string) []string { return []string{i.arn + "/index/another"} },
		encryption: "aws-owned", via: "dynamodb",
		policy: &policyType{
			service: "dynamodb", property: "ResourcePolicy.PolicyDocument",
			terraform: func(i *instance, part string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_dynamodb_resource_policy", Arguments: template.Object{{Key: "resource_arn", Value: i.partARN(part)}, {Key: "policy", Value: p}}}
			},
			put: func(i *instance, part string) []string {
				return []string{"aws", "dynamodb", "put-resource-policy", "--resource-arn", i.partARN(part), "--policy", documentFile}
			},
			remove: func(i *instance, part string) []string {
				return []string{"aws", "dynamodb", "delete-resource-policy", "--resource-arn", i.partARN(part)}
			},
		},
		create: &createType{cloudFormation: "AWS::DynamoDB::Table", nameProperty: "TableName", keyProperty: "SSESpecification.KMSMasterKeyId", keyNeeds: template.Object{{Key: "SSESpecification.SSEEnabled", Value: true}, {Key: "SSESpecification.SSEType", Value: "KMS"}}, arnAttribute: "Arn", policies: []string{"ResourcePolicy", "StreamSpecification.ResourcePolicy"}},
		caveats: []string{
			"Consumers pass the table's ARN as TableName.",
			"Queries of an index need the index in only.indexes: its ARN is another resource, but its rights are in the table's policy.",
			"A table that is encrypted with alias/aws/dynamodb cannot be used from other accounts; the default key, which AWS owns, can.",
			"A stream that is switched on again has another ARN, and the policy is gone.",
			"Between two changes of one resource's policy DynamoDB wants 15 seconds.",
			"CloudFormation does not notice when somebody else changes the policy.",
		},
	}
}

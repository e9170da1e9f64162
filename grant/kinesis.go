package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// fanOutPart is the part of a stream that is a registered consumer. Its ARN ends
// in the time of its registration, which only AWS knows.
const fanOutPart = "consumer"

// kinesisStream is the kind of Kinesis data streams. Shared reading is
// authorized on the stream, enhanced fan-out on the registered consumer, each
// with a policy of its own.
//
// https://docs.aws.amazon.com/streams/latest/dev/resource-based-policy-examples.html
func kinesisStream() *kind {
	ofConsumer := func(i *instance, _ *Narrowing) []string { return []string{i.fanOut} }
	policyResource := func(i *instance, part string) string {
		if part == "" {
			return i.arnInStack()
		}
		return i.fanOut
	}
	describe := []string{"kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:ListShards"}
	return &kind{
		name: "kinesis-stream", title: "Kinesis data stream", service: "kinesis", limited: true,
		page: "https://docs.aws.amazon.com/streams/latest/dev/resource-based-policy-examples.html",
		arn:  arnOf("kinesis", "stream/"),
		accesses: []access{
			{word: "read", doc: "read records with shared throughput, also by a Lambda event source mapping", readOnly: true, key: []string{"kms:Decrypt"}, rights: []right{
				{sid: "ReadStream", actions: append([]string{"kinesis:GetShardIterator", "kinesis:GetRecords"}, describe...)},
			}},
			{word: "subscribe", doc: "read records with enhanced fan-out: a stream consumer is registered for the grant", readOnly: true, key: []string{"kms:Decrypt"}, fanOut: true, rights: []right{
				{sid: "DescribeStream", actions: describe},
				{sid: "Subscribe", actions: []string{"kinesis:SubscribeToShard", "kinesis:DescribeStreamConsumer"}, on: ofConsumer, part: fanOutPart},
			}},
			{word: "write", doc: "put records", key: []string{"kms:GenerateDataKey"}, rights: []right{
				{sid: "WriteStream", actions: []string{"kinesis:PutRecord", "kinesis:PutRecords", "kinesis:DescribeStreamSummary", "kinesis:ListShards"}},
			}},
		},
		encryption: "none", via: "kinesis",
		policy: &policyType{
			service: "kinesis",
			resource: func(i *instance, part string, p *iam.Policy) (string, template.Object) {
				return "AWS::Kinesis::ResourcePolicy", template.Object{{Key: "ResourceArn", Value: policyResource(i, part)}, {Key: "ResourcePolicy", Value: p}}
			},
			terraform: func(i *instance, part string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_kinesis_resource_policy", Arguments: template.Object{{Key: "resource_arn", Value: policyResource(i, part)}, {Key: "policy", Value: p}}}
			},
		},
		create: &createType{cloudFormation: "AWS::Kinesis::Stream", nameProperty: "Name", keyProperty: "StreamEncryption.KeyId", keyNeeds: template.Object{{Key: "StreamEncryption.EncryptionType", Value: "KMS"}}, arnAttribute: "Arn"},
		caveats: []string{
			"Consumers address the stream by its ARN: a name is looked up in the caller's own account.",
			"With enhanced fan-out the owner's account must register the stream consumer; the Kinesis Client Library cannot do it across accounts. Its ARN reaches the consumer's stack as a parameter.",
			"A stream that is encrypted with aws/kinesis cannot be read from other accounts.",
			"The stream's owner pays for cross-account use. A stream's throughput is shared by all who read it.",
			"Policies of consumers name their roles: streams are a limited resource, and a whole account is never the principal.",
		},
	}
}

package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// sqsQueue is the kind of SQS queues. A statement of a queue policy may have 7
// actions, and nine actions never work across accounts; none of them is here.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-overview-of-managing-access.html
func sqsQueue() *kind {
	url := func(i *instance) string {
		return "https://sqs." + i.site.Region + "." + dnsSuffix(i.site.Partition) + "/" + i.site.ID + "/" + i.physical
	}
	return &kind{
		name: "sqs-queue", title: "SQS queue", service: "sqs",
		page: "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-basic-examples-of-sqs-policies.html",
		arn:  arnOf("sqs", ""),
		accesses: []access{
			{word: "send", doc: "send messages", key: []string{"kms:GenerateDataKey", "kms:Decrypt"}, rights: []right{
				{sid: "SendMessages", actions: []string{"sqs:SendMessage", "sqs:GetQueueUrl"}},
			}},
			{word: "consume", doc: "receive and delete messages, also by a Lambda event source mapping", key: []string{"kms:Decrypt"}, rights: []right{
				{sid: "ConsumeMessages", actions: []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}},
			}},
		},
		encryption: "aws-owned", via: "sqs",
		policy: &policyType{
			service: "sqs",
			resource: func(i *instance, _ string, p *iam.Policy) (string, template.Object) {
				return "AWS::SQS::QueuePolicy", template.Object{{Key: "Queues", Value: []any{url(i)}}, {Key: "PolicyDocument", Value: p}}
			},
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_sqs_queue_policy", Arguments: template.Object{{Key: "queue_url", Value: url(i)}, {Key: "policy", Value: p}}}
			},
		},
		create: &createType{cloudFormation: "AWS::SQS::Queue", nameProperty: "QueueName", keyProperty: "KmsMasterKeyId", arnAttribute: "Arn"},
		caveats: []string{
			"A consumer in another account passes QueueOwnerAWSAccountId to GetQueueUrl, or uses the queue's URL.",
			"A queue policy has at most 8,192 bytes, 20 statements, 50 principals and 10 conditions.",
			"AddPermission, CreateQueue, DeleteQueue, ListQueues, ListQueueTags, RemovePermission, SetQueueAttributes, TagQueue and UntagQueue never work across accounts.",
		},
	}
}

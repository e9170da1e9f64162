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

// snsTopic is the kind of SNS topics.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
func snsTopic() *kind {
	return &kind{
		name: "sns-topic", title: "SNS topic", service: "sns",
		page: "https://docs.aws.amazon.com/sns/latest/dg/sns-send-message-to-sqs-cross-account.html",
		arn:  arnOf("sns", ""),
		accesses: []access{
			{word: "publish", doc: "publish messages", key: []string{"kms:GenerateDataKey", "kms:Decrypt"}, rights: []right{
				{sid: "PublishMessages", actions: []string{"sns:Publish", "sns:GetTopicAttributes"}},
			}},
			{word: "subscribe", doc: "subscribe endpoints, such as a queue of the consumer", rights: []right{
				{sid: "Subscribe", actions: []string{"sns:Subscribe"}, when: func(_ *instance, n *Narrowing) []iam.Condition {
					return condition("StringEquals", "sns:Protocol", n.Protocols...)
				}},
				{sid: "SeeTopic", actions: []string{"sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic"}},
			}},
		},
		narrowing:  []string{"protocols"},
		encryption: "none", via: "sns",
		policy: &policyType{
			service: "sns",
			resource: func(i *instance, _ string, p *iam.Policy) (string, template.Object) {
				return "AWS::SNS::TopicPolicy", template.Object{{Key: "Topics", Value: []any{i.arnInStack()}}, {Key: "PolicyDocument", Value: p}}
			},
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_sns_topic_policy", Arguments: template.Object{{Key: "arn", Value: i.arn}, {Key: "policy", Value: p}}}
			},
		},
		create: &createType{cloudFormation: "AWS::SNS::Topic", nameProperty: "TopicName", keyProperty: "KmsMasterKeyId", arnAttribute: "Ref"},
		caveats: []string{
			"A queue that is subscribed needs a policy of its own for sns.amazonaws.com with aws:SourceArn; if the consumer, who owns the queue, makes the subscription, it is confirmed by itself.",
			"A subscribed queue with a customer-managed key needs a key policy that lets sns.amazonaws.com use the key.",
			"The topic's policy replaces the default one, which lets the owner's account manage the topic; identity policies of that account still do.",
		},
	}
}

// eventBus is the kind of EventBridge buses. Each statement of a bus policy is a
// resource of its own, so nothing is ever overwritten.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-permissions-manage.html
func eventBus() *kind {
	return &kind{
		name: "event-bus", title: "EventBridge event bus", service: "events",
		page: "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html",
		arn:  arnOf("events", "event-bus/"),
		accesses: []access{
			{word: "put", doc: "put events on the bus", rights: []right{
				{sid: "PutEvents", actions: []string{"events:PutEvents"}, when: func(_ *instance, n *Narrowing) []iam.Condition {
					return append(condition("StringEquals", "events:source", n.Sources...), condition("StringEquals", "events:detail-type", n.DetailTypes...)...)
				}},
			}},
		},
		narrowing: []string{"sources", "detail_types"},
		policy: &policyType{
			service: "events", single: true,
			resource: func(i *instance, sid string, p *iam.Policy) (string, template.Object) {
				return "AWS::Events::EventBusPolicy", template.Object{
					{Key: "EventBusName", Value: i.nameInStack()}, {Key: "StatementId", Value: sid}, {Key: "Statement", Value: template.Statement(p.Statements[0])},
				}
			},
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_cloudwatch_event_bus_policy", Arguments: template.Object{{Key: "event_bus_name", Value: i.physical}, {Key: "policy", Value: p}}}
			},
		},
		create: &createType{cloudFormation: "AWS::Events::EventBus", nameProperty: "Name", arnAttribute: "Arn"},
		caveats: []string{
			"Whoever puts the event pays for it.",
			"In Terraform the policy of a bus is one document and replaces what is there; in CloudFormation each statement is a resource.",
			"Rules of the consumer that send to this bus need a role that may put events, given as RoleArn of the target.",
		},
	}
}

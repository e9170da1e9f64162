package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// snsTopic is the kind of SNS topics.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
func snsTopic() *kind {
	return &kind{
		name: "sns-topic", title: "SNS topic", service: "sns",
		page: "https://docs.aws.amazon.com/sns/latest/dg/sns-send-message-to-sqs-cross-account.html",
		arn:  arnOf("sns", ""),
		accesses: []access{
			{word: "publish", doc: "publish messages", ignores: []string{"protocols"}, key: []string{"kms:GenerateDataKey", "kms:Decrypt"}, rights: []right{
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

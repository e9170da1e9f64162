package smoke

import (
	"net/http"
	"net/url"

	"github.com/crossaccount/crossaccount/iam"
)

// sqsCalls are those of queues. Receiving counts as writing: it adds to a
// message's receive count, which may move it to a dead-letter queue.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
var sqsCalls = &service{
	calls: []call{
		sqsCall("GetQueueUrl", func(t *target) map[string]any {
			return map[string]any{"QueueName": t.arn.Resource, "QueueOwnerAWSAccountId": t.arn.Account}
		}),
		sqsCall("GetQueueAttributes", func(t *target) map[string]any {
			return map[string]any{"QueueUrl": t.queueURL(), "AttributeNames": []string{"QueueArn"}}
		}),
		sqsCall("ChangeMessageVisibility", func(t *target) map[string]any {
			return map[string]any{"QueueUrl": t.queueURL(), "ReceiptHandle": probeName, "VisibilityTimeout": 0}
		}, "ReceiptHandleIsInvalid", "InvalidParameterValue"),
		sqsCall("DeleteMessage", func(t *target) map[string]any {
			return map[string]any{"QueueUrl": t.queueURL(), "ReceiptHandle": probeName}
		}, "ReceiptHandleIsInvalid"),
		sqsCall("ReceiveMessage", func(t *target) map[string]any {
			return map[string]any{"QueueUrl": t.queueURL(), "MaxNumberOfMessages": 1, "VisibilityTimeout": 0}
		}).writing(),
		sqsCall("SendMessage", func(t *target) map[string]any {
			return map[string]any{"QueueUrl": t.queueURL(), "MessageBody": probeName}
		}).writing(),
		sqsCall("ListQueueTags", func(t *target) map[string]any { return map[string]any{"QueueUrl": t.queueURL()} }),
	},
	others: []string{"sqs:GetQueueAttributes", "sqs:ListQueueTags"},
}

func sqsCall(operation string, input func(t *target) map[string]any, passed ...string) call {
	return jsonCall("sqs:"+operation, "sqs", "1.0", "AmazonSQS", input, passed...)
}

func (t *target) queueURL() string {
	return "https://sqs." + t.owner.Region + "." + suffixOf(t.owner.Partition) + "/" + t.arn.Account + "/" + t.arn.Resource
}

// snsCalls are those of topics, in AWS's query protocol.
//
// https://docs.aws.amazon.com/sns/latest/api/API_Operations.html
var snsCalls = &service{
	calls: []call{
		snsCall("GetTopicAttributes", "TopicArn"),
		snsCall("ListSubscriptionsByTopic", "TopicArn"),
		snsCall("ListTagsForResource", "ResourceArn"),
		snsCall("Publish", "TopicArn").writing(),
		snsCall("Subscribe", "").unless(func(*target) string { return "a subscription would stay" }),
	},
	others: []string{"sns:ListSubscriptionsByTopic", "sns:ListTagsForResource"},
}

func snsCall(operation, parameter string) call {
	return call{action: "sns:" + operation, request: func(t *target) (*request, string) {
		form := url.Values{"Action": {operation}, "Version": {"2010-03-31"}, parameter: {t.resource}}
		if operation == "Publish" {
			form.Set("Message", probeName)
		}
		return &request{service: "sns", host: "sns." + t.owner.Region, method: http.MethodPost, path: "/", body: []byte(form.Encode()),
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, ""
	}}
}

// eventCalls are those of event buses. Events cannot be put without effect.
//
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
var eventCalls = &service{
	calls: []call{
		eventCall("DescribeEventBus", func(t *target) map[string]any { return map[string]any{"Name": t.resource} }),
		eventCall("PutEvents", func(t *target) map[string]any {
			return map[string]any{"Entries": []any{map[string]any{
				"EventBusName": t.resource, "Source": firstOr(t.only.Sources, probeName), "DetailType": firstOr(t.only.DetailTypes, probeName), "Detail": "{}",
			}}}
		}).writing(),
	},
	others: []string{"events:DescribeEventBus"},
}

func eventCall(operation string, input func(t *target) map[string]any) call {
	return jsonCall("events:"+operation, "events", "1.1", "AWSEvents", input)
}

func firstOr(list []string, other string) string {
	if len(list) == 0 {
		return other
	}
	return list[0]
}

// suffixOf is the partition's suffix of host names.
func suffixOf(partition string) string {
	if p, ok := iam.LookupPartition(partition); ok {
		return p.DNSSuffix
	}
	return "amazonaws.com"
}

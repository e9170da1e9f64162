package cfnapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
)

// sqsTypes returns the types of AWS::SQS.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_SQS.html
func sqsTypes(sqs *sqsapi.Service) []resourceType {
	t := queueResources{sqs}
	queue := map[string]property{
		"QueueName": {replaces: true}, "Tags": tagsProperty,
		"KmsMasterKeyId": {}, "SqsManagedSseEnabled": {kind: boolValue},
	}
	for _, name := range queueNumbers {
		queue[name] = property{kind: numberValue}
	}
	for name := range setOf("ContentBasedDeduplication DeduplicationScope FifoQueue FifoThroughputLimit RedriveAllowPolicy RedrivePolicy") {
		queue[name] = property{unsupported: true}
	}
	return []resourceType{
		{
			name: "AWS::SQS::Queue", tagged: true,
			properties: queue,
			attributes: []string{"Arn", "QueueName", "QueueUrl"},
			create:     t.createQueue, update: t.updateQueue, delete: t.deleteQueue,
		},
		{
			name: "AWS::SQS::QueuePolicy",
			properties: map[string]property{
				"PolicyDocument": {kind: documentValue, required: true},
				"Queues":         {kind: textList, required: true},
			},
			attributes: []string{"Id"},
			create:     t.putPolicies, update: t.putPolicies, delete: t.deletePolicies,
		},
		{
			name: "AWS::SQS::QueueInlinePolicy",
			properties: map[string]property{
				"PolicyDocument": {kind: documentValue, required: true},
				"Queue":          {required: true, replaces: true},
			},
			create: t.putPolicies, update: t.putPolicies, delete: t.deletePolicies,
		},
	}
}

// queueNumbers are the properties of a queue that are attributes of the same
// name.
var queueNumbers = strings.Fields("DelaySeconds KmsDataKeyReusePeriodSeconds MaximumMessageSize MessageRetentionPeriod ReceiveMessageWaitTimeSeconds VisibilityTimeout")

// queueResources does the work of the AWS::SQS types.
type queueResources struct{ sqs *sqsapi.Service }

func (t queueResources) createQueue(j *job) error {
	attributes := make(map[string]string)
	for _, name := range append(queueNumbers, "KmsMasterKeyId", "SqsManagedSseEnabled") {
		if j.properties.Get(name) != nil {
			attributes[name] = j.text(name)
		}
	}
	out, err := t.sqs.CreateQueue(j.call, &sqsapi.CreateQueueInput{QueueName: j.nameOrNew("QueueName", 80), Attributes: attributes, Tags: tagMap(j.tags)})
	if err != nil {
		return err
	}
	j.physicalID = out.QueueURL
	return t.describe(j)
}

func (t queueResources) describe(j *job) error {
	shown, err := t.sqs.GetQueueAttributes(j.call, &sqsapi.GetQueueAttributesInput{QueueURL: j.physicalID, AttributeNames: []string{"QueueArn"}})
	if err != nil {
		return err
	}
	arn := shown.Attributes["QueueArn"]
	j.attributes["Arn"], j.attributes["QueueUrl"], j.attributes["QueueName"] = arn, j.physicalID, arn[strings.LastIndexByte(arn, ':')+1:]
	return nil
}

// updateQueue sets what changed. A property that is gone goes back to what SQS
// has unless told otherwise.
func (t queueResources) updateQueue(j *job) error {
	usual := map[string]string{
		"DelaySeconds": "0", "KmsDataKeyReusePeriodSeconds": "300", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600",
		"ReceiveMessageWaitTimeSeconds": "0", "VisibilityTimeout": "30", "KmsMasterKeyId": "", "SqsManagedSseEnabled": "true",
	}
	attributes := make(map[string]string)
	for name, value := range usual {
		if !j.changed(name) {
			continue
		}
		if j.properties.Get(name) != nil {
			value = j.text(name)
		}
		attributes[name] = value
	}
	if len(attributes) > 0 {
		if _, err := t.sqs.SetQueueAttributes(j.call, &sqsapi.SetQueueAttributesInput{QueueURL: j.physicalID, Attributes: attributes}); err != nil {
			return err
		}
	}
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if _, err := t.sqs.UntagQueue(j.call, &sqsapi.UntagQueueInput{QueueURL: j.physicalID, TagKeys: remove}); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		if _, err := t.sqs.TagQueue(j.call, &sqsapi.TagQueueInput{QueueURL: j.physicalID, Tags: tagMap(set)}); err != nil {
			return err
		}
	}
	return t.describe(j)
}

func (t queueResources) deleteQueue(j *job) error {
	_, err := t.sqs.DeleteQueue(j.call, &sqsapi.QueueInput{QueueURL: j.physicalID})
	return unlessGone(err)
}

func (j *job) queues() []string {
	if queue := j.text("Queue"); queue != "" {
		return []string{queue}
	}
	return list(j.properties, "Queues")
}

func (t queueResources) putPolicies(j *job) error {
	return t.setPolicies(j, document(j.properties, "PolicyDocument"))
}

func (t queueResources) setPolicies(j *job, policy string) error {
	for _, queue := range j.queues() {
		in := &sqsapi.SetQueueAttributesInput{QueueURL: queue, Attributes: map[string]string{"Policy": policy}}
		if _, err := t.sqs.SetQueueAttributes(j.call, in); err != nil && (policy != "" || unlessGone(err) != nil) {
			return err
		}
		if j.physicalID == "" {
			j.physicalID = j.newName(80)
		}
	}
	j.attributes["Id"] = j.physicalID
	return nil
}

func (t queueResources) deletePolicies(j *job) error { return t.setPolicies(j, "") }

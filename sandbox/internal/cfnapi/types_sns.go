package cfnapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/snsapi"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// snsTypes returns the types of AWS::SNS.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_SNS.html
func snsTypes(sns *snsapi.Service) []resourceType {
	t := topicResources{sns}
	topic := map[string]property{
		"DisplayName": {}, "KmsMasterKeyId": {}, "TopicName": {replaces: true}, "Tags": tagsProperty,
		"Subscription": {kind: objectList, fields: map[string]property{"Endpoint": {required: true}, "Protocol": {required: true}}},
	}
	for name := range setOf("ArchivePolicy ContentBasedDeduplication DataProtectionPolicy DeliveryStatusLogging FifoThroughputScope FifoTopic SignatureVersion TracingConfig") {
		topic[name] = property{unsupported: true}
	}
	subscription := map[string]property{
		"Endpoint": {required: true, replaces: true}, "Protocol": {required: true, replaces: true},
		"TopicArn": {required: true, replaces: true}, "RawMessageDelivery": {kind: boolValue},
	}
	for name := range setOf("DeliveryPolicy FilterPolicy FilterPolicyScope RedrivePolicy Region ReplayPolicy SubscriptionRoleArn") {
		subscription[name] = property{unsupported: true}
	}
	return []resourceType{
		{
			name: "AWS::SNS::Topic", tagged: true,
			properties: topic,
			attributes: []string{"TopicArn", "TopicName"},
			create:     t.createTopic, update: t.updateTopic, delete: t.deleteTopic,
		},
		{
			name: "AWS::SNS::TopicPolicy",
			properties: map[string]property{
				"PolicyDocument": {kind: documentValue, required: true},
				"Topics":         {kind: textList, required: true},
			},
			attributes: []string{"Id"},
			create:     t.putPolicies, update: t.putPolicies, delete: t.deletePolicies,
		},
		{
			name: "AWS::SNS::TopicInlinePolicy",
			properties: map[string]property{
				"PolicyDocument": {kind: documentValue, required: true},
				"TopicArn":       {required: true, replaces: true},
			},
			create: t.putPolicies, update: t.putPolicies, delete: t.deletePolicies,
		},
		{
			name:       "AWS::SNS::Subscription",
			properties: subscription,
			attributes: []string{"Arn"},
			create:     t.subscribe, update: t.updateSubscription, delete: t.unsubscribe,
		},
	}
}

// topicResources does the work of the AWS::SNS types.
type topicResources struct{ sns *snsapi.Service }

func snsTags(tags []Tag) []snsapi.Tag {
	var list []snsapi.Tag
	for _, t := range tags {
		list = append(list, snsapi.Tag(t))
	}
	return list
}

func (t topicResources) createTopic(j *job) error {
	in := &snsapi.CreateTopicInput{Name: j.nameOrNew("TopicName", 256), Attributes: make(map[string]string), Tags: snsTags(j.tags)}
	for _, name := range []string{"DisplayName", "KmsMasterKeyId"} {
		if j.properties.Get(name) != nil {
			in.Attributes[name] = j.text(name)
		}
	}
	out, err := t.sns.CreateTopic(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = out.TopicArn
	t.describe(j)
	return t.subscribeAll(j, j.properties.Get("Subscription"))
}

func (t topicResources) subscribeAll(j *job, list *cfn.Node) error {
	if list == nil {
		return nil
	}
	for _, item := range list.Items {
		in := &snsapi.SubscribeInput{TopicArn: j.physicalID, Protocol: textOf(item, "Protocol"), Endpoint: textOf(item, "Endpoint")}
		if _, err := t.sns.Subscribe(j.call, in); err != nil {
			return err
		}
	}
	return nil
}

func (t topicResources) describe(j *job) {
	j.attributes["TopicArn"], j.attributes["TopicName"] = j.physicalID, j.physicalID[strings.LastIndexByte(j.physicalID, ':')+1:]
}

func (t topicResources) updateTopic(j *job) error {
	if j.changed("Subscription") {
		return invalid("the sandbox does not support changes of the property Subscription; use AWS::SNS::Subscription")
	}
	for _, name := range []string{"DisplayName", "KmsMasterKeyId"} {
		if !j.changed(name) {
			continue
		}
		in := &snsapi.SetTopicAttributesInput{TopicArn: j.physicalID, AttributeName: name, AttributeValue: j.text(name)}
		if _, err := t.sns.SetTopicAttributes(j.call, in); err != nil {
			return err
		}
	}
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if _, err := t.sns.UntagResource(j.call, &snsapi.UntagResourceInput{ResourceArn: j.physicalID, TagKeys: remove}); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		if _, err := t.sns.TagResource(j.call, &snsapi.TagResourceInput{ResourceArn: j.physicalID, Tags: snsTags(set)}); err != nil {
			return err
		}
	}
	t.describe(j)
	return nil
}

func (t topicResources) deleteTopic(j *job) error {
	_, err := t.sns.DeleteTopic(j.call, &snsapi.TopicInput{TopicArn: j.physicalID})
	return err // a topic that is gone is a success
}

func (j *job) topics() []string {
	if topic := j.text("TopicArn"); topic != "" {
		return []string{topic}
	}
	return list(j.properties, "Topics")
}

func (t topicResources) putPolicies(j *job) error {
	for _, topic := range j.topics() {
		in := &snsapi.SetTopicAttributesInput{TopicArn: topic, AttributeName: "Policy", AttributeValue: document(j.properties, "PolicyDocument")}
		if _, err := t.sns.SetTopicAttributes(j.call, in); err != nil {
			return err
		}
		if j.physicalID == "" {
			j.physicalID = j.newName(80)
		}
	}
	j.attributes["Id"] = j.physicalID
	return nil
}

// deletePolicies gives the topics back the policy they had when they were made.
func (t topicResources) deletePolicies(j *job) error {
	for _, topic := range j.topics() {
		in := &snsapi.SetTopicAttributesInput{TopicArn: topic, AttributeName: "Policy"}
		if _, err := t.sns.SetTopicAttributes(j.call, in); unlessGone(err) != nil {
			return err
		}
	}
	return nil
}

func (t topicResources) subscribe(j *job) error {
	in := &snsapi.SubscribeInput{TopicArn: j.text("TopicArn"), Protocol: j.text("Protocol"), Endpoint: j.text("Endpoint"), Attributes: make(map[string]string), ReturnSubscriptionArn: true}
	if j.properties.Get("RawMessageDelivery") != nil {
		in.Attributes["RawMessageDelivery"] = j.text("RawMessageDelivery")
	}
	out, err := t.sns.Subscribe(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID, j.attributes["Arn"] = out.SubscriptionArn, out.SubscriptionArn
	return nil
}

func (t topicResources) updateSubscription(j *job) error {
	j.attributes["Arn"] = j.physicalID
	if !j.changed("RawMessageDelivery") {
		return nil
	}
	value := "false"
	if isTrue(j.properties, "RawMessageDelivery") {
		value = "true"
	}
	_, err := t.sns.SetSubscriptionAttributes(j.call, &snsapi.SetSubscriptionAttributesInput{
		SubscriptionArn: j.physicalID, AttributeName: "RawMessageDelivery", AttributeValue: value,
	})
	return err
}

func (t topicResources) unsubscribe(j *job) error {
	_, err := t.sns.Unsubscribe(j.call, &snsapi.SubscriptionInput{SubscriptionArn: j.physicalID})
	return err // a subscription that is gone is a success
}

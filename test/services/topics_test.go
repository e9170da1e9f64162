package services

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	topicARN  = "arn:aws:sns:us-east-1:111111111111:orders"
	inboxARN  = "arn:aws:sqs:us-east-1:222222222222:inbox"
	justS3    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	fromTopic = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + inboxARN + `","Condition":{"ArnEquals":{"aws:SourceArn":"` + topicARN + `"}}}}`
)

func newTopic(t *testing.T, client *sns.Client, attributes map[string]string) {
	t.Helper()
	out, err := client.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("orders"), Attributes: attributes})
	if err != nil || *out.TopicArn != topicARN {
		t.Fatalf("%v %v", out, err)
	}
}

func topicPolicy(principal, action string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":` + action + `,"Resource":"` + topicARN + `"}}`
}

func publish(client *sns.Client, text string) error {
	_, err := client.Publish(ctx, &sns.PublishInput{TopicArn: aws.String(topicARN), Message: &text, Subject: aws.String("news"),
		MessageAttributes: map[string]types.MessageAttributeValue{"app": {DataType: aws.String("String"), StringValue: aws.String("orders")}, "raw": {DataType: aws.String("Binary"), BinaryValue: []byte{1, 2}}}})
	return err
}

func subscribe(client *sns.Client, attributes map[string]string) (string, error) {
	out, err := client.Subscribe(ctx, &sns.SubscribeInput{TopicArn: aws.String(topicARN), Protocol: aws.String("sqs"), Endpoint: aws.String(inboxARN), Attributes: attributes})
	if err != nil {
		return "", err
	}
	return *out.SubscriptionArn, nil
}

func receiveAll(t *testing.T, client *sqs.Client, url string) []sqstypes.Message {
	t.Helper()
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

func TestPublishAcrossAccounts(t *testing.T) {
	for _, test := range []struct{ name, policy, identity, want string }{
		{"both sides", topicPolicy(friend, `"sns:Publish"`), allowAll, ""},
		{"no identity policy", topicPolicy(friend, `"sns:Publish"`), justS3, "AuthorizationError"},
		{"the default topic policy", "", allowAll, "AuthorizationError"},
		{"another action", topicPolicy(friend, `"sns:Subscribe"`), allowAll, "AuthorizationError"},
		{"another account", topicPolicy(owner, `"sns:Publish"`), allowAll, "AuthorizationError"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			attributes := map[string]string{}
			if test.policy != "" {
				attributes["Policy"] = test.policy
			}
			newTopic(t, sns.NewFromConfig(box.Account(owner).User("admin", allowAll)), attributes)
			wantCode(t, publish(sns.NewFromConfig(box.Account(friend).User("app", test.identity)), "hello"), test.want)
		})
	}
}

// A topic of one account delivers to a queue of another only if topic policy,
// queue policy and the queue's key policy all say so.
func TestTopicDeliversAcrossAccounts(t *testing.T) {
	keyPolicy := func(more string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"kms:*","Resource":"*"}` + more + `]}`
	}
	sharedKey := keyPolicy(`,{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":["kms:GenerateDataKey","kms:Decrypt"],"Resource":"*","Condition":{"StringEquals":{"aws:SourceAccount":"111111111111"}}}`)
	for _, test := range []struct {
		name, queue, key string
		arrives          bool
	}{
		{name: "queue policy allows", queue: fromTopic, arrives: true},
		{name: "no queue policy"},
		{name: "another topic allowed", queue: strings.Replace(fromTopic, ":orders\"}}", ":others\"}}", 1)},
		{name: "encrypted, key shared with SNS", queue: fromTopic, key: sharedKey, arrives: true},
		{name: "encrypted, key not shared", queue: fromTopic, key: keyPolicy("")},
		{name: "encrypted, key shared for another account", queue: fromTopic, key: strings.Replace(sharedKey, `"111111111111"`, `"333333333333"`, 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			admin := sns.NewFromConfig(box.Account(owner).User("admin", allowAll))
			newTopic(t, admin, map[string]string{"Policy": topicPolicy(friend, `"sns:Subscribe"`)})
			consumer := box.Account(friend).User("consumer", allowAll)
			attributes := map[string]string{}
			if test.queue != "" {
				attributes["Policy"] = test.queue
			}
			if test.key != "" {
				attributes["KmsMasterKeyId"] = newKey(t, kms.NewFromConfig(consumer), test.key)
			}
			url := newQueue(t, sqs.NewFromConfig(consumer), "inbox", attributes)
			if _, err := subscribe(sns.NewFromConfig(consumer), nil); err != nil {
				t.Fatal(err)
			}
			wantCode(t, publish(admin, "hello"), "")
			got := receiveAll(t, sqs.NewFromConfig(consumer), url)
			if !test.arrives {
				if len(got) != 0 {
					t.Fatalf("delivered %+v", got)
				}
				return
			}
			var note struct{ Type, TopicArn, Message, Subject string }
			if len(got) != 1 || json.Unmarshal([]byte(*got[0].Body), &note) != nil || note.Type != "Notification" || note.TopicArn != topicARN || note.Message != "hello" || note.Subject != "news" {
				t.Fatalf("received %+v", got)
			}
		})
	}
}

// A queue that the topic's side subscribes gets nothing until its owner
// confirms.
func TestSubscriptionOfAForeignQueueMustBeConfirmed(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := sns.NewFromConfig(box.Account(owner).User("admin", allowAll))
	newTopic(t, admin, nil)
	consumer := box.Account(friend).User("consumer", allowAll)
	queue := sqs.NewFromConfig(consumer)
	url := newQueue(t, queue, "inbox", map[string]string{"Policy": fromTopic})
	_, err := subscribe(sns.NewFromConfig(consumer), nil)
	wantCode(t, err, "AuthorizationError") // the topic policy does not let it
	arn, err := subscribe(admin, map[string]string{"RawMessageDelivery": "true"})
	if err != nil || arn != "pending confirmation" {
		t.Fatalf("%s %v", arn, err)
	}
	wantCode(t, publish(admin, "too early"), "")
	got := receiveAll(t, queue, url)
	var ask struct{ Type, Token string }
	if len(got) != 1 || json.Unmarshal([]byte(*got[0].Body), &ask) != nil || ask.Type != "SubscriptionConfirmation" {
		t.Fatalf("received %+v", got)
	}
	_, err = sns.NewFromConfig(consumer).ConfirmSubscription(ctx, &sns.ConfirmSubscriptionInput{TopicArn: aws.String(topicARN), Token: aws.String("guess")})
	wantCode(t, err, "InvalidParameter")
	confirmed, err := sns.NewFromConfig(consumer).ConfirmSubscription(ctx, &sns.ConfirmSubscriptionInput{TopicArn: aws.String(topicARN), Token: &ask.Token})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := admin.PublishBatch(ctx, &sns.PublishBatchInput{TopicArn: aws.String(topicARN), PublishBatchRequestEntries: []types.PublishBatchRequestEntry{
		{Id: aws.String("a"), Message: aws.String("one")}, {Id: aws.String("b"), Message: aws.String("")},
	}})
	if err != nil || len(batch.Successful) != 1 || len(batch.Failed) != 1 {
		t.Fatalf("%+v %v", batch, err)
	}
	wantCode(t, publish(admin, "two"), "")
	got = receiveAll(t, queue, url)
	if len(got) != 2 || *got[0].Body != "one" || *got[1].Body != "two" || *got[1].MessageAttributes["app"].StringValue != "orders" || got[1].MessageAttributes["raw"].BinaryValue[1] != 2 {
		t.Fatalf("received %+v", got)
	}
	listed, err := admin.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(topicARN)})
	if err != nil || len(listed.Subscriptions) != 1 || *listed.Subscriptions[0].SubscriptionArn != *confirmed.SubscriptionArn {
		t.Fatalf("%+v %v", listed, err)
	}
	if _, err := admin.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: confirmed.SubscriptionArn}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, publish(admin, "gone"), "")
	if got := receiveAll(t, queue, url); len(got) != 0 {
		t.Fatalf("received %+v", got)
	}
}

func TestEncryptedTopic(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	key := newKey(t, kms.NewFromConfig(config), "")
	newTopic(t, sns.NewFromConfig(config), map[string]string{"Policy": topicPolicy(friend, `"sns:Publish"`), "KmsMasterKeyId": key})
	wantCode(t, publish(sns.NewFromConfig(config), "hello"), "")
	wantCode(t, publish(sns.NewFromConfig(box.Account(friend).User("app", allowAll)), "hello"), "KMSAccessDenied")
}

func TestTopicPolicyLimits(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := sns.NewFromConfig(box.Account(owner).User("admin", allowAll))
	newTopic(t, client, nil)
	for _, test := range []struct{ name, policy, want string }{
		{"a wildcard", topicPolicy(owner, `"sns:*"`), "InvalidParameter"},
		{"an action no topic policy has", topicPolicy(owner, `"sns:Unsubscribe"`), "InvalidParameter"},
		{"another topic", strings.ReplaceAll(topicPolicy(owner, `"sns:Publish"`), ":orders", ":other"), "InvalidParameter"},
		{"too long", topicPolicy(owner, `"sns:Publish"`) + strings.Repeat(" ", 30<<10), "InvalidParameter"},
		{"a role that does not exist", topicPolicy("arn:aws:iam::111111111111:role/ghost", `"sns:Publish"`), "InvalidParameter"},
		{"well", topicPolicy(owner, `["sns:Publish","sns:Subscribe"]`), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: aws.String(topicARN), AttributeName: aws.String("Policy"), AttributeValue: &test.policy})
			wantCode(t, err, test.want)
		})
	}
	_, err := client.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: aws.String(topicARN + "x")})
	wantCode(t, err, "NotFound")
	_, err = client.Subscribe(ctx, &sns.SubscribeInput{TopicArn: aws.String(topicARN), Protocol: aws.String("email"), Endpoint: aws.String("a@example.com")})
	wantCode(t, err, "NotImplemented")
}

// The statement of a topic policy may say what may be subscribed.
func TestSubscribeConditions(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := sns.NewFromConfig(box.Account(owner).User("admin", allowAll))
	consumer := sns.NewFromConfig(box.Account(friend).User("consumer", allowAll))
	for _, test := range []struct{ condition, want string }{
		{`{"StringEquals":{"sns:Protocol":"sqs"},"StringLike":{"sns:Endpoint":"arn:aws:sqs:*:222222222222:*"}}`, ""},
		{`{"StringEquals":{"sns:Protocol":"https"}}`, "AuthorizationError"},
		{`{"StringLike":{"sns:Endpoint":"arn:aws:sqs:*:333333333333:*"}}`, "AuthorizationError"},
	} {
		newTopic(t, admin, nil)
		policy := strings.Replace(topicPolicy(friend, `"sns:Subscribe"`), `"Effect"`, `"Condition":`+test.condition+`,"Effect"`, 1)
		_, err := admin.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: aws.String(topicARN), AttributeName: aws.String("Policy"), AttributeValue: &policy})
		wantCode(t, err, "")
		_, err = subscribe(consumer, nil)
		wantCode(t, err, test.want)
	}
}

func TestTopicStack(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	producer, consumer := box.Account(owner).User("admin", allowAll), box.Account(friend).User("admin", allowAll)
	deploy := func(config aws.Config, body string) {
		t.Helper()
		stacks := cloudformation.NewFromConfig(config)
		if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("s"), TemplateBody: &body}); err != nil {
			t.Fatal(err)
		}
		shown, err := stacks.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: aws.String("s")})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range shown.StackEvents {
			if strings.HasSuffix(string(e.ResourceStatus), "FAILED") {
				t.Fatalf("%s: %s", *e.LogicalResourceId, *e.ResourceStatusReason)
			}
		}
	}
	deploy(producer, `{"Resources":{
		"Topic":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":"orders","Tags":[{"Key":"app","Value":"orders"}]}},
		"Policy":{"Type":"AWS::SNS::TopicPolicy","Properties":{"Topics":[{"Ref":"Topic"}],"PolicyDocument":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"sns:Subscribe","Resource":{"Ref":"Topic"}}}}}}}`)
	deploy(consumer, `{"Resources":{
		"Queue":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"inbox"}},
		"Policy":{"Type":"AWS::SQS::QueuePolicy","Properties":{"Queues":[{"Ref":"Queue"}],"PolicyDocument":`+fromTopic+`}},
		"Subscription":{"Type":"AWS::SNS::Subscription","Properties":{"TopicArn":"`+topicARN+`","Protocol":"sqs","Endpoint":{"Fn::GetAtt":["Queue","Arn"]},"RawMessageDelivery":true}}}}`)
	wantCode(t, publish(sns.NewFromConfig(producer), "hello"), "")
	if got := receiveAll(t, sqs.NewFromConfig(consumer), "https://sqs.us-east-1.amazonaws.com/222222222222/inbox"); len(got) != 1 || *got[0].Body != "hello" {
		t.Fatalf("received %+v", got)
	}
	for _, config := range []aws.Config{consumer, producer} {
		stacks := cloudformation.NewFromConfig(config)
		if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("s")}); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := sns.NewFromConfig(consumer).ListSubscriptions(ctx, &sns.ListSubscriptionsInput{})
	if err != nil || len(listed.Subscriptions) != 0 {
		t.Fatalf("%+v %v", listed, err)
	}
	wantCode(t, publish(sns.NewFromConfig(producer), "hello"), "NotFound")
}

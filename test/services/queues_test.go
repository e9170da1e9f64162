package services

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

func newQueue(t *testing.T, client *sqs.Client, name string, attributes map[string]string) string {
	t.Helper()
	out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

func send(client *sqs.Client, url string) error {
	_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("hello"),
		MessageAttributes: map[string]types.MessageAttributeValue{"app": {DataType: aws.String("String"), StringValue: aws.String("orders")}}})
	return err
}

func queuePolicy(principal, action string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":` + action + `,"Resource":"arn:aws:sqs:us-east-1:111111111111:orders"}}`
}

func TestQueueAcrossAccounts(t *testing.T) {
	sender := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sqs:SendMessage","kms:GenerateDataKey","kms:Decrypt"],"Resource":"*"}}`
	for _, test := range []struct {
		name, policy, identity, want string
		encrypted                    bool
	}{
		{name: "both sides", policy: queuePolicy(friend, `"sqs:SendMessage"`), identity: sender},
		{name: "no queue policy", identity: sender, want: "AccessDenied"},
		{name: "another action", policy: queuePolicy(friend, `"sqs:ReceiveMessage"`), identity: sender, want: "AccessDenied"},
		{name: "no identity policy", policy: queuePolicy(friend, `"sqs:SendMessage"`), identity: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, want: "AccessDenied"},
		{name: "encrypted, key not shared", policy: queuePolicy(friend, `"sqs:SendMessage"`), identity: sender, encrypted: true, want: "KmsAccessDenied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			admin := box.Account(owner).User("admin", allowAll)
			attributes := map[string]string{}
			if test.policy != "" {
				attributes["Policy"] = test.policy
			}
			if test.encrypted {
				attributes["KmsMasterKeyId"] = newKey(t, kms.NewFromConfig(admin), "")
			}
			url := newQueue(t, sqs.NewFromConfig(admin), "orders", attributes)
			wantCode(t, send(sqs.NewFromConfig(box.Account(friend).User("app", test.identity)), url), test.want)
		})
	}
}

// No queue policy lets another account change the queue itself.
func TestQueuePolicyCannotGiveTheQueueAway(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	url := newQueue(t, sqs.NewFromConfig(box.Account(owner).User("admin", allowAll)), "orders", map[string]string{"Policy": queuePolicy(friend, `"sqs:*"`)})
	stranger := sqs.NewFromConfig(box.Account(friend).User("stranger", allowAll))
	wantCode(t, send(stranger, url), "")
	_, err := stranger.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
	wantCode(t, err, "AccessDenied")
	_, err = stranger.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"DelaySeconds": "1"}})
	wantCode(t, err, "AccessDenied")
}

func TestQueueHandsOutMessages(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := sqs.NewFromConfig(box.Account(owner).User("admin", allowAll))
	url := newQueue(t, client, "orders", map[string]string{"VisibilityTimeout": "600"})
	receive := func(wait int32) []types.Message {
		t.Helper()
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: wait, MessageAttributeNames: []string{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Messages
	}
	if got := receive(0); len(got) != 0 {
		t.Fatalf("an empty queue gave %v", got)
	}
	waiting := make(chan []types.Message)
	go func() { waiting <- receive(20) }()
	if err := send(client, url); err != nil {
		t.Fatal(err)
	}
	got := <-waiting
	if len(got) != 1 || *got[0].Body != "hello" || *got[0].MessageAttributes["app"].StringValue != "orders" {
		t.Fatalf("received %+v", got)
	}
	if again := receive(0); len(again) != 0 {
		t.Fatalf("a message in flight was handed out again: %v", again)
	}
	if _, err := client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 0}); err != nil {
		t.Fatal(err)
	}
	again := receive(0)
	if len(again) != 1 || *again[0].ReceiptHandle == *got[0].ReceiptHandle {
		t.Fatalf("received %+v", again)
	}
	if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: again[0].ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	shown, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil || shown.Attributes["ApproximateNumberOfMessagesNotVisible"] != "0" || shown.Attributes["VisibilityTimeout"] != "600" {
		t.Fatalf("%v %v", shown, err)
	}
	batch, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: aws.String("one")}, {Id: aws.String("b"), MessageBody: aws.String(strings.Repeat("x", 2<<20-1024))},
	}})
	if err == nil && (len(batch.Successful) != 1 || len(batch.Failed) != 1) {
		t.Fatalf("batch %+v", batch)
	}
	// A receiver that gives up does not keep the queue.
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	empty := newQueue(t, client, "empty", nil)
	if _, err := client.ReceiveMessage(short, &sqs.ReceiveMessageInput{QueueUrl: &empty, WaitTimeSeconds: 20}); err == nil {
		t.Fatal("a cancelled request succeeded")
	}
}

func TestQueuePolicyLimits(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := sqs.NewFromConfig(box.Account(owner).User("admin", allowAll))
	url := newQueue(t, client, "orders", nil)
	for _, test := range []struct{ name, policy, want string }{
		{"eight actions", queuePolicy(owner, `["sqs:SendMessage","sqs:ReceiveMessage","sqs:DeleteMessage","sqs:ChangeMessageVisibility","sqs:GetQueueAttributes","sqs:GetQueueUrl","sqs:PurgeQueue","sqs:ListQueueTags"]`), "OverLimit"},
		{"too long", queuePolicy(owner, `"sqs:SendMessage"`) + strings.Repeat(" ", 8192), "InvalidAttributeValue"},
		{"another service", queuePolicy(owner, `"s3:GetObject"`), "InvalidAttributeValue"},
		{"another queue", strings.ReplaceAll(queuePolicy(owner, `"sqs:SendMessage"`), ":orders", ":other"), "InvalidAttributeValue"},
		{"a role that does not exist", queuePolicy("arn:aws:iam::111111111111:role/ghost", `"sqs:SendMessage"`), "InvalidAttributeValue"},
		{"well", queuePolicy(owner, `"sqs:SendMessage"`), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"Policy": test.policy}})
			wantCode(t, err, test.want)
		})
	}
	_, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
	wantCode(t, err, "AWS.SimpleQueueService.NonExistentQueue")
}

func TestQueueStack(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	stacks := cloudformation.NewFromConfig(config)
	body := `{"Resources":{
		"Queue":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"orders","VisibilityTimeout":60,"Tags":[{"Key":"app","Value":"orders"}]}},
		"Policy":{"Type":"AWS::SQS::QueuePolicy","Properties":{"Queues":[{"Ref":"Queue"}],"PolicyDocument":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"sqs:SendMessage","Resource":{"Fn::GetAtt":["Queue","Arn"]}}}}}}}`
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("q"), TemplateBody: &body}); err != nil {
		t.Fatal(err)
	}
	consumer := sqs.NewFromConfig(box.Account(friend).User("app", allowAll))
	url := "https://sqs.us-east-1.amazonaws.com/111111111111/orders"
	wantCode(t, send(consumer, url), "")
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("q")}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, send(consumer, url), "AccessDenied")
}

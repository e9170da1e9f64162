package plans

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func queueURL(stage, name string) *string {
	return aws.String("https://sqs.us-east-1.amazonaws.com/" + owners[stage] + "/" + stage + "-" + name)
}

func TestQueue(t *testing.T) {
	(&kindTest{
		manifest: `
resources:
  key: {kind: kms-key, create: {Description: messages}}
  jobs: {kind: sqs-queue, name: "{stage}-jobs", encryption: key, create: {}}
  done: {kind: sqs-queue, name: "{stage}-done", create: {}}
grants:
  - {name: consume, consumer: bi, resource: jobs, access: consume}
  - {name: report, consumer: bi, resource: done, access: send}
`,
		prepare: func(t *testing.T, _ *deployment, owner aws.Config, stage string) {
			if _, err := sqs.NewFromConfig(owner).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queueURL(stage, "jobs"), MessageBody: aws.String("job")}); err != nil {
				t.Fatal(err)
			}
		},
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			client := sqs.NewFromConfig(c)
			url, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(stage + "-jobs"), QueueOwnerAWSAccountId: aws.String(owners[stage])})
			if err != nil {
				return err
			}
			out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl})
			if err != nil {
				return err
			}
			if len(out.Messages) != 1 || *out.Messages[0].Body != "job" {
				t.Fatalf("received %v", out.Messages)
			}
			if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url.QueueUrl, ReceiptHandle: out.Messages[0].ReceiptHandle}); err != nil {
				return err
			}
			_, err = client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queueURL(stage, "done"), MessageBody: aws.String("done")})
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"sending jobs": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := sqs.NewFromConfig(c).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queueURL(stage, "jobs"), MessageBody: aws.String("x")})
				return err
			},
			"receiving what is done": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := sqs.NewFromConfig(c).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queueURL(stage, "done")})
				return err
			},
		},
	}).run(t)
}

// A queue of the consumer's that is subscribed to the topic gets what is
// published.
func TestTopic(t *testing.T) {
	arn := func(stage string) *string {
		return aws.String("arn:aws:sns:us-east-1:" + owners[stage] + ":" + stage + "-news")
	}
	mine := func(stage string) string {
		return "arn:aws:sqs:us-east-1:" + map[string]string{"alpha": consumerT, "prod": consumerP}[stage] + ":mine"
	}
	(&kindTest{
		manifest: `
resources:
  news: {kind: sns-topic, name: "{stage}-news", create: {}}
grants:
  - {name: publish, consumer: bi, resource: news, access: publish}
  - {name: subscribe, consumer: bi, resource: news, access: subscribe, only: {protocols: [sqs]}}
`,
		prepare: func(t *testing.T, d *deployment, _ aws.Config, stage string) {
			queue := mine(stage)
			client := sqs.NewFromConfig(d.box.Account(strings.Split(queue, ":")[4]).Config())
			if _, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("mine"), Attributes: map[string]string{
				"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + queue + `","Condition":{"ArnEquals":{"aws:SourceArn":"` + *arn(stage) + `"}}}]}`,
			}}); err != nil {
				t.Fatal(err)
			}
		},
		use: func(t *testing.T, d *deployment, c aws.Config, stage string) error {
			client := sns.NewFromConfig(c)
			if _, err := client.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: arn(stage), Protocol: aws.String("sqs"), Endpoint: aws.String(mine(stage))}); err != nil {
				return err
			}
			if _, err := client.Publish(t.Context(), &sns.PublishInput{TopicArn: arn(stage), Message: aws.String("hello")}); err != nil {
				return err
			}
			account := strings.Split(mine(stage), ":")[4]
			out, err := sqs.NewFromConfig(d.box.Account(account).Config()).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("https://sqs.us-east-1.amazonaws.com/" + account + "/mine")})
			if err != nil || len(out.Messages) != 1 || !strings.Contains(*out.Messages[0].Body, "hello") {
				t.Errorf("the consumer's queue got %v, %v", out, err)
			}
			return nil
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"another protocol": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := sns.NewFromConfig(c).Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: arn(stage), Protocol: aws.String("lambda"), Endpoint: aws.String("arn:aws:lambda:us-east-1:333333333333:function:mine")})
				return err
			},
			"changing the topic": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := sns.NewFromConfig(c).SetTopicAttributes(t.Context(), &sns.SetTopicAttributesInput{TopicArn: arn(stage), AttributeName: aws.String("DisplayName"), AttributeValue: aws.String("x")})
				return err
			},
		},
	}).run(t)
}

func TestBus(t *testing.T) {
	put := func(t *testing.T, c aws.Config, stage, source string) error {
		out, err := eventbridge.NewFromConfig(c).PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []eventtypes.PutEventsRequestEntry{{
			EventBusName: aws.String("arn:aws:events:us-east-1:" + owners[stage] + ":event-bus/" + stage + "-bus"), Source: &source, DetailType: aws.String("Counted"), Detail: aws.String("{}"),
		}}})
		if err == nil && out.FailedEntryCount != 0 {
			t.Errorf("the event was not put: %s %s", aws.ToString(out.Entries[0].ErrorCode), aws.ToString(out.Entries[0].ErrorMessage))
		}
		return err
	}
	(&kindTest{
		manifest: `
resources:
  bus: {kind: event-bus, name: "{stage}-bus", create: {}}
grants:
  - {name: events, consumer: bi, resource: bus, access: put, only: {sources: [bi.reports]}}
`,
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			return put(t, c, stage, "bi.reports")
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"another source": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				return put(t, c, stage, "shop.orders")
			},
			"looking at the bus": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := eventbridge.NewFromConfig(c).DescribeEventBus(t.Context(), &eventbridge.DescribeEventBusInput{Name: aws.String("arn:aws:events:us-east-1:" + owners[stage] + ":event-bus/" + stage + "-bus")})
				return err
			},
		},
	}).run(t)
}

// An encrypted stream is read with shared throughput and with enhanced fan-out,
// and written.
func TestStream(t *testing.T) {
	arn := func(stage string) *string {
		return aws.String("arn:aws:kinesis:us-east-1:" + owners[stage] + ":stream/" + stage + "-shop-pubsub")
	}
	(&kindTest{
		manifest: `
resources:
  key: {kind: kms-key, create: {Description: orders}}
  orders: {kind: kinesis-stream, name: "{stage}-{app}-pubsub", encryption: key, create: {ShardCount: 1, StreamEncryption: {EncryptionType: KMS}}}
grants:
  - {name: orders, consumer: bi, resource: orders, access: [read, subscribe]}
`,
		prepare: func(t *testing.T, _ *deployment, owner aws.Config, stage string) {
			if _, err := kinesis.NewFromConfig(owner).PutRecord(t.Context(), &kinesis.PutRecordInput{StreamARN: arn(stage), PartitionKey: aws.String("1"), Data: []byte("order")}); err != nil {
				t.Fatal(err)
			}
		},
		use: func(t *testing.T, d *deployment, c aws.Config, stage string) error {
			client := kinesis.NewFromConfig(c)
			shards, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamARN: arn(stage)})
			if err != nil {
				return err
			}
			it, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamARN: arn(stage), ShardId: shards.Shards[0].ShardId, ShardIteratorType: kinesistypes.ShardIteratorTypeTrimHorizon})
			if err != nil {
				return err
			}
			out, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{StreamARN: arn(stage), ShardIterator: it.ShardIterator})
			if err != nil {
				return err
			}
			if len(out.Records) != 1 || string(out.Records[0].Data) != "order" {
				t.Errorf("read %v", out.Records)
			}
			return subscribes(t, client, d.physical("unit:stream-consumer/orders/"+stage+"/orders#Arn"), *shards.Shards[0].ShardId)
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"writing": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := kinesis.NewFromConfig(c).PutRecord(t.Context(), &kinesis.PutRecordInput{StreamARN: arn(stage), PartitionKey: aws.String("1"), Data: []byte("x")})
				return err
			},
			"registering a consumer of its own": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := kinesis.NewFromConfig(c).RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: arn(stage), ConsumerName: aws.String("mine")})
				return err
			},
		},
	}).run(t)
}

func subscribes(t *testing.T, client *kinesis.Client, consumer, shard string) error {
	out, err := client.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: &shard, StartingPosition: &kinesistypes.StartingPosition{Type: kinesistypes.ShardIteratorTypeTrimHorizon}})
	if err != nil {
		return err
	}
	stream := out.GetStream()
	defer stream.Close()
	for e := range stream.Events() {
		if e, ok := e.(*kinesistypes.SubscribeToShardEventStreamMemberSubscribeToShardEvent); ok && len(e.Value.Records) == 1 && string(e.Value.Records[0].Data) == "order" {
			return nil
		}
	}
	t.Error("no record came by enhanced fan-out")
	return stream.Err()
}

package services

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const streamARN = "arn:aws:kinesis:us-east-1:111111111111:stream/alpha-orders-pubsub"

func newStream(t *testing.T, client *kinesis.Client) {
	t.Helper()
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("alpha-orders-pubsub"), ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, client *kinesis.Client, data string) {
	t.Helper()
	if _, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamARN: aws.String(streamARN), Data: []byte(data), PartitionKey: aws.String("k")}); err != nil {
		t.Fatal(err)
	}
}

// readAll reads the stream as a consumer does, shard by shard, until nothing is
// behind.
func readAll(client *kinesis.Client) ([]string, error) {
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamARN: aws.String(streamARN)})
	if err != nil {
		return nil, err
	}
	var read []string
	for _, shard := range shards.Shards {
		at, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamARN: aws.String(streamARN), ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			return nil, err
		}
		iterator := at.ShardIterator
		for {
			got, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator, StreamARN: aws.String(streamARN), Limit: aws.Int32(1)})
			if err != nil {
				return nil, err
			}
			for _, r := range got.Records {
				read = append(read, string(r.Data))
			}
			if len(got.Records) == 0 && *got.MillisBehindLatest == 0 {
				break
			}
			iterator = got.NextShardIterator
		}
	}
	return read, nil
}

func streamPolicy(principal, actions string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":[` + actions + `],"Resource":"` + streamARN + `"}}`
}

const readStream = `"kinesis:DescribeStreamSummary","kinesis:ListShards","kinesis:GetShardIterator","kinesis:GetRecords"`

func TestStreamAcrossAccounts(t *testing.T) {
	reader := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[` + readStream + `,"kms:Decrypt"],"Resource":"*"}}`
	for _, test := range []struct {
		name, policy, identity, want string
		encrypted                    bool
	}{
		{name: "both sides", policy: streamPolicy(friend, readStream), identity: reader},
		{name: "no resource policy", identity: reader, want: "AccessDeniedException"},
		{name: "without GetRecords", policy: streamPolicy(friend, `"kinesis:ListShards","kinesis:GetShardIterator"`), identity: reader, want: "AccessDeniedException"},
		{name: "no identity policy", policy: streamPolicy(friend, readStream), identity: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, want: "AccessDeniedException"},
		{name: "encrypted, key not shared", policy: streamPolicy(friend, readStream), identity: reader, encrypted: true, want: "KMSAccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			config := box.Account(owner).User("admin", allowAll)
			admin := kinesis.NewFromConfig(config)
			newStream(t, admin)
			if test.encrypted {
				key := newKey(t, kms.NewFromConfig(config), "")
				if _, err := admin.StartStreamEncryption(ctx, &kinesis.StartStreamEncryptionInput{StreamARN: aws.String(streamARN), EncryptionType: types.EncryptionTypeKms, KeyId: &key}); err != nil {
					t.Fatal(err)
				}
			}
			put(t, admin, "one")
			put(t, admin, "two")
			if test.policy != "" {
				if _, err := admin.PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{ResourceARN: aws.String(streamARN), Policy: &test.policy}); err != nil {
					t.Fatal(err)
				}
			}
			consumer := kinesis.NewFromConfig(box.Account(friend).User("consumer", test.identity))
			got, err := readAll(consumer)
			wantCode(t, err, test.want)
			if err == nil && strings.Join(got, " ") != "one two" {
				t.Errorf("read %v", got)
			}
			// Reading is not writing.
			_, err = consumer.PutRecord(ctx, &kinesis.PutRecordInput{StreamARN: aws.String(streamARN), Data: []byte("x"), PartitionKey: aws.String("k")})
			wantCode(t, err, "AccessDeniedException")
			// A name means the caller's own account.
			_, err = kinesis.NewFromConfig(box.Account(friend).User("powerful", allowAll)).DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("alpha-orders-pubsub")})
			wantCode(t, err, "ResourceNotFoundException")
		})
	}
}

// Enhanced fan-out needs a policy on the consumer besides the stream's.
func TestFanOutAcrossAccounts(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := kinesis.NewFromConfig(box.Account(owner).User("admin", allowAll))
	newStream(t, admin)
	for _, data := range []string{"one", "two", "three"} {
		put(t, admin, data)
	}
	registered, err := admin.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(streamARN), ConsumerName: aws.String("billing")})
	if err != nil {
		t.Fatal(err)
	}
	arn := registered.Consumer.ConsumerARN
	shared := streamPolicy(friend, readStream)
	if _, err := admin.PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{ResourceARN: aws.String(streamARN), Policy: &shared}); err != nil {
		t.Fatal(err)
	}
	consumer := kinesis.NewFromConfig(box.Account(friend).User("app", allowAll))
	shards, err := consumer.ListShards(ctx, &kinesis.ListShardsInput{StreamARN: aws.String(streamARN)})
	if err != nil {
		t.Fatal(err)
	}
	subscribe := func() ([]string, error) {
		var got []string
		for _, shard := range shards.Shards {
			out, err := consumer.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: arn, ShardId: shard.ShardId, StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}})
			if err != nil {
				return nil, err
			}
			for event := range out.GetStream().Events() {
				for _, r := range event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value.Records {
					got = append(got, string(r.Data))
				}
			}
			if err := out.GetStream().Err(); err != nil {
				t.Fatal(err)
			}
		}
		return got, nil
	}
	_, err = subscribe()
	wantCode(t, err, "AccessDeniedException")
	policy := strings.Replace(streamPolicy(friend, `"kinesis:SubscribeToShard","kinesis:DescribeStreamConsumer"`), streamARN, *arn, 1)
	if _, err := admin.PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{ResourceARN: arn, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	got, err := subscribe()
	if err != nil || strings.Join(got, " ") != "one two three" {
		t.Fatalf("%v %v", got, err)
	}
	// The consumer's policy is for that consumer only.
	_, err = admin.PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{ResourceARN: arn, Policy: &shared})
	wantCode(t, err, "InvalidArgumentException")
}

func TestShardIterators(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := kinesis.NewFromConfig(box.Account(owner).User("admin", allowAll))
	newStream(t, admin)
	put(t, admin, "one")
	at, err := admin.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamARN: aws.String(streamARN), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	// An iterator is no permission: who finds one still needs a policy.
	_, err = kinesis.NewFromConfig(box.Account(friend).User("thief", allowAll)).GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: at.ShardIterator})
	wantCode(t, err, "AccessDeniedException")
	_, err = admin.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String("AAAA" + (*at.ShardIterator)[4:])})
	wantCode(t, err, "InvalidArgumentException")
	_, err = admin.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamARN: aws.String(streamARN), ShardId: aws.String("shardId-000000000009"), ShardIteratorType: types.ShardIteratorTypeLatest})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestStreamStack(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	stacks := cloudformation.NewFromConfig(config)
	body := `{"Resources":{
		"Stream":{"Type":"AWS::Kinesis::Stream","Properties":{"Name":"alpha-orders-pubsub","ShardCount":1}},
		"Consumer":{"Type":"AWS::Kinesis::StreamConsumer","Properties":{"ConsumerName":"billing","StreamARN":{"Fn::GetAtt":["Stream","Arn"]}}},
		"Policy":{"Type":"AWS::Kinesis::ResourcePolicy","Properties":{"ResourceArn":{"Fn::GetAtt":["Stream","Arn"]},"ResourcePolicy":` + streamPolicy(friend, readStream) + `}},
		"ConsumerPolicy":{"Type":"AWS::Kinesis::ResourcePolicy","Properties":{"ResourceArn":{"Fn::GetAtt":["Consumer","ConsumerARN"]},"ResourcePolicy":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + friend + `"},"Action":"kinesis:SubscribeToShard","Resource":{"Fn::GetAtt":["Consumer","ConsumerARN"]}}}}}}}`
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("s"), TemplateBody: &body}); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(kinesis.NewFromConfig(box.Account(friend).User("app", allowAll)))
	if err != nil || len(got) != 0 {
		t.Fatalf("%v %v", got, err)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	_, err = kinesis.NewFromConfig(config).DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamARN: aws.String(streamARN)})
	wantCode(t, err, "ResourceNotFoundException")
}

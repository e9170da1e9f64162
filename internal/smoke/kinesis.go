package smoke

// kinesisCalls are those of Kinesis data streams. Enhanced fan-out is tried with
// a shard that does not exist: a subscription to a real one would take it over
// from the consumer that reads it.
//
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
var kinesisCalls = &service{
	calls: []call{
		kinesisCall("DescribeStreamSummary", func(t *target) map[string]any { return map[string]any{"StreamARN": t.resource} }),
		kinesisCall("DescribeStream", func(t *target) map[string]any { return map[string]any{"StreamARN": t.resource, "Limit": 1} }).
			learning(func(t *target, a *answer) { t.known.shard = field(a.body, "StreamDescription.Shards.0.ShardId") }),
		kinesisCall("ListShards", func(t *target) map[string]any { return map[string]any{"StreamARN": t.resource, "MaxResults": 1} }).
			learning(func(t *target, a *answer) { t.known.shard = field(a.body, "Shards.0.ShardId") }),
		kinesisCall("GetShardIterator", func(t *target) map[string]any {
			return map[string]any{"StreamARN": t.resource, "ShardId": t.known.shardOr(), "ShardIteratorType": "LATEST"}
		}, "ResourceNotFoundException").
			learning(func(t *target, a *answer) { t.known.iterator = field(a.body, "ShardIterator") }),
		kinesisCall("GetRecords", func(t *target) map[string]any {
			return map[string]any{"StreamARN": t.resource, "ShardIterator": t.known.iterator, "Limit": 1}
		}).unless(needsIterator),
		kinesisCall("DescribeStreamConsumer", func(t *target) map[string]any { return map[string]any{"ConsumerARN": t.resource} }),
		kinesisCall("SubscribeToShard", func(t *target) map[string]any {
			return map[string]any{"ConsumerARN": t.resource, "ShardId": noShard, "StartingPosition": map[string]any{"Type": "LATEST"}}
		}, "ResourceNotFoundException"),
		kinesisCall("PutRecord", func(t *target) map[string]any {
			return map[string]any{"StreamARN": t.resource, "PartitionKey": probeName, "Data": []byte(probeName)}
		}).writing(),
		kinesisCall("PutRecords", func(t *target) map[string]any {
			return map[string]any{"StreamARN": t.resource, "Records": []any{map[string]any{"PartitionKey": probeName, "Data": []byte(probeName)}}}
		}).writing(),
		kinesisCall("ListStreamConsumers", func(t *target) map[string]any { return map[string]any{"StreamARN": t.resource, "MaxResults": 1} }),
	},
	others: []string{"kinesis:PutRecord", "kinesis:GetShardIterator", "kinesis:ListStreamConsumers"},
}

// noShard has the form of a shard's id and is none.
const noShard = "shardId-999999999999"

func (k *known) shardOr() string {
	if k.shard == "" {
		return noShard
	}
	return k.shard
}

func needsIterator(t *target) string {
	if t.known.iterator == "" {
		return "there is no shard iterator to read from, because it was not given"
	}
	return ""
}

func kinesisCall(operation string, input func(t *target) map[string]any, passed ...string) call {
	return jsonCall("kinesis:"+operation, "kinesis", "1.1", "Kinesis_20131202", input, passed...)
}

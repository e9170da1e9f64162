package smoke

import (
	"encoding/json"
	"strings"
)

// dynamoCalls are those of tables, their indexes and streams. Writes have a
// condition that is never true, so that they change nothing and yet must be
// allowed first.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
var dynamoCalls = &service{
	calls: []call{
		dynamoCall("DescribeTable", func(t *target) map[string]any { return map[string]any{"TableName": t.resource} }).learning(learnKeys),
		dynamoCall("GetItem", func(t *target) map[string]any {
			return t.projected(map[string]any{"TableName": t.resource, "Key": t.item()})
		}).unless(needsKeys),
		dynamoCall("BatchGetItem", func(t *target) map[string]any {
			return map[string]any{"RequestItems": map[string]any{t.resource: t.projected(map[string]any{"Keys": []any{t.item()}})}}
		}).unless(needsKeys),
		dynamoCall("Query", queryInput).unless(needsKeys).unless(func(t *target) string {
			if _, index, ok := strings.Cut(t.resource, "/index/"); ok && t.known.indexKey(index) == nil {
				return "the table's description does not have the index " + index
			}
			return ""
		}),
		dynamoCall("Scan", func(t *target) map[string]any {
			in := map[string]any{"TableName": t.resource, "Limit": 1}
			if table, index, ok := strings.Cut(t.resource, "/index/"); ok {
				in["TableName"], in["IndexName"] = table, index
			}
			return t.projected(in)
		}),
		dynamoCall("PutItem", func(t *target) map[string]any {
			return t.never(map[string]any{"TableName": t.resource, "Item": t.item()})
		}, "ConditionalCheckFailedException").unless(needsKeys),
		dynamoCall("UpdateItem", func(t *target) map[string]any {
			return t.never(map[string]any{"TableName": t.resource, "Key": t.item()})
		}, "ConditionalCheckFailedException").unless(needsKeys),
		dynamoCall("DeleteItem", func(t *target) map[string]any {
			return t.never(map[string]any{"TableName": t.resource, "Key": t.item()})
		}, "ConditionalCheckFailedException").unless(needsKeys),
		dynamoCall("BatchWriteItem", nil).unless(func(*target) string {
			return "it cannot have a condition that keeps it from changing something"
		}),
		dynamoCall("DescribeTimeToLive", func(t *target) map[string]any { return map[string]any{"TableName": t.resource} }),
		streamCall("DescribeStream", func(t *target) map[string]any { return map[string]any{"StreamArn": t.resource, "Limit": 1} }).
			learning(func(t *target, a *answer) { t.known.shard = field(a.body, "StreamDescription.Shards.0.ShardId") }),
		streamCall("GetShardIterator", func(t *target) map[string]any {
			return map[string]any{"StreamArn": t.resource, "ShardId": t.known.shardOr(), "ShardIteratorType": "LATEST"}
		}, "ResourceNotFoundException").
			learning(func(t *target, a *answer) { t.known.iterator = field(a.body, "ShardIterator") }),
		streamCall("GetRecords", func(t *target) map[string]any {
			return map[string]any{"ShardIterator": t.known.iterator, "Limit": 1}
		}).unless(needsIterator),
	},
	others: []string{"dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:DescribeTimeToLive"},
}

func dynamoCall(operation string, input func(t *target) map[string]any, passed ...string) call {
	return jsonCall("dynamodb:"+operation, "dynamodb", "1.0", "DynamoDB_20120810", input, passed...)
}

// streamCall is a call of DynamoDB Streams, which have a host and a target of
// their own and share the prefix of their actions with tables.
func streamCall(operation string, input func(t *target) map[string]any, passed ...string) call {
	return call{action: "dynamodb:" + operation, passed: passed, request: func(t *target) (*request, string) {
		if strings.HasSuffix(t.pattern, "/stream/*") {
			return nil, "the ARN of the table's stream is not known; give it with --value"
		}
		return jsonRequest("dynamodb", "streams.dynamodb."+t.owner.Region, "1.0", "DynamoDBStreams_20120810."+operation, input(t)), ""
	}}
}

// An attribute is part of a table's or an index's key.
type attribute struct {
	index      string // "" for the table
	name, form string // form is S, N or B
	hash       bool
}

// learnKeys reads the keys of a table and its indexes from its description.
func learnKeys(t *target, a *answer) {
	type schema []struct{ AttributeName, KeyType string }
	var out struct {
		Table struct {
			KeySchema            schema
			AttributeDefinitions []struct{ AttributeName, AttributeType string }
			GlobalSecondaryIndexes,
			LocalSecondaryIndexes []struct {
				IndexName string
				KeySchema schema
			}
		}
	}
	if json.Unmarshal(a.body, &out) != nil {
		return
	}
	forms := map[string]string{}
	for _, d := range out.Table.AttributeDefinitions {
		forms[d.AttributeName] = d.AttributeType
	}
	t.known.keys = nil
	add := func(index string, keys schema) {
		for _, k := range keys {
			t.known.keys = append(t.known.keys, attribute{index, k.AttributeName, forms[k.AttributeName], k.KeyType == "HASH"})
		}
	}
	add("", out.Table.KeySchema)
	for _, i := range append(out.Table.GlobalSecondaryIndexes, out.Table.LocalSecondaryIndexes...) {
		add(i.IndexName, i.KeySchema)
	}
}

func needsKeys(t *target) string {
	if t.known.indexKey("") == nil {
		return "the table's keys are not known, because it could not be described"
	}
	return ""
}

// indexKey returns the partition key of an index, or of the table.
func (k *known) indexKey(index string) *attribute {
	for i := range k.keys {
		if k.keys[i].index == index && k.keys[i].hash {
			return &k.keys[i]
		}
	}
	return nil
}

// value returns a value of an attribute's form that items are not likely to have.
func (a *attribute) value(t *target) map[string]any {
	switch {
	case a.hash && a.index == "" && len(t.only.Keys) > 0:
		return map[string]any{"S": t.only.Keys[0]}
	case a.form == "N":
		return map[string]any{"N": "-90071992547409"}
	case a.form == "B":
		return map[string]any{"B": []byte(probeName)}
	}
	return map[string]any{"S": probeName}
}

// item returns the key of an item that the grant may reach.
func (t *target) item() map[string]any {
	item := map[string]any{}
	for i := range t.known.keys {
		if a := &t.known.keys[i]; a.index == "" {
			item[a.name] = a.value(t)
		}
	}
	return item
}

// never adds a condition that is false for every item and for none.
func (t *target) never(in map[string]any) map[string]any {
	in["ConditionExpression"] = "attribute_exists(#k) AND attribute_not_exists(#k)"
	in["ExpressionAttributeNames"] = map[string]any{"#k": t.known.indexKey("").name}
	return in
}

// projected asks for the attributes that a grant is narrowed to.
func (t *target) projected(in map[string]any) map[string]any {
	if len(t.only.Attributes) == 0 {
		return in
	}
	names, _ := in["ExpressionAttributeNames"].(map[string]any)
	if names == nil {
		names = map[string]any{}
	}
	var list []string
	for i, a := range t.only.Attributes {
		short := "#a" + string(rune('a'+i%26))
		names[short] = a
		list = append(list, short)
	}
	in["ExpressionAttributeNames"], in["ProjectionExpression"] = names, strings.Join(list, ", ")
	return in
}

func queryInput(t *target) map[string]any {
	table, index, _ := strings.Cut(t.resource, "/index/")
	in := map[string]any{"TableName": table, "Limit": 1, "KeyConditionExpression": "#k = :v"}
	if index != "" {
		in["IndexName"] = index
	}
	key := t.known.indexKey(index)
	in["ExpressionAttributeNames"] = map[string]any{"#k": key.name}
	in["ExpressionAttributeValues"] = map[string]any{":v": key.value(t)}
	return t.projected(in)
}

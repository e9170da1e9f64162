package services

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestQueriesAndScans(t *testing.T) {
	_, _, client := admin(t)
	newTable(t, client, nil)
	for n := range 9 {
		putOrder(t, client, order("ann", fmt.Sprint(n+1), []string{"new", "paid", "sent"}[n%3], "amount", number(fmt.Sprint(10*n)), "note", text("n")))
	}
	putOrder(t, client, order("bob", "1", "new", "amount", number("5")))
	query := func(change func(*dynamodb.QueryInput)) ([]item, error) {
		in := &dynamodb.QueryInput{TableName: aws.String("orders"), KeyConditionExpression: aws.String("customer = :c"), ExpressionAttributeValues: item{":c": text("ann")}}
		change(in)
		var all []item
		for {
			out, err := client.Query(ctx, in)
			if err != nil {
				return nil, err
			}
			all = append(all, out.Items...)
			if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
				return all, nil
			}
		}
	}
	numbers := func(items []item) string {
		var list []string
		for _, i := range items {
			list = append(list, show(i["seq"]))
		}
		return strings.Join(list, " ")
	}
	for _, test := range []struct {
		name   string
		change func(*dynamodb.QueryInput)
		want   string // the order numbers, or an error's code
	}{
		{"all", func(*dynamodb.QueryInput) {}, "1 2 3 4 5 6 7 8 9"},
		{"backward in pages", func(in *dynamodb.QueryInput) { in.ScanIndexForward, in.Limit = aws.Bool(false), aws.Int32(2) }, "9 8 7 6 5 4 3 2 1"},
		{"range in pages", func(in *dynamodb.QueryInput) {
			in.KeyConditionExpression, in.Limit = aws.String("customer = :c AND #n BETWEEN :a AND :b"), aws.Int32(1)
			in.ExpressionAttributeNames = map[string]string{"#n": "seq"}
			in.ExpressionAttributeValues = item{":c": text("ann"), ":a": number("3.5"), ":b": number("7e0")}
		}, "4 5 6 7"},
		{"filter", func(in *dynamodb.QueryInput) {
			in.FilterExpression = aws.String("amount >= :t AND NOT (stage = :s)")
			in.ExpressionAttributeValues = item{":c": text("ann"), ":t": number("40"), ":s": text("sent")}
		}, "5 7 8"},
		{"index", func(in *dynamodb.QueryInput) {
			in.IndexName, in.KeyConditionExpression, in.Limit = aws.String("byStage"), aws.String("stage = :c"), aws.Int32(1)
			in.ExpressionAttributeValues = item{":c": text("new")}
		}, "1 1 4 7"},
		{"unknown index", func(in *dynamodb.QueryInput) { in.IndexName = aws.String("byNothing") }, "ValidationException"},
		{"not projected", func(in *dynamodb.QueryInput) {
			in.IndexName, in.KeyConditionExpression, in.FilterExpression = aws.String("byStage"), aws.String("stage = :c"), aws.String("note = :c")
		}, "ValidationException"},
		{"no partition key", func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("stage = :c") }, "ValidationException"},
		{"type of the key", func(in *dynamodb.QueryInput) { in.ExpressionAttributeValues = item{":c": number("1")} }, "ValidationException"},
		{"filter by the key", func(in *dynamodb.QueryInput) { in.FilterExpression = aws.String("customer = :c") }, "ValidationException"},
		{"unused value", func(in *dynamodb.QueryInput) {
			in.ExpressionAttributeValues = item{":c": text("ann"), ":d": text("x")}
		}, "ValidationException"},
		{"start key of another partition", func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = orderKey("bob", "1") }, "ValidationException"},
		{"legacy", func(in *dynamodb.QueryInput) {
			in.QueryFilter = map[string]types.Condition{"amount": {ComparisonOperator: "NULL"}}
		}, "NotImplemented"},
		{"consistent index", func(in *dynamodb.QueryInput) {
			in.IndexName, in.KeyConditionExpression, in.ConsistentRead = aws.String("byStage"), aws.String("stage = :c"), aws.Bool(true)
		}, "ValidationException"},
	} {
		items, err := query(test.change)
		got := numbers(items)
		if err != nil {
			got = code(t, err)
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q (%v)", test.name, got, test.want, err)
		}
	}
	// The index keeps the keys of both and what it includes.
	fromIndex, err := query(func(in *dynamodb.QueryInput) {
		in.IndexName, in.KeyConditionExpression, in.ExpressionAttributeValues = aws.String("byStage"), aws.String("stage = :c AND seq = :n"), item{":c": text("paid"), ":n": number("2")}
	})
	if err != nil || showAll(fromIndex) != "{amount=10 customer=ann seq=2 stage=paid}" {
		t.Errorf("%s %v", showAll(fromIndex), err)
	}
	// Every item is in exactly one segment.
	count := 0
	for segment := range int32(3) {
		in := &dynamodb.ScanInput{TableName: aws.String("orders"), Segment: &segment, TotalSegments: aws.Int32(3), Limit: aws.Int32(4), ProjectionExpression: aws.String("customer")}
		for {
			out, err := client.Scan(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			count += len(out.Items)
			if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
				break
			}
		}
	}
	if count != 10 {
		t.Errorf("%d items in the segments", count)
	}
	counted, err := client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("orders"), Select: types.SelectCount, FilterExpression: aws.String("stage IN (:a, :b)"), ExpressionAttributeValues: item{":a": text("new"), ":b": text("sent")}})
	if err != nil || counted.Count != 7 || counted.ScannedCount != 10 || len(counted.Items) != 0 {
		t.Errorf("%+v %v", counted, err)
	}
}

// A page has at most a megabyte before it is filtered.
func TestPagesAreLimited(t *testing.T) {
	_, _, client := admin(t)
	newTable(t, client, nil)
	for n := range 4 {
		putOrder(t, client, order("ann", fmt.Sprint(n), "new", "data", text(strings.Repeat("x", 380<<10))))
	}
	out, err := client.Query(ctx, &dynamodb.QueryInput{TableName: aws.String("orders"), KeyConditionExpression: aws.String("customer = :c"), ExpressionAttributeValues: item{":c": text("ann")}})
	if err != nil || out.Count != 3 || show(out.LastEvaluatedKey) != "{customer=ann seq=2}" {
		t.Fatalf("%d %s %v", out.Count, show(out.LastEvaluatedKey), err)
	}
	_, err = client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: order("ann", "9", "new", "data", text(strings.Repeat("x", 400<<10)))})
	wantCode(t, err, "ValidationException")
}

func TestItems(t *testing.T) {
	_, _, client := admin(t)
	newTable(t, client, nil)
	putOrder(t, client, order("ann", "1", "new", "amount", number("1.50"), "tags", &types.AttributeValueMemberSS{Value: []string{"a", "b"}}))
	update := func(expression, condition string, values item, returns types.ReturnValue) (item, error) {
		in := &dynamodb.UpdateItemInput{TableName: aws.String("orders"), Key: orderKey("ann", "1"), UpdateExpression: &expression, ReturnValues: returns}
		if len(values) > 0 {
			in.ExpressionAttributeValues = values
		}
		if condition != "" {
			in.ConditionExpression = &condition
		}
		out, err := client.UpdateItem(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Attributes, nil
	}
	for _, step := range []struct {
		expression, condition string
		values                item
		returns               types.ReturnValue
		want                  string
	}{
		{"SET amount = amount + :n, seen = if_not_exists(seen, :n) ADD tags :t", "", item{":n": number("2"), ":t": &types.AttributeValueMemberSS{Value: []string{"c", "a"}}}, "UPDATED_NEW", "{amount=3.5 seen=2 tags=<a b c>}"},
		{"SET history = list_append(if_not_exists(history, :e), :l)", "", item{":e": &types.AttributeValueMemberL{}, ":l": &types.AttributeValueMemberL{Value: []types.AttributeValue{text("x"), text("y")}}}, "UPDATED_NEW", "{history=[x y]}"},
		{"SET history[9] = :z, history[0] = :a REMOVE history[1]", "size(history) = :two", item{":z": text("z"), ":a": text("a"), ":two": number("2")}, "ALL_NEW", "{amount=3.5 customer=ann history=[a z] seen=2 seq=1 stage=new tags=<a b c>}"},
		{"DELETE tags :t", "contains(tags, :b)", item{":t": &types.AttributeValueMemberSS{Value: []string{"a", "b", "c"}}, ":b": text("b")}, "UPDATED_OLD", "{tags=<a b c>}"},
		{"REMOVE seen", "attribute_not_exists(tags) AND attribute_type(amount, :n)", item{":n": text("N")}, "UPDATED_OLD", "{seen=2}"},
		{"SET stage = :s", "amount > :n", item{":s": text("sent"), ":n": number("4")}, "NONE", "ConditionalCheckFailedException"},
		{"SET seq = :n", "", item{":n": number("4")}, "NONE", "ValidationException"},
		{"SET stage = :n", "", item{":n": number("4")}, "NONE", "ValidationException"}, // the key of an index
		{"SET size = :n", "", item{":n": number("4")}, "NONE", "ValidationException"},  // a reserved word
		{"SET amount = absent + :n", "", item{":n": number("4")}, "NONE", "ValidationException"},
		{"SET a.b = :n", "", item{":n": number("4")}, "NONE", "ValidationException"},
		{"SET amount = :n SET a = :n", "", item{":n": number("4")}, "NONE", "ValidationException"},
	} {
		got, err := update(step.expression, step.condition, step.values, step.returns)
		shown := show(got)
		if err != nil {
			shown = code(t, err)
		}
		if shown != step.want {
			t.Errorf("%s: %s, want %s (%v)", step.expression, shown, step.want, err)
		}
	}
	got, err := client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("orders"), Key: orderKey("ann", "1.0"), ProjectionExpression: aws.String("history[1], amount")})
	if err != nil || show(got.Item) != "{amount=3.5 history=[z]}" {
		t.Fatalf("%s %v", show(got.Item), err)
	}
	// The item that fails a condition is shown to those who ask.
	_, err = client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: order("ann", "1", "new"), ConditionExpression: aws.String("attribute_not_exists(customer)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) || show(failed.Item["amount"]) != "3.5" {
		t.Fatal(err)
	}
	deleted, err := client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String("orders"), Key: orderKey("ann", "1"), ReturnValues: types.ReturnValueAllOld})
	if err != nil || show(deleted.Attributes["amount"]) != "3.5" {
		t.Fatal(err)
	}
	for name, wrong := range map[string]item{
		"missing key":   {"customer": text("ann")},
		"type":          {"customer": text("ann"), "seq": text("1")},
		"empty key":     order("", "1", "new"),
		"39 digits":     order("ann", "123456789012345678901234567890123456789", "new"),
		"too large":     order("ann", "1e126", "new"),
		"no number":     order("ann", "one", "new"),
		"empty set":     order("ann", "1", "new", "s", &types.AttributeValueMemberSS{Value: []string{}}),
		"same elements": order("ann", "1", "new", "s", &types.AttributeValueMemberNS{Value: []string{"1", "1.0"}}),
	} {
		_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: wrong})
		if got := code(t, err); got != "ValidationException" {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	_, err = client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: order("ann", "1", "new"), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
	wantCode(t, err, "NotImplemented")
	_, err = client.ExecuteStatement(ctx, &dynamodb.ExecuteStatementInput{Statement: aws.String("SELECT * FROM orders")})
	wantCode(t, err, "NotImplemented")
}

func TestBatchesAndTransactions(t *testing.T) {
	_, _, client := admin(t)
	newTable(t, client, nil)
	if _, err := client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"orders": {
		{PutRequest: &types.PutRequest{Item: order("ann", "1", "new")}}, {PutRequest: &types.PutRequest{Item: order("bob", "2", "new")}}, {DeleteRequest: &types.DeleteRequest{Key: orderKey("cid", "1")}},
	}}}); err != nil {
		t.Fatal(err)
	}
	got, err := client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{tableARN: {Keys: []item{orderKey("bob", "2"), orderKey("cid", "1")}}}})
	if err != nil || showAll(got.Responses[tableARN]) != "{customer=bob seq=2 stage=new}" {
		t.Fatalf("%v %v", got, err)
	}
	pay := func(no, from, token string) error {
		in := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Update: &types.Update{TableName: aws.String("orders"), Key: orderKey("ann", no), UpdateExpression: aws.String("SET stage = :p ADD times :one"), ConditionExpression: aws.String("stage = :f"),
				ExpressionAttributeValues: item{":p": text("paid"), ":f": text(from), ":one": number("1")}}},
			{ConditionCheck: &types.ConditionCheck{TableName: aws.String("orders"), Key: orderKey("bob", "2"), ConditionExpression: aws.String("attribute_exists(customer)")}},
			{Put: &types.Put{TableName: aws.String("orders"), Item: order("cid", no, "copy")}},
		}}
		if token != "" {
			in.ClientRequestToken = &token
		}
		_, err := client.TransactWriteItems(ctx, in)
		return err
	}
	if err := pay("1", "new", "token"); err != nil {
		t.Fatal(err)
	}
	if err := pay("1", "new", "token"); err != nil { // again, and not done again
		t.Fatal(err)
	}
	wantCode(t, pay("2", "new", "token"), "IdempotentParameterMismatchException")
	err = pay("1", "new", "")
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) || *cancelled.CancellationReasons[0].Code != "ConditionalCheckFailed" || *cancelled.CancellationReasons[1].Code != "None" {
		t.Fatal(err)
	}
	wantCode(t, pay("7", "new", ""), "TransactionCanceledException")
	read, err := client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: aws.String("orders"), Key: orderKey("ann", "1")}}, {Get: &types.Get{TableName: aws.String("orders"), Key: orderKey("cid", "7")}},
	}})
	if err != nil || show(read.Responses[0].Item) != "{customer=ann seq=1 stage=paid times=1}" || read.Responses[1].Item != nil {
		t.Fatalf("%v %v", read, err)
	}
}

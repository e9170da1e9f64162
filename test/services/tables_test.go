package services

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const tableARN = "arn:aws:dynamodb:us-east-1:111111111111:table/orders"

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// show writes an item in one line, with its attributes by name.
func show(v any) string {
	switch v := v.(type) {
	case item:
		var parts []string
		for name, value := range v {
			parts = append(parts, name+"="+show(value))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, " ") + "}"
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	case *types.AttributeValueMemberM:
		return show(v.Value)
	case *types.AttributeValueMemberL:
		var parts []string
		for _, e := range v.Value {
			parts = append(parts, show(e))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case *types.AttributeValueMemberSS:
		slices.Sort(v.Value)
		return "<" + strings.Join(v.Value, " ") + ">"
	case *types.AttributeValueMemberNS:
		slices.Sort(v.Value)
		return "<" + strings.Join(v.Value, " ") + ">"
	case *types.AttributeValueMemberB:
		return fmt.Sprintf("%x", v.Value)
	case *types.AttributeValueMemberBOOL:
		return fmt.Sprint(v.Value)
	case *types.AttributeValueMemberNULL:
		return "null"
	}
	return fmt.Sprintf("%T", v)
}

func showAll(items []item) string {
	var parts []string
	for _, i := range items {
		parts = append(parts, show(i))
	}
	return strings.Join(parts, " ")
}

// newTable makes the table "orders" with key (customer, seq), and an index
// byStage with key (stage, seq).
func newTable(t *testing.T, client *dynamodb.Client, change func(*dynamodb.CreateTableInput)) {
	t.Helper()
	in := &dynamodb.CreateTableInput{
		TableName: aws.String("orders"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("customer"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("seq"), AttributeType: types.ScalarAttributeTypeN},
			{AttributeName: aws.String("stage"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("customer"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("seq"), KeyType: types.KeyTypeRange}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName:  aws.String("byStage"),
			KeySchema:  []types.KeySchemaElement{{AttributeName: aws.String("stage"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("seq"), KeyType: types.KeyTypeRange}},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"amount"}},
		}},
	}
	if change != nil {
		change(in)
	}
	if _, err := client.CreateTable(ctx, in); err != nil {
		t.Fatal(err)
	}
}

func order(customer, no, stage string, more ...any) item {
	i := item{"customer": text(customer), "seq": number(no), "stage": text(stage)}
	for k := 0; k < len(more); k += 2 {
		i[more[k].(string)] = more[k+1].(types.AttributeValue)
	}
	return i
}

func putOrder(t *testing.T, client *dynamodb.Client, i item) {
	t.Helper()
	if _, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(tableARN), Item: i}); err != nil {
		t.Fatal(err)
	}
}

func orderKey(customer, no string) item { return item{"customer": text(customer), "seq": number(no)} }

func admin(t *testing.T) (*sandboxtest.Sandbox, aws.Config, *dynamodb.Client) {
	t.Helper()
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	return box, config, dynamodb.NewFromConfig(config)
}

// Rights to an index are in the table's policy, on the index's own ARN.
func TestTableAcrossAccounts(t *testing.T) {
	policy := func(actions, resources, condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + friend + `"},"Action":[` + actions + `],"Resource":[` + resources + `]` + condition + `}}`
	}
	const table, index = `"` + tableARN + `"`, `"` + tableARN + `/index/byStage"`
	get := func(client *dynamodb.Client, more func(*dynamodb.GetItemInput)) error {
		in := &dynamodb.GetItemInput{TableName: aws.String(tableARN), Key: orderKey("ann", "1")}
		if more != nil {
			more(in)
		}
		out, err := client.GetItem(ctx, in)
		if err == nil && show(out.Item["customer"]) != "ann" {
			return fmt.Errorf("got %s", show(out.Item))
		}
		return err
	}
	calls := map[string]func(*dynamodb.Client) error{
		"GetItem": func(c *dynamodb.Client) error { return get(c, nil) },
		"Query index": func(c *dynamodb.Client) error {
			_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: aws.String(tableARN), IndexName: aws.String("byStage"),
				KeyConditionExpression: aws.String("stage = :s"), ExpressionAttributeValues: item{":s": text("new")}})
			return err
		},
		"PutItem": func(c *dynamodb.Client) error {
			_, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(tableARN), Item: order("ann", "2", "new")})
			return err
		},
		"GetItem customer": func(c *dynamodb.Client) error {
			return get(c, func(in *dynamodb.GetItemInput) { in.ProjectionExpression = aws.String("customer") })
		},
		"GetItem secret": func(c *dynamodb.Client) error {
			return get(c, func(in *dynamodb.GetItemInput) { in.ProjectionExpression = aws.String("customer, secret") })
		},
		"Transaction": func(c *dynamodb.Client) error {
			_, err := c.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: aws.String(tableARN), Key: orderKey("ann", "1")}}}})
			return err
		},
	}
	for _, test := range []struct {
		name, policy, identity string
		allowed                string // the calls that go through
	}{
		{"both sides", policy(`"dynamodb:GetItem"`, table, ""), allowAll, "GetItem,GetItem customer,GetItem secret,Transaction"},
		{"index", policy(`"dynamodb:Query"`, index, ""), allowAll, "Query index"},
		{"query on the table only", policy(`"dynamodb:Query"`, table, ""), allowAll, ""},
		{"no resource policy", "", allowAll, ""},
		{"no identity policy", policy(`"dynamodb:GetItem"`, table, ""), strings.ReplaceAll(allowAll, `"Action":"*"`, `"Action":"s3:*"`), ""},
		{"own keys", policy(`"dynamodb:*Item"`, table, `,"Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":"ann"},"Null":{"dynamodb:LeadingKeys":"false"}}`), allowAll, "GetItem,GetItem customer,GetItem secret,PutItem,Transaction"},
		{"other keys", policy(`"dynamodb:*Item"`, table, `,"Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":"bob"}}`), allowAll, ""},
		{"some attributes", policy(`"dynamodb:GetItem"`, table, `,"Condition":{"ForAllValues:StringEquals":{"dynamodb:Attributes":["customer","seq"]},"StringEquals":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}`), allowAll, "GetItem customer"},
		{"returning nothing", policy(`"dynamodb:PutItem"`, table, `,"Condition":{"StringEquals":{"dynamodb:ReturnValues":"NONE"}}`), allowAll, "PutItem"},
		{"no transactions", policy(`"dynamodb:GetItem"`, table, `,"Condition":{"Null":{"dynamodb:EnclosingOperation":"true"}}`), allowAll, "GetItem,GetItem customer,GetItem secret"},
		{"tagged", policy(`"dynamodb:PutItem"`, table, `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"orders"}}`), allowAll, "PutItem"},
		{"tagged otherwise", policy(`"dynamodb:PutItem"`, table, `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"billing"}}`), allowAll, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			box, _, owns := admin(t)
			newTable(t, owns, func(in *dynamodb.CreateTableInput) {
				in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("orders")}}
				if test.policy != "" {
					in.ResourcePolicy = &test.policy
				}
			})
			putOrder(t, owns, order("ann", "1", "new"))
			client := dynamodb.NewFromConfig(box.Account(friend).User("app", test.identity))
			for name, call := range calls {
				want := "AccessDeniedException"
				if slices.Contains(strings.Split(test.allowed, ","), name) {
					want = ""
				}
				if got := code(t, call(client)); got != want {
					t.Errorf("%s: code %q, want %q", name, got, want)
				}
			}
			// A name means the caller's own account.
			_, err := dynamodb.NewFromConfig(box.Account(friend).User("powerful", allowAll)).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("orders")})
			wantCode(t, err, "ResourceNotFoundException")
		})
	}
}

func TestTablePolicies(t *testing.T) {
	_, _, client := admin(t)
	newTable(t, client, nil)
	put := func(policy string, change func(*dynamodb.PutResourcePolicyInput)) (*dynamodb.PutResourcePolicyOutput, error) {
		in := &dynamodb.PutResourcePolicyInput{ResourceArn: aws.String(tableARN), Policy: &policy}
		if change != nil {
			change(in)
		}
		return client.PutResourcePolicy(ctx, in)
	}
	allow := func(principal, resource string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"dynamodb:GetItem","Resource":"` + resource + `"}}`
	}
	deny := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"dynamodb:PutResourcePolicy","Resource":"` + tableARN + `"}}`
	for _, test := range []struct{ name, policy, want string }{
		{"fine", allow(friend, tableARN), ""},
		{"indexes", allow(friend, tableARN+"/index/*"), ""},
		{"no such principal", allow("arn:aws:iam::"+friend+":role/nobody", tableARN), "ValidationException"},
		{"other table", allow(friend, tableARN+"-old"), "ValidationException"},
		{"other service", strings.Replace(allow(friend, tableARN), "dynamodb:GetItem", "s3:GetObject", 1), "ValidationException"},
		{"no JSON", `{"Version":`, "ValidationException"},
		{"white space counts", allow(friend, tableARN) + strings.Repeat(" ", 20<<10), "ValidationException"},
		{"lockout", deny, "ValidationException"},
	} {
		if _, err := put(test.policy, nil); code(t, err) != test.want {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := client.DeleteResourcePolicy(ctx, &dynamodb.DeleteResourcePolicyInput{ResourceArn: aws.String(tableARN)}); err != nil {
		t.Fatal(err)
	}
	_, err := client.GetResourcePolicy(ctx, &dynamodb.GetResourcePolicyInput{ResourceArn: aws.String(tableARN)})
	wantCode(t, err, "PolicyNotFoundException")
	first, err := put(allow(friend, tableARN), func(in *dynamodb.PutResourcePolicyInput) { in.ExpectedRevisionId = aws.String("NO_POLICY") })
	if err != nil {
		t.Fatal(err)
	}
	_, err = put(allow(friend, tableARN), func(in *dynamodb.PutResourcePolicyInput) { in.ExpectedRevisionId = aws.String("NO_POLICY") })
	wantCode(t, err, "PolicyNotFoundException")
	got, err := client.GetResourcePolicy(ctx, &dynamodb.GetResourcePolicyInput{ResourceArn: aws.String(tableARN)})
	if err != nil || *got.RevisionId != *first.RevisionId || !strings.Contains(*got.Policy, "dynamodb:GetItem") {
		t.Fatalf("%v %v", got, err)
	}
	if _, err := put(deny, func(in *dynamodb.PutResourcePolicyInput) { in.ConfirmRemoveSelfResourceAccess = true }); err != nil {
		t.Fatal(err)
	}
	_, err = put(allow(friend, tableARN), nil)
	wantCode(t, err, "AccessDeniedException")
}

// A table that a customer's key encrypts is read by those whom the key's policy
// admits too; with the key that AWS manages, by nobody of another account.
func TestEncryptedTableAcrossAccounts(t *testing.T) {
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + friend + `"},"Action":"dynamodb:GetItem","Resource":"` + tableARN + `"}}`
	admits := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{
		"kms:ViaService":"dynamodb.us-east-1.amazonaws.com","kms:EncryptionContext:aws:dynamodb:tableName":"orders"}}}]}`
	reader := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["dynamodb:GetItem","kms:Decrypt"],"Resource":"*"}}`
	for _, test := range []struct{ name, key, identity, want string }{
		{"key shared", admits, reader, ""},
		{"key not shared", "own", reader, "AccessDeniedException"},
		{"no kms:Decrypt", admits, strings.Replace(reader, `,"kms:Decrypt"`, "", 1), "AccessDeniedException"},
		{"key of AWS's", "", reader, "AccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box, config, owns := admin(t)
			newTable(t, owns, func(in *dynamodb.CreateTableInput) {
				in.ResourcePolicy = &policy
				in.SSESpecification = &types.SSESpecification{Enabled: aws.Bool(true), SSEType: types.SSETypeKms}
				if test.key != "" {
					in.SSESpecification.KMSMasterKeyId = aws.String(newKey(t, kms.NewFromConfig(config), strings.TrimPrefix(test.key, "own")))
				}
			})
			putOrder(t, owns, order("ann", "1", "new"))
			_, err := dynamodb.NewFromConfig(box.Account(friend).User("app", test.identity)).GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(tableARN), Key: orderKey("ann", "1")})
			wantCode(t, err, test.want)
			if err != nil && !strings.Contains(err.Error(), "KMS key access denied") {
				t.Error(err)
			}
		})
	}
}

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

// changes reads a stream from its beginning.
func changes(client *dynamodbstreams.Client, arn *string) ([]string, error) {
	stream, err := client.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		return nil, err
	}
	at, err := client.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: stream.StreamDescription.Shards[0].ShardId, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon})
	if err != nil {
		return nil, err
	}
	var list []string
	for iterator := at.ShardIterator; iterator != nil; {
		out, err := client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(2)})
		if err != nil {
			return nil, err
		}
		for _, r := range out.Records {
			line := string(r.EventName)
			for _, image := range []map[string]streamtypes.AttributeValue{r.Dynamodb.OldImage, r.Dynamodb.NewImage} {
				if stage, ok := image["stage"].(*streamtypes.AttributeValueMemberS); ok {
					line += " " + stage.Value
				}
			}
			if r.UserIdentity != nil {
				line += " by " + *r.UserIdentity.PrincipalId
			}
			list = append(list, line)
		}
		if len(out.Records) == 0 {
			break
		}
		iterator = out.NextShardIterator
	}
	return list, nil
}

// A stream has a policy of its own, and what expires is in it.
func TestStreamOfTableAcrossAccounts(t *testing.T) {
	synctest.Test(t, testStreamOfTable)
}

func testStreamOfTable(t *testing.T) {
	box, _, client := admin(t)
	soon := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + friend + `"},"Action":"dynamodb:*","Resource":"` + tableARN + `"}}`
	newTable(t, client, func(in *dynamodb.CreateTableInput) {
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
		in.ResourcePolicy = &policy
	})
	described, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("orders")})
	if err != nil {
		t.Fatal(err)
	}
	arn := described.Table.LatestStreamArn
	if _, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: aws.String("orders"), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expires"), Enabled: aws.Bool(true)}}); err != nil {
		t.Fatal(err)
	}
	putOrder(t, client, order("ann", "1", "new", "expires", number(soon)))
	putOrder(t, client, order("ann", "1", "paid", "expires", number(soon)))
	putOrder(t, client, order("ann", "1", "paid", "expires", number(soon))) // no change
	putOrder(t, client, order("bob", "1", "new"))
	if _, err := client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String("orders"), Key: orderKey("bob", "1")}); err != nil {
		t.Fatal(err)
	}
	consumer := dynamodbstreams.NewFromConfig(box.Account(friend).User("app", allowAll))
	_, err = changes(consumer, arn)
	wantCode(t, err, "AccessDeniedException")
	share := strings.Replace(strings.Replace(policy, tableARN, *arn, 1), "dynamodb:*", `dynamodb:DescribeStream","dynamodb:GetRecords","dynamodb:GetShardIterator`, 1)
	share = strings.Replace(share, `"dynamodb:DescribeStream"`, `["dynamodb:DescribeStream"`, 1)
	share = strings.Replace(share, `Iterator"`, `Iterator"]`, 1)
	if _, err := client.PutResourcePolicy(ctx, &dynamodb.PutResourcePolicyInput{ResourceArn: arn, Policy: &share}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
	got, err := changes(consumer, arn)
	if want := "INSERT new, MODIFY new paid, INSERT new, REMOVE new, REMOVE paid by dynamodb.amazonaws.com"; err != nil || strings.Join(got, ", ") != want {
		t.Fatalf("%v %v", got, err)
	}
	left, err := client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("orders")})
	if err != nil || left.Count != 0 {
		t.Fatalf("%v %v", left, err)
	}
	// A stream can be read for a day after its table is gone.
	if _, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String("orders")}); err != nil {
		t.Fatal(err)
	}
	if got, err := changes(consumer, arn); err != nil || len(got) != 5 {
		t.Fatalf("%v %v", got, err)
	}
	time.Sleep(25 * time.Hour)
	_, err = changes(dynamodbstreams.NewFromConfig(box.Account(owner).User("later", allowAll)), arn)
	wantCode(t, err, "ResourceNotFoundException")
}

func TestTableStack(t *testing.T) {
	box, config, client := admin(t)
	stacks := cloudformation.NewFromConfig(config)
	template := func(action, index string) *string {
		allow := func(resource string) string {
			return `{"PolicyDocument":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + friend + `"},"Action":"` + action + `","Resource":` + resource + `}}}`
		}
		return aws.String(`{"Resources":{"Key":{"Type":"AWS::KMS::Key","Properties":{"KeyPolicy":{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"kms:Decrypt","Resource":"*"}]}}},
			"Table":{"Type":"AWS::DynamoDB::Table","Properties":{"TableName":"orders","BillingMode":"PAY_PER_REQUEST",
			"AttributeDefinitions":[{"AttributeName":"customer","AttributeType":"S"},{"AttributeName":"seq","AttributeType":"N"}` + index + `],
			"KeySchema":[{"AttributeName":"customer","KeyType":"HASH"},{"AttributeName":"seq","KeyType":"RANGE"}],
			"SSESpecification":{"SSEEnabled":true,"SSEType":"KMS","KMSMasterKeyId":{"Fn::GetAtt":["Key","Arn"]}},
			"TimeToLiveSpecification":{"AttributeName":"expires","Enabled":true},
			"StreamSpecification":{"StreamViewType":"KEYS_ONLY","ResourcePolicy":` + allow(`"*"`) + `},
			"ResourcePolicy":` + allow(`"`+tableARN+`"`) + `}}},
			"Outputs":{"Stream":{"Value":{"Fn::GetAtt":["Table","StreamArn"]}},"Arn":{"Value":{"Fn::GetAtt":["Table","Arn"]}}}}`)
	}
	app := dynamodb.NewFromConfig(box.Account(friend).User("app", allowAll))
	get := func() error {
		_, err := app.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(tableARN), Key: orderKey("ann", "1")})
		return err
	}
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("s"), TemplateBody: template("dynamodb:Get*", "")}); err != nil {
		t.Fatal(err)
	}
	shown, err := stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("s")})
	if err != nil || shown.Stacks[0].StackStatus != "CREATE_COMPLETE" {
		t.Fatalf("%+v %v", shown.Stacks, err)
	}
	for _, o := range shown.Stacks[0].Outputs {
		if !strings.HasPrefix(*o.OutputValue, tableARN) {
			t.Errorf("%s is %s", *o.OutputKey, *o.OutputValue)
		}
	}
	wantCode(t, get(), "")
	expiry, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String("orders")})
	if err != nil || expiry.TimeToLiveDescription.TimeToLiveStatus != types.TimeToLiveStatusEnabled {
		t.Fatalf("%v %v", expiry, err)
	}
	// An index more, and other rights.
	more := `,{"AttributeName":"stage","AttributeType":"S"}],"GlobalSecondaryIndexes":[{"IndexName":"byStage","KeySchema":[{"AttributeName":"stage","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}`
	if _, err := stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("s"), TemplateBody: template("dynamodb:Describe*", more)}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, get(), "AccessDeniedException")
	described, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("orders")})
	if err != nil || len(described.Table.GlobalSecondaryIndexes) != 1 {
		t.Fatalf("%+v %v", described, err)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	_, err = client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("orders")})
	wantCode(t, err, "ResourceNotFoundException")
}

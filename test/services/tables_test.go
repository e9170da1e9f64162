package services

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
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

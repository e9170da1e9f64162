package services

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

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

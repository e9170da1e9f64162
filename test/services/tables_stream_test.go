package services

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

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

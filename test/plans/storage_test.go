package plans

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func bucketOf(stage string) *string { return aws.String("shop-reports-" + stage) }

func putObject(t *testing.T, c aws.Config, stage, key string) error {
	t.Helper()
	_, err := s3.NewFromConfig(c).PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucketOf(stage), Key: &key, Body: strings.NewReader("report")})
	return err
}

func getObject(t *testing.T, c aws.Config, stage, key string) error {
	t.Helper()
	out, err := s3.NewFromConfig(c).GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucketOf(stage), Key: &key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	if data, err := io.ReadAll(out.Body); err != nil || string(data) != "report" {
		t.Errorf("read %q, %v", data, err)
	}
	return nil
}

// putReports fills a bucket.
func putReports(t *testing.T, _ *deployment, owner aws.Config, stage string) {
	t.Helper()
	for _, key := range []string{"daily/1", "weekly/1"} {
		if err := putObject(t, owner, stage, key); err != nil {
			t.Fatal(err)
		}
	}
}

// emptyBucket deletes the objects: CloudFormation deletes empty buckets only.
func emptyBucket(t *testing.T, _ *deployment, owner aws.Config, stage string) {
	t.Helper()
	client := s3.NewFromConfig(owner)
	out, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucketOf(stage)})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Contents {
		if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucketOf(stage), Key: o.Key}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBucket(t *testing.T) {
	(&kindTest{
		manifest: `
resources:
  reports: {kind: s3-bucket, name: "{app}-reports-{stage}", create: {}}
grants:
  - {name: daily, consumer: bi, resource: reports, access: [read, write], only: {prefixes: [daily/]}}
`,
		prepare: putReports,
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			if err := getObject(t, c, stage, "daily/1"); err != nil {
				return err
			}
			if _, err := s3.NewFromConfig(c).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucketOf(stage), Prefix: aws.String("daily/")}); err != nil {
				return err
			}
			return putObject(t, c, stage, "daily/2")
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"reading elsewhere": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				return getObject(t, c, stage, "weekly/1")
			},
			"listing everything": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := s3.NewFromConfig(c).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucketOf(stage)})
				return err
			},
			"deleting": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := s3.NewFromConfig(c).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucketOf(stage), Key: aws.String("daily/1")})
				return err
			},
		},
		empty: emptyBucket,
	}).run(t)
}

func tableARN(stage string) *string {
	return aws.String(fmt.Sprintf("arn:aws:dynamodb:us-east-1:%s:table/%s-prices", owners[stage], stage))
}

func text(s string) dynamotypes.AttributeValue { return &dynamotypes.AttributeValueMemberS{Value: s} }

const tables = `
resources:
  prices:
    kind: dynamodb-table
    name: "{stage}-prices"
    create:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: sku, AttributeType: S}, {AttributeName: currency, AttributeType: S}]
      KeySchema: [{AttributeName: sku, KeyType: HASH}]
      GlobalSecondaryIndexes: [{IndexName: by-currency, KeySchema: [{AttributeName: currency, KeyType: HASH}], Projection: {ProjectionType: ALL}}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
`

func TestTable(t *testing.T) {
	(&kindTest{
		manifest: tables + `
grants:
  - {name: prices, consumer: bi, resource: prices, access: read, only: {indexes: [by-currency]}}
`,
		prepare: putPrice,
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			client := dynamodb.NewFromConfig(c)
			out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: tableARN(stage), Key: map[string]dynamotypes.AttributeValue{"sku": text("tea")}})
			if err != nil {
				return err
			}
			if len(out.Item) != 2 {
				t.Errorf("the item is %v", out.Item)
			}
			found, err := client.Query(t.Context(), &dynamodb.QueryInput{TableName: tableARN(stage), IndexName: aws.String("by-currency"), KeyConditionExpression: aws.String("currency = :c"), ExpressionAttributeValues: map[string]dynamotypes.AttributeValue{":c": text("EUR")}})
			if err != nil {
				return err
			}
			if found.Count != 1 {
				t.Errorf("the index has %d items", found.Count)
			}
			return nil
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"writing": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := dynamodb.NewFromConfig(c).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: tableARN(stage), Item: map[string]dynamotypes.AttributeValue{"sku": text("x")}})
				return err
			},
			"changing the policy": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := dynamodb.NewFromConfig(c).DeleteResourcePolicy(t.Context(), &dynamodb.DeleteResourcePolicyInput{ResourceArn: tableARN(stage)})
				return err
			},
		},
	}).run(t)
}

func putPrice(t *testing.T, _ *deployment, owner aws.Config, stage string) {
	t.Helper()
	if _, err := dynamodb.NewFromConfig(owner).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: tableARN(stage), Item: map[string]dynamotypes.AttributeValue{"sku": text("tea"), "currency": text("EUR")}}); err != nil {
		t.Fatal(err)
	}
}

// The ARN of a table's stream is known to AWS alone, so the stream is read
// through a role.
func TestTableStream(t *testing.T) {
	role := func(stage string) string {
		return map[string]string{
			"alpha": "arn:aws:iam::111111111111:role/read-changes-alpha", "prod": "arn:aws:iam::222222222222:role/read-changes-prod",
		}[stage]
	}
	(&kindTest{
		manifest: tables + `
grants:
  - {name: changes, consumer: bi, resource: prices, access: [read, stream], assume_role: "read-changes-{stage}"}
`,
		prepare: putPrice,
		session: func(t *testing.T, d *deployment, c aws.Config, stage string) (aws.Config, error) {
			return assume(t, d, c, role(stage), "")
		},
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			table, err := dynamodb.NewFromConfig(c).DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(stage + "-prices")})
			if err != nil {
				return err
			}
			client := dynamodbstreams.NewFromConfig(c)
			arn := table.Table.LatestStreamArn
			stream, err := client.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
			if err != nil {
				return err
			}
			it, err := client.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: stream.StreamDescription.Shards[0].ShardId, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon})
			if err != nil {
				return err
			}
			records, err := client.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: it.ShardIterator})
			if err == nil && len(records.Records) != 1 {
				t.Errorf("the stream has %d records", len(records.Records))
			}
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"writing": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := dynamodb.NewFromConfig(c).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(stage + "-prices"), Item: map[string]dynamotypes.AttributeValue{"sku": text("x")}})
				return err
			},
		},
	}).run(t)
}

func TestRepository(t *testing.T) {
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`
	(&kindTest{
		manifest: `
resources:
  images: {kind: ecr-repository, name: "{stage}-shop", create: {EmptyOnDelete: true}}
grants:
  - {name: pull, consumer: bi, resource: images, access: pull}
`,
		prepare: func(t *testing.T, _ *deployment, owner aws.Config, stage string) {
			if _, err := ecr.NewFromConfig(owner).PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: aws.String(stage + "-shop"), ImageManifest: aws.String(manifest), ImageTag: aws.String("v1")}); err != nil {
				t.Fatal(err)
			}
		},
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			client := ecr.NewFromConfig(c)
			out, err := client.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RegistryId: aws.String(owners[stage]), RepositoryName: aws.String(stage + "-shop"), ImageIds: []ecrtypes.ImageIdentifier{{ImageTag: aws.String("v1")}}})
			if err != nil {
				return err
			}
			if len(out.Images) != 1 || *out.Images[0].ImageManifest != manifest {
				t.Errorf("pulled %v", out.Images)
			}
			_, err = client.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"pushing": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := ecr.NewFromConfig(c).PutImage(t.Context(), &ecr.PutImageInput{RegistryId: aws.String(owners[stage]), RepositoryName: aws.String(stage + "-shop"), ImageManifest: aws.String(manifest), ImageTag: aws.String("v2")})
				return err
			},
		},
	}).run(t)
}

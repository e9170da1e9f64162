package grant_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/grant"
)

// The key of a bucket is filled into the rule that create gives, in each stage
// that stage's, and nothing else of the rule changes.
func TestBucketsKeepTheirRuleOfEncryption(t *testing.T) {
	const manifest = `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [eu-central-1]}
  shop-prod: {id: "222222222222", regions: [eu-central-1]}
  bi-testing: {id: "333333333333", regions: [eu-central-1]}
  bi-prod: {id: "444444444444", regions: [eu-central-1]}
apps: {shop: {accounts: {alpha: shop-alpha, prod: shop-prod}}}
consumers: {bi: {accounts: {testing: bi-testing, production: bi-prod}, role: {name: "{consumer_stage}-bi"}}}
resources:
  key: {kind: kms-key, id: {alpha: "11111111-1234-1234-1234-123456789012", prod: "22222222-1234-1234-1234-123456789012"}}
  data: {kind: s3-bucket, name: "{stage}-data", encryption: key, create: {CREATE}}
grants:
  - {name: data, consumer: bi, resource: data, access: read}
`
	for create, want := range map[string]string{
		"": `[{"ServerSideEncryptionByDefault":{"KMSMasterKeyID":"KEY","SSEAlgorithm":"aws:kms"}}]`,
		`BucketEncryption: {ServerSideEncryptionConfiguration: [{BucketKeyEnabled: true, ServerSideEncryptionByDefault: {SSEAlgorithm: "aws:kms"}}]}`:       `[{"BucketKeyEnabled":true,"ServerSideEncryptionByDefault":{"KMSMasterKeyID":"KEY","SSEAlgorithm":"aws:kms"}}]`,
		`BucketEncryption: {ServerSideEncryptionConfiguration: [{BucketKeyEnabled: false, ServerSideEncryptionByDefault: {SSEAlgorithm: "aws:kms:dsse"}}]}`: `[{"BucketKeyEnabled":false,"ServerSideEncryptionByDefault":{"KMSMasterKeyID":"KEY","SSEAlgorithm":"aws:kms:dsse"}}]`,
	} {
		got := map[string]string{}
		files, err := compile(t, []byte(strings.Replace(manifest, "CREATE", create, 1)), grant.CloudFormation).Files()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			var stack struct {
				Resources map[string]struct {
					Type       string
					Properties struct {
						BucketName       string
						BucketEncryption map[string]any
					}
				}
			}
			if !strings.HasSuffix(f.Path, ".json") || json.Unmarshal(f.Data, &stack) != nil {
				continue
			}
			for _, r := range stack.Resources {
				if r.Type == "AWS::S3::Bucket" {
					rules, err := json.Marshal(r.Properties.BucketEncryption["ServerSideEncryptionConfiguration"])
					if err != nil {
						t.Fatal(err)
					}
					got[r.Properties.BucketName] = string(rules)
				}
			}
		}
		key := func(account, digit string) string {
			return strings.Replace(want, "KEY", "arn:aws:kms:eu-central-1:"+account+":key/"+strings.Repeat(digit, 8)+"-1234-1234-1234-123456789012", 1)
		}
		if diff := cmp.Diff(map[string]string{"alpha-data": key("111111111111", "1"), "prod-data": key("222222222222", "2")}, got); diff != "" {
			t.Errorf("create: {%s} (-want +got)\n%s", create, diff)
		}
	}
}

package plans

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const encryptedBucket = `
resources:
  key: {kind: kms-key, create: {EnableKeyRotation: true}}
  reports: {kind: s3-bucket, name: "{app}-reports-{stage}", encryption: key, create: {}}
grants:
`

// keyOf returns the ARN of the manifest's key, whose physical id is only its end.
func keyOf(d *deployment, stage string) string {
	return "arn:aws:kms:us-east-1:" + owners[stage] + ":key/" + d.resource("key", stage)
}

// A bucket that a manifest encrypts with a key of its own is read with
// permission for the key, and encrypts with that key what it is given.
func TestEncryptedBucketIsRead(t *testing.T) {
	(&kindTest{
		manifest: encryptedBucket + `
  - {name: daily, consumer: bi, resource: reports, access: read, only: {prefixes: [daily/]}}
`,
		prepare: func(t *testing.T, d *deployment, owner aws.Config, stage string) {
			putReports(t, d, owner, stage)
			head, err := s3.NewFromConfig(owner).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucketOf(stage), Key: aws.String("daily/1")})
			if err != nil || aws.ToString(head.SSEKMSKeyId) != keyOf(d, stage) {
				t.Errorf("in %s the report is encrypted with %q, %v", stage, aws.ToString(head.SSEKMSKeyId), err)
			}
		},
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			return getObject(t, c, stage, "daily/1")
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"writing": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				return putObject(t, c, stage, "daily/2")
			},
			"reading elsewhere": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				return getObject(t, c, stage, "weekly/1")
			},
			"using the key without the bucket": func(t *testing.T, d *deployment, c aws.Config, stage string) error {
				_, err := kms.NewFromConfig(c).GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: aws.String(keyOf(d, stage)), KeySpec: "AES_256"})
				return err
			},
		},
		empty: emptyBucket,
	}).run(t)
}

func TestEncryptedBucketIsWritten(t *testing.T) {
	(&kindTest{
		manifest: encryptedBucket + `
  - {name: daily, consumer: bi, resource: reports, access: write, only: {prefixes: [daily/]}}
`,
		prepare: putReports,
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			if err := putObject(t, c, stage, "daily/2"); err != nil {
				return err
			}
			// In parts too, for which the key must decrypt.
			client := s3.NewFromConfig(c)
			begun, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucketOf(stage), Key: aws.String("daily/3")})
			if err != nil {
				return err
			}
			_, err = client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucketOf(stage), Key: aws.String("daily/3"), UploadId: begun.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("report")})
			if err != nil {
				return err
			}
			_, err = client.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: bucketOf(stage), Key: aws.String("daily/3"), UploadId: begun.UploadId})
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"reading": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				return getObject(t, c, stage, "daily/1")
			},
			"writing elsewhere": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				return putObject(t, c, stage, "weekly/2")
			},
		},
		empty: emptyBucket,
	}).run(t)
}

// The bucket alone is not enough: without its statement for the key, on either
// side, the consumer is refused, and is told that it is because of the key.
func TestEncryptedBucketNeedsTheKey(t *testing.T) {
	box := sandboxtest.New(t, ownerA, ownerP, consumerT, consumerP)
	c := newRole(box, consumerT, "testing-bi")
	newRole(box, consumerP, "production-bi")
	d := newDeployment(t, box, parties+encryptedBucket+`
  - {name: daily, consumer: bi, resource: reports, access: [read, write], only: {prefixes: [daily/]}}
`)
	d.deploy()
	owner := box.Account(ownerA).Config()
	putReports(t, d, owner, "alpha")
	key := keyOf(d, "alpha")
	wantTold := func(when, layer string) {
		t.Helper()
		for action, err := range map[string]error{"kms:Decrypt": getObject(t, c, "alpha", "daily/1"), "kms:GenerateDataKey": putObject(t, c, "alpha", "daily/2")} {
			want := "is not authorized to perform: " + action + " on resource: " + key + " because no " + layer + " policy allows the " + action + " action"
			var e smithy.APIError
			if !errors.As(err, &e) || e.ErrorCode() != "AccessDenied" || !strings.HasSuffix(e.ErrorMessage(), want) {
				t.Errorf("%s: %v\nwant %s", when, err, want)
			}
		}
	}
	use := func() error {
		return errors.Join(getObject(t, c, "alpha", "daily/1"), putObject(t, c, "alpha", "daily/2"))
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}

	client, keys := iam.NewFromConfig(box.Account(consumerT).Config()), kms.NewFromConfig(owner)
	deny := &iam.PutRolePolicyInput{RoleName: aws.String("testing-bi"), PolicyName: aws.String("no-key"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*"}}`)}
	if _, err := client.PutRolePolicy(t.Context(), deny); err != nil {
		t.Fatal(err)
	}
	if err := use(); err == nil || !strings.Contains(err.Error(), "kms:Decrypt on resource: "+key+" with an explicit deny in an identity-based policy") {
		t.Errorf("with the key denied: %v", err)
	}
	if _, err := client.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: deny.RoleName, PolicyName: deny.PolicyName}); err != nil {
		t.Fatal(err)
	}

	policy, err := keys.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: &key})
	if err != nil {
		t.Fatal(err)
	}
	ownOnly := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + ownerA + `:root"},"Action":"kms:*","Resource":"*"}}`
	if _, err := keys.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &key, Policy: &ownOnly}); err != nil {
		t.Fatal(err)
	}
	wantTold("without the key policy", "resource-based")
	if _, err := keys.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &key, Policy: policy.Policy}); err != nil {
		t.Fatal(err)
	}
	if err := use(); err != nil {
		t.Errorf("with the key policy again: %v", err)
	}
	wantRefused(t, "reading with the production role", getObject(t, box.Account(consumerP).User("curious", allowAll), "alpha", "daily/1"))

	emptyBucket(t, d, owner, "alpha")
	d.remove()
}

package plans

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const trustsLambda = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// assume makes a session of a role; a refusal is an error.
func assume(t *testing.T, d *deployment, c aws.Config, role, externalID string) (aws.Config, error) {
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("app")}
	if externalID != "" {
		in.ExternalId = &externalID
	}
	if _, err := sts.NewFromConfig(c).AssumeRole(t.Context(), in); err != nil {
		return aws.Config{}, err
	}
	return d.box.Assume(c, role, func(i *sts.AssumeRoleInput) { i.ExternalId = in.ExternalId }), nil
}

func TestSecret(t *testing.T) {
	arns := map[string]string{}
	(&kindTest{
		manifest: `
resources:
  key: {kind: kms-key, create: {Description: secrets}}
  db: {kind: secret, name: "{stage}/db", encryption: key, create: {GenerateSecretString: {PasswordLength: 32}}}
grants:
  - {name: db, consumer: bi, resource: db, access: read}
`,
		prepare: func(_ *testing.T, d *deployment, _ aws.Config, stage string) { arns[stage] = d.resource("db", stage) },
		use: func(t *testing.T, d *deployment, c aws.Config, stage string) error {
			arn := arns[stage]
			out, err := secretsmanager.NewFromConfig(c).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &arn})
			if err == nil && len(*out.SecretString) != 32 {
				t.Errorf("a secret of %d characters", len(*out.SecretString))
			}
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"writing": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := secretsmanager.NewFromConfig(c).PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String(arns[stage]), SecretString: aws.String("x")})
				return err
			},
			"using the key directly": func(t *testing.T, d *deployment, c aws.Config, stage string) error {
				_, err := kms.NewFromConfig(c).GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: aws.String("arn:aws:kms:us-east-1:" + owners[stage] + ":key/" + d.resource("key", stage)), KeySpec: kmstypes.DataKeySpecAes256})
				return err
			},
		},
	}).run(t)
}

func TestKey(t *testing.T) {
	arns := map[string]string{}
	(&kindTest{
		manifest: `
resources:
  key: {kind: kms-key, create: {Description: shared}}
grants:
  - {name: key, consumer: bi, resource: key, access: [encrypt, decrypt]}
`,
		prepare: func(_ *testing.T, d *deployment, _ aws.Config, stage string) {
			arns[stage] = "arn:aws:kms:us-east-1:" + owners[stage] + ":key/" + d.resource("key", stage)
		},
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			client := kms.NewFromConfig(c)
			sealed, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String(arns[stage]), Plaintext: []byte("hello")})
			if err != nil {
				return err
			}
			opened, err := client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
			if err == nil && string(opened.Plaintext) != "hello" {
				t.Errorf("opened %q", opened.Plaintext)
			}
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"reading the policy": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := kms.NewFromConfig(c).GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: aws.String(arns[stage])})
				return err
			},
		},
	}).run(t)
}

// newExecutionRole makes the role that a function runs as.
func newExecutionRole(t *testing.T, owner aws.Config, account string) string {
	t.Helper()
	if _, err := iam.NewFromConfig(owner).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("runs"), AssumeRolePolicyDocument: aws.String(trustsLambda)}); err != nil {
		t.Fatal(err)
	}
	return "arn:aws:iam::" + account + ":role/runs"
}

func TestFunction(t *testing.T) {
	arn := func(stage string) string {
		return "arn:aws:lambda:us-east-1:" + owners[stage] + ":function:" + stage + "-price"
	}
	(&kindTest{
		manifest: `
resources:
  price: {kind: lambda-function, name: "{stage}-price"}
grants:
  - {name: price, consumer: bi, resource: price, access: invoke}
`,
		before: func(t *testing.T, owner aws.Config, stage string) {
			account := owners[stage]
			role := newExecutionRole(t, owner, account)
			if _, err := lambda.NewFromConfig(owner).CreateFunction(t.Context(), &lambda.CreateFunctionInput{
				FunctionName: aws.String(stage + "-price"), Role: &role, Runtime: lambdatypes.RuntimeNodejs22x, Handler: aws.String("sandbox.echo"), Code: &lambdatypes.FunctionCode{ZipFile: []byte("PK")},
			}); err != nil {
				t.Fatal(err)
			}
		},
		use: func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
			out, err := lambda.NewFromConfig(c).Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(arn(stage)), Payload: []byte(`{"sku":"tea"}`)})
			if err == nil && string(out.Payload) != `{"sku":"tea"}` {
				t.Errorf("answered %s", out.Payload)
			}
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"reading the configuration": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := lambda.NewFromConfig(c).GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(arn(stage))})
				return err
			},
		},
	}).run(t)
}

// A role that the manifest declares, for the consumer and for a third party that
// sends an external ID.
func TestRole(t *testing.T) {
	role := func(stage string) string { return "arn:aws:iam::" + owners[stage] + ":role/" + stage + "-reader" }
	(&kindTest{
		manifest: `
resources:
  reader: {kind: role, name: "{stage}-reader", permissions: [{actions: ["s3:ListAllMyBuckets"], resources: ["*"]}]}
grants:
  - {name: reader, consumer: bi, resource: reader, access: assume}
`,
		session: func(t *testing.T, d *deployment, c aws.Config, stage string) (aws.Config, error) {
			return assume(t, d, c, role(stage), "")
		},
		use: func(t *testing.T, _ *deployment, c aws.Config, _ string) error {
			_, err := s3.NewFromConfig(c).ListBuckets(t.Context(), &s3.ListBucketsInput{})
			return err
		},
		others: map[string]func(*testing.T, *deployment, aws.Config, string) error{
			"creating a bucket": func(t *testing.T, _ *deployment, c aws.Config, stage string) error {
				_, err := s3.NewFromConfig(c).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("mine-" + stage)})
				return err
			},
		},
	}).run(t)
}

func TestRoleOfThirdParty(t *testing.T) {
	const externalID = "shop-3f1c5a7e9b2d"
	box := sandboxtest.New(t, ownerA, ownerP, stranger)
	broker := newRole(box, stranger, "broker")
	d := newDeployment(t, box, `
version: 1
accounts:
  shop-alpha: {id: "111111111111", regions: [us-east-1]}
  shop-prod: {id: "222222222222", regions: [us-east-1]}
  vendor: {id: "555555555555", regions: [us-east-1]}
apps:
  shop: {accounts: {alpha: shop-alpha, prod: shop-prod}}
consumers:
  vendor: {accounts: {production: vendor}, third_party: true, external_id: `+externalID+`, role: {name: broker}}
resources:
  reader: {kind: role, name: "{stage}-reader", permissions: [{actions: ["s3:ListAllMyBuckets"], resources: ["*"]}]}
grants:
  - {name: vendor, consumer: vendor, resource: reader, access: assume, stages: [prod]}
`)
	d.deploy()
	const role = "arn:aws:iam::222222222222:role/prod-reader"
	if _, err := assume(t, d, broker, role, externalID); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"", strings.ToUpper(externalID), externalID + "x"} {
		_, err := assume(t, d, broker, role, id)
		wantRefused(t, "an external ID that is not the one", err)
	}
	results := d.probe()
	wantAsDeclared(t, results)
	if n := results[0].Count("refused", "refused"); n < 3 {
		t.Errorf("only %d neighbours were tried:\n%s", n, told(&results[0]))
	}
	for _, r := range results {
		if strings.Contains(strings.ToLower(told(&r)), externalID) {
			t.Error("the external ID is in the results")
		}
	}
	d.remove()
	_, err := assume(t, d, broker, role, externalID)
	wantRefused(t, "after removal", err)
}

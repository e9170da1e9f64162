package services

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// Reading a secret of another account takes four permissions: the resource
// policy, the caller's policy, and both once more for the key.
func TestSecretAcrossAccountsNeedsSecretAndKeyOnBothSides(t *testing.T) {
	const resourcePolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}}`
	keyPolicy := func(condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"kms:Decrypt","Resource":"*"` + condition + `}]}`
	}
	via := `,"Condition":{"StringEquals":{"kms:ViaService":"secretsmanager.us-east-1.amazonaws.com"},"StringLike":{"kms:EncryptionContext:SecretARN":"arn:aws:secretsmanager:us-east-1:111111111111:secret:orders/db-??????"}}`
	identity := func(actions string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}}`
	}
	both := identity(`"secretsmanager:GetSecretValue","kms:Decrypt"`)
	for _, test := range []struct {
		name, key, policy, identity, want string
		byName                            bool
	}{
		{name: "all four", key: keyPolicy(""), policy: resourcePolicy, identity: both},
		{name: "key only through the service", key: keyPolicy(via), policy: resourcePolicy, identity: both},
		{name: "key for another secret", key: keyPolicy(strings.ReplaceAll(via, "orders", "other")), policy: resourcePolicy, identity: both, want: "AccessDeniedException"},
		{name: "no resource policy", key: keyPolicy(""), identity: both, want: "AccessDeniedException"},
		{name: "no identity policy for the key", key: keyPolicy(""), policy: resourcePolicy, identity: identity(`"secretsmanager:GetSecretValue"`), want: "AccessDeniedException"},
		{name: "no identity policy for the secret", key: keyPolicy(""), policy: resourcePolicy, identity: identity(`"kms:Decrypt"`), want: "AccessDeniedException"},
		{name: "key policy without the other account", key: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*"}}`, policy: resourcePolicy, identity: both, want: "AccessDeniedException"},
		{name: "AWS-managed key", policy: resourcePolicy, identity: both, want: "InvalidRequestException"},
		{name: "name instead of ARN", key: keyPolicy(""), policy: resourcePolicy, identity: both, byName: true, want: "ResourceNotFoundException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			admin := box.Account(owner).User("admin", allowAll)
			in := &secretsmanager.CreateSecretInput{Name: aws.String("orders/db"), SecretString: aws.String("hunter2")}
			if test.key != "" {
				in.KmsKeyId = aws.String(newKey(t, kms.NewFromConfig(admin), test.key))
			}
			secrets := secretsmanager.NewFromConfig(admin)
			made, err := secrets.CreateSecret(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			if test.policy != "" {
				if _, err := secrets.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: made.ARN, ResourcePolicy: &test.policy}); err != nil {
					t.Fatal(err)
				}
			}
			id := made.ARN
			if test.byName {
				id = made.Name
			}
			got, err := secretsmanager.NewFromConfig(box.Account(friend).User("app", test.identity)).
				GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id})
			wantCode(t, err, test.want)
			if err == nil && *got.SecretString != "hunter2" {
				t.Fatalf("got %q", *got.SecretString)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Fatal("the value is in the error")
			}
		})
	}
}

func TestSecretVersions(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := secretsmanager.NewFromConfig(box.Account(owner).User("admin", allowAll))
	made, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("one")})
	if err != nil {
		t.Fatal(err)
	}
	token := strings.Repeat("t", 32)
	put := func(value string) error {
		_, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: &value, ClientRequestToken: &token})
		return err
	}
	wantCode(t, put("two"), "")
	wantCode(t, put("two"), "") // the same request again
	wantCode(t, put("three"), "ResourceExistsException")
	for stage, want := range map[string]string{"AWSCURRENT": "two", "AWSPREVIOUS": "one"} {
		got, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("s"), VersionStage: &stage})
		if err != nil || *got.SecretString != want {
			t.Errorf("%s: %v %v", stage, got, err)
		}
	}
	_, err = client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("s"), VersionStage: aws.String("NONE")})
	wantCode(t, err, "ResourceNotFoundException")
	if _, err := client.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: made.ARN}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: made.ARN})
	wantCode(t, err, "InvalidRequestException")
	_, err = client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("s")})
	wantCode(t, err, "InvalidRequestException")
	if _, err := client.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: made.ARN}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: made.ARN})
	wantCode(t, err, "")
}

func TestSecretPolicyIsCheckedWhenItIsWritten(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := secretsmanager.NewFromConfig(box.Account(owner).User("admin", allowAll))
	made, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	statement := func(principal string) string {
		return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":%s,"Action":"secretsmanager:GetSecretValue","Resource":"*"}}`, principal)
	}
	for _, test := range []struct {
		name, policy, want string
		block              bool
	}{
		{name: "a role that does not exist", policy: statement(`{"AWS":"arn:aws:iam::111111111111:role/ghost"}`), want: "MalformedPolicyDocumentException"},
		{name: "not JSON", policy: `{"Version":`, want: "MalformedPolicyDocumentException"},
		{name: "everybody, blocked", policy: statement(`"*"`), block: true, want: "PublicPolicyException"},
		{name: "everybody", policy: statement(`"*"`)},
		{name: "too long", policy: statement(`{"AWS":"`+owner+`"}`) + strings.Repeat(" ", 20480), want: "MalformedPolicyDocumentException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: made.ARN, ResourcePolicy: &test.policy, BlockPublicPolicy: &test.block})
			wantCode(t, err, test.want)
		})
	}
}

func TestSecretAndParameterStack(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	stacks, secrets := cloudformation.NewFromConfig(config), secretsmanager.NewFromConfig(config)
	body := `{"Resources":{
		"Secret":{"Type":"AWS::SecretsManager::Secret","Properties":{"Name":"orders/db","GenerateSecretString":{"SecretStringTemplate":"{\"user\":\"app\"}","GenerateStringKey":"password","PasswordLength":20,"ExcludePunctuation":true},"Tags":[{"Key":"app","Value":"orders"}]}},
		"Policy":{"Type":"AWS::SecretsManager::ResourcePolicy","Properties":{"SecretId":{"Ref":"Secret"},"BlockPublicPolicy":true,
			"ResourcePolicy":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}}}},
		"Parameter":{"Type":"AWS::SSM::Parameter","Properties":{"Name":"/orders/secret","Type":"String","Value":{"Ref":"Secret"}}}}}`
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("s"), TemplateBody: &body}); err != nil {
		t.Fatal(err)
	}
	got, err := secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("orders/db")})
	if err != nil || !strings.HasPrefix(*got.SecretString, `{"password":"`) || len(*got.SecretString) != len(`{"password":"","user":"app"}`)+20 {
		t.Fatalf("%v %v", got, err)
	}
	if value := parameter(t, config, "/orders/secret", false); value != *got.ARN {
		t.Fatalf("parameter %q, secret %q", value, *got.ARN)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	_, err = secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String("orders/db")})
	wantCode(t, err, "ResourceNotFoundException")
}

// Package services tries the sandbox's smaller services with the real AWS SDK
// for Go, across accounts. It is a module of its own so that the product does
// not depend on a client per service.
package services

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	owner  = "111111111111"
	friend = "222222222222"
)

var ctx = context.Background()

const allowAll = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

// code returns the error code of an AWS answer, "" for success.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		t.Fatalf("not an answer of AWS's: %v", err)
	}
	return refused.ErrorCode()
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := code(t, err); got != want {
		t.Fatalf("code %q, want %q (%v)", got, want, err)
	}
}

func newKey(t *testing.T, client *kms.Client, policy string) string {
	t.Helper()
	in := &kms.CreateKeyInput{}
	if policy != "" {
		in.Policy = &policy
	}
	out, err := client.CreateKey(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.Arn
}

// A key of another account is used only if both the key policy and the caller's
// own policies say so.
func TestKMSAcrossAccountsNeedsBothSides(t *testing.T) {
	keyPolicy := func(statements string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*"}` + statements + `]}`
	}
	admits := `,{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"}`
	for _, test := range []struct {
		name, key, identity, want string
	}{
		{"both sides", keyPolicy(admits), allowAll, ""},
		{"key policy only", keyPolicy(admits), `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, "AccessDeniedException"},
		{"identity policy only", keyPolicy(""), allowAll, "AccessDeniedException"},
		{"other action", keyPolicy(`,{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"kms:Decrypt","Resource":"*"}`), allowAll, "AccessDeniedException"},
		{"context required and missing", keyPolicy(`,{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:app":"orders"}}}`), allowAll, "AccessDeniedException"},
		{"only via S3", keyPolicy(`,{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}}`), allowAll, "AccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			arn := newKey(t, kms.NewFromConfig(box.Account(owner).User("admin", allowAll)), test.key)
			caller := kms.NewFromConfig(box.Account(friend).User("app", test.identity))
			_, err := caller.Encrypt(ctx, &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("secret")})
			wantCode(t, err, test.want)
		})
	}
}

// In the key's own account an identity policy counts only where the key policy
// delegates to the account.
func TestKMSKeyPolicyMustSayYesInItsOwnAccount(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := kms.NewFromConfig(box.Account(owner).User("admin", allowAll))
	powerful := kms.NewFromConfig(box.Account(owner).User("powerful", allowAll))
	nobody := kms.NewFromConfig(box.Account(owner).User("nobody", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`))
	arn := newKey(t, admin, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/admin"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/nobody"},"Action":"kms:Encrypt","Resource":"*"}]}`)
	in := &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")}
	_, err := powerful.Encrypt(ctx, in)
	wantCode(t, err, "AccessDeniedException")
	_, err = nobody.Encrypt(ctx, in)
	wantCode(t, err, "")
}

func TestKMSPutKeyPolicyRefusesLockout(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := kms.NewFromConfig(box.Account(owner).User("admin", allowAll))
	arn := newKey(t, admin, "")
	locked := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:Decrypt","Resource":"*"}}`
	_, err := admin.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &arn, Policy: &locked})
	wantCode(t, err, "MalformedPolicyDocumentException")
	got, err := admin.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &arn})
	if err != nil || !strings.Contains(*got.Policy, "kms:*") {
		t.Fatalf("the policy was changed although it was refused: %v %v", got, err)
	}
	ghost := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:role/ghost"},"Action":"kms:*","Resource":"*"}}`
	_, err = admin.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &arn, Policy: &ghost, BypassPolicyLockoutSafetyCheck: true})
	wantCode(t, err, "MalformedPolicyDocumentException")
}

func TestKMSEncryptsForReal(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := kms.NewFromConfig(box.Account(owner).User("admin", allowAll))
	arn, other := newKey(t, client, ""), newKey(t, client, "")
	if _, err := client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/orders"), TargetKeyId: &arn}); err != nil {
		t.Fatal(err)
	}
	with := map[string]string{"app": "orders", "b": "c"}
	data, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: aws.String("alias/orders"), KeySpec: types.DataKeySpecAes256, EncryptionContext: with})
	if err != nil {
		t.Fatal(err)
	}
	if len(data.Plaintext) != 32 || bytes.Contains(data.CiphertextBlob, data.Plaintext) || *data.KeyId != arn {
		t.Fatalf("data key %+v", data)
	}
	opened, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: data.CiphertextBlob, EncryptionContext: with})
	if err != nil || !bytes.Equal(opened.Plaintext, data.Plaintext) {
		t.Fatalf("decrypted %v, %v", opened, err)
	}
	_, err = client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: data.CiphertextBlob})
	wantCode(t, err, "InvalidCiphertextException")
	_, err = client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: data.CiphertextBlob, EncryptionContext: with, KeyId: &other})
	wantCode(t, err, "IncorrectKeyException")
	flipped := append([]byte(nil), data.CiphertextBlob...)
	flipped[len(flipped)-1] ^= 1
	_, err = client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: flipped, EncryptionContext: with})
	wantCode(t, err, "InvalidCiphertextException")
	moved, err := client.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: data.CiphertextBlob, SourceEncryptionContext: with, DestinationKeyId: &other})
	if err != nil || *moved.KeyId != other {
		t.Fatalf("re-encrypted %v, %v", moved, err)
	}
	if _, err := client.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &other}); err != nil {
		t.Fatal(err)
	}
	_, err = client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: moved.CiphertextBlob})
	wantCode(t, err, "DisabledException")
}

func TestKMSWhatTheSandboxLacksSaysSo(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := kms.NewFromConfig(box.Account(owner).User("admin", allowAll))
	_, err := client.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify})
	wantCode(t, err, "NotImplemented")
	_, err = client.ListGrants(ctx, &kms.ListGrantsInput{KeyId: aws.String("x")})
	wantCode(t, err, "NotImplemented")
	_, err = client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/none")})
	wantCode(t, err, "NotFoundException")
	// A key of another account that does not exist looks like one that is closed.
	_, err = client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("arn:aws:kms:us-east-1:222222222222:key/none")})
	wantCode(t, err, "AccessDeniedException")
}

func TestKMSStack(t *testing.T) {
	box := sandboxtest.New(t, owner)
	config := box.Account(owner).User("admin", allowAll)
	stacks, keys := cloudformation.NewFromConfig(config), kms.NewFromConfig(config)
	body := func(description string, enabled bool) *string {
		on := "false"
		if enabled {
			on = "true"
		}
		return aws.String(`{"Resources":{
			"Key":{"Type":"AWS::KMS::Key","Properties":{"Description":"` + description + `","EnableKeyRotation":true,"Enabled":` + on + `,"PendingWindowInDays":7,
				"Tags":[{"Key":"app","Value":"orders"}],
				"KeyPolicy":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":{"Fn::Sub":"arn:aws:iam::${AWS::AccountId}:root"}},"Action":"kms:*","Resource":"*"}}}},
			"Alias":{"Type":"AWS::KMS::Alias","Properties":{"AliasName":"alias/orders","TargetKeyId":{"Ref":"Key"}}}},
			"Outputs":{"Arn":{"Value":{"Fn::GetAtt":["Key","Arn"]}}}}`)
	}
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("keys"), TemplateBody: body("one", true)}); err != nil {
		t.Fatal(err)
	}
	described, err := keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/orders")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("keys"), TemplateBody: body("two", false)}); err != nil {
		t.Fatal(err)
	}
	again, err := keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/orders")})
	if err != nil {
		t.Fatal(err)
	}
	if m := again.KeyMetadata; *m.KeyId != *described.KeyMetadata.KeyId || *m.Description != "two" || m.Enabled {
		t.Fatalf("after the update: %+v", m)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("keys")}); err != nil {
		t.Fatal(err)
	}
	gone, err := keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: described.KeyMetadata.KeyId})
	if err != nil || gone.KeyMetadata.KeyState != types.KeyStatePendingDeletion {
		t.Fatalf("after deletion: %+v %v", gone, err)
	}
	list, err := stacks.ListStacks(ctx, &cloudformation.ListStacksInput{StackStatusFilter: []cftypes.StackStatus{cftypes.StackStatusDeleteComplete}})
	if err != nil || len(list.StackSummaries) != 1 {
		t.Fatalf("%v %v", list, err)
	}
}

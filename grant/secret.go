package grant

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// unknownSuffix stands for the six random characters that Secrets Manager puts
// after a secret's name. A star would also match the secrets whose names begin
// with this one.
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_examples.html
const unknownSuffix = "-??????"

var suffixPattern = compiled(`.+-[A-Za-z0-9]{6}`)

// secret is the kind of Secrets Manager secrets.
func secret() *kind {
	versions := func(_ *instance, n *Narrowing) []iam.Condition {
		return condition("StringEquals", "secretsmanager:VersionStage", n.Versions...)
	}
	return &kind{
		name: "secret", title: "Secrets Manager secret", service: "secretsmanager",
		page: "https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_examples_cross.html",
		arn: func(i *instance) string {
			return arnOf("secretsmanager", "secret:")(i) + unknownSuffix
		},
		accesses: []access{
			{word: "read", doc: "read the value", readOnly: true, key: []string{"kms:Decrypt"}, rights: []right{
				{sid: "ReadSecret", actions: []string{"secretsmanager:GetSecretValue"}, when: versions},
				{sid: "DescribeSecret", actions: []string{"secretsmanager:DescribeSecret"}},
			}},
			{word: "write", doc: "store new values", ignores: []string{"versions"}, key: []string{"kms:GenerateDataKey", "kms:Decrypt"}, rights: []right{
				{sid: "WriteSecret", actions: []string{"secretsmanager:PutSecretValue", "secretsmanager:DescribeSecret"}},
			}},
		},
		narrowing:  []string{"versions"},
		encryption: "aws-managed", via: "secretsmanager",
		keyContext: func(i *instance) []iam.Condition {
			if strings.HasSuffix(i.arn, unknownSuffix) {
				return condition("StringLike", "kms:EncryptionContext:SecretARN", i.arn)
			}
			return condition("StringEquals", "kms:EncryptionContext:SecretARN", i.arn)
		},
		policy: &policyType{
			service: "secretsmanager",
			resource: func(i *instance, _ string, p *iam.Policy) (string, template.Object) {
				return "AWS::SecretsManager::ResourcePolicy", template.Object{
					{Key: "SecretId", Value: i.secretID()}, {Key: "ResourcePolicy", Value: p}, {Key: "BlockPublicPolicy", Value: true},
				}
			},
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_secretsmanager_secret_policy", Arguments: template.Object{
					{Key: "secret_arn", Value: i.secretID()}, {Key: "policy", Value: p}, {Key: "block_public_policy", Value: true},
				}}
			},
		},
		create: &createType{cloudFormation: "AWS::SecretsManager::Secret", nameProperty: "Name", keyProperty: "KmsKeyId", arnAttribute: "Ref"},
		caveats: []string{
			"Consumers pass the full ARN, with its six random characters, as SecretId: a name is looked up in the caller's own account.",
			"A secret that is created again gets another suffix; consumers must then be given the new ARN.",
			"The secret needs a customer-managed key: aws/secretsmanager cannot be used from other accounts.",
			"BatchGetSecretValue and ListSecrets cannot be granted on one secret.",
		},
	}
}

// secretID is how the secret's own account names it.
func (i *instance) secretID() string {
	if i.created() {
		return i.arnInStack()
	}
	if strings.HasSuffix(i.arn, unknownSuffix) {
		return i.physical
	}
	return i.arn
}

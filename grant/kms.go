package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// kmsKey is the kind of customer-managed KMS keys. Keys that encrypt a shared
// resource get their statements from the resource's grants; a grant on the key
// itself is for consumers that call KMS.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html
func kmsKey() *kind {
	return &kind{
		name: "kms-key", title: "KMS key", service: "kms", needsID: true,
		page: "https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html",
		arn: func(i *instance) string {
			return "arn:" + i.site.Partition + ":kms:" + i.site.Region + ":" + i.site.ID + ":key/" + i.id
		},
		accesses: []access{
			{word: "decrypt", doc: "decrypt", readOnly: true, rights: []right{{sid: "Decrypt", actions: []string{"kms:Decrypt", "kms:DescribeKey"}}}},
			{word: "encrypt", doc: "encrypt, also with data keys", rights: []right{{sid: "Encrypt", actions: []string{"kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey"}}}},
			{word: "sign", doc: "sign, and read the public key", rights: []right{{sid: "Sign", actions: []string{"kms:Sign", "kms:GetPublicKey", "kms:DescribeKey"}}}},
			{word: "verify", doc: "verify signatures, and read the public key", readOnly: true, rights: []right{{sid: "Verify", actions: []string{"kms:Verify", "kms:GetPublicKey", "kms:DescribeKey"}}}},
		},
		policy: &policyType{
			service: "kms", property: "KeyPolicy", star: true,
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_kms_key_policy", Arguments: template.Object{{Key: "key_id", Value: i.arn}, {Key: "policy", Value: p}}}
			},
			put: func(i *instance, _ string) []string {
				return []string{"aws", "kms", "put-key-policy", "--key-id", i.arn, "--policy-name", "default", "--policy", documentFile}
			},
			// Without this statement nobody could manage the key any more.
			// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
			base: func(i *instance) []iam.Statement {
				return []iam.Statement{{
					Sid: "EnableIAMPolicies", Effect: iam.Allow,
					Principal: &iam.Principals{AWS: []string{"arn:" + i.site.Partition + ":iam::" + i.site.ID + ":root"}},
					Action:    []string{"kms:*"}, Resource: []string{"*"},
				}}
			},
		},
		create: &createType{cloudFormation: "AWS::KMS::Key", arnAttribute: "Arn", idAttribute: "Ref", policies: []string{"KeyPolicy"}, fixed: template.Object{{Key: "EnableKeyRotation", Value: true}}},
		caveats: []string{
			"Aliases do not work across accounts: consumers use the key's ARN.",
			"Keys that AWS manages (alias/aws/…) have policies nobody can change, so what they encrypt cannot be shared.",
			"The key policy is one document. Statements that it has already and that must stay belong in keep.",
			"A statement without Action or Resource is accepted by KMS and has no effect.",
		},
	}
}

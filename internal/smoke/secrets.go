package smoke

import "encoding/base64"

// secretCalls are those of Secrets Manager. Values are asked for and thrown away
// unread. They are never written: a new value would replace one that is in use.
//
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Operations.html
var secretCalls = &service{
	calls: []call{
		secretCall("DescribeSecret", func(t *target) map[string]any { return map[string]any{"SecretId": t.resource} }),
		secretCall("GetSecretValue", func(t *target) map[string]any {
			in := map[string]any{"SecretId": t.resource}
			if len(t.only.Versions) > 0 {
				in["VersionStage"] = t.only.Versions[0]
			}
			return in
		}),
		secretCall("PutSecretValue", nil).unless(func(*target) string { return "a new value would replace the one in use" }),
		secretCall("ListSecretVersionIds", func(t *target) map[string]any { return map[string]any{"SecretId": t.resource} }),
		secretCall("GetResourcePolicy", func(t *target) map[string]any { return map[string]any{"SecretId": t.resource} }),
	},
	others: []string{"secretsmanager:GetSecretValue", "secretsmanager:ListSecretVersionIds"},
}

func secretCall(operation string, input func(t *target) map[string]any) call {
	return jsonCall("secretsmanager:"+operation, "secretsmanager", "1.1", "secretsmanager", input)
}

// kmsCalls are those of KMS. What can be a dry run is one: KMS then answers
// DryRunOperationException to whoever may do it.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html
var kmsCalls = &service{
	calls: []call{
		kmsCall("DescribeKey", func(t *target) map[string]any { return map[string]any{"KeyId": t.resource} }).
			learning(func(t *target, a *answer) { t.known.algorithm = field(a.body, "KeyMetadata.SigningAlgorithms.0") }),
		kmsCall("GetPublicKey", func(t *target) map[string]any { return map[string]any{"KeyId": t.resource} }, "UnsupportedOperationException"),
		kmsCall("GenerateDataKeyWithoutPlaintext", func(t *target) map[string]any {
			return map[string]any{"KeyId": t.resource, "KeySpec": "AES_256"}
		}).learning(func(t *target, a *answer) { t.known.ciphertext = field(a.body, "CiphertextBlob") }),
		kmsCall("GenerateDataKey", func(t *target) map[string]any {
			return map[string]any{"KeyId": t.resource, "KeySpec": "AES_256", "DryRun": true}
		}, dryRun),
		kmsCall("Encrypt", func(t *target) map[string]any {
			return map[string]any{"KeyId": t.resource, "Plaintext": []byte(probeName), "DryRun": true}
		}, dryRun),
		kmsCall("Decrypt", func(t *target) map[string]any {
			blob, _ := base64.StdEncoding.DecodeString(t.known.ciphertext)
			return map[string]any{"KeyId": t.resource, "CiphertextBlob": blob, "DryRun": true}
		}, dryRun).unless(func(t *target) string {
			if t.known.ciphertext == "" {
				return "there is nothing that was encrypted with the key; grants on what it encrypts try it"
			}
			return ""
		}),
		kmsCall("Sign", func(t *target) map[string]any {
			return map[string]any{"KeyId": t.resource, "Message": []byte(probeName), "SigningAlgorithm": t.known.algorithm, "DryRun": true}
		}, dryRun).unless(needsAlgorithm),
		kmsCall("Verify", func(t *target) map[string]any {
			return map[string]any{"KeyId": t.resource, "Message": []byte(probeName), "Signature": []byte(probeName), "SigningAlgorithm": t.known.algorithm, "DryRun": true}
		}, dryRun, "KMSInvalidSignatureException").unless(needsAlgorithm),
		kmsCall("GetKeyRotationStatus", func(t *target) map[string]any { return map[string]any{"KeyId": t.resource} }),
		kmsCall("GetKeyPolicy", func(t *target) map[string]any {
			return map[string]any{"KeyId": t.resource, "PolicyName": "default"}
		}),
	},
	others: []string{"kms:GetKeyRotationStatus", "kms:GetKeyPolicy"},
}

const dryRun = "DryRunOperationException"

func needsAlgorithm(t *target) string {
	if t.known.algorithm == "" {
		return "the key is not for signing, or could not be described"
	}
	return ""
}

func kmsCall(operation string, input func(t *target) map[string]any, passed ...string) call {
	return jsonCall("kms:"+operation, "kms", "1.1", "TrentService", input, passed...)
}

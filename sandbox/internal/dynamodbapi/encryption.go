package dynamodbapi

import (
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// encryption is a table's key in KMS, and the table's own key as KMS encrypted
// it. Items stay as they are; they never leave memory.
type encryption struct {
	keyARN  string
	dataKey []byte
	context map[string]string
}

// newEncryption makes a table key with the key of a request: the caller needs
// kms:DescribeKey and kms:GenerateDataKey through DynamoDB. AWS asks for
// kms:CreateGrant besides, which the sandbox's KMS does not have.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
func (s *Service) newEncryption(c *authz.Call, t *table, in *EncryptionSpecification) (*encryption, error) {
	if in == nil || !in.Enabled {
		if in != nil && in.KMSMasterKeyID != "" {
			return nil, invalid("One or more parameter values were invalid: KMSMasterKeyId can only be specified when SSE is enabled")
		}
		return nil, nil
	}
	if in.SSEType != "" && in.SSEType != "KMS" {
		return nil, invalid("One or more parameter values were invalid: SSEType must be KMS")
	}
	keyID := in.KMSMasterKeyID
	if keyID == "" || keyID == "alias/aws/dynamodb" {
		var err error
		if keyID, err = s.kms.ManagedKey(c, t.account, "dynamodb"); err != nil {
			return nil, err
		}
	}
	through := c.Forward(forwardedBy)
	shown, err := s.kms.DescribeKey(through, &kmsapi.KeyInput{KeyID: keyID})
	if err != nil {
		return nil, keyFailure(err)
	}
	e := &encryption{keyARN: shown.KeyMetadata.Arn, context: map[string]string{
		"aws:dynamodb:subscriberId": string(t.account), "aws:dynamodb:tableName": t.name,
	}}
	made, err := s.kms.GenerateDataKey(through, &kmsapi.GenerateDataKeyInput{KeyID: e.keyARN, KeySpec: "AES_256", EncryptionContext: e.context})
	if err != nil {
		return nil, keyFailure(err)
	}
	e.dataKey = made.CiphertextBlob
	return e, nil
}

// unlock asks KMS to decrypt the table's key for the caller, as DynamoDB does
// for every principal. AWS remembers the answer for five minutes.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/services-dynamodb.html
func (s *Service) unlock(c *authz.Call, e *encryption) error {
	if e == nil {
		return nil
	}
	if _, err := s.kms.Decrypt(c.Forward(forwardedBy), &kmsapi.DecryptInput{CiphertextBlob: e.dataKey, EncryptionContext: e.context}); err != nil {
		return keyFailure(err)
	}
	return nil
}

func keyFailure(err error) error {
	e := *wire.AsError(err)
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		e.Code, e.Message = "AccessDeniedException", "KMS key access denied error: "+e.Message
	case "InternalFailure":
	default: // the key does not exist, is disabled or is going to be deleted
		e.Code, e.Message = "ValidationException", "KMS validation error: "+e.Message
	}
	return &e
}

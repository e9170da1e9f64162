package secretsapi

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxValue is the limit of a secret value in bytes.
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
const maxValue = 65536

const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
)

// A value is what a version holds: text or bytes, not both.
type value struct {
	text  *string
	bytes []byte
}

func (v value) given() bool { return v.text != nil || v.bytes != nil }

func (v value) check() error {
	size := len(v.bytes)
	if v.text != nil {
		size = len(*v.text)
	}
	switch {
	case v.text != nil && v.bytes != nil:
		return invalidParameter("You can't specify both a binary secret value and a string secret value in the same secret.")
	case size == 0, size > maxValue:
		return invalidParameter("a secret value has 1 to %d bytes", maxValue)
	}
	return nil
}

// seal encrypts a value under a new data key, which KMS makes for the caller:
// without permission for the key there is no new version.
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
func (s *Service) seal(c *authz.Call, x *secret, v value, id string) (*version, error) {
	keyID := x.keyID
	if keyID == "" {
		var err error
		if keyID, err = s.kms.ManagedKey(c, x.account, "secretsmanager"); err != nil {
			return nil, err
		}
	}
	version := &version{id: id, created: c.Now, isBinary: v.text == nil}
	in := &kmsapi.GenerateDataKeyInput{KeyID: keyID, KeySpec: "AES_256", EncryptionContext: encryptionContext(x, id)}
	made, err := s.kms.GenerateDataKey(c.Forward(forwardedBy), in)
	if err != nil {
		return nil, encryptionFailure(err)
	}
	version.dataKey, version.keyARN = made.CiphertextBlob, made.KeyID
	aead, err := newAEAD(made.Plaintext)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(s.random, nonce); err != nil {
		return nil, err
	}
	plaintext := v.bytes
	if v.text != nil {
		plaintext = []byte(*v.text)
	}
	version.sealed = aead.Seal(nonce, nonce, plaintext, nil)
	return version, nil
}

// open decrypts a version with the caller's permission for the key.
func (s *Service) open(c *authz.Call, x *secret, v *version) ([]byte, error) {
	if x.keyID == "" && c.Account() != x.account {
		return nil, invalidRequest("You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key.")
	}
	in := &kmsapi.DecryptInput{CiphertextBlob: v.dataKey, EncryptionContext: encryptionContext(x, v.id)}
	opened, err := s.kms.Decrypt(c.Forward(forwardedBy), in)
	if err != nil {
		return nil, encryptionFailure(err)
	}
	aead, err := newAEAD(opened.Plaintext)
	if err != nil {
		return nil, err
	}
	n := aead.NonceSize()
	plaintext, err := aead.Open(nil, v.sealed[:n], v.sealed[n:], nil)
	if err != nil {
		return nil, fmt.Errorf("opening a secret version: %w", err)
	}
	return plaintext, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func encryptionContext(x *secret, versionID string) map[string]string {
	return map[string]string{"SecretARN": x.arn(), "SecretVersionId": versionID}
}

// encryptionFailure words what KMS said as Secrets Manager does.
func encryptionFailure(err error) error {
	e := wire.AsError(err)
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		return &wire.Error{Status: 400, Code: "AccessDeniedException", Message: "Access to KMS is not allowed", Cause: e}
	case "DisabledException", "KMSInvalidStateException", "NotFoundException":
		return &wire.Error{Status: 400, Code: "DecryptionFailure", Message: e.Message, Cause: e}
	}
	return e
}

// GetSecretValueInput names a secret, and a version by id or staging label.
type GetSecretValueInput struct {
	SecretID     string `json:"SecretId"`
	VersionID    string `json:"VersionId"`
	VersionStage string
}

// GetSecretValueOutput is a secret's value.
type GetSecretValueOutput struct {
	ARN           string
	Name          string
	VersionID     string  `json:"VersionId"`
	SecretString  *string `json:",omitempty"`
	SecretBinary  []byte  `json:",omitempty"`
	VersionStages []string
	CreatedDate   *wire.Timestamp
}

// GetSecretValue returns the value of a version, AWSCURRENT unless asked
// otherwise.
func (s *Service) GetSecretValue(c *authz.Call, in *GetSecretValueInput) (*GetSecretValueOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "GetSecretValue", with(func(ctx *iam.Context) {
		if in.VersionID != "" {
			ctx.Set("secretsmanager:VersionId", in.VersionID)
		}
		if in.VersionStage != "" || in.VersionID == "" {
			ctx.Set("secretsmanager:VersionStage", stageOr(in.VersionStage))
		}
	}))
	if err != nil {
		return nil, err
	}
	if !x.deleted.IsZero() {
		return nil, invalidRequest("You can't perform this operation on the secret because it was marked for deletion.")
	}
	v := x.versions[in.VersionID]
	if in.VersionID == "" {
		v = x.withStage(stageOr(in.VersionStage))
	}
	switch {
	case v == nil && in.VersionID != "":
		return nil, wire.BadRequest("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", in.VersionID)
	case v == nil:
		return nil, wire.BadRequest("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", stageOr(in.VersionStage))
	case in.VersionStage != "" && !slices.Contains(v.stages, in.VersionStage):
		return nil, invalidRequest("You provided a VersionStage that is not associated to the provided VersionId.")
	}
	plaintext, err := s.open(c, x, v)
	if err != nil {
		return nil, err
	}
	x.accessed = c.Now
	out := &GetSecretValueOutput{ARN: x.arn(), Name: x.name, VersionID: v.id, VersionStages: v.stages, CreatedDate: wire.At(v.created)}
	if v.isBinary {
		out.SecretBinary = plaintext
	} else {
		text := string(plaintext)
		out.SecretString = &text
	}
	return out, nil
}

func stageOr(stage string) string {
	if stage == "" {
		return current
	}
	return stage
}

// PutSecretValueInput is the input of PutSecretValue.
type PutSecretValueInput struct {
	SecretID           string `json:"SecretId"`
	ClientRequestToken string
	SecretString       *string
	SecretBinary       []byte
	VersionStages      []string
	RotationToken      string
}

// VersionOutput names a secret and one of its versions.
type VersionOutput struct {
	ARN           string
	Name          string
	VersionID     string   `json:"VersionId,omitempty"`
	VersionStages []string `json:",omitempty"`
}

// PutSecretValue adds a version and moves the staging labels to it.
func (s *Service) PutSecretValue(c *authz.Call, in *PutSecretValueInput) (*VersionOutput, error) {
	v := value{in.SecretString, in.SecretBinary}
	if err := v.check(); err != nil {
		return nil, err
	}
	if in.RotationToken != "" {
		return nil, wire.NotImplemented("secretsmanager", "PutSecretValue with RotationToken")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "PutSecretValue", nil)
	if err != nil {
		return nil, err
	}
	if !x.deleted.IsZero() {
		return nil, invalidRequest("You can't perform this operation on the secret because it was marked for deletion.")
	}
	added, err := s.addVersion(c, x, v, in.ClientRequestToken, in.VersionStages)
	if err != nil {
		return nil, err
	}
	return &VersionOutput{x.arn(), x.name, added.id, added.stages}, nil
}

// addVersion adds a version with staging labels, AWSCURRENT unless given. A
// request with the token of a version that exists is the same request again,
// and must bring the same value.
func (s *Service) addVersion(c *authz.Call, x *secret, v value, token string, stages []string) (*version, error) {
	id := token
	switch {
	case id == "":
		var err error
		if id, err = s.newID(); err != nil {
			return nil, err
		}
	case len(id) < 32 || len(id) > 64:
		return nil, invalidParameter("ClientRequestToken must be 32 to 64 characters long")
	}
	if old, ok := x.versions[id]; ok {
		plaintext, err := s.open(c, x, old)
		if err != nil {
			return nil, err
		}
		same := old.isBinary == (v.text == nil) && (v.text != nil && *v.text == string(plaintext) || v.text == nil && slices.Equal(v.bytes, plaintext))
		if !same {
			return nil, wire.BadRequest("ResourceExistsException", "A resource with the ID you requested already exists.")
		}
		return old, nil
	}
	if len(stages) == 0 {
		stages = []string{current}
	}
	if len(stages) > 20 {
		return nil, invalidParameter("a version has at most 20 staging labels")
	}
	added, err := s.seal(c, x, v, id)
	if err != nil {
		return nil, err
	}
	if x.versions == nil {
		x.versions = make(map[string]*version)
		if !slices.Contains(stages, current) {
			stages = append([]string{current}, stages...)
		}
	}
	x.versions[id] = added
	for _, stage := range stages {
		x.move(stage, added)
	}
	x.changed = c.Now
	return added, nil
}

// move gives a staging label to a version. The one that loses AWSCURRENT
// becomes AWSPREVIOUS; versions without labels are forgotten.
func (x *secret) move(stage string, to *version) {
	from := x.withStage(stage)
	if from == to {
		return
	}
	if from != nil {
		from.stages = slices.DeleteFunc(slices.Clone(from.stages), func(s string) bool { return s == stage })
	}
	to.stages = append(slices.Clone(to.stages), stage)
	if stage == current && from != nil {
		x.move(previous, from)
	}
	for id, v := range x.versions {
		if len(v.stages) == 0 && v != to {
			delete(x.versions, id)
		}
	}
}

func (s *Service) newID() (string, error) { return wire.NewUUID(s.random) }

// ListSecretVersionIDsInput names a secret.
type ListSecretVersionIDsInput struct {
	SecretID          string `json:"SecretId"`
	IncludeDeprecated bool
}

// ListSecretVersionIDsOutput lists versions.
type ListSecretVersionIDsOutput struct {
	ARN, Name string
	Versions  []VersionEntry
}

// A VersionEntry is a version in a list.
type VersionEntry struct {
	VersionID     string `json:"VersionId"`
	VersionStages []string
	CreatedDate   *wire.Timestamp
	KmsKeyIDs     []string `json:"KmsKeyIds,omitempty"`
}

// ListSecretVersionIDs lists the versions with labels.
func (s *Service) ListSecretVersionIDs(c *authz.Call, in *ListSecretVersionIDsInput) (*ListSecretVersionIDsOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	x, err := s.find(c, in.SecretID, "ListSecretVersionIds", nil)
	if err != nil {
		return nil, err
	}
	out := &ListSecretVersionIDsOutput{ARN: x.arn(), Name: x.name, Versions: []VersionEntry{}}
	for _, v := range x.versions {
		out.Versions = append(out.Versions, VersionEntry{v.id, v.stages, wire.At(v.created), []string{v.keyARN}})
	}
	slices.SortFunc(out.Versions, func(a, b VersionEntry) int { return b.CreatedDate.Compare(a.CreatedDate.Time) })
	return out, nil
}

package secretsapi

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// CreateSecretInput is the input of CreateSecret.
type CreateSecretInput struct {
	Name, ClientRequestToken, Description string
	KmsKeyID                              string `json:"KmsKeyId"`
	SecretString                          *string
	SecretBinary                          []byte
	Tags                                  []Tag
	AddReplicaRegions                     []struct{}
}

// CreateSecret makes a secret, with a first version if a value is given.
func (s *Service) CreateSecret(c *authz.Call, in *CreateSecretInput) (*VersionOutput, error) {
	if err := awsjson.Required("Name", in.Name); err != nil {
		return nil, err
	}
	if !namePattern.MatchString(in.Name) {
		return nil, wire.BadRequest("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if len(in.AddReplicaRegions) > 0 {
		return nil, wire.NotImplemented("secretsmanager", "CreateSecret with AddReplicaRegions")
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	v := value{in.SecretString, in.SecretBinary}
	if v.given() {
		if err := v.check(); err != nil {
			return nil, err
		}
	}
	account, ok := s.directory.Account(c.Account())
	if !ok {
		return nil, fmt.Errorf("account %s does not exist", c.Account())
	}
	suffix, err := s.newSuffix()
	if err != nil {
		return nil, err
	}
	x := &secret{
		place: here(c), partition: account.Partition, name: in.Name, suffix: suffix, description: in.Description,
		keyID: in.KmsKeyID, created: c.Now, changed: c.Now, tags: tags,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = c.Authorize(authz.Query{
		Action: "secretsmanager:CreateSecret", Resource: x.arn(), RequestTags: tags,
		Context: func(ctx *iam.Context) {
			ctx.Set("secretsmanager:Name", in.Name)
			if in.Description != "" {
				ctx.Set("secretsmanager:Description", in.Description)
			}
			if in.KmsKeyID != "" {
				ctx.Set("secretsmanager:KmsKeyId", in.KmsKeyID)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := c.Authorize(authz.Query{Action: "secretsmanager:TagResource", Resource: x.arn(), RequestTags: tags}); err != nil {
			return nil, err
		}
	}
	if old := s.secrets[x.place][x.name]; old != nil && !old.gone(c.Now) {
		if !old.deleted.IsZero() {
			return nil, invalidRequest("You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		return nil, wire.BadRequest("ResourceExistsException", "The operation failed because the secret %s already exists.", x.name)
	}
	out := &VersionOutput{ARN: x.arn(), Name: x.name}
	if v.given() {
		added, err := s.addVersion(c, x, v, in.ClientRequestToken, nil)
		if err != nil {
			return nil, err
		}
		out.VersionID = added.id
	}
	if s.secrets[x.place] == nil {
		s.secrets[x.place] = make(map[string]*secret)
	}
	s.secrets[x.place][x.name] = x
	return out, nil
}

const suffixLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newSuffix returns the six characters at the end of a secret's ARN.
func (s *Service) newSuffix() (string, error) {
	var b [6]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = suffixLetters[int(b[i])%len(suffixLetters)]
	}
	return string(b[:]), nil
}

// SecretInput names a secret.
type SecretInput struct {
	SecretID string `json:"SecretId"`
}

// A SecretEntry describes a secret.
type SecretEntry struct {
	ARN, Name, Description string
	KmsKeyID               string              `json:"KmsKeyId,omitempty"`
	CreatedDate            *wire.Timestamp     `json:",omitempty"`
	LastChangedDate        *wire.Timestamp     `json:",omitempty"`
	LastAccessedDate       *wire.Timestamp     `json:",omitempty"`
	DeletedDate            *wire.Timestamp     `json:",omitempty"`
	Tags                   []Tag               `json:",omitempty"`
	VersionIDsToStages     map[string][]string `json:"VersionIdsToStages,omitempty"`
	SecretVersionsToStages map[string][]string `json:",omitempty"`
}

func (x *secret) entry() *SecretEntry {
	return &SecretEntry{
		ARN: x.arn(), Name: x.name, Description: x.description, KmsKeyID: x.keyID, CreatedDate: wire.At(x.created),
		LastChangedDate: wire.At(x.changed), LastAccessedDate: wire.At(x.accessed), DeletedDate: wire.At(x.marked), Tags: shownTags(x.tags),
	}
}

func (x *secret) stages() map[string][]string {
	stages := make(map[string][]string)
	for id, v := range x.versions {
		stages[id] = v.stages
	}
	return stages
}

// DescribeSecret shows everything but the value.
func (s *Service) DescribeSecret(c *authz.Call, in *SecretInput) (*SecretEntry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	x, err := s.find(c, in.SecretID, "DescribeSecret", nil)
	if err != nil {
		return nil, err
	}
	e := x.entry()
	e.VersionIDsToStages = x.stages()
	return e, nil
}

// ListSecretsInput pages.
type ListSecretsInput struct {
	MaxResults             int
	NextToken              string
	IncludePlannedDeletion bool
	Filters                []struct{}
}

// ListSecretsOutput is a page of secrets.
type ListSecretsOutput struct {
	SecretList []*SecretEntry
	NextToken  string `json:",omitempty"`
}

// ListSecrets lists the account's secrets.
func (s *Service) ListSecrets(c *authz.Call, in *ListSecretsInput) (*ListSecretsOutput, error) {
	if len(in.Filters) > 0 {
		return nil, wire.NotImplemented("secretsmanager", "ListSecrets with Filters")
	}
	if err := c.Authorize(authz.Query{Action: "secretsmanager:ListSecrets", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &ListSecretsOutput{SecretList: []*SecretEntry{}}
	for _, x := range s.secrets[here(c)] {
		if x.gone(c.Now) || !x.deleted.IsZero() && !in.IncludePlannedDeletion {
			continue
		}
		e := x.entry()
		e.SecretVersionsToStages = x.stages()
		out.SecretList = append(out.SecretList, e)
	}
	slices.SortFunc(out.SecretList, func(a, b *SecretEntry) int { return strings.Compare(a.Name, b.Name) })
	var err error
	out.SecretList, out.NextToken, err = awsjson.Page(out.SecretList, in.MaxResults, 100, 100, in.NextToken, func(e *SecretEntry) string { return e.Name })
	return out, err
}

// DeleteSecretInput says how long a secret can be restored: 7 to 30 days, or
// not at all.
type DeleteSecretInput struct {
	SecretID                   string `json:"SecretId"`
	RecoveryWindowInDays       *int
	ForceDeleteWithoutRecovery bool
}

// DeleteSecretOutput says when the secret goes.
type DeleteSecretOutput struct {
	ARN, Name    string
	DeletionDate *wire.Timestamp
}

// DeleteSecret marks a secret for deletion, or deletes it at once.
func (s *Service) DeleteSecret(c *authz.Call, in *DeleteSecretInput) (*DeleteSecretOutput, error) {
	days := 30
	switch {
	case in.RecoveryWindowInDays != nil && in.ForceDeleteWithoutRecovery:
		return nil, invalidParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	case in.RecoveryWindowInDays != nil:
		if days = *in.RecoveryWindowInDays; days < 7 || days > 30 {
			return nil, invalidParameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "DeleteSecret", with(func(ctx *iam.Context) {
		ctx.Set("secretsmanager:ForceDeleteWithoutRecovery", fmt.Sprint(in.ForceDeleteWithoutRecovery))
		if !in.ForceDeleteWithoutRecovery {
			ctx.Set("secretsmanager:RecoveryWindowInDays", fmt.Sprint(days))
		}
	}))
	if err != nil {
		return nil, err
	}
	if in.ForceDeleteWithoutRecovery {
		delete(s.secrets[x.place], x.name)
		return &DeleteSecretOutput{x.arn(), x.name, wire.At(c.Now)}, nil
	}
	if x.deleted.IsZero() {
		x.deleted, x.marked = c.Now.AddDate(0, 0, days), c.Now
	}
	return &DeleteSecretOutput{x.arn(), x.name, wire.At(x.deleted)}, nil
}

// RestoreSecret takes the mark for deletion away.
func (s *Service) RestoreSecret(c *authz.Call, in *SecretInput) (*VersionOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "RestoreSecret", nil)
	if err != nil {
		return nil, err
	}
	x.deleted, x.marked = time.Time{}, time.Time{}
	return &VersionOutput{ARN: x.arn(), Name: x.name}, nil
}

// UpdateSecretInput is the input of UpdateSecret. What is not given stays.
type UpdateSecretInput struct {
	SecretID           string `json:"SecretId"`
	ClientRequestToken string
	Description        *string
	KmsKeyID           *string `json:"KmsKeyId"`
	SecretString       *string
	SecretBinary       []byte
}

// UpdateSecret changes description, key or value.
func (s *Service) UpdateSecret(c *authz.Call, in *UpdateSecretInput) (*VersionOutput, error) {
	v := value{in.SecretString, in.SecretBinary}
	if v.given() {
		if err := v.check(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c, in.SecretID, "UpdateSecret", with(func(ctx *iam.Context) {
		if in.KmsKeyID != nil {
			ctx.Set("secretsmanager:KmsKeyId", *in.KmsKeyID)
		}
		if in.Description != nil {
			ctx.Set("secretsmanager:Description", *in.Description)
		}
	}))
	if err != nil {
		return nil, err
	}
	if !x.deleted.IsZero() {
		return nil, invalidRequest("You can't perform this operation on the secret because it was marked for deletion.")
	}
	out := &VersionOutput{ARN: x.arn(), Name: x.name}
	if err := s.changeKey(c, x, in.KmsKeyID); err != nil {
		return nil, err
	}
	if v.given() {
		added, err := s.addVersion(c, x, v, in.ClientRequestToken, nil)
		if err != nil {
			return nil, err
		}
		out.VersionID = added.id
	}
	if in.Description != nil {
		x.description = *in.Description
	}
	x.changed = c.Now
	return out, nil
}

// changeKey encrypts the versions with labels under another key, as Secrets
// Manager does: the caller needs both.
func (s *Service) changeKey(c *authz.Call, x *secret, keyID *string) error {
	if keyID == nil || *keyID == x.keyID {
		return nil
	}
	moved := *x
	moved.keyID = *keyID
	versions := make(map[string]*version, len(x.versions))
	for id, v := range x.versions {
		plaintext, err := s.open(c, x, v)
		if err != nil {
			return err
		}
		again := value{bytes: plaintext}
		if !v.isBinary {
			text := string(plaintext)
			again = value{text: &text}
		}
		sealed, err := s.seal(c, &moved, again, id)
		if err != nil {
			return err
		}
		sealed.created, sealed.stages = v.created, v.stages
		versions[id] = sealed
	}
	x.keyID = *keyID
	if x.versions != nil {
		x.versions = versions
	}
	return nil
}

package kmsapi

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// States of a key.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
const (
	stateEnabled         = "Enabled"
	stateDisabled        = "Disabled"
	statePendingDeletion = "PendingDeletion"
)

const (
	managedByCustomer = "CUSTOMER"
	managedByAWS      = "AWS"
)

type key struct {
	place
	partition   string
	id          string
	material    [32]byte
	description string
	manager     string
	state       string
	created     time.Time
	deletion    time.Time // when a key that is pending deletion goes
	rotates     bool
	policy      *directory.Document
	tags        []directory.Tag
}

func (k *key) arn() string {
	return "arn:" + k.partition + ":kms:" + k.region + ":" + string(k.account) + ":key/" + k.id
}

// gone reports whether the waiting time of a deletion is over.
func (k *key) gone(now time.Time) bool {
	return k.state == statePendingDeletion && !now.Before(k.deletion)
}

// Metadata is what operations show of a key.
type Metadata struct {
	AWSAccountID          string `json:"AWSAccountId"`
	KeyID                 string `json:"KeyId"`
	Arn                   string
	CreationDate          *wire.Timestamp
	DeletionDate          *wire.Timestamp `json:",omitempty"`
	Description           string
	Enabled               bool
	KeyUsage              string
	KeySpec               string
	CustomerMasterKeySpec string
	KeyState              string
	KeyManager            string
	Origin                string
	EncryptionAlgorithms  []string
	MultiRegion           bool
}

func (k *key) metadata() *Metadata {
	return &Metadata{
		AWSAccountID: string(k.account), KeyID: k.id, Arn: k.arn(), CreationDate: wire.At(k.created), DeletionDate: wire.At(k.deletion),
		Description: k.description, Enabled: k.state == stateEnabled, KeyUsage: "ENCRYPT_DECRYPT", KeySpec: symmetric,
		CustomerMasterKeySpec: symmetric, KeyState: k.state, KeyManager: k.manager, Origin: "AWS_KMS",
		EncryptionAlgorithms: []string{symmetric},
	}
}

const symmetric = "SYMMETRIC_DEFAULT"

// A Tag is a tag as KMS writes it.
type Tag struct{ TagKey, TagValue string }

// CreateKeyInput is the input of CreateKey.
type CreateKeyInput struct {
	Policy, Description, KeyUsage, KeySpec, CustomerMasterKeySpec, Origin, CustomKeyStoreID, XksKeyID string
	MultiRegion, BypassPolicyLockoutSafetyCheck                                                       bool
	Tags                                                                                              []Tag
}

// KeyOutput shows one key.
type KeyOutput struct{ KeyMetadata *Metadata }

// CreateKey makes a symmetric key with the given or the default key policy.
func (s *Service) CreateKey(c *authz.Call, in *CreateKeyInput) (*KeyOutput, error) {
	if err := checkKind(in); err != nil {
		return nil, err
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	err = c.Authorize(authz.Query{Action: "kms:CreateKey", Resource: "*", RequestTags: tags, Context: func(ctx *iam.Context) {
		callerKeys(c, ctx)
		kindKeys(ctx)
		ctx.Set("kms:BypassPolicyLockoutSafetyCheck", fmt.Sprint(in.BypassPolicyLockoutSafetyCheck))
	}})
	if err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := c.Authorize(authz.Query{Action: "kms:TagResource", Resource: "*", RequestTags: tags}); err != nil {
			return nil, err
		}
	}
	k, err := s.newKey(here(c), managedByCustomer, c.Now)
	if err != nil {
		return nil, err
	}
	k.description, k.tags = in.Description, tags
	text := in.Policy
	if text == "" {
		text = defaultPolicy(k.partition, k.account)
	}
	if k.policy, err = s.parsePolicy(text, k); err != nil {
		return nil, err
	}
	if !in.BypassPolicyLockoutSafetyCheck {
		if err := lockoutCheck(c, k); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in(k.place).keys[k.id] = k
	return &KeyOutput{k.metadata()}, nil
}

// checkKind refuses keys that AWS has and the sandbox has not.
func checkKind(in *CreateKeyInput) error {
	for _, spec := range []string{in.KeySpec, in.CustomerMasterKeySpec} {
		if spec != "" && spec != symmetric {
			return wire.NotImplemented("kms", "CreateKey with KeySpec "+spec)
		}
	}
	switch {
	case in.KeyUsage != "" && in.KeyUsage != "ENCRYPT_DECRYPT":
		return wire.NotImplemented("kms", "CreateKey with KeyUsage "+in.KeyUsage)
	case in.Origin != "" && in.Origin != "AWS_KMS", in.CustomKeyStoreID != "", in.XksKeyID != "":
		return wire.NotImplemented("kms", "CreateKey with key material from elsewhere")
	case in.MultiRegion:
		return wire.NotImplemented("kms", "CreateKey with MultiRegion")
	case len([]rune(in.Description)) > 8192:
		return wire.BadRequest("ValidationException", "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 8192")
	}
	return nil
}

func (s *Service) newKey(p place, manager string, now time.Time) (*key, error) {
	account, ok := s.directory.Account(p.account)
	if !ok {
		return nil, fmt.Errorf("account %s does not exist", p.account)
	}
	k := &key{place: p, partition: account.Partition, manager: manager, state: stateEnabled, created: now}
	if _, err := io.ReadFull(s.random, k.material[:]); err != nil {
		return nil, err
	}
	var err error
	k.id, err = wire.NewUUID(s.random)
	return k, err
}

// ManagedKey returns the ARN of the account's AWS-managed key for a service
// ("secretsmanager"), making it at first use. Its policy lets the account's
// principals use it through that service and nothing else, which is why nothing
// encrypted with it can be shared with another account.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#aws-managed-key
func (s *Service) ManagedKey(c *authz.Call, account iam.AccountID, service string) (string, error) {
	name := "alias/aws/" + service
	s.mu.Lock()
	defer s.mu.Unlock()
	p := place{account, c.Region}
	r := s.in(p)
	if a, ok := r.aliases[name]; ok {
		return r.keys[a.keyID].arn(), nil
	}
	k, err := s.newKey(p, managedByAWS, c.Now)
	if err != nil {
		return "", err
	}
	k.description = "Default key that protects my " + service + " data when no other key is defined"
	if k.policy, err = s.parsePolicy(managedPolicy(k, service), k); err != nil {
		return "", err
	}
	r.keys[k.id] = k
	r.aliases[name] = &alias{name: name, keyID: k.id, created: c.Now, updated: c.Now}
	return k.arn(), nil
}

// KeyInput names a key.
type KeyInput struct {
	KeyID string `json:"KeyId"`
}

// DescribeKey shows a key, also to other accounts that its policy admits.
func (s *Service) DescribeKey(c *authz.Call, in *KeyInput) (*KeyOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.find(named(c, "kms:DescribeKey"), in.KeyID, anyAccount)
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "kms:DescribeKey", k, in.KeyID); err != nil {
		return nil, err
	}
	return &KeyOutput{k.metadata()}, nil
}

// ListKeysInput pages.
type ListKeysInput struct {
	Limit  int
	Marker string
}

// ListKeysOutput is a page of keys.
type ListKeysOutput struct {
	Keys       []KeyEntry
	NextMarker string `json:",omitempty"`
	Truncated  bool
}

// A KeyEntry is a key in a list.
type KeyEntry struct {
	KeyID  string `json:"KeyId"`
	KeyArn string
}

// ListKeys lists the account's keys.
func (s *Service) ListKeys(c *authz.Call, in *ListKeysInput) (*ListKeysOutput, error) {
	if err := c.Authorize(authz.Query{Action: "kms:ListKeys", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &ListKeysOutput{Keys: []KeyEntry{}}
	if r, ok := s.regions[here(c)]; ok {
		for _, k := range r.keys {
			if !k.gone(c.Now) {
				out.Keys = append(out.Keys, KeyEntry{k.id, k.arn()})
			}
		}
	}
	slices.SortFunc(out.Keys, func(a, b KeyEntry) int { return strings.Compare(a.KeyID, b.KeyID) })
	var err error
	out.Keys, out.NextMarker, err = awsjson.Page(out.Keys, in.Limit, 100, 1000, in.Marker, func(e KeyEntry) string { return e.KeyID })
	out.Truncated = out.NextMarker != ""
	return out, err
}

// change authorises an action on a key of the caller's own account and makes
// the change, unless the key's state forbids it.
func (s *Service) change(c *authz.Call, keyID, action string, change func(*key) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.find(c, keyID, ownAccount)
	if err != nil {
		return err
	}
	if err := s.authorize(c, action, k, ""); err != nil {
		return err
	}
	if k.manager == managedByAWS {
		return wire.BadRequest("AccessDeniedException", "%s is an AWS managed key, which cannot be changed", k.arn())
	}
	return change(k)
}

func (k *key) unlessPendingDeletion() error {
	if k.state == statePendingDeletion {
		return wire.BadRequest("KMSInvalidStateException", "%s is pending deletion.", k.arn())
	}
	return nil
}

// EnableKey makes a disabled key usable again.
func (s *Service) EnableKey(c *authz.Call, in *KeyInput) (*struct{}, error) {
	return nil, s.setState(c, in.KeyID, "kms:EnableKey", stateEnabled)
}

// DisableKey keeps a key from being used.
func (s *Service) DisableKey(c *authz.Call, in *KeyInput) (*struct{}, error) {
	return nil, s.setState(c, in.KeyID, "kms:DisableKey", stateDisabled)
}

func (s *Service) setState(c *authz.Call, keyID, action, state string) error {
	return s.change(c, keyID, action, func(k *key) error {
		if err := k.unlessPendingDeletion(); err != nil {
			return err
		}
		k.state = state
		return nil
	})
}

// ScheduleKeyDeletionInput says how long to wait, in days.
type ScheduleKeyDeletionInput struct {
	KeyID               string `json:"KeyId"`
	PendingWindowInDays *int
}

// ScheduleKeyDeletionOutput says when the key goes.
type ScheduleKeyDeletionOutput struct {
	KeyID               string `json:"KeyId"`
	DeletionDate        *wire.Timestamp
	KeyState            string
	PendingWindowInDays int
}

// ScheduleKeyDeletion makes a key unusable, and gone after 7 to 30 days.
func (s *Service) ScheduleKeyDeletion(c *authz.Call, in *ScheduleKeyDeletionInput) (*ScheduleKeyDeletionOutput, error) {
	days := 30
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	if days < 7 || days > 30 {
		return nil, wire.BadRequest("ValidationException", "PendingWindowInDays must be between 7 and 30")
	}
	var out *ScheduleKeyDeletionOutput
	err := s.change(c, in.KeyID, "kms:ScheduleKeyDeletion", func(k *key) error {
		if err := k.unlessPendingDeletion(); err != nil {
			return err
		}
		k.state, k.deletion = statePendingDeletion, c.Now.AddDate(0, 0, days)
		out = &ScheduleKeyDeletionOutput{k.arn(), wire.At(k.deletion), k.state, days}
		return nil
	})
	return out, err
}

// KeyIDOutput names a key.
type KeyIDOutput struct {
	KeyID string `json:"KeyId"`
}

// CancelKeyDeletion leaves the key disabled.
func (s *Service) CancelKeyDeletion(c *authz.Call, in *KeyInput) (*KeyIDOutput, error) {
	var out *KeyIDOutput
	err := s.change(c, in.KeyID, "kms:CancelKeyDeletion", func(k *key) error {
		if k.state != statePendingDeletion {
			return wire.BadRequest("KMSInvalidStateException", "%s is not pending deletion.", k.arn())
		}
		k.state, k.deletion = stateDisabled, time.Time{}
		out = &KeyIDOutput{k.arn()}
		return nil
	})
	return out, err
}

// EnableKeyRotation marks the key as rotated every year.
func (s *Service) EnableKeyRotation(c *authz.Call, in *KeyInput) (*struct{}, error) {
	return nil, s.setRotation(c, in.KeyID, "kms:EnableKeyRotation", true)
}

// DisableKeyRotation takes the mark away.
func (s *Service) DisableKeyRotation(c *authz.Call, in *KeyInput) (*struct{}, error) {
	return nil, s.setRotation(c, in.KeyID, "kms:DisableKeyRotation", false)
}

func (s *Service) setRotation(c *authz.Call, keyID, action string, rotates bool) error {
	return s.change(c, keyID, action, func(k *key) error {
		if err := k.usable(); err != nil {
			return err
		}
		k.rotates = rotates
		return nil
	})
}

// RotationOutput says whether a key is rotated.
type RotationOutput struct {
	KeyID              string `json:"KeyId"`
	KeyRotationEnabled bool
}

// GetKeyRotationStatus may be asked across accounts.
func (s *Service) GetKeyRotationStatus(c *authz.Call, in *KeyInput) (*RotationOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.find(c, in.KeyID, anyAccount)
	if err != nil {
		return nil, err
	}
	if err := s.authorize(c, "kms:GetKeyRotationStatus", k, ""); err != nil {
		return nil, err
	}
	return &RotationOutput{k.arn(), k.rotates}, nil
}

// UpdateKeyDescriptionInput is the input of UpdateKeyDescription.
type UpdateKeyDescriptionInput struct {
	KeyID       string `json:"KeyId"`
	Description string
}

// UpdateKeyDescription changes the description.
func (s *Service) UpdateKeyDescription(c *authz.Call, in *UpdateKeyDescriptionInput) (*struct{}, error) {
	return nil, s.change(c, in.KeyID, "kms:UpdateKeyDescription", func(k *key) error {
		if err := k.unlessPendingDeletion(); err != nil {
			return err
		}
		k.description = in.Description
		return nil
	})
}

// usable refuses keys that are not enabled, in KMS's words.
func (k *key) usable() error {
	switch k.state {
	case stateEnabled:
		return nil
	case stateDisabled:
		return wire.BadRequest("DisabledException", "%s is disabled.", k.arn())
	}
	return k.unlessPendingDeletion()
}

// Whose keys an operation works on.
type reach int

const (
	ownAccount reach = iota
	anyAccount
)

// named returns the call as one of an operation of KMS. The operation of a call
// made through another service is that service's.
func named(c *authz.Call, action string) *authz.Call {
	own := *c
	own.Operation = strings.TrimPrefix(action, "kms:")
	return &own
}

// find returns the key that an id, ARN, alias name or alias ARN means. The
// caller holds the lock. A key of another account that does not exist is
// answered like one that does not let the caller in.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/find-cmk-id-arn.html
func (s *Service) find(c *authz.Call, id string, from reach) (*key, error) {
	if err := awsjson.Required("KeyId", id); err != nil {
		return nil, err
	}
	if len(id) > 2048 {
		return nil, wire.BadRequest("ValidationException", "1 validation error detected: Value at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048")
	}
	p, name := here(c), id
	if strings.HasPrefix(id, "arn:") {
		arn, err := iam.ParseARN(id)
		if err != nil || arn.Service != "kms" {
			return nil, wire.BadRequest("InvalidArnException", "Invalid arn %s", wire.Clip(id))
		}
		if arn.Region != c.Region {
			return nil, wire.BadRequest("NotFoundException", "Invalid arn %s", arn.Region)
		}
		p.account, name = iam.AccountID(arn.Account), strings.TrimPrefix(arn.Resource, "key/")
	}
	if p.account != c.Account() && from == ownAccount {
		return nil, &wire.Error{Status: http.StatusBadRequest, Code: "AccessDeniedException",
			Message: "User: " + c.CallerName() + " is not authorized to perform: kms:" + c.Operation + " on a key of another account; this operation works in one's own account only"}
	}
	if r, ok := s.regions[p]; ok {
		if a, ok := r.aliases[name]; ok {
			name = a.keyID
		}
		if k, ok := r.keys[name]; ok && !k.gone(c.Now) {
			return k, nil
		}
	}
	switch {
	case p.account != c.Account():
		return nil, &wire.Error{Status: http.StatusBadRequest, Code: "AccessDeniedException",
			Message: "User: " + c.CallerName() + " is not authorized to perform: kms:" + c.Operation + " on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"}
	case strings.HasPrefix(name, "alias/"):
		return nil, wire.BadRequest("NotFoundException", "Alias arn:%s:kms:%s:%s:%s is not found.", s.directory.Partition(p.account), p.region, p.account, wire.Clip(name))
	}
	return nil, wire.BadRequest("NotFoundException", "Key 'arn:%s:kms:%s:%s:key/%s' does not exist", s.directory.Partition(p.account), p.region, p.account, wire.Clip(name))
}

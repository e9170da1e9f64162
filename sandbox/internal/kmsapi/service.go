// Package kmsapi is the sandbox's KMS: symmetric keys that really encrypt, key
// policies that are enforced, and aliases.
//
// https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html
package kmsapi

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
)

// A Service is the KMS of all accounts and regions of a sandbox. It is safe
// for concurrent use.
type Service struct {
	directory *directory.Directory
	random    io.Reader

	mu      sync.RWMutex
	regions map[place]*region
}

// A place is where keys live: they are regional.
type place struct {
	account iam.AccountID
	region  string
}

type region struct {
	keys    map[string]*key   // by key id
	aliases map[string]*alias // by name: "alias/orders"
}

type alias struct {
	name             string
	keyID            string
	created, updated time.Time
}

// New returns a service without keys. Random is the source of key material,
// key ids and nonces, and must be safe for concurrent use.
func New(d *directory.Directory, random io.Reader) *Service {
	return &Service{directory: d, random: random, regions: make(map[place]*region)}
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(s, w, r, c)
}

// Operations lists all operations of KMS that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = awsjson.Table[*Service]{Service: "kms", Target: "TrentService", Version: "1.1", Operations: append([]awsjson.Operation[*Service]{
	awsjson.Real("CancelKeyDeletion", "", (*Service).CancelKeyDeletion),
	awsjson.Real("CreateAlias", "", (*Service).CreateAlias),
	awsjson.Real("CreateKey", "symmetric encryption keys with AWS's key material, of one region", (*Service).CreateKey),
	awsjson.Real("Decrypt", "no grant tokens, no recipients", (*Service).Decrypt),
	awsjson.Real("DeleteAlias", "", (*Service).DeleteAlias),
	awsjson.Real("DescribeKey", "no grant tokens", (*Service).DescribeKey),
	awsjson.Real("DisableKey", "", (*Service).DisableKey),
	awsjson.Real("DisableKeyRotation", "", (*Service).DisableKeyRotation),
	awsjson.Real("EnableKey", "", (*Service).EnableKey),
	awsjson.Real("EnableKeyRotation", "keys are marked, their material stays", (*Service).EnableKeyRotation),
	awsjson.Real("Encrypt", "no grant tokens", (*Service).Encrypt),
	awsjson.Real("GenerateDataKey", "no grant tokens, no recipients", (*Service).GenerateDataKey),
	awsjson.Real("GenerateDataKeyWithoutPlaintext", "no grant tokens", (*Service).GenerateDataKeyWithoutPlaintext),
	awsjson.Real("GenerateRandom", "no custom key stores, no recipients", (*Service).GenerateRandom),
	awsjson.Real("GetKeyPolicy", "", (*Service).GetKeyPolicy),
	awsjson.Real("GetKeyRotationStatus", "", (*Service).GetKeyRotationStatus),
	awsjson.Real("ListAliases", "", (*Service).ListAliases),
	awsjson.Real("ListKeyPolicies", "", (*Service).ListKeyPolicies),
	awsjson.Real("ListKeys", "", (*Service).ListKeys),
	awsjson.Real("ListResourceTags", "", (*Service).ListResourceTags),
	awsjson.Real("PutKeyPolicy", "", (*Service).PutKeyPolicy),
	awsjson.Real("ReEncrypt", "no grant tokens", (*Service).ReEncrypt),
	awsjson.Real("ScheduleKeyDeletion", "", (*Service).ScheduleKeyDeletion),
	awsjson.Real("TagResource", "", (*Service).TagResource),
	awsjson.Real("UntagResource", "", (*Service).UntagResource),
	awsjson.Real("UpdateAlias", "", (*Service).UpdateAlias),
	awsjson.Real("UpdateKeyDescription", "", (*Service).UpdateKeyDescription),
}, awsjson.Missing[*Service](`ConnectCustomKeyStore CreateCustomKeyStore CreateGrant DeleteCustomKeyStore
	DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores DisconnectCustomKeyStore
	GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateMac GetParametersForImport GetPublicKey
	ImportKeyMaterial ListGrants ListKeyRotations ListRetirableGrants ReplicateKey RetireGrant RevokeGrant
	RotateKeyOnDemand Sign UpdateCustomKeyStore UpdatePrimaryRegion Verify VerifyMac`)...)}

// in returns the keys of an account and region, making room for them if there
// are none. The caller holds the lock for writing.
func (s *Service) in(p place) *region {
	r, ok := s.regions[p]
	if !ok {
		r = &region{keys: make(map[string]*key), aliases: make(map[string]*alias)}
		s.regions[p] = r
	}
	return r
}

func here(c *authz.Call) place { return place{c.Account(), c.Region} }

// Overview shows the keys, and nothing of what they are made of.
func (s *Service) Overview() []overview.Section {
	s.mu.RLock()
	defer s.mu.RUnlock()
	section := overview.Section{Title: "KMS keys", Columns: []string{"Key", "State", "Manager", "Aliases"}}
	for _, r := range s.regions {
		for _, k := range r.keys {
			section.Rows = append(section.Rows, []string{k.arn(), k.state, k.manager, joined(r.aliasesOf(k.id))})
		}
	}
	sortRows(section.Rows)
	return []overview.Section{section}
}

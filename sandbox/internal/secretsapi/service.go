// Package secretsapi is the sandbox's Secrets Manager: secrets with versions,
// encrypted by the sandbox's KMS on behalf of the caller, and resource policies
// that are enforced.
//
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/Welcome.html
package secretsapi

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
)

// forwardedBy is the service principal that calls KMS for callers.
const forwardedBy = "secretsmanager.amazonaws.com"

// A Service is the Secrets Manager of all accounts and regions of a sandbox.
// It is safe for concurrent use.
type Service struct {
	directory *directory.Directory
	kms       *kmsapi.Service
	random    io.Reader

	mu      sync.RWMutex
	secrets map[place]map[string]*secret // by name
}

type place struct {
	account iam.AccountID
	region  string
}

func here(c *authz.Call) place { return place{c.Account(), c.Region} }

// New returns a service without secrets. Random must be safe for concurrent
// use.
func New(d *directory.Directory, kms *kmsapi.Service, random io.Reader) *Service {
	return &Service{directory: d, kms: kms, random: random, secrets: make(map[place]map[string]*secret)}
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(s, w, r, c)
}

// Operations lists all operations of Secrets Manager that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = awsjson.Table[*Service]{Service: "secretsmanager", Target: "secretsmanager", Version: "1.1", Operations: append([]awsjson.Operation[*Service]{
	awsjson.Real("CreateSecret", "no replicas", (*Service).CreateSecret),
	awsjson.Real("DeleteResourcePolicy", "", (*Service).DeleteResourcePolicy),
	awsjson.Real("DeleteSecret", "", (*Service).DeleteSecret),
	awsjson.Real("DescribeSecret", "", (*Service).DescribeSecret),
	awsjson.Real("GetRandomPassword", "", (*Service).GetRandomPassword),
	awsjson.Real("GetResourcePolicy", "", (*Service).GetResourcePolicy),
	awsjson.Real("GetSecretValue", "", (*Service).GetSecretValue),
	awsjson.Real("ListSecretVersionIds", "one page", (*Service).ListSecretVersionIDs),
	awsjson.Real("ListSecrets", "no filters", (*Service).ListSecrets),
	awsjson.Real("PutResourcePolicy", "", (*Service).PutResourcePolicy),
	awsjson.Real("PutSecretValue", "no rotation tokens", (*Service).PutSecretValue),
	awsjson.Real("RestoreSecret", "", (*Service).RestoreSecret),
	awsjson.Real("TagResource", "", (*Service).TagResource),
	awsjson.Real("UntagResource", "", (*Service).UntagResource),
	awsjson.Real("UpdateSecret", "", (*Service).UpdateSecret),
}, awsjson.Missing[*Service](`BatchGetSecretValue CancelRotateSecret RemoveRegionsFromReplication
	ReplicateSecretToRegions RotateSecret StopReplicationToReplica UpdateSecretVersionStage ValidateResourcePolicy`)...)}

type secret struct {
	place
	partition        string
	name             string
	suffix           string // six letters and digits that AWS adds to the ARN
	description      string
	keyID            string // as given; empty for the account's aws/secretsmanager
	created, changed time.Time
	accessed         time.Time
	deleted          time.Time // when it goes; zero unless marked for deletion
	marked           time.Time // when it was marked
	versions         map[string]*version
	policy           *directory.Document
	tags             []directory.Tag
}

type version struct {
	id       string
	created  time.Time
	stages   []string
	sealed   []byte // nonce and AES-256-GCM output under a data key
	dataKey  []byte // the data key, as KMS encrypted it
	isBinary bool
	keyARN   string
}

func (x *secret) arn() string {
	return "arn:" + x.partition + ":secretsmanager:" + x.region + ":" + string(x.account) + ":secret:" + x.name + "-" + x.suffix
}

func (x *secret) gone(now time.Time) bool { return !x.deleted.IsZero() && !now.Before(x.deleted) }

// withStage returns the version with a staging label, nil if there is none.
func (x *secret) withStage(stage string) *version {
	for _, v := range x.versions {
		if slices.Contains(v.stages, stage) {
			return v
		}
	}
	return nil
}

// Overview shows the secrets' names, and no values.
func (s *Service) Overview() []overview.Section {
	s.mu.RLock()
	defer s.mu.RUnlock()
	section := overview.Section{Title: "Secrets", Columns: []string{"Secret", "Key", "Resource policy"}}
	for _, secrets := range s.secrets {
		for _, x := range secrets {
			keyID, policy := x.keyID, "no"
			if keyID == "" {
				keyID = "aws/secretsmanager"
			}
			if x.policy != nil {
				policy = "yes"
			}
			section.Rows = append(section.Rows, []string{x.arn(), keyID, policy})
		}
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}

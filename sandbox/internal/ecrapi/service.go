// Package ecrapi is the sandbox's ECR: repositories with their policies, and
// image manifests. There are no layers and no registry to push to.
//
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html
package ecrapi

import (
	"fmt"
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
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Service is the ECR of all accounts and regions of a sandbox. It is safe
// for concurrent use.
type Service struct {
	directory *directory.Directory
	random    io.Reader

	mu           sync.Mutex
	repositories map[string]*repository // by ARN
}

// New returns a service without repositories. Random must be safe for
// concurrent use.
func New(d *directory.Directory, random io.Reader) *Service {
	return &Service{directory: d, random: random, repositories: make(map[string]*repository)}
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(s, w, r, c)
}

// Operations lists all operations of ECR that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = awsjson.Table[*Service]{Service: "ecr", Target: "AmazonEC2ContainerRegistry_V20150921", Version: "1.1", Operations: append([]awsjson.Operation[*Service]{
	awsjson.Real("BatchCheckLayerAvailability", "all are unavailable, as none can be uploaded", (*Service).BatchCheckLayerAvailability),
	awsjson.Real("BatchGetImage", "", (*Service).BatchGetImage),
	awsjson.Real("CreateRepository", "no scanning, no KMS keys", (*Service).CreateRepository),
	awsjson.Real("DeleteRepository", "", (*Service).DeleteRepository),
	awsjson.Real("DeleteRepositoryPolicy", "", (*Service).DeleteRepositoryPolicy),
	awsjson.Real("DescribeRepositories", "one page", (*Service).DescribeRepositories),
	awsjson.Real("GetAuthorizationToken", "there is no registry to use the token with", (*Service).GetAuthorizationToken),
	awsjson.Real("GetDownloadUrlForLayer", "no layer can be found, as none can be uploaded", (*Service).GetDownloadURLForLayer),
	awsjson.Real("GetRepositoryPolicy", "", (*Service).GetRepositoryPolicy),
	awsjson.Real("ListTagsForResource", "", (*Service).ListTagsForResource),
	awsjson.Real("PutImage", "the manifest is kept; its layers are not looked for", (*Service).PutImage),
	awsjson.Real("SetRepositoryPolicy", "policies that lock the caller out are not noticed", (*Service).SetRepositoryPolicy),
	awsjson.Real("TagResource", "", (*Service).TagResource),
	awsjson.Real("UntagResource", "", (*Service).UntagResource),
}, awsjson.Missing[*Service](`BatchDeleteImage BatchGetRepositoryScanningConfiguration CompleteLayerUpload CreatePullThroughCacheRule
	CreateRepositoryCreationTemplate DeleteLifecyclePolicy DeletePullThroughCacheRule DeleteRegistryPolicy DeleteRepositoryCreationTemplate
	DescribeImageReplicationStatus DescribeImageScanFindings DescribeImages DescribePullThroughCacheRules DescribeRegistry
	DescribeRepositoryCreationTemplates GetAccountSetting GetLifecyclePolicy GetLifecyclePolicyPreview GetRegistryPolicy
	GetRegistryScanningConfiguration InitiateLayerUpload ListImages PutAccountSetting PutImageScanningConfiguration
	PutImageTagMutability PutLifecyclePolicy PutRegistryPolicy PutRegistryScanningConfiguration PutReplicationConfiguration
	StartImageScan StartLifecyclePolicyPreview UpdatePullThroughCacheRule
	UpdateRepositoryCreationTemplate UploadLayerPart ValidatePullThroughCacheRule`)...)}

type repository struct {
	account   iam.AccountID
	region    string
	name      string
	arn       string
	created   time.Time
	immutable bool
	tags      []directory.Tag
	text      string // of the policy, as it was written
	policy    *directory.Document
	images    []*image
}

func (r *repository) uri() string {
	suffix := "amazonaws.com"
	if p, ok := iam.PartitionOfRegion(r.region); ok {
		suffix = p.DNSSuffix
	}
	return string(r.account) + ".dkr.ecr." + r.region + "." + suffix + "/" + r.name
}

// A Named request says which repository it means: one of the caller's account
// unless RegistryID is another's.
type Named struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
}

func (s *Service) arn(account iam.AccountID, region, name string) string {
	partition := "aws"
	if a, ok := s.directory.Account(account); ok {
		partition = a.Partition
	}
	return "arn:" + partition + ":ecr:" + region + ":" + string(account) + ":repository/" + name
}

func registry(c *authz.Call, id string) (iam.AccountID, error) {
	if id == "" {
		return c.Account(), nil
	}
	account, err := iam.ParseAccountID(id)
	if err != nil {
		return "", invalid("Invalid parameter at 'registryId' failed to satisfy constraint: 'must be an account id of 12 digits'")
	}
	return account, nil
}

// find returns a repository after authorising the action on it. One that does
// not exist is reported only to those who might have used it. The caller holds
// the lock.
func (s *Service) find(c *authz.Call, in Named, action string) (*repository, error) {
	return s.findTagged(c, in, action, nil)
}

// findTagged is find for requests that bring tags.
func (s *Service) findTagged(c *authz.Call, in Named, action string, tags []directory.Tag) (*repository, error) {
	if err := awsjson.Required("RepositoryName", in.RepositoryName); err != nil {
		return nil, err
	}
	account, err := registry(c, in.RegistryID)
	if err != nil {
		return nil, err
	}
	arn := s.arn(account, c.Region, in.RepositoryName)
	r := s.repositories[arn]
	q := authz.Query{Action: "ecr:" + action, Resource: arn, ResourceAccount: account, RequestTags: tags}
	if r != nil {
		q.ResourceTags = r.tags
		q.Context = func(ctx *iam.Context) {
			for _, t := range r.tags { // ECR's older name for aws:ResourceTag
				ctx.Set("ecr:ResourceTag/"+t.Key, t.Value)
			}
		}
		if r.policy != nil {
			q.ResourcePolicy = r.policy.Compiled
		}
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, wire.BadRequest("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'", wire.Clip(in.RepositoryName), account)
	}
	return r, nil
}

func invalid(format string, args ...any) error {
	return wire.BadRequest("InvalidParameterException", format, args...)
}

// Overview shows the repositories.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	section := overview.Section{Title: "Repositories", Columns: []string{"Repository", "Images", "Policy"}}
	for _, r := range s.repositories {
		policy := "no"
		if r.policy != nil {
			policy = "yes"
		}
		section.Rows = append(section.Rows, []string{r.arn, fmt.Sprint(len(r.images)), policy})
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}

// Package codeartifactapi is the sandbox's CodeArtifact: domains, repositories
// and their policies, authorization tokens, and the endpoints that npm and pip
// talk to.
//
// https://docs.aws.amazon.com/codeartifact/latest/APIReference/Welcome.html
package codeartifactapi

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/restjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// servicePrincipal is how CodeArtifact is called in policies.
const servicePrincipal = "codeartifact.amazonaws.com"

// A Service is the CodeArtifact of all accounts and regions of a sandbox. It
// is safe for concurrent use.
type Service struct {
	directory *directory.Directory
	random    io.Reader

	mu      sync.Mutex
	domains map[string]*domain // by ARN
	tokens  map[[32]byte]*token
}

// New returns a service without domains. Random must be safe for concurrent
// use.
func New(d *directory.Directory, random io.Reader) *Service {
	return &Service{directory: d, random: random, domains: make(map[string]*domain), tokens: make(map[[32]byte]*token)}
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(addressed{s, newAddress(r)}, w, r, c)
}

// addressed is the service as one request reached it: where the request was sent
// decides what the endpoints are called.
type addressed struct {
	*Service
	address address
}

// Operations lists all operations of CodeArtifact that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = restjson.Table[addressed]{Service: "codeartifact", Operations: append([]restjson.Operation[addressed]{
	restjson.Real("CreateDomain", "no encryptionKey", "POST /v1/domain", http.StatusOK, addressed.CreateDomain),
	restjson.Real("CreateRepository", "no upstreams; in domains of the caller's account only", "POST /v1/repository", http.StatusOK, addressed.CreateRepository),
	restjson.Real("DeleteDomain", "", "DELETE /v1/domain", http.StatusOK, addressed.DeleteDomain),
	restjson.Real("DeleteDomainPermissionsPolicy", "", "DELETE /v1/domain/permissions/policy", http.StatusOK, addressed.DeleteDomainPermissionsPolicy),
	restjson.Real("DeleteRepository", "", "DELETE /v1/repository", http.StatusOK, addressed.DeleteRepository),
	restjson.Real("DeleteRepositoryPermissionsPolicy", "", "DELETE /v1/repository/permissions/policies", http.StatusOK, addressed.DeleteRepositoryPermissionsPolicy),
	restjson.Real("DescribeDomain", "without encryptionKey and s3BucketArn", "GET /v1/domain", http.StatusOK, addressed.DescribeDomain),
	restjson.Real("DescribePackage", "", "GET /v1/package", http.StatusOK, addressed.DescribePackage),
	restjson.Real("DescribePackageVersion", "", "GET /v1/package/version", http.StatusOK, addressed.DescribePackageVersion),
	restjson.Real("DescribeRepository", "", "GET /v1/repository", http.StatusOK, addressed.DescribeRepository),
	restjson.Real("GetAuthorizationToken", "", "POST /v1/authorization-token", http.StatusOK, addressed.GetAuthorizationToken),
	restjson.Real("GetDomainPermissionsPolicy", "", "GET /v1/domain/permissions/policy", http.StatusOK, addressed.GetDomainPermissionsPolicy),
	restjson.Real("GetRepositoryEndpoint", "npm and pypi; no dual-stack names", "GET /v1/repository/endpoint", http.StatusOK, addressed.GetRepositoryEndpoint),
	restjson.Real("GetRepositoryPermissionsPolicy", "", "GET /v1/repository/permissions/policy", http.StatusOK, addressed.GetRepositoryPermissionsPolicy),
	restjson.Real("ListDomains", "one page", "POST /v1/domains", http.StatusOK, addressed.ListDomains),
	restjson.Real("ListPackageVersions", "one page", "POST /v1/package/versions", http.StatusOK, addressed.ListPackageVersions),
	restjson.Real("ListPackages", "one page", "POST /v1/packages", http.StatusOK, addressed.ListPackages),
	restjson.Real("ListRepositories", "one page", "POST /v1/repositories", http.StatusOK, addressed.ListRepositories),
	restjson.Real("ListRepositoriesInDomain", "one page", "POST /v1/domain/repositories", http.StatusOK, addressed.ListRepositoriesInDomain),
	restjson.Real("ListTagsForResource", "", "POST /v1/tags", http.StatusOK, addressed.ListTagsForResource),
	restjson.Real("PutDomainPermissionsPolicy", "", "PUT /v1/domain/permissions/policy", http.StatusOK, addressed.PutDomainPermissionsPolicy),
	restjson.Real("PutRepositoryPermissionsPolicy", "", "PUT /v1/repository/permissions/policy", http.StatusOK, addressed.PutRepositoryPermissionsPolicy),
	restjson.Real("TagResource", "", "POST /v1/tag", http.StatusOK, addressed.TagResource),
	restjson.Real("UntagResource", "", "POST /v1/untag", http.StatusOK, addressed.UntagResource),
	restjson.Real("UpdateRepository", "the description", "PUT /v1/repository", http.StatusOK, addressed.UpdateRepository),
}, restjson.Missing[addressed](`AssociateExternalConnection CopyPackageVersions CreatePackageGroup DeletePackage DeletePackageGroup
	DeletePackageVersions DescribePackageGroup DisassociateExternalConnection DisposePackageVersions GetAssociatedPackageGroup
	GetPackageVersionAsset GetPackageVersionReadme ListAllowedRepositoriesForGroup ListAssociatedPackages ListPackageGroups
	ListPackageVersionAssets ListPackageVersionDependencies ListSubPackageGroups PublishPackageVersion PutPackageOriginConfiguration
	UpdatePackageGroup UpdatePackageGroupOriginConfiguration UpdatePackageVersionsStatus`)...)}

// partition is the account's, which its ARNs begin with.
func (s *Service) partition(account iam.AccountID) string {
	if a, ok := s.directory.Account(account); ok {
		return a.Partition
	}
	return "aws"
}

// owner reads the account that owns a domain, which is the caller's unless the
// request says otherwise.
func owner(c *authz.Call, id string) (iam.AccountID, error) {
	if id == "" {
		return c.Account(), nil
	}
	account, err := iam.ParseAccountID(id)
	if err != nil {
		return "", invalid("domainOwner must be an account id of 12 digits.")
	}
	return account, nil
}

func invalid(format string, args ...any) error {
	e := wire.BadRequest("ValidationException", format, args...)
	e.Fields = []wire.Field{{Name: "reason", Value: "FIELD_VALIDATION_FAILED"}}
	return e
}

// notFound says that a resource is missing. What is "domain", "repository",
// "package" or "package-version".
func notFound(what, id, format string, args ...any) error {
	return about(wire.Errorf(http.StatusNotFound, "ResourceNotFoundException", format, args...), what, id)
}

func conflict(what, id, format string, args ...any) error {
	return about(wire.Errorf(http.StatusConflict, "ConflictException", format, args...), what, id)
}

func about(e *wire.Error, what, id string) error {
	e.Fields = []wire.Field{{Name: "resourceId", Value: id}, {Name: "resourceType", Value: what}}
	return e
}

// onePage refuses the token of a page that is not there.
func onePage(operation, token string) error {
	if token == "" {
		return nil
	}
	return wire.NotImplemented("codeartifact", operation+" with nextToken")
}

// Overview shows the domains and their repositories.
func (s *Service) Overview() []overview.Section {
	s.mu.Lock()
	defer s.mu.Unlock()
	section := overview.Section{Title: "Package repositories", Columns: []string{"Domain or repository", "Packages", "Policy"}}
	yes := map[bool]string{true: "yes", false: "no"}
	for _, d := range s.domains {
		section.Rows = append(section.Rows, []string{d.arn, "", yes[d.policy.document != nil]})
		for _, r := range d.repositories {
			section.Rows = append(section.Rows, []string{r.arn, fmt.Sprint(len(r.packages)), yes[r.policy.document != nil]})
		}
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}

package codeartifactapi

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,99}$`)

// maxDescription is the limit of a repository's description in characters.
//
// https://docs.aws.amazon.com/codeartifact/latest/APIReference/API_CreateRepository.html
const maxDescription = 1000

// A repository has packages.
type repository struct {
	domain      *domain
	name        string
	arn         string
	description string
	created     time.Time
	tags        []directory.Tag
	policy      policy
	packages    map[packageID]*pkg
}

func (r *repository) size() int {
	size := 0
	for _, p := range r.packages {
		for _, v := range p.versions {
			for _, a := range v.assets {
				size += len(a.data)
			}
		}
	}
	return size
}

// access is what the policies of repository and domain say together: the
// domain's is evaluated for everything in the domain, and it is enough if one of
// them allows.
//
// https://docs.aws.amazon.com/codeartifact/latest/ug/domain-policies.html
func (r *repository) access() *eval.Policy { return together(r.domain.policy, r.policy) }

// A Named request says which repository it means.
type Named struct {
	DomainNamed
	Repository string `json:"-" query:"repository"`
}

// findRepository returns a repository after authorising the action on it. The
// caller holds the lock.
func (s *Service) findRepository(c *authz.Call, in Named, action string, options ...func(*authz.Query)) (*repository, error) {
	return s.find(c, in, action, func(arn string) string { return arn }, options...)
}

// find is findRepository for actions on parts of a repository; resource makes
// their ARN out of the repository's.
func (s *Service) find(c *authz.Call, in Named, action string, resource func(string) string, options ...func(*authz.Query)) (*repository, error) {
	d, domainARN, err := s.lookDomain(c, in.DomainNamed)
	if err != nil {
		return nil, err
	}
	if !repositoryName.MatchString(in.Repository) {
		return nil, invalid("repository must be a name of 2 to 100 letters, digits, hyphens, underscores and periods.")
	}
	arn := repositoryARN(domainARN, in.Repository)
	q := authz.Query{Action: "codeartifact:" + action, Resource: resource(arn)}
	var r *repository
	if d != nil {
		q.ResourcePolicy = d.policy.compiled()
		if r = d.repositories[in.Repository]; r != nil {
			q.ResourcePolicy = r.access()
			if q.Resource == arn {
				q.ResourceTags = r.tags
			}
		}
	}
	for _, option := range options {
		option(&q)
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, notFound("repository", arn, "Repository not found. Repository '%s' in domain '%s' owned by account '%s' does not exist.", in.Repository, in.Domain, ownerIn(arn))
	}
	return r, nil
}

func repositoryARN(domainARN, name string) string {
	return strings.Replace(domainARN, ":domain/", ":repository/", 1) + "/" + name
}

// CreateRepositoryInput is the input of CreateRepository.
type CreateRepositoryInput struct {
	Named
	Description string
	Upstreams   []json.RawMessage
	Tags        []Tag
}

// RepositorySummary names a repository.
type RepositorySummary struct {
	Name                 string          `json:"name"`
	AdministratorAccount string          `json:"administratorAccount"`
	DomainName           string          `json:"domainName"`
	DomainOwner          string          `json:"domainOwner"`
	ARN                  string          `json:"arn"`
	Description          string          `json:"description,omitempty"`
	CreatedTime          *wire.Timestamp `json:"createdTime"`
}

func (r *repository) summary() RepositorySummary {
	return RepositorySummary{r.name, string(r.domain.owner), r.domain.name, string(r.domain.owner), r.arn, r.description, wire.At(r.created)}
}

// RepositoryDescription describes a repository, which has no upstreams and no
// external connections here.
type RepositoryDescription struct {
	RepositorySummary
	Upstreams           []string `json:"upstreams"`
	ExternalConnections []string `json:"externalConnections"`
}

// RepositoryOutput shows a repository.
type RepositoryOutput struct {
	Repository RepositoryDescription `json:"repository"`
}

func (r *repository) shown() *RepositoryOutput {
	return &RepositoryOutput{RepositoryDescription{r.summary(), []string{}, []string{}}}
}

func checkDescription(text string) error {
	if len([]rune(text)) > maxDescription {
		return invalid("description must have at most %d characters.", maxDescription)
	}
	return nil
}

// CreateRepository makes a repository in a domain of the caller's account.
func (s *Service) CreateRepository(c *authz.Call, in *CreateRepositoryInput) (*RepositoryOutput, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	account, err := owner(c, in.DomainOwner)
	switch {
	case err != nil:
		return nil, err
	case account != c.Account():
		return nil, wire.NotImplemented("codeartifact", "CreateRepository in a domain of another account")
	case len(in.Upstreams) > 0:
		return nil, wire.NotImplemented("codeartifact", "CreateRepository with upstreams")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, domainARN, err := s.lookDomain(c, in.DomainNamed)
	if err != nil {
		return nil, err
	}
	if !repositoryName.MatchString(in.Repository) {
		return nil, invalid("repository must be a name of 2 to 100 letters, digits, hyphens, underscores and periods.")
	}
	arn := repositoryARN(domainARN, in.Repository)
	q := authz.Query{Action: "codeartifact:CreateRepository", RequestTags: tags}
	if d != nil {
		q.ResourcePolicy = d.policy.compiled()
	}
	if err := authorizeCreation(c, q, arn); err != nil {
		return nil, err
	}
	switch {
	case d == nil:
		return nil, notFound("domain", domainARN, "Domain not found. Domain '%s' owned by account '%s' does not exist.", in.Domain, account)
	case d.repositories[in.Repository] != nil:
		return nil, conflict("repository", arn, "Repository with name '%s' already exists in domain '%s'.", in.Repository, in.Domain)
	}
	r := &repository{domain: d, name: in.Repository, arn: arn, description: in.Description, created: c.Now, tags: tags, packages: make(map[packageID]*pkg)}
	d.repositories[r.name] = r
	return r.shown(), nil
}

// UpdateRepositoryInput is the input of UpdateRepository. A description that is
// nil stays as it is.
type UpdateRepositoryInput struct {
	Named
	Description *string
	Upstreams   []json.RawMessage
}

// UpdateRepository changes a repository's description.
func (s *Service) UpdateRepository(c *authz.Call, in *UpdateRepositoryInput) (*RepositoryOutput, error) {
	if len(in.Upstreams) > 0 {
		return nil, wire.NotImplemented("codeartifact", "UpdateRepository with upstreams")
	}
	if in.Description != nil {
		if err := checkDescription(*in.Description); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.findRepository(c, in.Named, "UpdateRepository")
	if err != nil {
		return nil, err
	}
	if in.Description != nil {
		r.description = *in.Description
	}
	return r.shown(), nil
}

// DescribeRepository shows a repository.
func (s *Service) DescribeRepository(c *authz.Call, in *Named) (*RepositoryOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.findRepository(c, *in, "DescribeRepository")
	if err != nil {
		return nil, err
	}
	return r.shown(), nil
}

// DeleteRepository deletes a repository and its packages.
func (s *Service) DeleteRepository(c *authz.Call, in *Named) (*RepositoryOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.findRepository(c, *in, "DeleteRepository")
	if err != nil {
		return nil, err
	}
	delete(r.domain.repositories, r.name)
	return r.shown(), nil
}

// ListRepositoriesInput is the input of ListRepositories.
type ListRepositoriesInput struct {
	RepositoryPrefix string `json:"-" query:"repository-prefix"`
	NextToken        string `json:"-" query:"next-token"`
}

// ListRepositoriesOutput has repositories.
type ListRepositoriesOutput struct {
	Repositories []RepositorySummary `json:"repositories"`
}

// ListRepositories lists the repositories of the caller's account.
func (s *Service) ListRepositories(c *authz.Call, in *ListRepositoriesInput) (*ListRepositoriesOutput, error) {
	if err := c.Authorize(authz.Query{Action: "codeartifact:ListRepositories", Resource: "*"}); err != nil {
		return nil, err
	}
	if err := onePage("ListRepositories", in.NextToken); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &ListRepositoriesOutput{Repositories: []RepositorySummary{}}
	for _, d := range s.domains {
		if d.owner == c.Account() && d.region == c.Region {
			out.add(d, in.RepositoryPrefix)
		}
	}
	slices.SortFunc(out.Repositories, func(a, b RepositorySummary) int { return cmp.Compare(a.ARN, b.ARN) })
	return out, nil
}

func (o *ListRepositoriesOutput) add(d *domain, prefix string) {
	for _, r := range d.repositories {
		if strings.HasPrefix(r.name, prefix) {
			o.Repositories = append(o.Repositories, r.summary())
		}
	}
}

// ListRepositoriesInDomainInput is the input of ListRepositoriesInDomain.
type ListRepositoriesInDomainInput struct {
	DomainNamed
	AdministratorAccount string `json:"-" query:"administrator-account"`
	RepositoryPrefix     string `json:"-" query:"repository-prefix"`
	NextToken            string `json:"-" query:"next-token"`
}

// ListRepositoriesInDomain lists the repositories of a domain.
func (s *Service) ListRepositoriesInDomain(c *authz.Call, in *ListRepositoriesInDomainInput) (*ListRepositoriesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.findDomain(c, in.DomainNamed, "ListRepositoriesInDomain")
	if err != nil {
		return nil, err
	}
	if err := onePage("ListRepositoriesInDomain", in.NextToken); err != nil {
		return nil, err
	}
	out := &ListRepositoriesOutput{Repositories: []RepositorySummary{}}
	if in.AdministratorAccount == "" || in.AdministratorAccount == string(d.owner) {
		out.add(d, in.RepositoryPrefix)
	}
	slices.SortFunc(out.Repositories, func(a, b RepositorySummary) int { return cmp.Compare(a.ARN, b.ARN) })
	return out, nil
}

package codeartifactapi

import (
	"cmp"
	"regexp"
	"slices"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var domainName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,48}[a-z0-9]$`)

// A domain has repositories, and the tokens to use them with.
type domain struct {
	owner        iam.AccountID
	region       string
	name         string
	arn          string
	created      time.Time
	tags         []directory.Tag
	policy       policy
	repositories map[string]*repository // by name
}

// A DomainNamed request says which domain it means: one of the caller's account
// unless DomainOwner is another.
type DomainNamed struct {
	Domain      string `json:"-" query:"domain"`
	DomainOwner string `json:"-" query:"domain-owner"`
}

func (s *Service) domainARN(owner iam.AccountID, region, name string) string {
	return "arn:" + s.partition(owner) + ":codeartifact:" + region + ":" + string(owner) + ":domain/" + name
}

// lookDomain returns a domain, nil if there is none, and its ARN. The caller
// holds the lock.
func (s *Service) lookDomain(c *authz.Call, in DomainNamed) (*domain, string, error) {
	if !domainName.MatchString(in.Domain) {
		return nil, "", invalid("domain must be a name of 2 to 50 lower-case letters, digits and hyphens.")
	}
	account, err := owner(c, in.DomainOwner)
	if err != nil {
		return nil, "", err
	}
	arn := s.domainARN(account, c.Region, in.Domain)
	return s.domains[arn], arn, nil
}

// findDomain returns a domain after authorising the action on it. One that does
// not exist is reported only to those who might have used it. The caller holds
// the lock.
func (s *Service) findDomain(c *authz.Call, in DomainNamed, action string, options ...func(*authz.Query)) (*domain, error) {
	d, arn, err := s.lookDomain(c, in)
	if err != nil {
		return nil, err
	}
	q := authz.Query{Action: "codeartifact:" + action, Resource: arn}
	if d != nil {
		q.ResourceTags = d.tags
		q.ResourcePolicy = d.policy.compiled()
	}
	for _, option := range options {
		option(&q)
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if d == nil {
		return nil, notFound("domain", arn, "Domain not found. Domain '%s' owned by account '%s' does not exist.", in.Domain, ownerIn(arn))
	}
	return d, nil
}

func ownerIn(arn string) string {
	parsed, err := iam.ParseARN(arn)
	if err != nil {
		return ""
	}
	return parsed.Account
}

// withoutPolicy leaves the resource's policy out, so that nobody can lock
// themselves out.
//
// https://docs.aws.amazon.com/codeartifact/latest/APIReference/API_PutDomainPermissionsPolicy.html
func withoutPolicy(q *authz.Query) { q.ResourcePolicy = nil }

// withTags says which tags a request brings.
func withTags(tags []directory.Tag) func(*authz.Query) {
	return func(q *authz.Query) { q.RequestTags = tags }
}

// CreateDomainInput is the input of CreateDomain.
type CreateDomainInput struct {
	Domain        string `json:"-" query:"domain"`
	EncryptionKey string
	Tags          []Tag
}

// DomainDescription describes a domain.
type DomainDescription struct {
	Name            string          `json:"name"`
	Owner           string          `json:"owner"`
	ARN             string          `json:"arn"`
	Status          string          `json:"status"`
	CreatedTime     *wire.Timestamp `json:"createdTime"`
	RepositoryCount int             `json:"repositoryCount"`
	AssetSizeBytes  int             `json:"assetSizeBytes"`
}

func (d *domain) shown() *DomainDescription {
	size := 0
	for _, r := range d.repositories {
		size += r.size()
	}
	return &DomainDescription{d.name, string(d.owner), d.arn, "Active", wire.At(d.created), len(d.repositories), size}
}

// DomainOutput shows a domain.
type DomainOutput struct {
	Domain *DomainDescription `json:"domain,omitempty"`
}

// CreateDomain makes a domain of the caller's account.
func (s *Service) CreateDomain(c *authz.Call, in *CreateDomainInput) (*DomainOutput, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if in.EncryptionKey != "" {
		return nil, wire.NotImplemented("codeartifact", "CreateDomain with encryptionKey")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, arn, err := s.lookDomain(c, DomainNamed{Domain: in.Domain})
	if err != nil {
		return nil, err
	}
	if err := authorizeCreation(c, authz.Query{Action: "codeartifact:CreateDomain", RequestTags: tags}, arn); err != nil {
		return nil, err
	}
	if old != nil {
		return nil, conflict("domain", arn, "Domain with name '%s' already exists in account '%s'.", in.Domain, c.Account())
	}
	d := &domain{owner: c.Account(), region: c.Region, name: in.Domain, arn: arn, created: c.Now, tags: tags, repositories: make(map[string]*repository)}
	s.domains[arn] = d
	return &DomainOutput{d.shown()}, nil
}

// authorizeCreation asks whether the caller may make something in its account,
// which is a permission for no resource in particular, and tag it if it comes with
// tags.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodeartifact.html
func authorizeCreation(c *authz.Call, q authz.Query, arn string) error {
	q.Resource = "*"
	if err := c.Authorize(q); err != nil || len(q.RequestTags) == 0 {
		return err
	}
	q.Action, q.Resource = "codeartifact:TagResource", arn
	return c.Authorize(q)
}

// DescribeDomain shows a domain.
func (s *Service) DescribeDomain(c *authz.Call, in *DomainNamed) (*DomainOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.findDomain(c, *in, "DescribeDomain")
	if err != nil {
		return nil, err
	}
	return &DomainOutput{d.shown()}, nil
}

// DeleteDomain deletes a domain without repositories. Deleting one that does
// not exist succeeds: the operation has no error for it.
func (s *Service) DeleteDomain(c *authz.Call, in *DomainNamed) (*DomainOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.findDomain(c, *in, "DeleteDomain")
	switch {
	case err != nil && wire.AsError(err).Code == "ResourceNotFoundException":
		return &DomainOutput{}, nil
	case err != nil:
		return nil, err
	case len(d.repositories) > 0:
		return nil, conflict("domain", d.arn, "Domain '%s' has repositories. Delete them first.", d.name)
	}
	delete(s.domains, d.arn)
	out := &DomainOutput{d.shown()}
	out.Domain.Status = "Deleted"
	return out, nil
}

// ListDomainsInput is the input of ListDomains.
type ListDomainsInput struct {
	NextToken string
}

// DomainSummary names a domain.
type DomainSummary struct {
	Name        string          `json:"name"`
	Owner       string          `json:"owner"`
	ARN         string          `json:"arn"`
	Status      string          `json:"status"`
	CreatedTime *wire.Timestamp `json:"createdTime"`
}

// ListDomainsOutput has domains.
type ListDomainsOutput struct {
	Domains []DomainSummary `json:"domains"`
}

// ListDomains lists the domains of the caller's account.
func (s *Service) ListDomains(c *authz.Call, in *ListDomainsInput) (*ListDomainsOutput, error) {
	if err := c.Authorize(authz.Query{Action: "codeartifact:ListDomains", Resource: "*"}); err != nil {
		return nil, err
	}
	if err := onePage("ListDomains", in.NextToken); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &ListDomainsOutput{Domains: []DomainSummary{}}
	for _, d := range s.domains {
		if d.owner == c.Account() && d.region == c.Region {
			out.Domains = append(out.Domains, DomainSummary{d.name, string(d.owner), d.arn, "Active", wire.At(d.created)})
		}
	}
	slices.SortFunc(out.Domains, func(a, b DomainSummary) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

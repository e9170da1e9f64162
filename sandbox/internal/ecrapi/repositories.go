package ecrapi

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var namePattern = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*$`)

// Tag is a key and a value.
type Tag struct{ Key, Value string }

// CreateRepositoryInput is the input of CreateRepository.
type CreateRepositoryInput struct {
	Named
	ImageTagMutability                                                                      string
	Tags                                                                                    []Tag
	ImageScanningConfiguration, EncryptionConfiguration, ImageTagMutabilityExclusionFilters json.RawMessage
}

// Repository describes a repository.
type Repository struct {
	RepositoryARN      string          `json:"repositoryArn"`
	RegistryID         string          `json:"registryId"`
	RepositoryName     string          `json:"repositoryName"`
	RepositoryURI      string          `json:"repositoryUri"`
	CreatedAt          *wire.Timestamp `json:"createdAt"`
	ImageTagMutability string          `json:"imageTagMutability"`
}

func (r *repository) shown() Repository {
	mutability := "MUTABLE"
	if r.immutable {
		mutability = "IMMUTABLE"
	}
	return Repository{r.arn, string(r.account), r.name, r.uri(), wire.At(r.created), mutability}
}

// RepositoryOutput shows a repository.
type RepositoryOutput struct {
	Repository Repository `json:"repository"`
}

// CreateRepository makes a repository.
func (s *Service) CreateRepository(c *authz.Call, in *CreateRepositoryInput) (*RepositoryOutput, error) {
	switch {
	case len(in.ImageScanningConfiguration) > 0 || len(in.EncryptionConfiguration) > 0 || len(in.ImageTagMutabilityExclusionFilters) > 0:
		return nil, wire.NotImplemented("ecr", "CreateRepository with scanning, encryption or exclusion filters")
	case len(in.RepositoryName) < 2 || len(in.RepositoryName) > 256 || !namePattern.MatchString(in.RepositoryName):
		return nil, invalid("Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*''")
	case in.RegistryID != "" && in.RegistryID != string(c.Account()):
		return nil, wire.NotImplemented("ecr", "CreateRepository in another account")
	case in.ImageTagMutability != "" && in.ImageTagMutability != "MUTABLE" && in.ImageTagMutability != "IMMUTABLE":
		return nil, wire.NotImplemented("ecr", "CreateRepository with ImageTagMutability "+wire.Clip(in.ImageTagMutability))
	}
	r := &repository{account: c.Account(), region: c.Region, name: in.RepositoryName, arn: s.arn(c.Account(), c.Region, in.RepositoryName), created: c.Now, immutable: in.ImageTagMutability == "IMMUTABLE", tags: tagsOf(in.Tags)}
	if len(r.tags) > maxTags {
		return nil, invalid("Invalid parameter at 'tags' failed to satisfy constraint: 'a repository has at most %d tags'", maxTags)
	}
	for _, action := range []string{"ecr:CreateRepository", "ecr:TagResource"} {
		if action == "ecr:TagResource" && len(r.tags) == 0 {
			continue
		}
		if err := c.Authorize(authz.Query{Action: action, Resource: r.arn, RequestTags: r.tags}); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.repositories[r.arn] != nil {
		return nil, wire.BadRequest("RepositoryAlreadyExistsException", "The repository with name '%s' already exists in the registry with id '%s'", r.name, r.account)
	}
	s.repositories[r.arn] = r
	return &RepositoryOutput{r.shown()}, nil
}

// DeleteRepositoryInput is the input of DeleteRepository.
type DeleteRepositoryInput struct {
	Named
	Force bool
}

// DeleteRepository deletes a repository, with images only if forced.
func (s *Service) DeleteRepository(c *authz.Call, in *DeleteRepositoryInput) (*RepositoryOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(c, in.Named, "DeleteRepository")
	if err != nil {
		return nil, err
	}
	if len(r.images) > 0 && !in.Force {
		return nil, wire.BadRequest("RepositoryNotEmptyException", "The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", r.name, r.account)
	}
	delete(s.repositories, r.arn)
	return &RepositoryOutput{r.shown()}, nil
}

// DescribeRepositoriesInput names repositories, or means all of a registry.
type DescribeRepositoriesInput struct {
	RegistryID      string `json:"registryId"`
	RepositoryNames []string
	NextToken       string
}

// DescribeRepositoriesOutput has repositories.
type DescribeRepositoriesOutput struct {
	Repositories []Repository `json:"repositories"`
}

// DescribeRepositories shows repositories.
func (s *Service) DescribeRepositories(c *authz.Call, in *DescribeRepositoriesInput) (*DescribeRepositoriesOutput, error) {
	if in.NextToken != "" {
		return nil, wire.NotImplemented("ecr", "DescribeRepositories with nextToken")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &DescribeRepositoriesOutput{Repositories: []Repository{}}
	if len(in.RepositoryNames) > 0 {
		for _, name := range in.RepositoryNames {
			r, err := s.find(c, Named{in.RegistryID, name}, "DescribeRepositories")
			if err != nil {
				return nil, err
			}
			out.Repositories = append(out.Repositories, r.shown())
		}
		return out, nil
	}
	account, err := registry(c, in.RegistryID)
	if err != nil {
		return nil, err
	}
	if err := c.Authorize(authz.Query{Action: "ecr:DescribeRepositories", Resource: s.arn(account, c.Region, "*"), ResourceAccount: account}); err != nil {
		return nil, err
	}
	for _, r := range s.repositories {
		if r.account == account && r.region == c.Region {
			out.Repositories = append(out.Repositories, r.shown())
		}
	}
	slices.SortFunc(out.Repositories, func(a, b Repository) int { return strings.Compare(a.RepositoryName, b.RepositoryName) })
	return out, nil
}

// maxPolicySize is the limit of a repository policy in characters.
//
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_SetRepositoryPolicy.html
const maxPolicySize = 10240

// SetRepositoryPolicyInput is the input of SetRepositoryPolicy.
type SetRepositoryPolicyInput struct {
	Named
	PolicyText string
	Force      bool
}

// PolicyOutput shows a repository's policy.
type PolicyOutput struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
	PolicyText     string `json:"policyText"`
}

// SetRepositoryPolicy replaces a repository's policy. Its statements have no
// Resource: they are about the repository.
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html
func (s *Service) SetRepositoryPolicy(c *authz.Call, in *SetRepositoryPolicyInput) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(c, in.Named, "SetRepositoryPolicy")
	if err != nil {
		return nil, err
	}
	policy, err := s.parsePolicy(r, in.PolicyText)
	if err != nil {
		return nil, err
	}
	r.text, r.policy = in.PolicyText, policy
	return &PolicyOutput{string(r.account), r.name, r.text}, nil
}

func invalidPolicy(cause error, format string, args ...any) error {
	e := wire.BadRequest("InvalidParameterException", "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'. "+format, args...)
	e.Cause = cause
	return e
}

func (s *Service) parsePolicy(r *repository, text string) (*directory.Document, error) {
	if len([]rune(text)) > maxPolicySize {
		return nil, invalidPolicy(nil, "It has more than %d characters.", maxPolicySize)
	}
	completed, err := withResource([]byte(text), r.arn)
	if err != nil {
		return nil, err
	}
	d, err := s.directory.Latest().NewResourceDocument(completed, iam.KindResource, "policy of repository "+r.name)
	if err != nil {
		return nil, invalidPolicy(err, "%s", wire.AsError(err).Message)
	}
	for _, st := range d.Compiled.Source().Statements {
		for _, action := range slices.Concat(st.Action, st.NotAction) {
			if action != "*" && !strings.HasPrefix(strings.ToLower(action), "ecr:") {
				return nil, invalidPolicy(nil, "The action %s is none of ECR.", wire.Clip(action))
			}
		}
	}
	return d, nil
}

// withResource writes into every statement the repository it is about, which
// evaluation wants to know.
func withResource(text []byte, arn string) (string, error) {
	var policy map[string]json.RawMessage
	if err := json.Unmarshal(text, &policy); err != nil {
		return "", invalidPolicy(err, "It is not a JSON object.")
	}
	var statements []map[string]json.RawMessage
	if err := json.Unmarshal(policy["Statement"], &statements); err != nil {
		var single map[string]json.RawMessage
		if err := json.Unmarshal(policy["Statement"], &single); err != nil {
			return "", invalidPolicy(err, "Statement is missing, or is not an object or a list of them.")
		}
		statements = append(statements, single)
	}
	resource, err := json.Marshal(arn)
	if err != nil {
		return "", err
	}
	for _, st := range statements {
		if st["Resource"] != nil || st["NotResource"] != nil {
			return "", invalidPolicy(nil, "Statements of repository policies have no Resource.")
		}
		st["Resource"] = resource
	}
	if policy["Statement"], err = json.Marshal(statements); err != nil {
		return "", err
	}
	out, err := json.Marshal(policy)
	return string(out), err
}

// shownPolicy is the policy with its principals as they are called now.
func (s *Service) shownPolicy(r *repository) string {
	now := s.directory.Latest().Text(r.policy)
	if now == r.policy.Text {
		return r.text
	}
	var policy struct {
		Version   string
		ID        string `json:"Id,omitempty"`
		Statement []map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(now), &policy); err != nil {
		return r.text
	}
	for _, st := range policy.Statement {
		delete(st, "Resource")
	}
	text, err := json.Marshal(policy)
	if err != nil {
		return r.text
	}
	return string(text)
}

func noPolicy(r *repository) error {
	return wire.BadRequest("RepositoryPolicyNotFoundException", "Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", r.name, r.account)
}

// GetRepositoryPolicy shows a repository's policy.
func (s *Service) GetRepositoryPolicy(c *authz.Call, in *Named) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(c, *in, "GetRepositoryPolicy")
	if err != nil {
		return nil, err
	}
	if r.policy == nil {
		return nil, noPolicy(r)
	}
	return &PolicyOutput{string(r.account), r.name, s.shownPolicy(r)}, nil
}

// DeleteRepositoryPolicy takes a repository's policy away.
func (s *Service) DeleteRepositoryPolicy(c *authz.Call, in *Named) (*PolicyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(c, *in, "DeleteRepositoryPolicy")
	if err != nil {
		return nil, err
	}
	if r.policy == nil {
		return nil, noPolicy(r)
	}
	out := &PolicyOutput{string(r.account), r.name, s.shownPolicy(r)}
	r.text, r.policy = "", nil
	return out, nil
}

// GetAuthorizationTokenInput names registries, which is not needed any more.
type GetAuthorizationTokenInput struct {
	RegistryIDs []string `json:"registryIds"`
}

// AuthorizationData is a token for a registry.
type AuthorizationData struct {
	AuthorizationToken string          `json:"authorizationToken"`
	ExpiresAt          *wire.Timestamp `json:"expiresAt"`
	ProxyEndpoint      string          `json:"proxyEndpoint"`
}

// GetAuthorizationTokenOutput has a token.
type GetAuthorizationTokenOutput struct {
	AuthorizationData []AuthorizationData `json:"authorizationData"`
}

// GetAuthorizationToken returns what docker login needs. What the token allows
// is decided by the caller's policies and those of the repositories.
func (s *Service) GetAuthorizationToken(c *authz.Call, in *GetAuthorizationTokenInput) (*GetAuthorizationTokenOutput, error) {
	if len(in.RegistryIDs) > 0 {
		return nil, wire.NotImplemented("ecr", "GetAuthorizationToken with registryIds")
	}
	if err := c.Authorize(authz.Query{Action: "ecr:GetAuthorizationToken", Resource: "*"}); err != nil {
		return nil, err
	}
	var secret [48]byte
	if _, err := io.ReadFull(s.random, secret[:]); err != nil {
		return nil, err
	}
	r := repository{account: c.Account(), region: c.Region}
	return &GetAuthorizationTokenOutput{[]AuthorizationData{{
		base64.StdEncoding.EncodeToString([]byte("AWS:" + hex.EncodeToString(secret[:]))), wire.At(c.Now.Add(12 * time.Hour)), "https://" + strings.TrimSuffix(r.uri(), "/"),
	}}}, nil
}

package apigatewayapi

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A deployment is an API as it was when it was deployed: its methods and its
// policy. It is immutable.
type deployment struct {
	id          string
	description string
	created     time.Time
	policy      *directory.Document
	root        *node
}

// A node is a resource of a deployment.
type node struct {
	part     string
	path     string // template: "/orders/{id}"
	methods  map[string]*Method
	children []*node // plain parts first, then a variable one, then a greedy one
}

func (a *api) snapshot(r *resource) *node {
	n := &node{part: r.part, path: a.path(r), methods: maps.Clone(r.methods)}
	for _, child := range a.resources {
		if child.parent == r.id {
			n.children = append(n.children, a.snapshot(child))
		}
	}
	slices.SortFunc(n.children, func(x, y *node) int {
		if d := x.rank() - y.rank(); d != 0 {
			return d
		}
		return strings.Compare(x.part, y.part)
	})
	return n
}

func (n *node) rank() int {
	switch {
	case strings.HasSuffix(n.part, "+}"):
		return 2
	case strings.HasPrefix(n.part, "{"):
		return 1
	}
	return 0
}

// A stage shows a deployment to clients.
type stage struct {
	name        string
	deployment  string
	description string
	variables   map[string]string
	tags        []directory.Tag
	created     time.Time
	changed     time.Time
}

// A Deployment is how a deployment is shown.
type Deployment struct {
	ID          string          `json:"id"`
	Description string          `json:"description,omitempty"`
	CreatedDate *wire.Timestamp `json:"createdDate,omitempty"`
}

func (d *deployment) show() *Deployment {
	return &Deployment{d.id, d.description, wire.At(d.created)}
}

// A Stage is how a stage is shown.
type Stage struct {
	DeploymentID    string            `json:"deploymentId"`
	StageName       string            `json:"stageName"`
	Description     string            `json:"description,omitempty"`
	CacheEnabled    bool              `json:"cacheClusterEnabled"`
	CacheStatus     string            `json:"cacheClusterStatus"`
	MethodSettings  struct{}          `json:"methodSettings"`
	Variables       map[string]string `json:"variables,omitempty"`
	TracingEnabled  bool              `json:"tracingEnabled"`
	Tags            map[string]string `json:"tags,omitempty"`
	CreatedDate     *wire.Timestamp   `json:"createdDate,omitempty"`
	LastUpdatedDate *wire.Timestamp   `json:"lastUpdatedDate,omitempty"`
}

func (t *stage) show() *Stage {
	return &Stage{
		DeploymentID: t.deployment, StageName: t.name, Description: t.description, CacheStatus: "NOT_AVAILABLE",
		Variables: t.variables, Tags: tagMap(t.tags), CreatedDate: wire.At(t.created), LastUpdatedDate: wire.At(t.changed),
	}
}

// stageSettings are properties of stages that the sandbox does not have.
type stageSettings struct {
	CacheClusterEnabled  bool      `json:"cacheClusterEnabled"`
	CacheClusterSize     string    `json:"cacheClusterSize"`
	CanarySettings       *struct{} `json:"canarySettings"`
	TracingEnabled       bool      `json:"tracingEnabled"`
	DocumentationVersion string    `json:"documentationVersion"`
}

func (in *stageSettings) check(operation string) error {
	switch {
	case in.CacheClusterEnabled || in.CacheClusterSize != "":
		return missing(operation + " with caches")
	case in.CanarySettings != nil:
		return missing(operation + " with canarySettings")
	case in.TracingEnabled:
		return missing(operation + " with tracingEnabled")
	case in.DocumentationVersion != "":
		return missing(operation + " with documentationVersion")
	}
	return nil
}

var (
	stagePattern    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	valuePattern    = regexp.MustCompile(`^[A-Za-z0-9\-._~:/?#&=,@]*$`)
)

func checkStage(name string, variables map[string]string) error {
	if !stagePattern.MatchString(name) {
		return bad("Stage name only allows a-zA-Z0-9_-")
	}
	for _, key := range sortedKeys(variables) {
		if !variablePattern.MatchString(key) || !valuePattern.MatchString(variables[key]) {
			return bad("Stage variable names only allow a-zA-Z0-9_, and their values a-zA-Z0-9-._~:/?#&=,@")
		}
	}
	return nil
}

// CreateDeploymentInput is the input of CreateDeployment.
type CreateDeploymentInput struct {
	APIInput
	stageSettings
	StageName        string            `json:"stageName"`
	StageDescription string            `json:"stageDescription"`
	Description      string            `json:"description"`
	Variables        map[string]string `json:"variables"`
}

// CreateDeployment makes what the API is now available to stages, and shows it
// on the stage that is named, which is made if there is none.
func (s *Service) CreateDeployment(c *authz.Call, in *CreateDeploymentInput) (*Deployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(c, in.RestAPIID, http.MethodPost, "/deployments", nil)
	if err != nil {
		return nil, err
	}
	if err := in.check("CreateDeployment"); err != nil {
		return nil, err
	}
	if in.StageName != "" {
		if err := checkStage(in.StageName, in.Variables); err != nil {
			return nil, err
		}
	}
	methods := 0
	for _, r := range a.resources {
		for _, m := range r.methods {
			methods++
			if m.Integration == nil {
				return nil, bad("No integration defined for method")
			}
		}
	}
	if methods == 0 {
		return nil, bad("The REST API doesn't contain any methods")
	}
	d := &deployment{id: s.newID(6), description: in.Description, created: c.Now, policy: a.policy, root: a.snapshot(a.resources[a.root])}
	a.deployments[d.id] = d
	if in.StageName != "" {
		t := a.stages[in.StageName]
		if t == nil {
			t = &stage{name: in.StageName, description: in.StageDescription, created: c.Now}
			a.stages[t.name] = t
		}
		t.deployment, t.changed = d.id, c.Now
		if in.Variables != nil {
			t.variables = in.Variables
		}
	}
	return d.show(), nil
}

// A DeploymentInput names a deployment.
type DeploymentInput struct {
	APIInput
	DeploymentID string `json:"-" path:"deployment_id"`
}

func (s *Service) findDeployment(c *authz.Call, in *DeploymentInput, method string) (*api, *deployment, error) {
	a, err := s.find(c, in.RestAPIID, method, "/deployments/"+in.DeploymentID, nil)
	if err != nil {
		return nil, nil, err
	}
	d := a.deployments[in.DeploymentID]
	if d == nil {
		return nil, nil, notFound("Deployment", "")
	}
	return a, d, nil
}

// GetDeployment shows a deployment.
func (s *Service) GetDeployment(c *authz.Call, in *DeploymentInput) (*Deployment, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, d, err := s.findDeployment(c, in, http.MethodGet)
	if err != nil {
		return nil, err
	}
	return d.show(), nil
}

// GetDeploymentsInput asks for a page of an API's deployments.
type GetDeploymentsInput struct {
	APIInput
	PageInput
}

// GetDeployments lists the deployments of an API.
func (s *Service) GetDeployments(c *authz.Call, in *GetDeploymentsInput) (*List[*Deployment], error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.find(c, in.RestAPIID, http.MethodGet, "/deployments", nil)
	if err != nil {
		return nil, err
	}
	return page(a.deployments, in.PageInput, (*deployment).show)
}

// DeleteDeployment deletes a deployment that no stage shows.
func (s *Service) DeleteDeployment(c *authz.Call, in *DeploymentInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, d, err := s.findDeployment(c, in, http.MethodDelete)
	if err != nil {
		return nil, err
	}
	for _, t := range a.stages {
		if t.deployment == d.id {
			return nil, bad("Active stages pointing to this deployment must be moved or deleted")
		}
	}
	delete(a.deployments, d.id)
	return nil, nil
}

// CreateStageInput is the input of CreateStage.
type CreateStageInput struct {
	APIInput
	stageSettings
	StageName    string            `json:"stageName"`
	DeploymentID string            `json:"deploymentId"`
	Description  string            `json:"description"`
	Variables    map[string]string `json:"variables"`
	Tags         map[string]string `json:"tags"`
}

// CreateStage shows a deployment to clients.
func (s *Service) CreateStage(c *authz.Call, in *CreateStageInput) (*Stage, error) {
	tags, err := checkTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(c, in.RestAPIID, http.MethodPost, "/stages", tags)
	if err != nil {
		return nil, err
	}
	if err := authorizeTagging(c, "/restapis/"+a.id+"/stages/"+in.StageName, tags); err != nil {
		return nil, err
	}
	if err := in.check("CreateStage"); err != nil {
		return nil, err
	}
	if err := checkStage(in.StageName, in.Variables); err != nil {
		return nil, err
	}
	if a.deployments[in.DeploymentID] == nil {
		return nil, bad("Deployment id does not exist")
	}
	if a.stages[in.StageName] != nil {
		return nil, conflict("Stage already exists")
	}
	t := &stage{name: in.StageName, deployment: in.DeploymentID, description: in.Description, variables: in.Variables, tags: tags, created: c.Now, changed: c.Now}
	a.stages[t.name] = t
	return t.show(), nil
}

// A StageInput names a stage.
type StageInput struct {
	APIInput
	StageName string `json:"-" path:"stage_name"`
}

func (s *Service) findStage(c *authz.Call, in *StageInput, method string) (*api, *stage, error) {
	a, err := s.find(c, in.RestAPIID, method, "/stages/"+in.StageName, nil)
	if err != nil {
		return nil, nil, err
	}
	t := a.stages[in.StageName]
	if t == nil {
		return nil, nil, notFound("stage", "")
	}
	return a, t, nil
}

// GetStage shows a stage.
func (s *Service) GetStage(c *authz.Call, in *StageInput) (*Stage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, t, err := s.findStage(c, in, http.MethodGet)
	if err != nil {
		return nil, err
	}
	return t.show(), nil
}

// GetStagesInput may ask for the stages of one deployment.
type GetStagesInput struct {
	APIInput
	DeploymentID string `json:"-" query:"deploymentId"`
}

// GetStages lists the stages of an API.
func (s *Service) GetStages(c *authz.Call, in *GetStagesInput) (*List[*Stage], error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.find(c, in.RestAPIID, http.MethodGet, "/stages", nil)
	if err != nil {
		return nil, err
	}
	out := &List[*Stage]{Items: []*Stage{}}
	for _, name := range sortedKeys(a.stages) {
		if t := a.stages[name]; in.DeploymentID == "" || t.deployment == in.DeploymentID {
			out.Items = append(out.Items, t.show())
		}
	}
	return out, nil
}

// UpdateStageInput is the input of UpdateStage.
type UpdateStageInput struct {
	StageInput
	PatchOperations []PatchOperation `json:"patchOperations"`
}

// UpdateStage changes a stage, for example to show another deployment.
func (s *Service) UpdateStage(c *authz.Call, in *UpdateStageInput) (*Stage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, t, err := s.findStage(c, &in.StageInput, http.MethodPatch)
	if err != nil {
		return nil, err
	}
	changed := *t
	changed.variables = maps.Clone(t.variables)
	for _, p := range in.PatchOperations {
		name, isVariable := strings.CutPrefix(p.Path, "/variables/")
		switch {
		case p.Op == "replace" && p.Path == "/deploymentId":
			if a.deployments[p.Value] == nil {
				return nil, bad("Deployment id does not exist")
			}
			changed.deployment = p.Value
		case p.Op == "replace" && p.Path == "/description":
			changed.description = p.Value
		case isVariable && (p.Op == "replace" || p.Op == "add"):
			changed.variables = added(changed.variables, name, p.Value)
		case isVariable && p.Op == "remove":
			delete(changed.variables, name)
		default:
			return nil, p.missing("UpdateStage")
		}
	}
	if err := checkStage(t.name, changed.variables); err != nil {
		return nil, err
	}
	changed.changed = c.Now
	*t = changed
	return t.show(), nil
}

// DeleteStage deletes a stage. Its deployment stays.
func (s *Service) DeleteStage(c *authz.Call, in *StageInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, t, err := s.findStage(c, in, http.MethodDelete)
	if err != nil {
		return nil, err
	}
	delete(a.stages, t.name)
	return nil, nil
}

// A TagInput is the input of the operations on tags.
type TagInput struct {
	PageInput
	ResourceARN string            `json:"-" path:"resource_arn"`
	Tags        map[string]string `json:"tags"`
	TagKeys     []string          `json:"-" query:"tagKeys"`
}

// tagged returns the tags of what an ARN names, to be read and changed. Besides
// the permission for the tags one needs, to change them, that for what they are
// on.
func (s *Service) tagged(c *authz.Call, in *TagInput, method string, requestTags []directory.Tag) (*[]directory.Tag, error) {
	path, ok := strings.CutPrefix(in.ResourceARN, ARN(c.Region, ""))
	parts := strings.Split(strings.Trim(path, "/"), "/")
	isStage := len(parts) == 4 && parts[2] == "stages"
	if !ok || parts[0] != "restapis" || len(parts) != 2 && !isStage {
		if strings.Contains(in.ResourceARN, ":apigateway:") {
			return nil, missing("tags of " + wire.Clip(in.ResourceARN))
		}
		return nil, bad("Invalid ARN specified in the request")
	}
	if err := authorize(c, method, "/tags/"+url.PathEscape(in.ResourceARN), nil, requestTags); err != nil {
		return nil, err
	}
	on, below := method, ""
	if method != http.MethodGet {
		on = http.MethodPatch
	}
	if isStage {
		below = "/stages/" + parts[3]
	}
	a, err := s.find(c, parts[1], on, below, requestTags)
	switch {
	case err != nil:
		return nil, err
	case !isStage:
		return &a.tags, nil
	case a.stages[parts[3]] == nil:
		return nil, notFound("stage", "")
	}
	return &a.stages[parts[3]].tags, nil
}

// A Tags has the tags of something.
type Tags struct {
	Tags map[string]string `json:"tags"`
}

// GetTags lists the tags of an API or a stage.
func (s *Service) GetTags(c *authz.Call, in *TagInput) (*Tags, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tags, err := s.tagged(c, in, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	return &Tags{tagMap(*tags)}, nil
}

// TagResource adds tags to an API or a stage, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagInput) (*struct{}, error) {
	asked, err := checkTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(c, in, http.MethodPut, asked)
	if err != nil {
		return nil, err
	}
	merged, err := checkTags(*tags, in.Tags)
	if err != nil {
		return nil, err
	}
	*tags = merged
	return nil, nil
}

// UntagResource removes tags. Those that are not there do not matter.
func (s *Service) UntagResource(c *authz.Call, in *TagInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, err := s.tagged(c, in, http.MethodDelete, nil)
	if err != nil {
		return nil, err
	}
	*tags = directory.RemoveTags(*tags, in.TagKeys)
	return nil, nil
}

package apigatewayapi

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A resource is one segment of the paths of an API.
type resource struct {
	id      string
	parent  string // "" for the root
	part    string // "orders", "{id}", "{proxy+}"; "" for the root
	methods map[string]*Method
}

// greedy reports whether the resource takes all the rest of a path.
func (r *resource) greedy() bool { return strings.HasSuffix(r.part, "+}") }

// path is the template of the resource's path: "/orders/{id}".
func (a *api) path(r *resource) string {
	if r.parent == "" {
		return "/"
	}
	return strings.TrimSuffix(a.path(a.resources[r.parent]), "/") + "/" + r.part
}

// A Resource is how a resource is shown.
type Resource struct {
	ID       string             `json:"id"`
	ParentID string             `json:"parentId,omitempty"`
	PathPart string             `json:"pathPart,omitempty"`
	Path     string             `json:"path"`
	Methods  map[string]*Method `json:"resourceMethods,omitempty"`
}

func (a *api) showResource(r *resource, embed []string) *Resource {
	out := &Resource{ID: r.id, ParentID: r.parent, PathPart: r.part, Path: a.path(r)}
	for verb, m := range r.methods {
		if out.Methods == nil {
			out.Methods = make(map[string]*Method)
		}
		out.Methods[verb] = &Method{}
		if slices.Contains(embed, "methods") {
			out.Methods[verb] = m
		}
	}
	return out
}

// A ResourceInput names a resource.
type ResourceInput struct {
	APIInput
	ResourceID string   `json:"-" path:"resource_id"`
	Embed      []string `json:"-" query:"embed"`
}

// findResource is find for a resource.
func (s *Service) findResource(c *authz.Call, in ResourceInput, method, below string) (*api, *resource, error) {
	a, err := s.find(c, in.RestAPIID, method, "/resources/"+in.ResourceID+below, nil)
	if err != nil {
		return nil, nil, err
	}
	r := a.resources[in.ResourceID]
	if r == nil {
		return nil, nil, notFound("Resource", "")
	}
	return a, r, nil
}

// CreateResourceInput is the input of CreateResource.
type CreateResourceInput struct {
	APIInput
	ParentID string `json:"-" path:"parent_id"`
	PathPart string `json:"pathPart"`
}

var partPattern = regexp.MustCompile(`^(?:[A-Za-z0-9._:$~@!*+,;=&'()-]+|\{[A-Za-z0-9._-]+\+?\})$`)

// maxResources is the usual quota of resources of an API.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
const maxResources = 300

// CreateResource adds a segment below another.
func (s *Service) CreateResource(c *authz.Call, in *CreateResourceInput) (*Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, parent, err := s.findResource(c, ResourceInput{APIInput: in.APIInput, ResourceID: in.ParentID}, http.MethodPost, "")
	if err != nil {
		return nil, err
	}
	r, err := s.addResource(a, parent, in.PathPart)
	if err != nil {
		return nil, err
	}
	return a.showResource(r, nil), nil
}

// child returns the resource right below another, or nil.
func (a *api) child(parent *resource, part string) *resource {
	for _, r := range a.resources {
		if r.parent == parent.id && r.part == part {
			return r
		}
	}
	return nil
}

func (s *Service) addResource(a *api, parent *resource, part string) (*resource, error) {
	r := &resource{id: s.newID(6), parent: parent.id, part: part}
	switch {
	case !partPattern.MatchString(part):
		return nil, bad("Resource's path part only allow a-zA-Z0-9._-:$ or a valid greedy path variable and curly braces at the beginning and the end.")
	case parent.greedy():
		return nil, bad("Cannot create a child of a resource with a greedy path variable: %s", wire.Clip(a.path(parent)))
	case len(a.resources) >= maxResources:
		return nil, bad("Maximum number of resources for this API has been reached: %d", maxResources)
	}
	for _, other := range a.resources {
		if other.parent != parent.id {
			continue
		}
		if other.part == r.part {
			return nil, conflict("Another resource with the same parent already has this name: %s", wire.Clip(r.part))
		}
		if strings.HasPrefix(other.part, "{") && strings.HasPrefix(r.part, "{") && other.greedy() == r.greedy() {
			return nil, bad("A sibling (%s) of this resource already has a variable path part -- only one is allowed", wire.Clip(other.part))
		}
	}
	a.resources[r.id] = r
	return r, nil
}

// GetResource shows a resource.
func (s *Service) GetResource(c *authz.Call, in *ResourceInput) (*Resource, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, r, err := s.findResource(c, *in, http.MethodGet, "")
	if err != nil {
		return nil, err
	}
	return a.showResource(r, in.Embed), nil
}

// GetResourcesInput asks for a page of an API's resources.
type GetResourcesInput struct {
	APIInput
	PageInput
	Embed []string `json:"-" query:"embed"`
}

// GetResources lists the resources of an API.
func (s *Service) GetResources(c *authz.Call, in *GetResourcesInput) (*List[*Resource], error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.find(c, in.RestAPIID, http.MethodGet, "/resources", nil)
	if err != nil {
		return nil, err
	}
	return page(a.resources, in.PageInput, func(r *resource) *Resource { return a.showResource(r, in.Embed) })
}

// DeleteResource deletes a resource and what is below it.
func (s *Service) DeleteResource(c *authz.Call, in *ResourceInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, r, err := s.findResource(c, *in, http.MethodDelete, "")
	if err != nil {
		return nil, err
	}
	if r.parent == "" {
		return nil, bad("Root resource cannot be deleted")
	}
	a.deleteTree(r)
	return nil, nil
}

func (a *api) deleteTree(r *resource) {
	delete(a.resources, r.id)
	for _, child := range a.resources {
		if child.parent == r.id {
			a.deleteTree(child)
		}
	}
}

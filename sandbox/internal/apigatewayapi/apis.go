package apigatewayapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An Endpoint says where an API is reached.
type Endpoint struct {
	Types          []string `json:"types,omitempty"`
	VPCEndpointIDs []string `json:"vpcEndpointIds,omitempty"`
	IPAddressType  string   `json:"ipAddressType,omitempty"`
}

// A RestAPI is how an API is shown.
type RestAPI struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	Description      string            `json:"description,omitempty"`
	Version          string            `json:"version,omitempty"`
	CreatedDate      *wire.Timestamp   `json:"createdDate,omitempty"`
	APIKeySource     string            `json:"apiKeySource"`
	Endpoint         Endpoint          `json:"endpointConfiguration"`
	Policy           string            `json:"policy,omitempty"`
	Tags             map[string]string `json:"tags,omitempty"`
	DisableExecution bool              `json:"disableExecuteApiEndpoint"`
	RootResourceID   string            `json:"rootResourceId"`
}

func (s *Service) show(a *api) *RestAPI {
	return &RestAPI{
		ID: a.id, Name: a.name, Description: a.description, Version: a.version, CreatedDate: wire.At(a.created),
		APIKeySource: "HEADER", Endpoint: a.endpoint, Policy: s.policyText(a), Tags: tagMap(a.tags), RootResourceID: a.root,
	}
}

// CreateRestAPIInput is the input of CreateRestApi.
type CreateRestAPIInput struct {
	Name                      string            `json:"name"`
	Description               string            `json:"description"`
	Version                   string            `json:"version"`
	CloneFrom                 string            `json:"cloneFrom"`
	BinaryMediaTypes          []string          `json:"binaryMediaTypes"`
	MinimumCompressionSize    *int              `json:"minimumCompressionSize"`
	APIKeySource              string            `json:"apiKeySource"`
	EndpointConfiguration     *Endpoint         `json:"endpointConfiguration"`
	Policy                    string            `json:"policy"`
	Tags                      map[string]string `json:"tags"`
	DisableExecuteAPIEndpoint bool              `json:"disableExecuteApiEndpoint"`
}

func (in *CreateRestAPIInput) check() error {
	switch {
	case in.Name == "":
		return bad("API name must be provided")
	case in.CloneFrom != "":
		return missing("CreateRestApi with cloneFrom")
	case len(in.BinaryMediaTypes) > 0:
		return missing("CreateRestApi with binaryMediaTypes")
	case in.MinimumCompressionSize != nil:
		return missing("CreateRestApi with minimumCompressionSize")
	case in.DisableExecuteAPIEndpoint:
		return missing("CreateRestApi with disableExecuteApiEndpoint")
	case in.APIKeySource != "" && in.APIKeySource != "HEADER":
		return missing("CreateRestApi with apiKeySource " + wire.Clip(in.APIKeySource))
	}
	return in.EndpointConfiguration.check()
}

func (e *Endpoint) check() error {
	switch {
	case e == nil:
		return nil
	case slices.Contains(e.Types, "PRIVATE") || len(e.VPCEndpointIDs) > 0:
		return missing("CreateRestApi of private APIs")
	case len(e.Types) > 1 || len(e.Types) == 1 && e.Types[0] != "EDGE" && e.Types[0] != "REGIONAL":
		return bad("Invalid endpoint type. Valid values are: [EDGE, REGIONAL, PRIVATE]")
	}
	return nil
}

// CreateRestAPI makes an API that has the resource / and no methods.
func (s *Service) CreateRestAPI(c *authz.Call, in *CreateRestAPIInput) (*RestAPI, error) {
	tags, err := checkTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	if err := authorize(c, http.MethodPost, "/restapis", nil, tags); err != nil {
		return nil, err
	}
	if err := authorizeTagging(c, "/restapis/*", tags); err != nil {
		return nil, err
	}
	if in.Policy != "" {
		if err := authorize(c, "UpdateRestApiPolicy", "/restapis/*", nil, nil); err != nil {
			return nil, err
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	account, _ := s.directory.Account(c.Account())
	a := &api{
		place: place{c.Account(), c.Region}, partition: account.Partition, id: s.newID(10), root: s.newID(10),
		name: in.Name, description: in.Description, version: in.Version, created: c.Now, tags: tags,
		endpoint:    Endpoint{Types: []string{"EDGE"}, IPAddressType: "ipv4"},
		deployments: make(map[string]*deployment), stages: make(map[string]*stage),
	}
	if e := in.EndpointConfiguration; e != nil && len(e.Types) > 0 {
		a.endpoint.Types = e.Types
	}
	a.resources = map[string]*resource{a.root: {id: a.root}}
	if in.Policy != "" {
		if a.policy, err = s.parsePolicy(a, in.Policy); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apis[a.id] = a
	return s.show(a), nil
}

// GetRestAPI shows an API.
func (s *Service) GetRestAPI(c *authz.Call, in *APIInput) (*RestAPI, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.find(c, in.RestAPIID, http.MethodGet, "", nil)
	if err != nil {
		return nil, err
	}
	return s.show(a), nil
}

// A PageInput asks for a page of a list.
type PageInput struct {
	Position string `json:"-" query:"position"`
	Limit    int    `json:"-" query:"limit"`
}

// A List is a page of something.
type List[T any] struct {
	Items    []T    `json:"item"`
	Position string `json:"position,omitempty"`
}

// page cuts a page out of all entries, in the order of their keys.
func page[V, T any](all map[string]V, in PageInput, show func(V) T) (*List[T], error) {
	keys, next, err := awsjson.Page(sortedKeys(all), in.Limit, 25, 500, in.Position, func(k string) string { return k })
	if err != nil {
		return nil, bad("Invalid limit. It must be between 1 and 500")
	}
	out := &List[T]{Items: []T{}, Position: next}
	for _, key := range keys {
		out.Items = append(out.Items, show(all[key]))
	}
	return out, nil
}

// GetRestAPIs lists the caller's APIs of the region.
func (s *Service) GetRestAPIs(c *authz.Call, in *PageInput) (*List[*RestAPI], error) {
	if err := authorize(c, http.MethodGet, "/restapis", nil, nil); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	own := maps.Clone(s.apis)
	maps.DeleteFunc(own, func(_ string, a *api) bool { return a.place != place{c.Account(), c.Region} })
	return page(own, *in, s.show)
}

// A PatchOperation changes one property.
type PatchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value"`
	From  string `json:"from"`
}

func (p PatchOperation) missing(operation string) error {
	return missing(operation + " with op " + wire.Clip(p.Op) + " and path " + wire.Clip(p.Path))
}

// UpdateRestAPIInput is the input of UpdateRestApi.
type UpdateRestAPIInput struct {
	APIInput
	PatchOperations []PatchOperation `json:"patchOperations"`
}

// UpdateRestAPI changes an API. A new policy has no effect before it is
// deployed.
func (s *Service) UpdateRestAPI(c *authz.Call, in *UpdateRestAPIInput) (*RestAPI, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(c, in.RestAPIID, http.MethodPatch, "", nil)
	if err != nil {
		return nil, err
	}
	changed := *a
	for _, p := range in.PatchOperations {
		switch p.Op + " " + p.Path {
		case "replace /name":
			if p.Value == "" {
				return nil, bad("API name must be provided")
			}
			changed.name = p.Value
		case "replace /description":
			changed.description = p.Value
		case "replace /version":
			changed.version = p.Value
		case "replace /policy", "remove /policy":
			if err := authorize(c, "UpdateRestApiPolicy", "/restapis/"+a.id, a.tags, nil); err != nil {
				return nil, err
			}
			changed.policy = nil
			if p.Op == "replace" && p.Value != "" {
				if changed.policy, err = s.parsePolicy(a, p.Value); err != nil {
					return nil, err
				}
			}
		default:
			return nil, p.missing("UpdateRestApi")
		}
	}
	*a = changed
	return s.show(a), nil
}

// DeleteRestAPI deletes an API with its stages.
func (s *Service) DeleteRestAPI(c *authz.Call, in *APIInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(c, in.RestAPIID, http.MethodDelete, "", nil)
	if err != nil {
		return nil, err
	}
	delete(s.apis, a.id)
	return nil, nil
}

const maxTags = 50

// checkTags returns tags with more added, or why that is not possible.
func checkTags(tags []directory.Tag, more map[string]string) ([]directory.Tag, error) {
	merged := slices.DeleteFunc(slices.Clone(tags), func(old directory.Tag) bool {
		_, again := more[old.Key]
		return again
	})
	for _, key := range sortedKeys(more) {
		if key == "" || len([]rune(key)) > 128 || len([]rune(more[key])) > 256 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, bad("a tag has a key of 1 to 128 characters that does not begin with aws:, and a value of at most 256")
		}
		merged = append(merged, directory.Tag{Key: key, Value: more[key]})
	}
	if len(merged) > maxTags {
		return nil, bad("a resource has at most %d tags", maxTags)
	}
	return merged, nil
}

func tagMap(tags []directory.Tag) map[string]string {
	m := make(map[string]string)
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package apigatewayapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// PutRestAPIInput is the input of PutRestApi.
type PutRestAPIInput struct {
	APIInput
	Mode string          `json:"-" query:"mode"`
	Body json.RawMessage `json:"-"`
}

// UnmarshalJSON keeps the body, which is the document itself.
func (in *PutRestAPIInput) UnmarshalJSON(data []byte) error {
	in.Body = append(in.Body[:0], data...)
	return nil
}

// PutRestAPI replaces the resources and methods of an API by those of an OpenAPI
// document.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-import-api.html
func (s *Service) PutRestAPI(c *authz.Call, in *PutRestAPIInput) (*RestAPI, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(c, in.RestAPIID, http.MethodPut, "", nil)
	if err != nil {
		return nil, err
	}
	if in.Mode != "overwrite" {
		return nil, missing("PutRestApi with a mode other than overwrite")
	}
	next := *a
	next.resources = map[string]*resource{a.root: {id: a.root}}
	if err := s.fill(c, &next, in.Body); err != nil {
		return nil, err
	}
	a.resources = next.resources
	return s.show(a), nil
}

// A document is what is read of OpenAPI 3.0 and Swagger 2.0.
type document struct {
	OpenAPI             string                    `json:"openapi"`
	Swagger             string                    `json:"swagger"`
	Security            []map[string][]string     `json:"security"`
	SecurityDefinitions map[string]securityScheme `json:"securityDefinitions"`
	Components          struct {
		SecuritySchemes map[string]securityScheme `json:"securitySchemes"`
	} `json:"components"`
	Paths map[string]map[string]json.RawMessage `json:"paths"`
}

type securityScheme struct {
	AuthType string `json:"x-amazon-apigateway-authtype"`
}

type operation struct {
	OperationID string                   `json:"operationId"`
	Security    *[]map[string][]string   `json:"security"`
	Responses   map[string]documentReply `json:"responses"`
	Integration *documentIntegration     `json:"x-amazon-apigateway-integration"`
	Validator   string                   `json:"x-amazon-apigateway-request-validator"`
}

type documentReply struct {
	Headers map[string]json.RawMessage `json:"headers"`
}

type documentIntegration struct {
	PutIntegrationInput
	HTTPMethod string                              `json:"httpMethod"`
	Responses  map[string]documentIntegrationReply `json:"responses"`
}

type documentIntegrationReply struct {
	IntegrationResponseInput
	StatusCode any `json:"statusCode"` // text or number
}

// fill adds the document's resources and methods to an API that has none.
func (s *Service) fill(c *authz.Call, a *api, body []byte) error {
	var d document
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &d) != nil || json.Unmarshal(body, &members) != nil || !strings.HasPrefix(d.OpenAPI, "3.0") && d.Swagger != "2.0" {
		return bad("Unable to parse API definition because of a malformed document: it must be OpenAPI 3.0 or Swagger 2.0 in JSON")
	}
	for _, name := range sortedKeys(members) {
		if strings.HasPrefix(name, "x-amazon-") {
			return missing("PutRestApi with " + wire.Clip(name))
		}
	}
	for _, path := range sortedKeys(d.Paths) {
		r, err := s.reach(a, path)
		if err != nil {
			return err
		}
		for _, verb := range sortedKeys(d.Paths[path]) {
			method := strings.ToUpper(verb)
			switch verb {
			case "get", "put", "post", "delete", "options", "head", "patch":
			case "x-amazon-apigateway-any-method":
				method = "ANY"
			case "summary", "description", "parameters":
				continue
			default:
				return missing("PutRestApi with " + wire.Clip(verb) + " in paths")
			}
			m, err := d.method(c, method, d.Paths[path][verb])
			if err != nil {
				return err
			}
			r.put(m)
		}
	}
	return nil
}

// reach returns the resource of a path, which is made with those above it.
func (s *Service) reach(a *api, path string) (*resource, error) {
	r := a.resources[a.root]
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if part == "" {
			continue
		}
		next := a.child(r, part)
		if next == nil {
			var err error
			if next, err = s.addResource(a, r, part); err != nil {
				return nil, err
			}
		}
		r = next
	}
	return r, nil
}

// method makes a method of an operation, checked as if it were put.
func (d *document) method(c *authz.Call, verb string, text json.RawMessage) (*Method, error) {
	var op operation
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &op) != nil || json.Unmarshal(text, &members) != nil {
		return nil, bad("Unable to parse API definition because of a malformed operation %s", verb)
	}
	for _, name := range sortedKeys(members) {
		if strings.HasPrefix(name, "x-amazon-") && name != "x-amazon-apigateway-integration" {
			return nil, missing("PutRestApi with " + wire.Clip(name))
		}
	}
	m := &Method{HTTPMethod: verb, OperationName: op.OperationID}
	var err error
	if m.AuthorizationType, err = d.authorization(&op); err != nil {
		return nil, err
	}
	for _, status := range sortedKeys(op.Responses) {
		if !statusPattern.MatchString(status) {
			continue // "default" declares nothing
		}
		response := &MethodResponse{StatusCode: status}
		for name := range op.Responses[status].Headers {
			response.ResponseParameters = added(response.ResponseParameters, headerPrefix+name, false)
		}
		m.Responses = added(m.Responses, status, response)
	}
	if op.Integration == nil {
		return m, nil
	}
	m.Integration, err = op.Integration.make(c, m)
	return m, err
}

// authorization returns the kind of authorization an operation asks for.
func (d *document) authorization(op *operation) (string, error) {
	wanted := d.Security
	if op.Security != nil {
		wanted = *op.Security
	}
	kind := authorizationNone
	for _, alternative := range wanted {
		for name := range alternative {
			scheme, ok := d.Components.SecuritySchemes[name]
			if !ok {
				scheme = d.SecurityDefinitions[name]
			}
			if scheme.AuthType != "awsSigv4" {
				return "", missing("PutRestApi with security schemes other than awsSigv4")
			}
			kind = authorizationIAM
		}
	}
	return kind, nil
}

// make makes an integration, checked as if it were put.
func (in *documentIntegration) make(c *authz.Call, m *Method) (*Integration, error) {
	put := in.PutIntegrationInput
	put.IntegrationHTTPMethod = in.HTTPMethod
	put.Type, put.PassthroughBehavior = strings.ToUpper(put.Type), strings.ToUpper(put.PassthroughBehavior)
	integration, err := put.make(c)
	if err != nil {
		return nil, err
	}
	for _, pattern := range sortedKeys(in.Responses) {
		response := in.Responses[pattern].IntegrationResponseInput
		switch status := in.Responses[pattern].StatusCode.(type) {
		case string:
			response.StatusCode = status
		case float64:
			data, _ := json.Marshal(status) // numbers always marshal
			response.StatusCode = string(data)
		}
		if pattern != "default" {
			response.SelectionPattern = pattern
		}
		if err := response.check(m.Responses[response.StatusCode]); err != nil {
			return nil, err
		}
		if integration.Responses[response.StatusCode] != nil {
			return nil, wire.NotImplemented("apigateway", "PutRestApi with several responses of the same status")
		}
		integration.Responses = added(integration.Responses, response.StatusCode, response.make())
	}
	return integration, nil
}

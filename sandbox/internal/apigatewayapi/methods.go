package apigatewayapi

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// The kinds of authorization a method can have here.
const (
	authorizationNone = "NONE"
	authorizationIAM  = "AWS_IAM"
)

// A Method is what a resource does for one HTTP method. Methods are not changed
// once they are made but replaced, so that deployments can keep them.
type Method struct {
	HTTPMethod        string                     `json:"httpMethod,omitempty"`
	AuthorizationType string                     `json:"authorizationType,omitempty"`
	APIKeyRequired    bool                       `json:"apiKeyRequired,omitempty"`
	OperationName     string                     `json:"operationName,omitempty"`
	RequestParameters map[string]bool            `json:"requestParameters,omitempty"`
	Responses         map[string]*MethodResponse `json:"methodResponses,omitempty"`
	Integration       *Integration               `json:"methodIntegration,omitempty"`
}

// A MethodResponse declares a status and its headers.
type MethodResponse struct {
	StatusCode         string            `json:"statusCode"`
	ResponseParameters map[string]bool   `json:"responseParameters,omitempty"`
	ResponseModels     map[string]string `json:"responseModels,omitempty"`
}

// An Integration says who answers.
type Integration struct {
	Type                string                          `json:"type"`
	HTTPMethod          string                          `json:"httpMethod,omitempty"`
	URI                 string                          `json:"uri,omitempty"`
	Credentials         string                          `json:"credentials,omitempty"`
	RequestTemplates    map[string]string               `json:"requestTemplates,omitempty"`
	PassthroughBehavior string                          `json:"passthroughBehavior"`
	TimeoutInMillis     int                             `json:"timeoutInMillis"`
	Responses           map[string]*IntegrationResponse `json:"integrationResponses,omitempty"`
}

// An IntegrationResponse is what becomes of an integration's answer.
type IntegrationResponse struct {
	StatusCode         string            `json:"statusCode"`
	SelectionPattern   string            `json:"selectionPattern,omitempty"`
	ResponseParameters map[string]string `json:"responseParameters,omitempty"`
	ResponseTemplates  map[string]string `json:"responseTemplates,omitempty"`
}

// A MethodInput names a method.
type MethodInput struct {
	APIInput
	ResourceID string `json:"-" path:"resource_id"`
	HTTPMethod string `json:"-" path:"http_method"`
}

// findMethod is find for a method, which is nil if the resource has none.
func (s *Service) findMethod(c *authz.Call, in MethodInput, method, below string) (*resource, *Method, error) {
	_, r, err := s.findResource(c, ResourceInput{APIInput: in.APIInput, ResourceID: in.ResourceID}, method, "/methods/"+in.HTTPMethod+below)
	if err != nil {
		return nil, nil, err
	}
	return r, r.methods[in.HTTPMethod], nil
}

// method is findMethod for one that must exist.
func (s *Service) method(c *authz.Call, in MethodInput, method, below string) (*resource, *Method, error) {
	r, m, err := s.findMethod(c, in, method, below)
	if err == nil && m == nil {
		err = notFound("Method", "")
	}
	return r, m, err
}

// put replaces a method of a resource.
func (r *resource) put(m *Method) {
	r.methods = maps.Clone(r.methods)
	if r.methods == nil {
		r.methods = make(map[string]*Method)
	}
	r.methods[m.HTTPMethod] = m
}

var verbs = []string{"ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

// PutMethodInput is the input of PutMethod.
type PutMethodInput struct {
	MethodInput
	AuthorizationType   string            `json:"authorizationType"`
	AuthorizerID        string            `json:"authorizerId"`
	APIKeyRequired      bool              `json:"apiKeyRequired"`
	OperationName       string            `json:"operationName"`
	RequestParameters   map[string]bool   `json:"requestParameters"`
	RequestModels       map[string]string `json:"requestModels"`
	RequestValidatorID  string            `json:"requestValidatorId"`
	AuthorizationScopes []string          `json:"authorizationScopes"`
}

// PutMethod adds a method to a resource.
func (s *Service) PutMethod(c *authz.Call, in *PutMethodInput) (*Method, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, m, err := s.findMethod(c, in.MethodInput, http.MethodPut, "")
	if err != nil {
		return nil, err
	}
	switch {
	case m != nil:
		return nil, conflict("Method already exists for this resource")
	case !slices.Contains(verbs, in.HTTPMethod):
		return nil, bad("Invalid HttpMethod specified. Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY")
	case in.AuthorizationType == "CUSTOM" || in.AuthorizationType == "COGNITO_USER_POOLS" || in.AuthorizerID != "" || len(in.AuthorizationScopes) > 0:
		return nil, missing("PutMethod with authorizers")
	case in.AuthorizationType != authorizationNone && in.AuthorizationType != authorizationIAM:
		return nil, bad("Invalid authorization type specified. Valid options are NONE,AWS_IAM,CUSTOM,COGNITO_USER_POOLS")
	case in.APIKeyRequired:
		return nil, missing("PutMethod with apiKeyRequired")
	case in.RequestValidatorID != "" || len(in.RequestModels) > 0:
		return nil, missing("PutMethod with request validation")
	}
	m = &Method{HTTPMethod: in.HTTPMethod, AuthorizationType: in.AuthorizationType, OperationName: in.OperationName, RequestParameters: in.RequestParameters}
	r.put(m)
	return m, nil
}

// GetMethod shows a method with its integration.
func (s *Service) GetMethod(c *authz.Call, in *MethodInput) (*Method, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, m, err := s.method(c, *in, http.MethodGet, "")
	return m, err
}

// DeleteMethod takes a method away.
func (s *Service) DeleteMethod(c *authz.Call, in *MethodInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _, err := s.method(c, *in, http.MethodDelete, "")
	if err != nil {
		return nil, err
	}
	r.methods = maps.Clone(r.methods)
	delete(r.methods, in.HTTPMethod)
	return nil, nil
}

// A MethodResponseInput is the input of PutMethodResponse.
type MethodResponseInput struct {
	MethodInput
	StatusCode         string            `json:"-" path:"status_code"`
	ResponseParameters map[string]bool   `json:"responseParameters"`
	ResponseModels     map[string]string `json:"responseModels"`
}

var statusPattern = regexp.MustCompile(`^[1-5]\d\d$`)

const headerPrefix = "method.response.header."

// PutMethodResponse declares a status that a method answers.
func (s *Service) PutMethodResponse(c *authz.Call, in *MethodResponseInput) (*MethodResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, m, err := s.method(c, in.MethodInput, http.MethodPut, "/responses/"+in.StatusCode)
	if err != nil {
		return nil, err
	}
	if !statusPattern.MatchString(in.StatusCode) {
		return nil, bad("Invalid status code specified: %s", wire.Clip(in.StatusCode))
	}
	if m.Responses[in.StatusCode] != nil {
		return nil, conflict("Response already exists for this resource")
	}
	for name := range in.ResponseParameters {
		if !strings.HasPrefix(name, headerPrefix) {
			return nil, bad("Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression parameter specified: %s]", wire.Clip(name))
		}
	}
	response := &MethodResponse{in.StatusCode, in.ResponseParameters, in.ResponseModels}
	changed := *m
	changed.Responses = added(m.Responses, in.StatusCode, response)
	r.put(&changed)
	return response, nil
}

func added[V any](m map[string]V, key string, value V) map[string]V {
	m = maps.Clone(m)
	if m == nil {
		m = make(map[string]V)
	}
	m[key] = value
	return m
}

// PutIntegrationInput is the input of PutIntegration.
type PutIntegrationInput struct {
	MethodInput
	Type                  string            `json:"type"`
	IntegrationHTTPMethod string            `json:"httpMethod"`
	URI                   string            `json:"uri"`
	ConnectionType        string            `json:"connectionType"`
	ConnectionID          string            `json:"connectionId"`
	Credentials           string            `json:"credentials"`
	RequestParameters     map[string]string `json:"requestParameters"`
	RequestTemplates      map[string]string `json:"requestTemplates"`
	PassthroughBehavior   string            `json:"passthroughBehavior"`
	CacheKeyParameters    []string          `json:"cacheKeyParameters"`
	ContentHandling       string            `json:"contentHandling"`
	TimeoutInMillis       int               `json:"timeoutInMillis"`
	ResponseTransferMode  string            `json:"responseTransferMode"`
}

func (in *PutIntegrationInput) check(c *authz.Call) error {
	switch in.Type {
	case "MOCK":
	case "AWS_PROXY":
		if err := in.checkProxy(c); err != nil {
			return err
		}
	case "AWS", "HTTP", "HTTP_PROXY":
		return missing("PutIntegration of type " + in.Type)
	default:
		return bad("Enumeration value for type is invalid: it must be one of HTTP, AWS, MOCK, HTTP_PROXY, AWS_PROXY")
	}
	switch {
	case in.ConnectionType != "" && in.ConnectionType != "INTERNET" || in.ConnectionID != "":
		return missing("PutIntegration with connections")
	case len(in.CacheKeyParameters) > 0:
		return missing("PutIntegration with caches")
	case len(in.RequestParameters) > 0:
		return missing("PutIntegration with requestParameters")
	case in.ContentHandling != "":
		return missing("PutIntegration with contentHandling")
	case in.ResponseTransferMode == "STREAM":
		return missing("PutIntegration with streamed responses")
	case in.TimeoutInMillis != 0 && (in.TimeoutInMillis < 50 || in.TimeoutInMillis > 29000):
		return bad("Timeout should be between 50 ms and 29000 ms")
	case !slices.Contains([]string{"", "WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER"}, in.PassthroughBehavior):
		return bad("Enumeration value for passthroughBehavior is invalid")
	}
	return checkTemplates(in.RequestTemplates)
}

// PutIntegration says who answers a method. What was set before is replaced,
// its responses included.
func (s *Service) PutIntegration(c *authz.Call, in *PutIntegrationInput) (*Integration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, m, err := s.method(c, in.MethodInput, http.MethodPut, "/integration")
	if err != nil {
		return nil, err
	}
	integration, err := in.make(c)
	if err != nil {
		return nil, err
	}
	changed := *m
	changed.Integration = integration
	r.put(&changed)
	return integration, nil
}

// make checks an integration and makes it.
func (in *PutIntegrationInput) make(c *authz.Call) (*Integration, error) {
	if err := in.check(c); err != nil {
		return nil, err
	}
	integration := &Integration{Type: in.Type, HTTPMethod: in.IntegrationHTTPMethod, URI: in.URI, Credentials: in.Credentials, RequestTemplates: in.RequestTemplates, PassthroughBehavior: in.PassthroughBehavior, TimeoutInMillis: in.TimeoutInMillis}
	if integration.PassthroughBehavior == "" {
		integration.PassthroughBehavior = "WHEN_NO_MATCH"
	}
	if integration.TimeoutInMillis == 0 {
		integration.TimeoutInMillis = 29000
	}
	return integration, nil
}

// GetIntegration shows who answers a method.
func (s *Service) GetIntegration(c *authz.Call, in *MethodInput) (*Integration, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, m, err := s.method(c, *in, http.MethodGet, "/integration")
	if err != nil {
		return nil, err
	}
	if m.Integration == nil {
		return nil, notFound("Integration", "")
	}
	return m.Integration, nil
}

// An IntegrationResponseInput is the input of PutIntegrationResponse.
type IntegrationResponseInput struct {
	MethodInput
	StatusCode         string            `json:"-" path:"status_code"`
	SelectionPattern   string            `json:"selectionPattern"`
	ResponseParameters map[string]string `json:"responseParameters"`
	ResponseTemplates  map[string]string `json:"responseTemplates"`
	ContentHandling    string            `json:"contentHandling"`
}

// check checks the response against what its method declares.
func (in *IntegrationResponseInput) check(declared *MethodResponse) error {
	if declared == nil {
		return notFound("Response status code", "")
	}
	if in.ContentHandling != "" {
		return missing("PutIntegrationResponse with contentHandling")
	}
	if _, err := regexp.Compile(in.SelectionPattern); err != nil {
		return bad("Invalid selection pattern specified: %s", wire.Clip(in.SelectionPattern))
	}
	for _, name := range sortedKeys(in.ResponseParameters) {
		if _, ok := declared.ResponseParameters[name]; !ok {
			return bad("Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression parameter specified: %s]", wire.Clip(name))
		}
		if _, ok := literal(in.ResponseParameters[name]); !ok {
			return missing("PutIntegrationResponse with headers that are not fixed values")
		}
	}
	return checkTemplates(in.ResponseTemplates)
}

func (in *IntegrationResponseInput) make() *IntegrationResponse {
	return &IntegrationResponse{in.StatusCode, in.SelectionPattern, in.ResponseParameters, in.ResponseTemplates}
}

// literal returns a fixed value of a header, which is written in quotes.
func literal(s string) (string, bool) {
	if len(s) < 2 || s[0] != '\'' || s[len(s)-1] != '\'' || strings.ContainsAny(s, "\r\n") {
		return "", false
	}
	return s[1 : len(s)-1], true
}

// PutIntegrationResponse says what becomes of an integration's answer.
func (s *Service) PutIntegrationResponse(c *authz.Call, in *IntegrationResponseInput) (*IntegrationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, m, err := s.method(c, in.MethodInput, http.MethodPut, "/integration/responses/"+in.StatusCode)
	if err != nil {
		return nil, err
	}
	if m.Integration == nil {
		return nil, notFound("Integration", "")
	}
	if err := in.check(m.Responses[in.StatusCode]); err != nil {
		return nil, err
	}
	response := in.make()
	changed, integration := *m, *m.Integration
	integration.Responses = added(integration.Responses, in.StatusCode, response)
	changed.Integration = &integration
	r.put(&changed)
	return response, nil
}

// status returns the number of a status, which statusPattern has seen.
func (r *IntegrationResponse) status() int {
	n, err := strconv.Atoi(r.StatusCode)
	if err != nil {
		return http.StatusInternalServerError
	}
	return n
}

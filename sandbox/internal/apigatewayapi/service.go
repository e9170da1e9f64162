// Package apigatewayapi is the sandbox's API Gateway: REST APIs whose methods
// need no authorization or IAM's, resource policies that take effect with a
// deployment, and deployed stages that really answer.
//
// Two services share it. The one called apigateway makes APIs; execute-api is
// the one that clients of the APIs talk to, see [Service.Find].
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-rest-api.html
package apigatewayapi

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/restjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A Service is the API Gateway of all accounts and regions of a sandbox. It is
// safe for concurrent use.
type Service struct {
	directory *directory.Directory
	functions Functions
	random    io.Reader

	mu   sync.RWMutex
	apis map[string]*api // by id, which no two accounts or regions share
}

type place struct {
	account iam.AccountID
	region  string
}

// An api is a REST API as it is being worked on. What clients see are its
// stages, which show snapshots.
type api struct {
	place
	partition   string
	id          string
	name        string
	description string
	version     string
	created     time.Time
	endpoint    Endpoint
	policy      *directory.Document // nil if there is none; not in force before it is deployed
	tags        []directory.Tag
	root        string
	resources   map[string]*resource
	deployments map[string]*deployment
	stages      map[string]*stage
}

// New returns a service without APIs. Random must be safe for concurrent use.
func New(d *directory.Directory, functions Functions, random io.Reader) *Service {
	return &Service{directory: d, functions: functions, random: random, apis: make(map[string]*api)}
}

// ServeAPI answers one request of the control plane whose signature the sandbox
// has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(s, w, r, c)
}

// Operations lists all operations of API Gateway that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

var table = restjson.Table[*Service]{
	Service: "apigateway",
	Operations: append([]restjson.Operation[*Service]{
		restjson.Real("CreateDeployment", "no caches, canaries or tracing", "POST /restapis/{restapi_id}/deployments", 201, (*Service).CreateDeployment),
		restjson.Real("CreateResource", "", "POST /restapis/{restapi_id}/resources/{parent_id}", 201, (*Service).CreateResource),
		restjson.Real("CreateRestApi", "edge-optimized and regional endpoints, not private ones", "POST /restapis", 201, (*Service).CreateRestAPI),
		restjson.Real("CreateStage", "no caches, canaries or tracing", "POST /restapis/{restapi_id}/stages", 201, (*Service).CreateStage),
		restjson.Real("DeleteDeployment", "", "DELETE /restapis/{restapi_id}/deployments/{deployment_id}", 202, (*Service).DeleteDeployment),
		restjson.Real("DeleteMethod", "", "DELETE /restapis/{restapi_id}/resources/{resource_id}/methods/{http_method}", 204, (*Service).DeleteMethod),
		restjson.Real("DeleteResource", "", "DELETE /restapis/{restapi_id}/resources/{resource_id}", 202, (*Service).DeleteResource),
		restjson.Real("DeleteRestApi", "", "DELETE /restapis/{restapi_id}", 202, (*Service).DeleteRestAPI),
		restjson.Real("DeleteStage", "", "DELETE /restapis/{restapi_id}/stages/{stage_name}", 202, (*Service).DeleteStage),
		restjson.Real("GetDeployment", "", "GET /restapis/{restapi_id}/deployments/{deployment_id}", 200, (*Service).GetDeployment),
		restjson.Real("GetDeployments", "", "GET /restapis/{restapi_id}/deployments", 200, (*Service).GetDeployments),
		restjson.Real("GetIntegration", "", "GET /restapis/{restapi_id}/resources/{resource_id}/methods/{http_method}/integration", 200, (*Service).GetIntegration),
		restjson.Real("GetMethod", "", "GET /restapis/{restapi_id}/resources/{resource_id}/methods/{http_method}", 200, (*Service).GetMethod),
		restjson.Real("GetResource", "", "GET /restapis/{restapi_id}/resources/{resource_id}", 200, (*Service).GetResource),
		restjson.Real("GetResources", "", "GET /restapis/{restapi_id}/resources", 200, (*Service).GetResources),
		restjson.Real("GetRestApi", "", "GET /restapis/{restapi_id}", 200, (*Service).GetRestAPI),
		restjson.Real("GetRestApis", "", "GET /restapis", 200, (*Service).GetRestAPIs),
		restjson.Real("GetStage", "", "GET /restapis/{restapi_id}/stages/{stage_name}", 200, (*Service).GetStage),
		restjson.Real("GetStages", "", "GET /restapis/{restapi_id}/stages", 200, (*Service).GetStages),
		restjson.Real("GetTags", "of APIs and stages", "GET /tags/{resource_arn}", 200, (*Service).GetTags),
		restjson.Real("PutIntegration", "MOCK, and AWS_PROXY with functions", "PUT /restapis/{restapi_id}/resources/{resource_id}/methods/{http_method}/integration", 201, (*Service).PutIntegration),
		restjson.Real("PutIntegrationResponse", "templates may hold variables, no directives; headers have fixed values", "PUT /restapis/{restapi_id}/resources/{resource_id}/methods/{http_method}/integration/responses/{status_code}", 201, (*Service).PutIntegrationResponse),
		restjson.Real("PutMethod", "authorization NONE and AWS_IAM; no API keys, no request validation", "PUT /restapis/{restapi_id}/resources/{resource_id}/methods/{http_method}", 201, (*Service).PutMethod),
		restjson.Real("PutMethodResponse", "models have no effect, as in AWS", "PUT /restapis/{restapi_id}/resources/{resource_id}/methods/{http_method}/responses/{status_code}", 201, (*Service).PutMethodResponse),
		restjson.Real("PutRestApi", "mode overwrite, of resources and methods; OpenAPI 3.0 or Swagger 2.0 in JSON, with awsSigv4 or no security", "PUT /restapis/{restapi_id}", 200, (*Service).PutRestAPI),
		restjson.Real("TagResource", "APIs and stages", "PUT /tags/{resource_arn}", 204, (*Service).TagResource),
		restjson.Real("UntagResource", "APIs and stages", "DELETE /tags/{resource_arn}", 204, (*Service).UntagResource),
		restjson.Real("UpdateRestApi", "/name, /description, /version and /policy", "PATCH /restapis/{restapi_id}", 200, (*Service).UpdateRestAPI),
		restjson.Real("UpdateStage", "/deploymentId, /description and /variables", "PATCH /restapis/{restapi_id}/stages/{stage_name}", 200, (*Service).UpdateStage),
	}, restjson.Missing[*Service](`CreateApiKey CreateAuthorizer CreateBasePathMapping CreateDocumentationPart
		CreateDocumentationVersion CreateDomainName CreateDomainNameAccessAssociation CreateModel CreateRequestValidator
		CreateUsagePlan CreateUsagePlanKey CreateVpcLink DeleteApiKey DeleteAuthorizer DeleteBasePathMapping
		DeleteClientCertificate DeleteDocumentationPart DeleteDocumentationVersion DeleteDomainName
		DeleteDomainNameAccessAssociation DeleteGatewayResponse DeleteIntegration DeleteIntegrationResponse
		DeleteMethodResponse DeleteModel DeleteRequestValidator DeleteUsagePlan DeleteUsagePlanKey DeleteVpcLink
		FlushStageAuthorizersCache FlushStageCache GenerateClientCertificate GetAccount GetApiKey GetApiKeys GetAuthorizer
		GetAuthorizers GetBasePathMapping GetBasePathMappings GetClientCertificate GetClientCertificates
		GetDocumentationPart GetDocumentationParts GetDocumentationVersion GetDocumentationVersions GetDomainName
		GetDomainNameAccessAssociations GetDomainNames GetExport GetGatewayResponse GetGatewayResponses
		GetIntegrationResponse GetMethodResponse GetModel GetModelTemplate GetModels GetRequestValidator
		GetRequestValidators GetSdk GetSdkType GetSdkTypes GetUsage GetUsagePlan GetUsagePlanKey GetUsagePlanKeys
		GetUsagePlans GetVpcLink GetVpcLinks ImportApiKeys ImportDocumentationParts ImportRestApi PutGatewayResponse
		RejectDomainNameAccessAssociation TestInvokeAuthorizer TestInvokeMethod UpdateAccount UpdateApiKey
		UpdateAuthorizer UpdateBasePathMapping UpdateClientCertificate UpdateDeployment UpdateDocumentationPart
		UpdateDocumentationVersion UpdateDomainName UpdateGatewayResponse UpdateIntegration UpdateIntegrationResponse
		UpdateMethod UpdateMethodResponse UpdateModel UpdateRequestValidator UpdateResource UpdateUsage UpdateUsagePlan
		UpdateVpcLink`)...),
}

// ARN returns the ARN of a path of the control plane: "/restapis/a1b2c3".
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html
func ARN(region, path string) string {
	partition := "aws"
	if p, ok := iam.PartitionOfRegion(region); ok {
		partition = p.ID
	}
	return "arn:" + partition + ":apigateway:" + region + "::" + path
}

// authorize asks for an HTTP method on a path of the control plane, which is
// how API Gateway names its permissions.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-iam-policy-examples.html
func authorize(c *authz.Call, method, path string, tags, requestTags []directory.Tag) error {
	return c.Authorize(authz.Query{
		Action: "apigateway:" + method, Resource: ARN(c.Region, path), ResourceAccount: c.Account(),
		ResourceTags: tags, RequestTags: requestTags,
	})
}

// authorizeTagging asks for what else a request needs that tags something new.
func authorizeTagging(c *authz.Call, path string, tags []directory.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	return authorize(c, http.MethodPut, "/tags/"+url.PathEscape(ARN(c.Region, path)), nil, tags)
}

// An APIInput names an API.
type APIInput struct {
	RestAPIID string `json:"-" path:"restapi_id"`
}

// find returns the caller's API after authorising a method on a path below it:
// "/stages". One that does not exist is reported only to those who might have
// used it. The caller holds the lock.
func (s *Service) find(c *authz.Call, id, method, below string, requestTags []directory.Tag) (*api, error) {
	a := s.apis[id]
	if a != nil && a.place != (place{c.Account(), c.Region}) {
		a = nil
	}
	var tags []directory.Tag
	if a != nil {
		tags = a.tags
	}
	if err := authorize(c, method, "/restapis/"+id+below, tags, requestTags); err != nil {
		return nil, err
	}
	if a == nil {
		return nil, notFound("API", string(c.Account())+":"+wire.Clip(id))
	}
	return a, nil
}

func notFound(what, id string) error {
	if id != "" {
		id = " " + id
	}
	return wire.Errorf(http.StatusNotFound, "NotFoundException", "Invalid %s identifier specified%s", what, id)
}

func bad(format string, args ...any) error {
	return wire.BadRequest("BadRequestException", format, args...)
}

func conflict(format string, args ...any) error {
	return wire.Errorf(http.StatusConflict, "ConflictException", format, args...)
}

func missing(what string) error { return wire.NotImplemented("apigateway", what) }

const idAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// newID returns n random letters and digits.
func (s *Service) newID(n int) string {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.random, b); err != nil {
		panic(fmt.Sprintf("apigatewayapi: reading randomness: %v", err)) // ids would collide
	}
	for i := range b {
		b[i] = idAlphabet[int(b[i])%len(idAlphabet)]
	}
	return string(b)
}

// Overview shows the APIs and their stages.
func (s *Service) Overview() []overview.Section {
	s.mu.RLock()
	defer s.mu.RUnlock()
	section := overview.Section{Title: "REST APIs", Columns: []string{"API", "Name", "Account", "Region", "Stages"}}
	for _, a := range s.apis {
		section.Rows = append(section.Rows, []string{a.id, a.name, string(a.account), a.region, strings.Join(sortedKeys(a.stages), ", ")})
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}

package cfnapi

import (
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/apigatewayapi"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// apiTypes returns the types of AWS::ApiGateway.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGateway.html
func apiTypes(apis *apigatewayapi.Service) []resourceType {
	t := apiResources{apis}
	types := []resourceType{
		{
			name: "AWS::ApiGateway::RestApi", tagged: true,
			properties: map[string]property{
				"Body":        {kind: documentValue},
				"Description": {},
				"EndpointConfiguration": {kind: objectValue, fields: map[string]property{
					"IpAddressType": {unsupported: true}, "Types": {kind: textList}, "VpcEndpointIds": {kind: textList},
				}},
				"Name":   {},
				"Policy": {kind: documentValue},
				"Tags":   tagsProperty,
			},
			attributes: []string{"RestApiId", "RootResourceId"},
			create:     t.createAPI, update: t.updateAPI, delete: t.deleteAPI,
		},
		{
			name: "AWS::ApiGateway::Resource",
			properties: map[string]property{
				"ParentId":  {required: true, replaces: true},
				"PathPart":  {required: true, replaces: true},
				"RestApiId": {required: true, replaces: true},
			},
			attributes: []string{"ResourceId"},
			create:     t.createResource, update: func(*job) error { return nil }, delete: t.deleteResource,
		},
		{
			name: "AWS::ApiGateway::Method",
			properties: map[string]property{
				"ApiKeyRequired":    {kind: boolValue},
				"AuthorizationType": {required: true},
				"HttpMethod":        {required: true, replaces: true},
				"Integration": {kind: objectValue, fields: map[string]property{
					"Credentials": {}, "IntegrationHttpMethod": {}, "PassthroughBehavior": {}, "RequestTemplates": {kind: anyObject},
					"TimeoutInMillis": {kind: numberValue}, "Type": {required: true}, "Uri": {},
					"CacheKeyParameters": {unsupported: true}, "CacheNamespace": {unsupported: true}, "ConnectionId": {unsupported: true},
					"ConnectionType": {unsupported: true}, "ContentHandling": {unsupported: true}, "RequestParameters": {unsupported: true},
					"IntegrationResponses": {kind: objectList, fields: map[string]property{
						"ContentHandling": {unsupported: true}, "ResponseParameters": {kind: anyObject}, "ResponseTemplates": {kind: anyObject},
						"SelectionPattern": {}, "StatusCode": {required: true},
					}},
				}},
				"MethodResponses": {kind: objectList, fields: map[string]property{
					"ResponseModels": {kind: anyObject}, "ResponseParameters": {kind: anyObject}, "StatusCode": {required: true},
				}},
				"OperationName":     {},
				"RequestParameters": {kind: anyObject},
				"ResourceId":        {required: true, replaces: true},
				"RestApiId":         {required: true, replaces: true},
			},
			create: t.createMethod, update: t.updateMethod, delete: t.deleteMethod,
		},
		{
			name: "AWS::ApiGateway::Deployment",
			properties: map[string]property{
				"Description": {replaces: true}, // AWS changes it in place
				"RestApiId":   {required: true, replaces: true},
				"StageName":   {replaces: true}, // AWS makes another stage and keeps the deployment
			},
			attributes: []string{"DeploymentId"},
			create:     t.createDeployment, update: func(*job) error { return nil }, delete: t.deleteDeployment,
		},
		{
			name: "AWS::ApiGateway::Stage", tagged: true,
			properties: map[string]property{
				"DeploymentId": {required: true},
				"Description":  {},
				"RestApiId":    {required: true, replaces: true},
				"StageName":    {required: true, replaces: true},
				"Tags":         tagsProperty,
				"Variables":    {kind: anyObject},
			},
			create: t.createStage, update: t.updateStage, delete: t.deleteStage,
		},
	}
	for i, names := range []string{
		"ApiKeySourceType BinaryMediaTypes BodyS3Location CloneFrom DisableExecuteApiEndpoint EndpointAccessMode FailOnWarnings MinimumCompressionSize Mode Parameters SecurityPolicy",
		"",
		"AuthorizationScopes AuthorizerId RequestModels RequestValidatorId",
		"DeploymentCanarySettings StageDescription",
		"AccessLogSetting CacheClusterEnabled CacheClusterSize CanarySetting ClientCertificateId DocumentationVersion MethodSettings TracingEnabled",
	} {
		for name := range setOf(names) {
			types[i].properties[name] = property{unsupported: true}
		}
	}
	return types
}

// apiResources does the work of the AWS::ApiGateway types.
type apiResources struct{ apis *apigatewayapi.Service }

func (j *job) api() apigatewayapi.APIInput {
	return apigatewayapi.APIInput{RestAPIID: j.text("RestApiId")}
}

func (t apiResources) createAPI(j *job) error {
	in := &apigatewayapi.CreateRestAPIInput{
		Name: j.nameOrNew("Name", 128), Description: j.text("Description"), Policy: document(j.properties, "Policy"), Tags: tagMap(j.tags),
	}
	if e := j.properties.Get("EndpointConfiguration"); e != nil {
		in.EndpointConfiguration = &apigatewayapi.Endpoint{Types: list(e, "Types"), VPCEndpointIDs: list(e, "VpcEndpointIds")}
	}
	out, err := t.apis.CreateRestAPI(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = out.ID
	j.attributes["RestApiId"], j.attributes["RootResourceId"] = out.ID, out.RootResourceID
	return t.putBody(j)
}

// putBody gives an API the methods of its OpenAPI document. Without one they are
// resources of their own.
func (t apiResources) putBody(j *job) error {
	body := document(j.properties, "Body")
	if body == "" || !j.changed("Body") {
		return nil
	}
	_, err := t.apis.PutRestAPI(j.call, &apigatewayapi.PutRestAPIInput{APIInput: apigatewayapi.APIInput{RestAPIID: j.physicalID}, Mode: "overwrite", Body: []byte(body)})
	return err
}

func (t apiResources) updateAPI(j *job) error {
	in := &apigatewayapi.UpdateRestAPIInput{APIInput: apigatewayapi.APIInput{RestAPIID: j.physicalID}}
	patch := func(property, path, value string) {
		if !j.changed(property) {
			return
		}
		in.PatchOperations = append(in.PatchOperations, apigatewayapi.PatchOperation{Op: "replace", Path: path, Value: value})
	}
	if j.text("Name") != "" {
		patch("Name", "/name", j.text("Name"))
	}
	patch("Description", "/description", j.text("Description"))
	patch("Policy", "/policy", document(j.properties, "Policy"))
	patch("EndpointConfiguration", "/endpointConfiguration", "") // which answers that it cannot be changed here
	if len(in.PatchOperations) > 0 {
		if _, err := t.apis.UpdateRestAPI(j.call, in); err != nil {
			return err
		}
	}
	if err := t.putBody(j); err != nil {
		return err
	}
	return t.tag(j, "/restapis/"+j.physicalID)
}

// tag changes the tags of what a path of API Gateway names.
func (t apiResources) tag(j *job, path string) error {
	in := &apigatewayapi.TagInput{ResourceARN: apigatewayapi.ARN(j.call.Region, path)}
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		in.TagKeys = remove
		if _, err := t.apis.UntagResource(j.call, in); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		in.Tags = tagMap(set)
		if _, err := t.apis.TagResource(j.call, in); err != nil {
			return err
		}
	}
	return nil
}

func (t apiResources) deleteAPI(j *job) error {
	_, err := t.apis.DeleteRestAPI(j.call, &apigatewayapi.APIInput{RestAPIID: j.physicalID})
	return unlessGone(err)
}

func (t apiResources) createResource(j *job) error {
	out, err := t.apis.CreateResource(j.call, &apigatewayapi.CreateResourceInput{APIInput: j.api(), ParentID: j.text("ParentId"), PathPart: j.text("PathPart")})
	if err != nil {
		return err
	}
	j.physicalID = out.ID
	j.attributes["ResourceId"] = out.ID
	return nil
}

func (t apiResources) deleteResource(j *job) error {
	_, err := t.apis.DeleteResource(j.call, &apigatewayapi.ResourceInput{APIInput: j.api(), ResourceID: j.physicalID})
	return unlessGone(err)
}

func (j *job) method() apigatewayapi.MethodInput {
	return apigatewayapi.MethodInput{APIInput: j.api(), ResourceID: j.text("ResourceId"), HTTPMethod: j.text("HttpMethod")}
}

func (t apiResources) createMethod(j *job) error {
	_, err := t.apis.PutMethod(j.call, &apigatewayapi.PutMethodInput{
		MethodInput: j.method(), AuthorizationType: j.text("AuthorizationType"), APIKeyRequired: j.text("ApiKeyRequired") == "true",
		OperationName: j.text("OperationName"), RequestParameters: switches(j.properties.Get("RequestParameters")),
	})
	if err != nil {
		return err
	}
	j.physicalID = j.newName(60)
	for _, n := range items(j.properties, "MethodResponses") {
		if _, err := t.apis.PutMethodResponse(j.call, &apigatewayapi.MethodResponseInput{
			MethodInput: j.method(), StatusCode: textOf(n, "StatusCode"),
			ResponseParameters: switches(n.Get("ResponseParameters")), ResponseModels: texts(n.Get("ResponseModels")),
		}); err != nil {
			return err
		}
	}
	integration := j.properties.Get("Integration")
	if integration == nil {
		return nil
	}
	return t.integrate(j, integration)
}

func (t apiResources) integrate(j *job, n *cfn.Node) error {
	in := &apigatewayapi.PutIntegrationInput{
		MethodInput: j.method(), Type: textOf(n, "Type"), IntegrationHTTPMethod: textOf(n, "IntegrationHttpMethod"), URI: textOf(n, "Uri"),
		Credentials: textOf(n, "Credentials"), RequestTemplates: texts(n.Get("RequestTemplates")), PassthroughBehavior: textOf(n, "PassthroughBehavior"),
	}
	if timeout := (&job{properties: n}).number("TimeoutInMillis"); timeout != nil {
		in.TimeoutInMillis = *timeout
	}
	if _, err := t.apis.PutIntegration(j.call, in); err != nil {
		return err
	}
	for _, response := range items(n, "IntegrationResponses") {
		if _, err := t.apis.PutIntegrationResponse(j.call, &apigatewayapi.IntegrationResponseInput{
			MethodInput: j.method(), StatusCode: textOf(response, "StatusCode"), SelectionPattern: textOf(response, "SelectionPattern"),
			ResponseParameters: texts(response.Get("ResponseParameters")), ResponseTemplates: texts(response.Get("ResponseTemplates")),
		}); err != nil {
			return err
		}
	}
	return nil
}

// items returns the objects of a list.
func items(n *cfn.Node, name string) []*cfn.Node {
	if v := n.Get(name); v != nil {
		return v.Items
	}
	return nil
}

// texts returns a map of single values.
func texts(n *cfn.Node) map[string]string {
	if n == nil {
		return nil
	}
	m := make(map[string]string)
	for _, e := range n.Entries {
		m[e.Key] = e.Value.Text
	}
	return m
}

// switches returns a map of booleans.
func switches(n *cfn.Node) map[string]bool {
	if n == nil {
		return nil
	}
	m := make(map[string]bool)
	for _, e := range n.Entries {
		m[e.Key] = e.Value.Text == "true"
	}
	return m
}

// updateMethod makes the method anew. Clients do not notice: they see the
// deployment.
func (t apiResources) updateMethod(j *job) error {
	id := j.physicalID
	if err := t.deleteMethod(j); err != nil {
		return err
	}
	err := t.createMethod(j)
	j.physicalID = id
	return err
}

func (t apiResources) deleteMethod(j *job) error {
	in := j.method()
	_, err := t.apis.DeleteMethod(j.call, &in)
	return unlessGone(err)
}

func (t apiResources) createDeployment(j *job) error {
	out, err := t.apis.CreateDeployment(j.call, &apigatewayapi.CreateDeploymentInput{APIInput: j.api(), Description: j.text("Description"), StageName: j.text("StageName")})
	if err != nil {
		return err
	}
	j.physicalID = out.ID
	j.attributes["DeploymentId"] = out.ID
	return nil
}

// deleteDeployment deletes a deployment, and the stage that was made with it if
// it shows no other deployment since.
func (t apiResources) deleteDeployment(j *job) error {
	if name := j.text("StageName"); name != "" {
		shown, err := t.apis.GetStages(j.call, &apigatewayapi.GetStagesInput{APIInput: j.api(), DeploymentID: j.physicalID})
		if err := unlessGone(err); err != nil {
			return err
		}
		if err == nil && slices.ContainsFunc(shown.Items, func(s *apigatewayapi.Stage) bool { return s.StageName == name }) {
			if _, err := t.apis.DeleteStage(j.call, j.stage()); unlessGone(err) != nil {
				return err
			}
		}
	}
	_, err := t.apis.DeleteDeployment(j.call, &apigatewayapi.DeploymentInput{APIInput: j.api(), DeploymentID: j.physicalID})
	return unlessGone(err)
}

func (j *job) stage() *apigatewayapi.StageInput {
	return &apigatewayapi.StageInput{APIInput: j.api(), StageName: j.text("StageName")}
}

func (t apiResources) createStage(j *job) error {
	_, err := t.apis.CreateStage(j.call, &apigatewayapi.CreateStageInput{
		APIInput: j.api(), StageName: j.text("StageName"), DeploymentID: j.text("DeploymentId"), Description: j.text("Description"),
		Variables: texts(j.properties.Get("Variables")), Tags: tagMap(j.tags),
	})
	if err != nil {
		return err
	}
	j.physicalID = j.text("StageName")
	return nil
}

func (t apiResources) updateStage(j *job) error {
	in := &apigatewayapi.UpdateStageInput{StageInput: *j.stage()}
	add := func(op, path, value string) {
		in.PatchOperations = append(in.PatchOperations, apigatewayapi.PatchOperation{Op: op, Path: path, Value: value})
	}
	if j.changed("DeploymentId") {
		add("replace", "/deploymentId", j.text("DeploymentId"))
	}
	if j.changed("Description") {
		add("replace", "/description", j.text("Description"))
	}
	before, after := texts(j.old.Get("Variables")), texts(j.properties.Get("Variables"))
	for _, name := range sortedKeys(before) {
		if _, still := after[name]; !still {
			add("remove", "/variables/"+name, "")
		}
	}
	for _, name := range sortedKeys(after) {
		if value, had := before[name]; !had || value != after[name] {
			add("replace", "/variables/"+name, after[name])
		}
	}
	if len(in.PatchOperations) > 0 {
		if _, err := t.apis.UpdateStage(j.call, in); err != nil {
			return err
		}
	}
	return t.tag(j, "/restapis/"+j.text("RestApiId")+"/stages/"+j.text("StageName"))
}

func (t apiResources) deleteStage(j *job) error {
	_, err := t.apis.DeleteStage(j.call, j.stage())
	return unlessGone(err)
}

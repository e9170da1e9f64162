package grant

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// readMethods are the methods that change nothing.
var readMethods = []string{"GET", "HEAD"}

// restAPI is the kind of API Gateway REST APIs with IAM authorization. The
// policy of an API takes effect with the next deployment of its stage, so every
// change of the policy comes with one.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies.html
func restAPI() *kind {
	k := apiKind()
	k.name, k.title = "rest-api", "REST API"
	k.page = "https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html"
	k.trust = "matched"
	k.policy = &policyType{
		service: "execute-api", property: "Policy", local: localAPI,
		terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
			return template.Block{Type: "aws_api_gateway_rest_api_policy", Arguments: template.Object{{Key: "rest_api_id", Value: i.id}, {Key: "policy", Value: p}}}
		},
		put: func(i *instance, _ string) []string {
			return []string{"aws", "apigateway", "update-rest-api", "--rest-api-id", i.id, "--patch-operations", documentFile}
		},
		remove: func(i *instance, _ string) []string {
			return []string{"aws", "apigateway", "update-rest-api", "--rest-api-id", i.id, "--patch-operations", "op=remove,path=/policy"}
		},
		wrap: apiPatch,
		then: func(i *instance) [][]string {
			var all [][]string
			for _, stage := range i.apiStages {
				all = append(all, []string{"aws", "apigateway", "create-deployment", "--rest-api-id", i.id, "--stage-name", stage})
			}
			return all
		},
		base: preflight,
	}
	k.create = &createType{
		cloudFormation: "AWS::ApiGateway::RestApi", nameProperty: "Name", idAttribute: "Ref",
		policies: []string{"Policy", "Body.x-amazon-apigateway-policy"},
		also:     deployAPI,
	}
	k.caveats = append([]string{
		"The policy takes effect with a new deployment of the API's stage; the plan makes one whenever the policy changes.",
		"The methods need authorization AWS_IAM. Unsigned requests are answered with 403 Missing Authentication Token, and so are unknown paths.",
		"Integrations with credentials arn:aws:iam::*:user/* call the backend as the caller, who then needs permissions there as well.",
		"The policy of an API that is created here uses the short form execute-api:/…, which AWS shows as a full ARN: tools that look for drift may report it.",
		"Browsers send preflight requests (OPTIONS) without credentials: cors: true lets them through.",
	}, k.caveats...)
	return k
}

// httpAPI is the kind of API Gateway HTTP APIs, which have no resource policy:
// others come in through a role.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control-iam.html
func httpAPI() *kind {
	k := apiKind()
	k.name, k.title = "http-api", "HTTP API"
	k.page = "https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control-iam.html"
	k.caveats = append([]string{"HTTP APIs have no resource policy, so consumers assume a role in the API's account."}, k.caveats...)
	return k
}

// apiKind is what both kinds of APIs have in common.
func apiKind() *kind {
	invoke := func(word, doc string, readOnly bool, methods ...string) access {
		a := access{word: word, doc: doc, readOnly: readOnly, methods: methods}
		a.rights = []right{{sid: "InvokeAPI", actions: []string{"execute-api:Invoke"}, on: func(i *instance, n *Narrowing) []string {
			if len(n.Methods) > 0 {
				return apiResources(i, n, a.methodsIn(n.Methods))
			}
			return apiResources(i, n, methods)
		}}}
		return a
	}
	return &kind{
		service: "execute-api", needsID: true,
		arn: func(i *instance) string {
			return "arn:" + i.site.Partition + ":execute-api:" + i.site.Region + ":" + i.site.ID + ":" + i.id
		},
		accesses: []access{
			invoke("read", "call GET and HEAD methods", true, readMethods...),
			invoke("write", "call POST, PUT, PATCH and DELETE methods", false, "POST", "PUT", "PATCH", "DELETE"),
			invoke("invoke", "call all methods", false, "*"),
		},
		narrowing: []string{"methods", "paths", "api_stages", "vpc_endpoints"},
		near: func(i *instance, resource string) []string {
			parts := strings.SplitN(strings.TrimPrefix(resource, i.arn+"/"), "/", 3)
			if len(parts) < 3 {
				return nil
			}
			return []string{
				i.arn + "/" + parts[0] + "-other/" + parts[1] + "/" + parts[2],
				i.arn + "/" + parts[0] + "/POST/" + parts[2],
				i.arn + "/" + parts[0] + "/DELETE/" + parts[2],
				i.arn + "/" + parts[0] + "/" + parts[1] + "/other/" + parts[2],
			}
		},
		roleNames: func(e *edge) string {
			if e.readOnly() {
				return "readonly-invoke-{stage}-{app}-by-{consumer}-{consumer_stage}"
			}
			return "invoke-{stage}-{app}-by-{consumer}-{consumer_stage}"
		},
		caveats: []string{
			"Requests are signed with SigV4 for the service execute-api, with the API's region.",
			"A read-only role that the whole account may assume is a deliberate choice (trust: account); its own account then decides who uses it.",
		},
	}
}

func apiResources(i *instance, n *Narrowing, methods []string) []string {
	paths := n.Paths
	if len(paths) == 0 {
		paths = []string{"*"}
	}
	var all []string
	for _, stage := range i.stagesOfAPI(n) {
		for _, method := range methods {
			for _, path := range paths {
				all = append(all, i.arn+"/"+stage+"/"+method+"/"+strings.TrimPrefix(path, "/"))
			}
		}
	}
	return all
}

func (i *instance) stagesOfAPI(n *Narrowing) []string {
	if len(n.APIStages) > 0 {
		return n.APIStages
	}
	return []string{i.stage}
}

// localAPI is how the policy of an API names the API itself. The policy of one
// that is being created cannot refer to it, and the id of one that is found
// elsewhere is not known when the policy is written.
func localAPI(i *instance, arn string) string {
	if i.created() || i.decl.IDFrom != nil {
		return "execute-api:" + strings.TrimPrefix(arn, i.arn)
	}
	return arn
}

// preflight lets browsers ask what they may send. They do so without
// credentials, so it is for everybody and for the method OPTIONS alone.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-cors.html
func preflight(i *instance) []iam.Statement {
	if !i.decl.CORS {
		return nil
	}
	var resources []string
	for _, stage := range i.apiStages {
		resources = append(resources, localAPI(i, i.arn+"/"+stage+"/OPTIONS/*"))
	}
	return []iam.Statement{{Sid: "AllowPreflight", Effect: iam.Allow, Principal: &iam.Principals{All: true}, Action: []string{"execute-api:Invoke"}, Resource: resources}}
}

// apiPatch is the document of update-rest-api: API Gateway takes a policy as the
// text of one property.
func apiPatch(p *iam.Policy) ([]byte, error) {
	text, err := p.MarshalJSON()
	if err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent([]map[string]string{{"op": "replace", "path": "/policy", "value": string(text)}}, "", "  ")
	return append(data, '\n'), err
}

// deployAPI makes the deployment and the stages of an API. The deployment's id
// changes with everything that must be deployed, because CloudFormation deploys
// nothing again that it deployed before.
func deployAPI(b *builder, i *instance, api *template.Generic) []*unit {
	checkMethods(b, i)
	id := unitValue(i.unitKey(), "Id")
	deployment := &unit{key: i.unitKey() + "/deployment", id: camel(i.name, "Deployment", hash(jsonText(api.Properties))[:8]), site: i.site, stage: i.stage, phase: phasePolicies, path: i.path,
		kind: &template.Generic{TypeName: "AWS::ApiGateway::Deployment", Properties: template.Object{{Key: "RestApiId", Value: id}}, Attributes: map[string]string{"Id": "Ref"}}}
	all := []*unit{deployment}
	for _, stage := range i.apiStages {
		all = append(all, &unit{key: i.unitKey() + "/stage/" + stage, id: camel(i.name, "Stage", stage), site: i.site, stage: i.stage, phase: phasePolicies, path: i.path,
			kind: &template.Generic{TypeName: "AWS::ApiGateway::Stage", Properties: template.Object{
				{Key: "RestApiId", Value: id}, {Key: "DeploymentId", Value: unitValue(deployment.key, "Id")}, {Key: "StageName", Value: stage},
				{Key: "Tags", Value: tagList(b.tags(b.ownerOf(i), i.app, i.stage, nil))},
			}}})
	}
	return all
}

// callerCredentials in an integration make API Gateway call the backend as the
// caller.
const callerCredentials = ":user/*"

// checkMethods looks at the OpenAPI document of an API that is created: every
// method but OPTIONS must have IAM authorization, or the policy does not matter.
func checkMethods(b *builder, i *instance) {
	body := member(i.decl.Create, "Body")
	if body == nil {
		b.report(b.m.problem(RuleMissing, i.path+".create", "add Body: an OpenAPI document with the API's methods", "an API without methods cannot be deployed"))
		return
	}
	signed := map[string]bool{}
	for _, holder := range []template.Object{member(member(body, "components"), "securitySchemes"), member(body, "securityDefinitions")} {
		for _, scheme := range holder {
			if o, ok := scheme.Value.(template.Object); ok && slices.Contains(o, template.Member{Key: "x-amazon-apigateway-authtype", Value: "awsSigv4"}) {
				signed[scheme.Key] = true
			}
		}
	}
	for _, path := range member(body, "paths") {
		methods, _ := path.Value.(template.Object)
		for _, method := range methods {
			operation, ok := method.Value.(template.Object)
			at := fmt.Sprintf("%s.create.Body.paths.%s.%s", i.path, path.Key, method.Key)
			if !ok || strings.HasPrefix(method.Key, "x-") && method.Key != "x-amazon-apigateway-any-method" || strings.EqualFold(method.Key, "options") || method.Key == "parameters" {
				continue
			}
			if !requires(operation, signed) {
				b.report(b.m.problem("GX-B07", at, "add security with a scheme of type x-amazon-apigateway-authtype: awsSigv4", "the method %s %s has no IAM authorization, so anybody may call it or nobody whom the policy names", strings.ToUpper(method.Key), path.Key))
			}
			if text, _ := text(member(operation, "x-amazon-apigateway-integration"), "credentials"); strings.HasSuffix(text, callerCredentials) {
				b.report(b.m.problem("GX-B07", at, "give the integration a role of its own, or the function a permission for apigateway.amazonaws.com", "the integration of %s %s calls the backend with the caller's credentials, for which the consumer has no permissions", strings.ToUpper(method.Key), path.Key))
			}
		}
	}
}

// requires reports whether an operation has IAM authorization. A requirement that
// is empty would let callers in without it.
func requires(operation template.Object, signed map[string]bool) bool {
	list, _ := property(operation, "security").([]any)
	found := false
	for _, e := range list {
		o, ok := e.(template.Object)
		if !ok || len(o) == 0 {
			return false
		}
		found = found || slices.ContainsFunc(o, func(m template.Member) bool { return signed[m.Key] })
	}
	return found
}

// member returns an object that is a member of another, or nil.
func member(o template.Object, key string) template.Object {
	for _, m := range o {
		if m.Key == key {
			inner, _ := m.Value.(template.Object)
			return inner
		}
	}
	return nil
}

func text(o template.Object, key string) (string, bool) {
	for _, m := range o {
		if m.Key == key {
			s, ok := m.Value.(string)
			return s, ok
		}
	}
	return "", false
}

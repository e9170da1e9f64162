package smoke

import (
	"net/http"
	"net/url"
	"strings"
)

// lambdaCalls are those of functions. They are invoked as a dry run, which only
// checks the permission.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
var lambdaCalls = &service{
	calls: []call{
		lambdaCall("InvokeFunction", http.MethodPost, "/invocations"),
		lambdaCall("GetFunctionConfiguration", http.MethodGet, "/configuration"),
		lambdaCall("GetPolicy", http.MethodGet, "/policy", "ResourceNotFoundException"),
	},
	others: []string{"lambda:GetFunctionConfiguration", "lambda:GetPolicy", "lambda:InvokeFunction"},
}

func lambdaCall(operation, method, path string, passed ...string) call {
	return call{action: "lambda:" + operation, passed: passed, request: func(t *target) (*request, string) {
		name, query := t.resource, url.Values{}
		if parts := strings.Split(t.arn.Resource, ":"); len(parts) == 3 { // function:NAME:QUALIFIER
			name = strings.TrimSuffix(name, ":"+parts[2])
			query.Set("Qualifier", parts[2])
		}
		r := &request{service: "lambda", host: "lambda." + t.owner.Region, method: method, path: "/2015-03-31/functions/" + url.PathEscape(name) + path, query: query}
		if method == http.MethodPost {
			r.header = map[string]string{"X-Amz-Invocation-Type": "DryRun"}
		}
		return r, ""
	}}
}

// ecrCalls are those of container repositories. Pushing is not tried: there is
// no way to without leaving a layer behind.
//
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Operations.html
var ecrCalls = &service{
	calls: []call{
		ecrCall("GetAuthorizationToken", func(*target) map[string]any { return map[string]any{} }),
		ecrCall("BatchGetImage", func(t *target) map[string]any {
			return t.repository("imageIds", []any{map[string]any{"imageTag": probeName}})
		}),
		ecrCall("BatchCheckLayerAvailability", func(t *target) map[string]any { return t.repository("layerDigests", []any{noLayer}) }),
		ecrCall("GetDownloadUrlForLayer", func(t *target) map[string]any { return t.repository("layerDigest", noLayer) }, "LayersNotFoundException", "LayerInaccessibleException"),
		ecrCall("PutImage", nil).unless(leavesLayers), ecrCall("InitiateLayerUpload", nil).unless(leavesLayers),
		ecrCall("UploadLayerPart", nil).unless(leavesLayers), ecrCall("CompleteLayerUpload", nil).unless(leavesLayers),
		ecrCall("GetRepositoryPolicy", func(t *target) map[string]any { return t.repository("", nil) }, "RepositoryPolicyNotFoundException"),
	},
	others: []string{"ecr:GetRepositoryPolicy"},
}

const noLayer = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

func leavesLayers(*target) string { return "it would leave a layer or an image" }

func (t *target) repository(key string, value any) map[string]any {
	in := map[string]any{"registryId": t.arn.Account, "repositoryName": strings.TrimPrefix(t.arn.Resource, "repository/")}
	if key != "" {
		in[key] = value
	}
	return in
}

func ecrCall(operation string, input func(t *target) map[string]any, passed ...string) call {
	return jsonCall("ecr:"+operation, "api.ecr", "1.1", "AmazonEC2ContainerRegistry_V20150921", input, passed...)
}

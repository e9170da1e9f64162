package smoke

import (
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
)

// apiCalls is the one action of APIs. The resource says stage, method and path:
// arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-control-access-using-iam-policies-to-invoke-api.html
var apiCalls = &service{
	calls: []call{{action: "execute-api:Invoke", request: apiRequest}},
}

// safeMethods change nothing.
var safeMethods = map[string]bool{http.MethodGet: true, http.MethodHead: true, http.MethodOptions: true}

func apiRequest(t *target) (*request, string) {
	parts := strings.SplitN(t.arn.Resource, "/", 4)
	if len(parts) < 4 {
		return nil, "the resource names no method and path"
	}
	id, stage, method, path := parts[0], parts[1], parts[2], parts[3]
	return &request{service: "execute-api", host: id + ".execute-api." + t.owner.Region, local: "/execute-api/" + id, method: method, path: "/" + stage + "/" + escapeKey(path)}, ""
}

// anAPIRequest returns a request that a pattern matches: at the operator's path,
// at a route that the manifest knows, or at a guess. If the API cannot have one
// it says why.
func (y *trying) anAPIRequest(pattern string, of *grant.Trial) (resource, why string) {
	at := strings.SplitN(pattern, "/", 4)
	if len(at) < 4 {
		return pattern, ""
	}
	method, path := at[2], at[3]
	if method == "*" {
		method = http.MethodGet
	}
	with := func(path string) string {
		return strings.Join([]string{at[0], at[1], method, strings.TrimPrefix(path, "/")}, "/")
	}
	if y.Path != "" && iam.MatchWildcard(path, strings.TrimPrefix(y.Path, "/")) {
		return with(y.Path), ""
	}
	for _, r := range of.Routes {
		if r.Method == method && iam.MatchWildcard(path, strings.TrimPrefix(r.Path, "/")) {
			return with(r.Path), ""
		}
	}
	if len(of.Routes) > 0 {
		return with(path), "the API has no such method there"
	}
	if path == "*" {
		return with(""), ""
	}
	return with(strings.ReplaceAll(path, "*", "1")), ""
}

// otherRequests are requests to the same API that a grant does not give: another
// method, and another path if the grant has paths.
func (y *trying) otherRequests(pattern string) []part {
	at := strings.SplitN(pattern, "/", 4)
	if len(at) < 4 {
		return nil
	}
	var all []part
	add := func(what, method, path string) {
		resource := strings.Join([]string{at[0], at[1], method, path}, "/")
		all = append(all, part{what, resource})
	}
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		if method == at[2] || at[2] == "*" || safeMethods[method] && safeMethods[at[2]] {
			continue
		}
		if resource, why := y.anAPIRequest(strings.Join([]string{at[0], at[1], method, at[3]}, "/"), y.trial); why == "" {
			add("method "+method, method, strings.SplitN(resource, "/", 4)[3])
		}
	}
	for _, r := range y.trial.Routes {
		if path := strings.TrimPrefix(r.Path, "/"); r.Method == http.MethodGet && !iam.MatchWildcard(at[3], path) {
			add("another path", r.Method, path)
			break
		}
	}
	return all
}

type part struct{ what, resource string }

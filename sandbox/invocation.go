package sandbox

import (
	"net"
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/apigatewayapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/sigv4"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// localAPIs begins the paths of REST APIs where the host does not say which API
// it is: /execute-api/a1b2c3d4e5/prod/orders.
const localAPIs = "/execute-api/"

// An apiAddress is the REST API that a request is for.
type apiAddress struct {
	id     string
	region string // as in the host's name, or empty
	path   string // percent-encoded, from the stage on
}

// apiAddress reports whether a request is for a REST API, which decides only
// then whether it must be signed.
func (x *exchange) apiAddress(signature *sigv4.Signature) (apiAddress, bool) {
	name := strings.ToLower(x.request.Host)
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	path := x.request.URL.EscapedPath()
	host, known := parseHost(name)
	switch {
	case known && host.service == "execute-api":
		id, _, _ := strings.Cut(name, ".")
		return apiAddress{id, host.region, path}, true
	case known, signature != nil && signature.Scope.Service == "s3", strings.HasSuffix(name, ".localhost"):
		return apiAddress{}, false // the last one is a bucket
	}
	rest, ok := strings.CutPrefix(path, localAPIs)
	id, rest, _ := strings.Cut(rest, "/")
	return apiAddress{id: id, path: "/" + rest}, ok
}

// invoke answers a request to a REST API. Unreadable is why its signature cannot
// be read, which matters only if the method needs one.
func (x *exchange) invoke(api apiAddress, signature *sigv4.Signature, unreadable error) error {
	x.name, x.region = "execute-api", api.region
	x.service = x.sandbox.services[x.name]
	method, err := x.sandbox.apis.Find(api.id, api.region, x.request.Method, api.path)
	if err != nil {
		return err
	}
	x.region = method.Region
	var caller authz.Caller
	if method.Signed {
		if caller, err = x.authenticateInvocation(method.Region, signature, unreadable); err != nil {
			return err
		}
	}
	x.call = x.newCall(caller)
	x.sandbox.apis.Invoke(x.answer, x.request, x.call, method)
	return nil
}

func (x *exchange) authenticateInvocation(region string, signature *sigv4.Signature, unreadable error) (authz.Caller, error) {
	switch {
	case unreadable != nil:
		return authz.Caller{}, x.apiRefusal(unreadable)
	case signature == nil:
		return authz.Caller{}, apigatewayapi.MissingToken()
	}
	x.keyID = signature.AccessKeyID
	switch {
	case signature.Scope.Service != x.name:
		return authz.Caller{}, x.wrongScope("service", x.name, signature.Scope.Service)
	case signature.Scope.Region != region:
		return authz.Caller{}, x.wrongScope("region", region, signature.Scope.Region)
	}
	caller, err := x.authenticate(signature)
	if err != nil {
		return authz.Caller{}, x.apiRefusal(err)
	}
	return caller, nil
}

// apiRefusal has the words of API Gateway, which are those of the other JSON
// services with another status.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
func (x *exchange) apiRefusal(err error) error {
	e := jsonRefusal(err)
	if e == nil {
		return err
	}
	if e.Code == "RequestEntityTooLarge" {
		return wire.Errorf(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request Too Long")
	}
	e.Status = http.StatusForbidden
	return e
}

// misaddressed answers requests that are signed for execute-api and name no API.
type misaddressed struct{}

func (misaddressed) ServeAPI(w http.ResponseWriter, _ *http.Request, c *authz.Call) {
	apigatewayapi.WriteError(w, c.RequestID, wire.Errorf(http.StatusNotFound, "NotFoundException",
		"the request names no API: on a local address the path is %sAPI/STAGE/PATH", localAPIs))
}

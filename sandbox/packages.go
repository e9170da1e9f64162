package sandbox

import (
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/codeartifactapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sigv4"
)

// packageEndpoint reports whether a request is one of a package manager for a
// repository of CodeArtifact. Those are not signed; they bring a token.
func (x *exchange) packageEndpoint(signature *sigv4.Signature) (codeartifactapi.Endpoint, bool) {
	host, known := parseHost(x.request.Host)
	switch {
	case known && host.service != "codeartifact", signature != nil:
		return codeartifactapi.Endpoint{}, false
	case !known && strings.HasSuffix(hostName(x.request.Host), ".localhost"): // a bucket
		return codeartifactapi.Endpoint{}, false
	}
	return codeartifactapi.FindEndpoint(x.request, !known)
}

// servePackages answers a package manager.
func (x *exchange) servePackages(e codeartifactapi.Endpoint) {
	x.name, x.region = "codeartifact", e.Region
	x.service = x.sandbox.services[x.name]
	caller, err := x.sandbox.packages.Authenticate(x.request, e, x.now)
	if err != nil {
		codeartifactapi.WriteError(x.answer, x.id, err)
		return
	}
	x.call = x.newCall(caller)
	x.sandbox.packages.ServeEndpoint(x.answer, x.request, x.call, e)
}

package stsapi

import (
	"net/http"
	"net/url"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/oidc"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const (
	namespace = wire.NamespaceSTS
	version   = "2011-06-15"
)

// A Service is the STS of all accounts of a sandbox. It has no state of its
// own: sessions live in the directory. It is safe for concurrent use.
type Service struct {
	directory *directory.Directory
	issuers   *oidc.Issuers
}

// New returns the service for the accounts of d. Tokens of identity providers
// are verified with the keys of issuers.
func New(d *directory.Directory, issuers *oidc.Issuers) *Service {
	return &Service{directory: d, issuers: issuers}
}

// An operation decodes the parameters, does its work and returns the result.
type operation struct {
	overview.Operation
	serve func(*Service, *authz.Call, url.Values) (any, error)
}

// operations is the one table of what this STS does. Rows without a function
// are operations of STS that answer NotImplemented.
var operations = []operation{
	{overview.Operation{Name: "AssumeRole", Real: true, Note: "no MFA devices, no ProvidedContexts"}, handle((*Service).AssumeRole)},
	{overview.Operation{Name: "AssumeRoleWithWebIdentity", Real: true, Note: "OpenID Connect tokens of issuers that were registered or belong to EKS clusters of the sandbox; no OAuth 2.0 access tokens, no providers that AWS knows by name"}, handle((*Service).AssumeRoleWithWebIdentity)},
	{overview.Operation{Name: "GetAccessKeyInfo", Real: true}, handle((*Service).GetAccessKeyInfo)},
	{overview.Operation{Name: "GetCallerIdentity", Real: true}, handle((*Service).GetCallerIdentity)},
	{overview.Operation{Name: "GetSessionToken", Real: true, Note: "no MFA devices"}, handle((*Service).GetSessionToken)},
	{overview.Operation{Name: "AssumeRoleWithSAML"}, nil},
	{overview.Operation{Name: "AssumeRoot"}, nil},
	{overview.Operation{Name: "DecodeAuthorizationMessage"}, nil},
	{overview.Operation{Name: "GetDelegatedAccessToken"}, nil},
	{overview.Operation{Name: "GetFederationToken"}, nil},
	{overview.Operation{Name: "GetWebIdentityToken"}, nil},
}

// Operations lists all operations of STS that the sandbox knows of.
func Operations() []overview.Operation {
	list := make([]overview.Operation, len(operations))
	for i, op := range operations {
		list[i] = op.Operation
	}
	return list
}

// handle makes an operation of a typed method.
func handle[In, Out any](method func(*Service, *authz.Call, *In) (*Out, error)) func(*Service, *authz.Call, url.Values) (any, error) {
	return func(s *Service, c *authz.Call, form url.Values) (any, error) {
		var in In
		if err := wire.DecodeQuery(form, &in); err != nil {
			return nil, err
		}
		out, err := method(s, c, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// ServeAPI answers one request, whose signature the sandbox has verified and
// whose form it has parsed.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	action := r.Form.Get("Action")
	out, err := s.dispatch(c, action, r.Form)
	if err != nil {
		wire.WriteQueryError(w, namespace, c.RequestID, wire.AsError(err))
		return
	}
	wire.WriteQuery(w, action, namespace, c.RequestID, out)
}

func (s *Service) dispatch(c *authz.Call, action string, form url.Values) (any, error) {
	for _, op := range operations {
		if op.Name != action || form.Get("Version") != version {
			continue
		}
		c.Operation = action
		if op.serve == nil {
			return nil, wire.NotImplemented("sts", action)
		}
		if c.Caller.Anonymous() && !Unsigned(action) { // the sandbox lets no other unsigned request come here
			return nil, wire.Errorf(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
		}
		if restricted(c) && action != "AssumeRole" && action != "GetCallerIdentity" && !Unsigned(action) {
			return nil, wire.Errorf(http.StatusForbidden, "AccessDenied", "Cannot call %s with session credentials", action)
		}
		return op.serve(s, c, form)
	}
	return nil, wire.BadRequest("InvalidAction", "Could not find operation %s for version %s", wire.Clip(action), wire.Clip(form.Get("Version")))
}

// Unsigned reports whether an operation is called without a signature: the token
// in the request says who calls.
func Unsigned(action string) bool { return action == "AssumeRoleWithWebIdentity" }

// restricted reports whether the caller uses credentials of GetSessionToken,
// with which only two operations of STS may be called.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
func restricted(c *authz.Call) bool {
	return c.Caller.Session != nil && c.Caller.Principal.RoleARN == ""
}

package cases

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// Input parses and compiles the case's policies. Errors name the policy they
// are about.
func (c *Case) Input() (*eval.Input, error) {
	request, err := c.Request.iam()
	if err != nil {
		return nil, c.wrap(err)
	}
	in := &eval.Input{Request: request}
	compile := compiler{}

	in.Identity = compile.list("identityPolicies", iam.KindIdentity, c.IdentityPolicies)
	kind := iam.KindResource
	if isTrustPolicy(c.Request) {
		kind = iam.KindTrust
	}
	if c.ResourcePolicy != nil && c.ResourcePolicy.Document != nil {
		in.Resource = compile.one("resourcePolicy", kind, *c.ResourcePolicy)
	}
	if c.SessionPolicy != nil && c.SessionPolicy.Document != nil {
		in.Session = []*eval.Policy{compile.one("sessionPolicy", iam.KindSession, *c.SessionPolicy)}
	}
	in.Boundary = compile.single("permissionBoundaries", iam.KindBoundary, c.PermissionBoundaries)
	in.Endpoint = compile.single("endpointPolicies", iam.KindEndpoint, c.EndpointPolicies)
	in.ServiceControl = compile.levels("serviceControlPolicies", iam.KindServiceControl, c.ServiceControlPolicies)
	in.ResourceControl = compile.levels("resourceControlPolicies", iam.KindResourceControl, c.ResourceControlPolicies)
	if compile.err != nil {
		return nil, c.wrap(compile.err)
	}
	if c.Expected != nil {
		switch c.Expected.Response {
		case "Allowed", "ImplicitlyDenied", "ExplicitlyDenied", "Depends":
		default:
			return nil, c.wrap(fmt.Errorf("expected.response %q is none of Allowed, ImplicitlyDenied, ExplicitlyDenied, Depends", c.Expected.Response))
		}
	}
	return in, nil
}

func (c *Case) wrap(err error) error { return fmt.Errorf("case %q: %w", c.Name, err) }

// isTrustPolicy reports whether the resource policy of the request is a role's
// trust policy.
func isTrustPolicy(r Request) bool {
	service, _, _ := strings.Cut(r.Action, ":")
	arn, err := iam.ParseARN(r.Resource.Resource)
	return err == nil && strings.EqualFold(service, "sts") && arn.Service == "iam" && strings.HasPrefix(arn.Resource, "role/")
}

// A compiler compiles policies and keeps the first error.
type compiler struct{ err error }

func (c *compiler) one(path string, kind iam.Kind, p Policy) *eval.Policy {
	if c.err != nil {
		return nil
	}
	name := p.Name
	if name == "" {
		name = path
	}
	parsed, err := iam.ParsePolicy(p.Document)
	if err != nil {
		c.err = fmt.Errorf("%s: %w", path, err)
		return nil
	}
	compiled, err := eval.Compile(parsed, kind, name)
	if err != nil {
		c.err = fmt.Errorf("%s: %w", path, err)
	}
	return compiled
}

func (c *compiler) list(path string, kind iam.Kind, policies []Policy) []*eval.Policy {
	var out []*eval.Policy
	for i, p := range policies {
		if p.Document != nil {
			out = append(out, c.one(fmt.Sprintf("%s[%d]", path, i), kind, p))
		}
	}
	return out
}

// single compiles the policies of a layer that AWS has at most one policy of.
// Several are read as one policy with all their statements.
func (c *compiler) single(path string, kind iam.Kind, policies []Policy) *eval.Policy {
	compiled := c.list(path, kind, policies)
	switch {
	case c.err != nil || len(compiled) == 0:
		return nil
	case len(compiled) == 1:
		return compiled[0]
	}
	merged := &iam.Policy{Version: iam.Version2012}
	for _, p := range compiled {
		for _, s := range p.Source().Statements {
			if p.Source().Version != iam.Version2012 {
				s = withoutVariables(s)
			}
			merged.Statements = append(merged.Statements, s)
		}
	}
	one, err := eval.Compile(merged, kind, path)
	if err != nil {
		c.err = fmt.Errorf("%s: %w", path, err)
	}
	return one
}

// withoutVariables writes a statement of an older version, in which ${ has no
// meaning, as one of the present version.
func withoutVariables(s iam.Statement) iam.Statement {
	literal := func(values []string) []string {
		if values == nil {
			return nil
		}
		out := make([]string, len(values))
		for i, v := range values {
			out[i] = strings.ReplaceAll(v, "${", "${$}{")
		}
		return out
	}
	s.Resource, s.NotResource = literal(s.Resource), literal(s.NotResource)
	conditions := make([]iam.Condition, len(s.Conditions))
	for i, c := range s.Conditions {
		conditions[i] = c
		if op, err := iam.ParseOperator(c.Operator); err == nil && eval.HasVariables(op) {
			conditions[i].Values = literal(c.Values)
		}
	}
	s.Conditions = conditions
	return s
}

func (c *compiler) levels(path string, kind iam.Kind, levels []Level) [][]*eval.Policy {
	var out [][]*eval.Policy
	for i, l := range levels {
		out = append(out, c.list(fmt.Sprintf("%s[%d].policies", path, i), kind, l.Policies))
	}
	return out
}

func (r *Request) iam() (*iam.Request, error) {
	if r.Action == "" || r.Resource.Resource == "" {
		return nil, fmt.Errorf("the request needs an action and a resource")
	}
	request := &iam.Request{
		Principal:       r.Principal.Principal,
		Action:          r.Action,
		Resource:        r.Resource.Resource,
		ResourceAccount: r.Resource.AccountID,
	}
	for key, v := range r.Context {
		switch {
		case v.Multi:
			request.Context.SetMulti(key, v.Values...)
		case len(v.Values) == 1:
			request.Context.Set(key, v.Values[0])
		}
	}
	for _, key := range r.Unknown {
		request.Context.SetUnknown(key)
	}

	// The identity providers have no ARN that would tell them from services.
	p := &request.Principal
	if p.Type == iam.PrincipalService && strings.HasPrefix(strings.ToLower(r.Action), "sts:assumerolewith") {
		p.Type = iam.PrincipalWebIdentity
	}
	// What identifies a session beyond its ARN can only be read from the context.
	if role, _, _ := request.Context.Lookup("aws:PrincipalArn"); p.Type == iam.PrincipalRoleSession && p.RoleARN == "" && len(role) == 1 {
		if arn, err := iam.ParseRoleARN(role[0]); err == nil && arn.Account == p.Account && strings.HasPrefix(p.ARN, arn.SessionARN("").String()) {
			p.RoleARN = role[0]
		}
	}
	if id, _, _ := request.Context.Lookup("aws:userid"); p.UniqueID == "" && len(id) == 1 && p.Type != iam.PrincipalFederatedUser {
		p.UniqueID, _, _ = strings.Cut(id[0], ":")
	}
	return request, nil
}

// A Principal is the caller of a case. It is written as an ARN, as the name of
// a service, or as an object with a "type" and what else is known.
type Principal struct {
	iam.Principal
	written json.RawMessage
}

var principalTypes = map[string]iam.PrincipalType{
	"Anonymous":     iam.PrincipalAnonymous,
	"RootUser":      iam.PrincipalRootUser,
	"User":          iam.PrincipalUser,
	"Role":          iam.PrincipalRole,
	"RoleSession":   iam.PrincipalRoleSession,
	"FederatedUser": iam.PrincipalFederatedUser,
	"Service":       iam.PrincipalService,
	"WebIdentity":   iam.PrincipalWebIdentity,
}

// UnmarshalJSON reads a string or an object
// {"type", "arn", "account", "roleArn", "uniqueId"}.
func (p *Principal) UnmarshalJSON(data []byte) error {
	p.written = append(json.RawMessage(nil), data...)
	var s string
	if json.Unmarshal(data, &s) == nil {
		principal, err := ParsePrincipal(s)
		p.Principal = principal
		return err
	}
	var object struct {
		Type     string        `json:"type"`
		ARN      string        `json:"arn"`
		Account  iam.AccountID `json:"account"`
		RoleARN  string        `json:"roleArn"`
		UniqueID string        `json:"uniqueId"`
	}
	err := json.Unmarshal(data, &object)
	if err == nil {
		err = checkFields(data, "type", "arn", "account", "roleArn", "uniqueId")
	}
	if err != nil {
		return fmt.Errorf("a principal is an ARN, a service or an object with a type: %w", err)
	}
	if object.ARN != "" {
		principal, err := ParsePrincipal(object.ARN)
		if err != nil {
			return err
		}
		p.Principal = principal
	}
	if object.Type != "" {
		known := false
		for name, t := range principalTypes {
			if strings.EqualFold(name, object.Type) {
				p.Type, known = t, true
			}
		}
		if !known {
			return fmt.Errorf("principal type %q is unknown", object.Type)
		}
	} else if object.ARN == "" {
		return fmt.Errorf("the principal has neither a type nor an arn")
	}
	if p.ARN == "" && p.Type != iam.PrincipalAnonymous {
		return fmt.Errorf("a principal of type %s needs an arn", object.Type)
	}
	if object.Account != "" {
		p.Account = object.Account
	}
	p.RoleARN, p.UniqueID = object.RoleARN, object.UniqueID
	return nil
}

// MarshalJSON writes what was read.
func (p Principal) MarshalJSON() ([]byte, error) {
	if p.written == nil {
		return json.Marshal(p.ARN)
	}
	return p.written, nil
}

// ParsePrincipal reads a caller from the ARN of a user, role, session, root
// user or identity provider, or from the name of a service.
func ParsePrincipal(s string) (iam.Principal, error) {
	if !strings.HasPrefix(s, "arn:") {
		if s == "" || !strings.Contains(s, ".") || strings.ContainsAny(s, " :*") {
			return iam.Principal{}, fmt.Errorf("principal %q is neither an ARN nor a service", s)
		}
		return iam.Principal{Type: iam.PrincipalService, ARN: s}, nil
	}
	arn, err := iam.ParseARN(s)
	if err != nil {
		return iam.Principal{}, err
	}
	// Examples are full of accounts like 12345; that their length is wrong makes
	// no difference to any rule.
	if strings.Trim(arn.Account, "0123456789") != "" || arn.Account == "" {
		return iam.Principal{}, fmt.Errorf("principal %q: the account %q is not a number", s, arn.Account)
	}
	p := iam.Principal{ARN: s, Account: iam.AccountID(arn.Account)}
	kind, _, _ := strings.Cut(arn.Resource, "/")
	switch arn.Service + " " + kind {
	case "iam root":
		p.Type = iam.PrincipalRootUser
	case "iam user":
		p.Type = iam.PrincipalUser
	case "iam role":
		p.Type = iam.PrincipalRole
	case "sts assumed-role":
		p.Type = iam.PrincipalRoleSession
	case "sts federated-user":
		p.Type = iam.PrincipalFederatedUser
	case "iam oidc-provider", "iam saml-provider":
		p.Type, p.Account = iam.PrincipalWebIdentity, ""
	default:
		return iam.Principal{}, fmt.Errorf("principal %q is no user, role, session, root user or identity provider", s)
	}
	return p, nil
}

package eval

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// layers are the policies that apply to a request.
type layers struct {
	resourceControl [][]*Policy
	serviceControl  [][]*Policy
	endpoint        *Policy
	resource        *Policy
	identity        []*Policy
	boundary        *Policy
	session         []*Policy
	sessionRequired bool
}

// applicable leaves out the layers that AWS does not apply to the principal or
// the resource.
func (e *env) applicable(in *Input) layers {
	l := layers{endpoint: in.Endpoint, resource: in.Resource}

	// Service-linked roles are exempt from SCPs and RCPs.
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html
	serviceLinked := e.isServiceLinkedRole()
	if !serviceLinked && e.isControlled() {
		l.resourceControl = in.ResourceControl
	}

	// The other layers belong to the principal's account, which services,
	// anonymous callers and web identities do not have. The root user has an
	// account, and its SCPs, but no policies.
	switch e.caller() {
	case callerWithoutPolicies:
		return l
	case callerRootUser:
		l.serviceControl = in.ServiceControl
		return l
	}
	if !serviceLinked {
		l.serviceControl = in.ServiceControl
	}
	l.identity, l.boundary, l.session = in.Identity, in.Boundary, in.Session

	// A federated user's session has no permissions unless session policies are
	// passed with it.
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html
	l.sessionRequired = e.principal.Type == iam.PrincipalFederatedUser
	return l
}

// explicitDeny looks for a Deny statement in every layer.
func (e *env) explicitDeny(l *layers) answer {
	var a answer
	for level, policies := range l.resourceControl {
		for _, p := range policies {
			a.denies(e, p, LayerResourceControl, level)
		}
	}
	for level, policies := range l.serviceControl {
		for _, p := range policies {
			a.denies(e, p, LayerServiceControl, level)
		}
	}
	a.denies(e, l.endpoint, LayerEndpoint, 0)
	a.denies(e, l.resource, LayerResource, 0)
	for _, p := range l.identity {
		a.denies(e, p, LayerIdentity, 0)
	}
	a.denies(e, l.boundary, LayerBoundary, 0)
	for _, p := range l.session {
		a.denies(e, p, LayerSession, 0)
	}
	return a
}

// sessionAllows is the answer of the session policies, which are one layer.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
func (e *env) sessionAllows(l *layers) answer {
	if l.session == nil && !l.sessionRequired {
		return answer{says: yes}
	}
	return e.anyAllows(l.session, LayerSession, 0)
}

// callerKind sorts principals by the policies they can have.
type callerKind int8

const (
	callerWithPolicies callerKind = iota
	callerWithoutPolicies
	callerRootUser
)

func (e *env) caller() callerKind {
	switch e.principal.Type {
	case iam.PrincipalService, iam.PrincipalAnonymous, iam.PrincipalWebIdentity:
		return callerWithoutPolicies
	case iam.PrincipalRootUser:
		return callerRootUser
	}
	return callerWithPolicies
}

func (e *env) isServiceLinkedRole() bool {
	const path = ":role/aws-service-role/"
	switch e.principal.Type {
	case iam.PrincipalRole:
		return strings.Contains(e.principal.ARN, path)
	case iam.PrincipalRoleSession:
		if e.principal.RoleARN == "" {
			return switchServiceLinkedByName && strings.HasPrefix(e.roleName, "AWSServiceRoleFor")
		}
		return strings.Contains(e.principal.RoleARN, path)
	}
	return false
}

// isControlled reports whether RCPs apply to the action at all.
func (e *env) isControlled() bool {
	// Never restricted by RCPs:
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html
	if e.isAction("kms:retiregrant") {
		return false
	}
	// Nor are the keys that AWS manages, which only their aliases show.
	if e.isService("kms") && strings.HasPrefix(segment(e.resource, 5), "alias/aws/") {
		return false
	}
	for i := range controlledServices {
		if e.isService(controlledServices[i].prefix) {
			return true
		}
	}
	return false
}

// isRoleAssumption reports whether the action is one that the trust policy of a
// role decides about.
func (e *env) isRoleAssumption() bool {
	return e.isService("sts") && segment(e.resource, 2) == "iam" && strings.HasPrefix(segment(e.resource, 5), "role/")
}

// resourceMustAllow reports whether the resource's own policy must allow even
// within its account.
func (e *env) resourceMustAllow() bool {
	return e.isRoleAssumption() || e.isService("kms") && segment(e.resource, 2) == "kms" && strings.HasPrefix(segment(e.resource, 5), "key/")
}

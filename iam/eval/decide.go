package eval

import "github.com/crossaccount/crossaccount/iam"

// Decide answers whether the request is allowed. It is pure and does not
// allocate.
//
// This page is AWS's decision rule, top to bottom. G stands for
// https://docs.aws.amazon.com/IAM/latest/UserGuide/, O for
// https://docs.aws.amazon.com/organizations/latest/userguide/.
func Decide(in *Input) Decision {
	e := newEnv(in)
	return e.decide(in)
}

func (e *env) decide(in *Input) Decision {
	r := ruling{result: yes}

	// GetCallerIdentity needs no permission and cannot be denied.
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
	if e.isAction("sts:getcalleridentity") && e.principal.Type != iam.PrincipalAnonymous {
		return r.decide()
	}

	// Not every layer applies to every principal and resource.
	l := e.applicable(in)

	// A Deny anywhere wins.
	// G reference_policies_evaluation-logic_AccessPolicyLanguage_Interplay.html
	deny := e.explicitDeny(&l)
	if deny.says == yes {
		return denied(deny.by)
	}
	r.require(answer{not(deny.says), deny.by}, deny.by.Layer, sideOf(deny.by.Layer))

	// Resource control policies: every level has RCPFullAWSAccess, so they can
	// only deny, which has been looked at.
	// O orgs_manage_policies_rcps_evaluation.html

	// Service control policies: every level from root to account must allow.
	// O orgs_manage_policies_scps_evaluation.html
	for level, policies := range l.serviceControl {
		r.requireLevel(e.anyAllows(policies, LayerServiceControl, level), LayerServiceControl, level, SidePrincipal)
	}

	// The VPC endpoint the request came through must allow.
	// https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
	r.require(e.capAllows(l.endpoint, LayerEndpoint), LayerEndpoint, SidePrincipal)

	// What the resource's policy says, by how it names the principal, and what
	// the principal's own policies say.
	resource := e.grants(l.resource)
	named := resource.any()
	identity := e.anyAllows(l.identity, LayerIdentity, 0)
	boundary := e.capAllows(l.boundary, LayerBoundary)
	session := e.sessionAllows(&l)

	switch e.caller() {
	case callerWithoutPolicies:
		// Services, anonymous callers and web identities have no policies of
		// their own: the resource decides alone.
		// G reference_policies_elements_principal.html
		r.require(named, LayerResource, SideResource)
		return r.decide()

	case callerRootUser:
		// The root user needs no identity policy, and nothing limits it but SCPs
		// and the resources that must say yes themselves.
		// G id_root-user.html
		identity = answer{says: yes}
		if switchRootUserCannotAssumeRoles && e.isRoleAssumption() {
			identity = answer{says: no}
			r.require(identity, LayerIdentity, SidePrincipal)
		}
	}

	// Across accounts both sides must allow, each on its own. Boundary and
	// session policies limit the caller's side whoever the resource names.
	// G reference_policies_evaluation-logic-cross-account.html
	if e.principal.Account != e.resourceAccount {
		r.crossAccount = true
		r.require(named, LayerResource, SideResource)
		r.require(identity, LayerIdentity, SidePrincipal)
		r.require(boundary, LayerBoundary, SidePrincipal)
		r.require(session, LayerSession, SidePrincipal)
		return r.decide()
	}

	// Within an account the resource policy or the identity policies grant, and
	// who is named decides which implicit denies still count. A policy that
	// names the account only leaves the decision to the account, so it grants
	// nothing that the identity policies do not. Role trust policies and KMS key
	// policies must say yes themselves in every case.
	// G reference_policies_evaluation-logic.html, G id_roles_update-role-trust-policy.html
	// https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
	delegated := answer{says: yes}
	if e.resourceMustAllow() {
		delegated = named
	}
	r.requireOneOf([...]path{
		{resource: resource[gradeDirect], session: switchSessionPolicyLimitsNamedSession},
		{resource: resource[gradeUser], boundary: switchBoundaryLimitsUserNamedInTrust && e.isRoleAssumption()},
		{resource: resource[gradeRole], boundary: true, session: true},
		{resource: delegated, identity: true, boundary: true, session: true},
	}, identity, boundary, session)
	return r.decide()
}

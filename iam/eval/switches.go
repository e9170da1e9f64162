package eval

// Facts that AWS's documentation leaves open or contradicts, one name each.
// `crossaccount conformance record` settles them against real accounts; until
// then each is decided here, in one place, with what is known.

const (
	// A session policy that does not allow the action stops a session even if
	// the resource policy names that very session.
	//
	// The documentation says that it does not: a resource policy that names a
	// session ARN grants permissions that are "not limited by" implicit denies
	// in session policies and boundaries
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session).
	// The engine iam-simulate has pinned the opposite for S3 since its commit
	// 224f372. We follow the documentation.
	switchSessionPolicyLimitsNamedSession = false

	// A user named in a trust policy still needs its permissions boundary to
	// allow sts:AssumeRole.
	//
	// The page on trust policies says so
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-role-trust-policy.html);
	// the general rule says that a user named in a resource policy is not
	// limited by its boundary
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
	// The page about the very case wins, which is also the cautious reading.
	switchBoundaryLimitsUserNamedInTrust = true

	// NotPrincipal with Deny spares a principal only if everything it is known
	// as is listed: its account, for a session also its role, and itself.
	//
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
	// says that AWS might check the account first, then the role, then the
	// session, depending on the service. We assume that every service does.
	switchNotPrincipalNeedsWholeChain = true

	// A negated operator without ForAllValues or ForAnyValue matches a key that
	// has several values.
	//
	// The documentation only says that multivalued keys need a set operator
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html).
	// We take such a condition as never met.
	switchMultivaluedWithoutSetOperator = false

	// ForAnyValue with IfExists holds if the key is missing.
	//
	// IfExists makes a condition true when its key is not there, whatever the
	// operator
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_IfExists);
	// ForAnyValue makes it false when there is no value
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html).
	// No page says which wins. We take the suffix as the more specific wish of
	// whoever wrote it; iam-simulate lets ForAnyValue win.
	switchIfExistsBeatsForAnyValue = true

	// ForAllValues holds for a key whose only value is the empty string.
	//
	// The condition is true if the key "resolves to a null dataset, such as an
	// empty string"
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html).
	switchForAllValuesHoldsForEmptyString = true

	// A negated operator holds for a value of the request that is no number, date,
	// address or ARN at all.
	//
	// The documentation does not say. Such a value is certainly not the one the
	// policy names, and in a Deny, where negated operators mostly stand, this is
	// the cautious reading; iam-simulate says that it never holds.
	switchNegatedHoldsForUnreadable = true

	// An Allow statement whose NotResource has a variable without a value allows
	// nothing. A Deny statement of that kind still denies everything the rest of
	// its NotResource does not spare.
	//
	// The documentation says that a variable that cannot be resolved might make
	// the entire statement invalid
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
	// Reading it strictly for Allow and not for Deny is the cautious choice.
	switchUnresolvedNotResourceAllowsNothing = true

	// A lone * as the value of an ARN operator matches every ARN.
	//
	// The documentation says that the six components are compared one by one
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN)
	// and nothing about a value that has only one. We read it as "any ARN";
	// iam-simulate reads it as none.
	switchLoneStarMatchesEveryARN = true

	// The root user cannot call AssumeRole, whatever the trust policy says.
	//
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
	switchRootUserCannotAssumeRoles = true

	// A session whose role's ARN is not known belongs to a service-linked role if
	// the role's name begins with AWSServiceRoleFor.
	//
	// A session's own ARN lacks the path by which
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create-service-linked-role.html
	// tells these roles. The name is that of almost all of them, but nobody is
	// kept from using it for another role: give the role's ARN, and this does not
	// matter.
	switchServiceLinkedByName = true

	// A * that is the last character of any segment of a Resource can reach over
	// the colon after it, not only a * at the very end.
	//
	// "If the * wildcard is the last character of a resource ARN segment, it can
	// expand to match beyond the colon boundaries"
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html)
	// can be read either way; the same page says that wildcards are used within
	// segments. We let only the last * of the whole pattern do so, which allows
	// less and, under NotResource with Deny, denies more.
	switchStarEndingSegmentCrossesColons = false
)

// A controlledService is a service whose resources RCPs apply to.
type controlledService struct {
	prefix string // of its actions
	since  string // the month RCPs began to apply to it
}

// The services that support RCPs, as of 2026-11.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html#rcp-supported-services
// has the list; what was added when is in AWS's announcements, the last of them
// https://aws.amazon.com/about-aws/whats-new/2026/02/aws-expands-resource-control-policies-amazon/.
var controlledServices = []controlledService{
	{"s3", "2024-11"},
	{"sts", "2024-11"},
	{"kms", "2024-11"},
	{"sqs", "2024-11"},
	{"secretsmanager", "2024-11"},
	{"ecr", "2025-06"},
	{"aoss", "2025-06"},
	{"cognito-idp", "2026-01"},
	{"cognito-identity", "2026-01"},
	{"logs", "2026-01"},
	{"dynamodb", "2026-02"},
}

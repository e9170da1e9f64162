package reference

import (
	"fmt"
	"time"
)

// This file holds how large and how many; charset.go holds which characters.

// IAM's limits on policies, in characters without white space (as
// [iam.Policy.Size] counts).
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	MaxManagedPolicySize  = 6144   // one version of a managed policy
	MaxRoleInlineSize     = 10240  // all inline policies of a role together
	MaxUserInlineSize     = 2048   // all inline policies of a user together
	MaxGroupInlineSize    = 5120   // all inline policies of a group together
	MaxTrustPolicySize    = 2048   // default quota; adjustable, so more is refused by default only
	MaxPolicyDocumentText = 131072 // characters with white space that the API accepts at all
)

// IAM's limits on numbers of things. All but the versions, keys and tags are
// default quotas that a customer may have had raised; what we generate must fit
// the defaults.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	MaxManagedPoliciesPerRole = 10 // also per user and per group
	MaxPolicyVersions         = 5  // of one managed policy
	MaxRolesPerAccount        = 1000
	MaxUsersPerAccount        = 5000
	MaxGroupsPerAccount       = 300
	MaxPoliciesPerAccount     = 1500 // customer managed
	MaxGroupsPerUser          = 10
	MaxAccessKeysPerUser      = 2
	MaxTags                   = 50 // of a role, user or policy
)

// MaxOrganizationPolicySize is the size of a service control policy or a resource
// control policy, in characters.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
const MaxOrganizationPolicySize = 5120

// STS's limits on sessions.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const (
	MaxSessionPolicySize = 2048 // characters of the inline session policy as sent
	MaxSessionPolicyARNs = 10
	MaxSessionTags       = 50
)

// How long sessions last. MaxChainedSession applies when the caller itself used
// temporary credentials of a role; STS refuses to make such a session longer.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use.html
const (
	MinSession            = 900 * time.Second
	DefaultSession        = 3600 * time.Second
	MaxChainedSession     = 3600 * time.Second
	MinMaxSessionDuration = 3600 * time.Second  // smallest MaxSessionDuration of a role
	MaxMaxSessionDuration = 43200 * time.Second // largest MaxSessionDuration of a role
)

// CloudFormation's limits. Body sizes, parameter values and descriptions are in
// bytes.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const (
	MaxTemplateBody            = 51200     // passed in the request
	MaxTemplateObject          = 1_000_000 // read from S3; documented as "1 MB", refused above 1,000,000
	MaxTemplateDescription     = 1024
	MaxTemplateParameters      = 200
	MaxTemplateParameterValue  = 4096
	MaxTemplateOutputs         = 200
	MaxTemplateResources       = 500
	MaxTemplateMappings        = 200
	MaxTemplateOutputValue     = 4096
	MaxCustomResourceAnswer    = 4096 // bytes of a custom resource's response
	MaxCustomResourcePhysical  = 1024 // bytes of a PhysicalResourceId
	MaxCustomResourceTimeout   = 3600 * time.Second
	MaxStacksPerAccount        = 2000
	MaxStackTags               = 50
	MaxStackNotificationTopics = 5
)

// S3's limits. The part and object sizes are in bytes.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/add-bucket-policy.html
const (
	MaxObjectKey       = 1024 // bytes of UTF-8
	MaxPutObject       = 5 << 30
	MaxObject          = 5 << 40
	MinMultipartPart   = 5 << 20
	MaxMultipartParts  = 10000
	MaxBucketPolicy    = 20 << 10
	MaxObjectMetadata  = 2 << 10 // user-defined metadata, names and values together
	MaxPresignedExpiry = 7 * 24 * time.Hour
	MaxDeleteObjects   = 1000 // keys in one DeleteObjects call
	MaxListKeys        = 1000 // keys in one page
)

// A LimitError says which limit a value breaks. It never contains the value.
type LimitError struct {
	Field  string // what the value is: "role name"
	Rule   string // what it breaks: "has 70 characters; at most 64 are allowed"
	Source string // the AWS page with the limit
}

// Error returns field and rule.
func (e *LimitError) Error() string { return e.Field + " " + e.Rule }

const (
	quotasPage         = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
	assumeRolePage     = "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"
	createRolePage     = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html"
	tagPage            = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html"
	cloudFormationPage = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"
	createStackPage    = "https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html"
	bucketNamesPage    = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"
	objectKeysPage     = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"
)

// atMost returns an error if n is more than limit.
func atMost(field string, n, limit int, unit, source string) error {
	if n <= limit {
		return nil
	}
	return &LimitError{field, fmt.Sprintf("has %d %s; at most %d are allowed", n, unit, limit), source}
}

// CheckManagedPolicySize checks the size of one managed policy, in characters
// as [iam.Policy.Size] counts them.
func CheckManagedPolicySize(size int) error {
	return atMost("managed policy", size, MaxManagedPolicySize, "characters without white space", quotasPage)
}

// CheckRoleInlineSize checks the total size of a role's inline policies.
func CheckRoleInlineSize(total int) error {
	return atMost("the role's inline policies together", total, MaxRoleInlineSize, "characters without white space", quotasPage)
}

// CheckUserInlineSize checks the total size of a user's inline policies.
func CheckUserInlineSize(total int) error {
	return atMost("the user's inline policies together", total, MaxUserInlineSize, "characters without white space", quotasPage)
}

// CheckTrustPolicySize checks the size of a trust policy against the default
// quota.
func CheckTrustPolicySize(size int) error {
	return atMost("trust policy", size, MaxTrustPolicySize, "characters without white space", quotasPage)
}

// CheckSessionPolicySize checks an inline session policy, in characters as it
// is sent. STS also packs policies and tags together into a binary form whose
// limit cannot be computed beforehand.
func CheckSessionPolicySize(size int) error {
	return atMost("session policy", size, MaxSessionPolicySize, "characters", assumeRolePage)
}

// CheckManagedPolicyCount checks how many managed policies are attached to one
// role, user or group, against the default quota.
func CheckManagedPolicyCount(n int) error {
	return atMost("the role, user or group", n, MaxManagedPoliciesPerRole, "managed policies", quotasPage)
}

// CheckMaxSessionDuration checks a role's MaxSessionDuration.
func CheckMaxSessionDuration(d time.Duration) error {
	return within("maximum session duration", d, MinMaxSessionDuration, MaxMaxSessionDuration, createRolePage)
}

// CheckSessionDuration checks the duration asked for when a role is assumed.
// roleMax is the role's MaxSessionDuration; chained says that the caller's own
// credentials are those of a role session.
func CheckSessionDuration(d, roleMax time.Duration, chained bool) error {
	if err := within("session duration", d, MinSession, MaxMaxSessionDuration, assumeRolePage); err != nil {
		return err
	}
	if chained && d > MaxChainedSession {
		return &LimitError{"session duration", fmt.Sprintf("is %s; a role that is assumed with another role's credentials (role chaining) lasts at most %s", d, MaxChainedSession), assumeRolePage}
	}
	if d > roleMax {
		return &LimitError{"session duration", fmt.Sprintf("is %s; the role's maximum session duration is %s", d, roleMax), assumeRolePage}
	}
	return nil
}

func within(field string, d, low, high time.Duration, source string) error {
	if d < low || d > high {
		return &LimitError{field, fmt.Sprintf("is %s; it must be between %d and %d seconds", d, int(low.Seconds()), int(high.Seconds())), source}
	}
	if d%time.Second != 0 {
		return &LimitError{field, fmt.Sprintf("is %s; it must be a whole number of seconds", d), source}
	}
	return nil
}

// CheckTemplateBody checks a template passed in the request, in bytes.
func CheckTemplateBody(size int) error {
	return atMost("template body", size, MaxTemplateBody, "bytes", cloudFormationPage)
}

// CheckTemplateObject checks a template read from S3, in bytes.
func CheckTemplateObject(size int) error {
	return atMost("template", size, MaxTemplateObject, "bytes", cloudFormationPage)
}

// CheckTemplateCounts checks how much a template declares.
func CheckTemplateCounts(parameters, mappings, resources, outputs int) error {
	for _, c := range []struct {
		n, limit int
		unit     string
	}{
		{parameters, MaxTemplateParameters, "parameters"},
		{mappings, MaxTemplateMappings, "mappings"},
		{resources, MaxTemplateResources, "resources"},
		{outputs, MaxTemplateOutputs, "outputs"},
	} {
		if err := atMost("template", c.n, c.limit, c.unit, cloudFormationPage); err != nil {
			return err
		}
	}
	return nil
}

// CheckTemplateDescription checks a template's Description.
func CheckTemplateDescription(s string) error {
	return atMost("template description", len(s), MaxTemplateDescription, "bytes", cloudFormationPage)
}

// CheckParameterValue checks the value of a stack parameter.
func CheckParameterValue(s string) error {
	return atMost("parameter value", len(s), MaxTemplateParameterValue, "bytes", cloudFormationPage)
}

// A PolicyQuota is how large a service's resource policies may be. A zero count
// means that there is no such limit.
type PolicyQuota struct {
	Size                int // characters of the document
	Statements          int
	Principals          int // in the whole policy
	Conditions          int // in the whole policy
	ActionsPerStatement int
	Source              string
}

// assumedTopicPolicySize is what SNS is said to take. AWS documents no number.
const assumedTopicPolicySize = 30 << 10

// The quotas of resource policies. Services whose documentation gives no number
// are left out. CodeArtifact accepts 7,168 characters through its API but only
// 5,120 through CloudFormation.
var resourcePolicyQuotas = map[string]PolicyQuota{
	"codeartifact":   {Size: 5120, Source: "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codeartifact-domain.html"},
	"dynamodb":       {Size: 20 << 10, Source: "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/rbac-considerations.html"},
	"ecr":            {Size: 10240, Source: "https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_SetRepositoryPolicy.html"},
	"es":             {Size: 100 << 10, Source: "https://docs.aws.amazon.com/opensearch-service/latest/developerguide/limits.html"},
	"events":         {Size: 10 << 10, Source: "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"},
	"execute-api":    {Size: 8192, Source: "https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html"},
	"kms":            {Size: 32 << 10, Source: "https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html"},
	"lambda":         {Size: 20 << 10, Source: "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"},
	"s3":             {Size: MaxBucketPolicy, Source: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/add-bucket-policy.html"},
	"secretsmanager": {Size: 20480, Source: "https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"},
	"sns":            {Size: assumedTopicPolicySize, Source: "assumed: AWS documents no limit for topic policies"},
	"sqs": {Size: 8192, Statements: 20, Principals: 50, Conditions: 10, ActionsPerStatement: 7,
		Source: "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html"},
}

// ResourcePolicyQuota returns the quota of the resource policies of a service,
// named by its prefix.
func ResourcePolicyQuota(service string) (PolicyQuota, bool) {
	q, ok := resourcePolicyQuotas[service]
	return q, ok
}

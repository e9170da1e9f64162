package template

// Quotas of CloudFormation.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const (
	MaxParameters           = 200
	MaxParameterValue       = 4096 // bytes
	MaxParameterDescription = 4000 // characters
	MaxResources            = 500
	MaxOutputs              = 200
	MaxDescription          = 1024    // bytes
	MaxInlineBody           = 51_200  // bytes of a template passed in the request
	MaxBody                 = 1 << 20 // bytes of a template in S3
	MaxLogicalID            = 255     // characters
)

// Quotas of IAM. Where AWS raises a quota on request, or raised it lately, this
// is the value every account has: a stack must work in all of them.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	MaxRoleName         = 64
	MaxPolicyName       = 128
	MaxPath             = 512
	MaxIAMDescription   = 1000
	MaxTrustPolicy      = 2048   // characters; can be raised
	MaxManagedPolicy    = 6144   // characters
	MaxInlinePolicies   = 10_240 // characters, all inline policies of a role together
	MaxAttachedPolicies = 10     // managed policies of a role; can be raised
	MaxARN              = 2048
	MaxTags             = 50
	MaxTagKey           = 128
	MaxTagValue         = 256
	MinSessionDuration  = 3600   // seconds, of a role's MaxSessionDuration
	MaxSessionDuration  = 43_200 // seconds
)

// isPolicyRune reports whether a policy may contain r. Everything outside tab,
// line breaks, printable ASCII and Latin-1 is refused by IAM.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html
func isPolicyRune(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xFF
}

// isDescriptionRune is the same for descriptions, which also exclude the
// control characters above ASCII.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
func isDescriptionRune(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= '~' || r >= 0xA1 && r <= 0xFF
}

// isNameRune is the character set of the names of roles and policies.
func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		r == '_' || r == '+' || r == '=' || r == ',' || r == '.' || r == '@' || r == '-'
}

func isLogicalID(s string) bool {
	if s == "" || len(s) > MaxLogicalID {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			return false
		}
	}
	return true
}

package iam

// The two versions of the policy language. Only [Version2012] has policy
// variables; a policy that names no version is a [Version2008] policy.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html
const (
	Version2012 = "2012-10-17"
	Version2008 = "2008-10-17"
)

// A Policy is one policy document of any kind. Lists keep the order in which
// they were written. Whether a policy was written with a scalar or an array of
// one makes no difference and is not kept.
type Policy struct {
	Version    string // as written; empty if the document has none
	ID         string // the Id element
	Statements []Statement

	positions map[string]Position
}

// Position returns where the element at path was written, for a policy that
// came from [ParsePolicy]. Paths look like "Statement[0]",
// "Statement[0].Action[2]" and
// "Statement[1].Condition.StringEquals.aws:PrincipalOrgID[0]". If the exact
// path is unknown, the nearest enclosing element is returned; the zero Position
// means that the policy was not parsed.
func (p *Policy) Position(path string) Position {
	for {
		if pos, ok := p.positions[path]; ok {
			return pos
		}
		if path == "" {
			return Position{}
		}
		path = parentPath(path)
	}
}

func parentPath(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}

// A Position is a place in a document. Line and Column count from 1, columns in
// bytes; Offset counts bytes from 0.
type Position struct {
	Offset int `json:"offset"`
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Effect is the Effect element of a statement.
type Effect string

// The two effects.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// A Statement is one element of a policy's Statement list. A nil list means
// that the element is absent; an empty list that is not nil was written as [].
type Statement struct {
	Sid          string
	Effect       Effect
	Principal    *Principals
	NotPrincipal *Principals
	Action       []string
	NotAction    []string
	Resource     []string
	NotResource  []string
	Conditions   []Condition
}

// Principals is the value of a Principal or NotPrincipal element.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
type Principals struct {
	All           bool     // written as the bare string "*"
	AWS           []string // ARNs, account ids, unique ids or "*"
	Service       []string // "states.amazonaws.com"
	Federated     []string // "accounts.google.com" or an identity provider's ARN
	CanonicalUser []string // S3 canonical user ids
}

// A Condition is one key of one condition block. All conditions of a statement
// must hold; of the values of one condition usually one must match, for negated
// operators none may.
type Condition struct {
	Operator string // as written: "StringEquals", "ForAnyValue:ArnLikeIfExists"
	Key      string // as written: "aws:PrincipalArn"
	Values   []string
}

// Kind says what a policy is attached to, which decides the elements it may and
// must have.
type Kind int

// The kinds of policies.
const (
	KindIdentity        Kind = iota + 1 // attached to a user, group or role
	KindResource                        // attached to a resource
	KindTrust                           // a role's trust policy
	KindBoundary                        // a permissions boundary
	KindSession                         // passed when a session is made
	KindServiceControl                  // an organisation's SCP
	KindResourceControl                 // an organisation's RCP
	KindEndpoint                        // a VPC endpoint policy
)

// String returns AWS's term for the kind.
func (k Kind) String() string {
	switch k {
	case KindIdentity:
		return "identity policy"
	case KindResource:
		return "resource policy"
	case KindTrust:
		return "trust policy"
	case KindBoundary:
		return "permissions boundary"
	case KindSession:
		return "session policy"
	case KindServiceControl:
		return "service control policy"
	case KindResourceControl:
		return "resource control policy"
	case KindEndpoint:
		return "VPC endpoint policy"
	}
	return "policy"
}

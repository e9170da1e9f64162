package world

import "github.com/crossaccount/crossaccount/iam"

// Format is the version of the snapshot format this package reads and writes.
const Format = 1

// A Snapshot is what is known about some AWS accounts: the content of a
// world.json file. It is plain data. Each thing is named by its ARN or id, and
// the order of the lists has no meaning; [Snapshot.Write] sorts them.
//
// What a snapshot does not say is unknown, not absent. See [Account.Complete]
// for how it says that there is nothing more.
type Snapshot struct {
	Format          int             `json:"format"`
	Organizations   []Organization  `json:"organizations,omitempty"`
	Accounts        []Account       `json:"accounts,omitempty"`
	ControlPolicies []ControlPolicy `json:"control_policies,omitempty"`
	Policies        []ManagedPolicy `json:"policies,omitempty"`
	Users           []User          `json:"users,omitempty"`
	Groups          []Group         `json:"groups,omitempty"`
	Roles           []Role          `json:"roles,omitempty"`
	Providers       []Provider      `json:"providers,omitempty"`
	Resources       []Resource      `json:"resources,omitempty"`
	Endpoints       []Endpoint      `json:"endpoints,omitempty"`
}

// An Organization is one organisation of AWS Organizations.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_getting-started_concepts.html
type Organization struct {
	ID                string        `json:"id"` // "o-a1b2c3d4e5"
	ManagementAccount iam.AccountID `json:"management_account,omitempty"`
	Root              Node          `json:"root"`
}

// A Node is an organisation's root or one of its organisational units.
type Node struct {
	ID   string `json:"id"` // "r-ab12" or "ou-ab12-11111111"
	Name string `json:"name,omitempty"`

	// ServiceControl and ResourceControl name the control policies attached to
	// the node by their ids. Nil means that nothing limits at this level: the
	// policy type is not enabled, or only AWS's full-access policy is attached.
	ServiceControl  []string `json:"service_control,omitempty"`
	ResourceControl []string `json:"resource_control,omitempty"`

	Accounts []Member `json:"accounts,omitempty"`
	Units    []Node   `json:"units,omitempty"`
}

// A Member is an account's place in an organisation, with the control policies
// attached to the account itself; nil as for a [Node].
type Member struct {
	ID              iam.AccountID `json:"id"`
	ServiceControl  []string      `json:"service_control,omitempty"`
	ResourceControl []string      `json:"resource_control,omitempty"`
}

// An Account is an AWS account the snapshot is about.
type Account struct {
	ID        iam.AccountID `json:"id"`
	Name      string        `json:"name,omitempty"`
	Partition string        `json:"partition,omitempty"` // "aws" if empty

	// Complete says of what kinds the snapshot lists everything the account
	// has: [CompletePrincipals], [CompleteResources]. A principal that is not
	// listed then does not exist, and a resource that is not listed has no
	// policy.
	Complete []string `json:"complete,omitempty"`
}

// The values of [Account.Complete].
const (
	CompletePrincipals = "principals" // users, groups, roles
	CompleteResources  = "resources"  // resources with a policy
)

// A ControlPolicy is an SCP or RCP. FullAWSAccess and RCPFullAWSAccess are
// known and need not be listed.
type ControlPolicy struct {
	ID       string   `json:"id"` // "p-a1b2c3d4"
	Name     string   `json:"name,omitempty"`
	Type     string   `json:"type"` // [TypeServiceControl] or [TypeResourceControl]
	Document Document `json:"document"`
}

// The values of [ControlPolicy.Type], which are those of AWS Organizations.
const (
	TypeServiceControl  = "SERVICE_CONTROL_POLICY"
	TypeResourceControl = "RESOURCE_CONTROL_POLICY"
)

// The ids of the policies that AWS attaches everywhere.
const (
	fullAccessSCP = "p-FullAWSAccess"
	fullAccessRCP = "p-RCPFullAWSAccess"
)

// A ManagedPolicy is a managed policy of an account or of AWS. Policies of AWS
// need not be listed, but then what they say is unknown.
type ManagedPolicy struct {
	ARN           string          `json:"arn"`
	Version       string          `json:"version,omitempty"` // of Document: the default version, "v3"
	Document      Document        `json:"document" policy:"identity"`
	OtherVersions []PolicyVersion `json:"other_versions,omitempty"` // not in force
}

// A PolicyVersion is a version of a managed policy that is not the default.
type PolicyVersion struct {
	Version  string   `json:"version"`
	Document Document `json:"document" policy:"identity"`
}

// An InlinePolicy is a policy embedded in a user, group or role.
type InlinePolicy struct {
	Name     string   `json:"name"`
	Document Document `json:"document" policy:"identity"`
}

// A User is an IAM user.
type User struct {
	ARN      string            `json:"arn"`
	ID       string            `json:"id,omitempty"`     // "AIDA…"
	Groups   []string          `json:"groups,omitempty"` // names
	Inline   []InlinePolicy    `json:"inline,omitempty"`
	Attached []string          `json:"attached,omitempty"` // ARNs of managed policies
	Boundary string            `json:"boundary,omitempty"` // ARN of a managed policy
	Tags     map[string]string `json:"tags,omitempty"`
}

// A Group is an IAM group.
type Group struct {
	ARN      string         `json:"arn"`
	ID       string         `json:"id,omitempty"` // "AGPA…"
	Inline   []InlinePolicy `json:"inline,omitempty"`
	Attached []string       `json:"attached,omitempty"`
}

// A Role is an IAM role. That it is service-linked is seen from its path,
// /aws-service-role/.
type Role struct {
	ARN      string            `json:"arn"`
	ID       string            `json:"id,omitempty"` // "AROA…"
	Trust    Document          `json:"trust" policy:"trust"`
	Inline   []InlinePolicy    `json:"inline,omitempty"`
	Attached []string          `json:"attached,omitempty"`
	Boundary string            `json:"boundary,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

// A Provider is an OIDC or SAML identity provider of an account.
type Provider struct {
	ARN       string            `json:"arn"` // arn:aws:iam::…:oidc-provider/HOST or …:saml-provider/NAME
	ClientIDs []string          `json:"client_ids,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
}

// A Resource is something that can have a policy or tags. Roles are not listed
// here: their trust policies are in [Role].
type Resource struct {
	ARN     string            `json:"arn"`
	Account iam.AccountID     `json:"account,omitempty"`                  // must be given if the ARN has none
	Policy  *Document         `json:"policy,omitempty" policy:"resource"` // nil: it has none
	Tags    map[string]string `json:"tags,omitempty"`
	KMSKey  string            `json:"kms_key,omitempty"` // ARN of the key it is encrypted with
}

// An Endpoint is a VPC endpoint.
type Endpoint struct {
	ID      string        `json:"id"` // "vpce-…"
	Account iam.AccountID `json:"account,omitempty"`
	VPC     string        `json:"vpc,omitempty"`                      // "vpc-…"
	Policy  *Document     `json:"policy,omitempty" policy:"endpoint"` // nil: the default, which allows everything
}

package lint

import (
	"github.com/crossaccount/crossaccount/iam"
)

// Options say what is known about the document's place. Everything may be left
// out; the more is given, the more can be found. The zero value judges a
// document by itself.
type Options struct {
	// Kind is what the policy is attached to. The zero value means what
	// [DetectKind] takes the document for.
	Kind iam.Kind

	// Service is, for a resource policy, the prefix of the service whose
	// resource it is attached to ("s3", "kms"). If it is empty, it is taken from
	// Resource or from the actions, where they agree.
	Service string

	// Resource is the ARN of the resource that a resource policy is attached
	// to, or of the role of a trust policy. Empty if unknown.
	Resource string

	// Account owns whatever the policy is attached to. If it is empty, it is
	// taken from Resource, or from the resources that a resource policy names.
	Account iam.AccountID
	derived bool // Account was taken from the policy's text, which may be a copy

	// CrossAccount says that the policy gives access to other accounts, so that
	// what is merely wide within an account is reported.
	CrossAccount bool

	// ReadOnly says that the access was declared to be for reading, so that
	// actions that change something are reported.
	ReadOnly bool

	// Inline says that an identity policy is embedded in a role instead of being
	// a managed policy, which has another size limit.
	Inline bool

	// Consumers are all accounts that the policy is meant to give access to,
	// beside its own. If there are any, others are reported.
	Consumers []iam.AccountID

	// OrganizationID is the id ("o-a1b2c3d4e5") of the organisation of the
	// policy's account, and OrganizationAccounts are its accounts; others are
	// third parties, who should send an external ID. Empty if unknown.
	OrganizationID       string
	OrganizationAccounts []iam.AccountID

	// StateMachine is the ARN of the Step Functions state machine that assumes
	// the role of a trust policy, if one does.
	StateMachine string

	// RecreatedRoles says that the roles the policy names may be deleted and
	// made again, as stacks do when a role's name changes.
	RecreatedRoles bool

	// RequiredBoundary is the ARN of the permissions boundary, and RequiredPath
	// the beginning of the path, that roles and users must have here. Empty
	// where there is no such rule.
	RequiredBoundary string
	RequiredPath     string

	// Role describes the role that the policy belongs to, if there is one and it
	// is known.
	Role *Role

	// Suppressions are deliberate choices. A finding that one of them covers is
	// left out; see [Suppress].
	Suppressions []Suppression
}

// A Role is what stands beside a role's policies.
type Role struct {
	Path     string // "/app/"; empty is taken as "/"
	Boundary string // ARN of the permissions boundary; empty if there is none
}

// ofIAM reports whether IAM or STS itself stores the policy, as opposed to
// another service or an organisation.
func (o *Options) ofIAM() bool {
	switch o.Kind {
	case iam.KindIdentity, iam.KindTrust, iam.KindBoundary, iam.KindSession:
		return true
	}
	return false
}

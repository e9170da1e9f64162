package world

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A Question is one request, or all requests of a kind, that somebody might
// make.
type Question struct {
	// Principal is who asks: the ARN of a role, user, role session, federated
	// user or identity provider, an account's root ARN, a service such as
	// "states.amazonaws.com", or [Anonymous]. [World.WhoCan] ignores it.
	Principal string

	Action   string // "s3:GetObject"
	Resource string // the resource's ARN, or "*" for actions that have none

	// ResourceAccount owns the resource. It is needed only if neither the ARN
	// nor the snapshot says so.
	ResourceAccount iam.AccountID

	// Context holds what is known about the request itself. Its keys win over
	// what follows from the snapshot. With aws:SourceVpce the policy of that
	// endpoint applies.
	Context iam.Context

	// Closed says that Context is everything there is to know: keys that are
	// neither given nor follow from the snapshot are absent instead of unknown,
	// and resources of listed accounts that are not listed have no policy.
	Closed bool

	// Session holds session policies; nil if there are none.
	Session []*eval.Policy
}

// Anonymous is the principal of a request that nobody signed.
const Anonymous = "anonymous"

// A Requirement is a statement that cannot be decided because something is
// unknown. An answer that depends becomes Allowed if for each layer among its
// requirements the conditions of one Allow requirement hold, and for no Deny
// requirement all conditions do.
type Requirement struct {
	Layer  eval.Layer `json:"layer"`
	Level  int        `json:"level,omitempty"` // of an SCP or RCP
	Side   eval.Side  `json:"side"`
	Effect iam.Effect `json:"effect"`

	// Missing says which policies are not in the world, if that is why; then
	// the rest is empty.
	Missing string `json:"missing,omitempty"`

	Statement  string          `json:"statement,omitempty"` // where it is written
	Conditions []eval.Mismatch `json:"conditions,omitempty"`
}

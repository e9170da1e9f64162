package eval

import (
	"encoding/json"
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
)

// An Input is one question: a request and the policies of every layer that
// bears on it. A nil layer does not exist and limits nothing; a list that is
// empty but not nil is a layer that allows nothing. Decide reads the Input and
// nothing else, and changes nothing in it.
type Input struct {
	Request *iam.Request

	// Identity holds all policies attached to the user (with those of its
	// groups) or to the role.
	Identity []*Policy

	// Boundary is the permissions boundary of the user or role.
	Boundary *Policy

	// Session holds the session policies, the inline one and those passed by
	// ARN. Together they are one layer: it is enough if one of them allows.
	Session []*Policy

	// Resource is the policy of the resource: for a role that is assumed its
	// trust policy (compiled as [iam.KindTrust]), for a KMS key its key policy.
	Resource *Policy

	// ServiceControl holds the SCPs of the principal's account, one list for
	// each level from the organisation's root to the account. Every level must
	// allow, so an empty level denies everything.
	ServiceControl [][]*Policy

	// ResourceControl holds the RCPs of the resource's account by level. The
	// policy RCPFullAWSAccess, which AWS attaches everywhere, is implied.
	ResourceControl [][]*Policy

	// Endpoint is the policy of the VPC endpoint the request passes through.
	Endpoint *Policy
}

// A Verdict is the answer to a request.
type Verdict int8

// The verdicts.
const (
	// ImplicitlyDenied: something that had to say yes did not.
	ImplicitlyDenied Verdict = iota
	// ExplicitlyDenied: a Deny statement matched.
	ExplicitlyDenied
	// Allowed: everything that had to say yes did.
	Allowed
	// Depends: the answer hangs on something unknown; [Explain] says on what.
	Depends
)

// String returns "Allowed", "ImplicitlyDenied", "ExplicitlyDenied" or
// "Depends".
func (v Verdict) String() string {
	switch v {
	case Allowed:
		return "Allowed"
	case ImplicitlyDenied:
		return "ImplicitlyDenied"
	case ExplicitlyDenied:
		return "ExplicitlyDenied"
	case Depends:
		return "Depends"
	}
	return fmt.Sprintf("Verdict(%d)", int(v))
}

// MarshalText writes what [Verdict.String] returns.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// A Layer is a kind of policy in its part of the decision.
type Layer int8

// The layers, in the order in which they are looked at.
const (
	LayerNone Layer = iota
	LayerResourceControl
	LayerServiceControl
	LayerEndpoint
	LayerResource
	LayerIdentity
	LayerBoundary
	LayerSession
)

// String returns AWS's term for the layer's policies.
func (l Layer) String() string {
	switch l {
	case LayerNone:
		return "none"
	case LayerResourceControl:
		return "resource control policy"
	case LayerServiceControl:
		return "service control policy"
	case LayerEndpoint:
		return "VPC endpoint policy"
	case LayerResource:
		return "resource policy"
	case LayerIdentity:
		return "identity policy"
	case LayerBoundary:
		return "permissions boundary"
	case LayerSession:
		return "session policy"
	}
	return fmt.Sprintf("Layer(%d)", int(l))
}

// MarshalText writes what [Layer.String] returns.
func (l Layer) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// A Side is one of the two accounts of a request: the one the principal belongs
// to or the one that owns the resource. Within one account the side still says
// whose policy it was.
type Side int8

// The sides. SideBoth is answered for an implicit denial across accounts when
// both accounts have to change something.
const (
	SideNone Side = iota
	SidePrincipal
	SideResource
	SideBoth
)

// String returns "principal", "resource", "both" or "none".
func (s Side) String() string {
	switch s {
	case SideNone:
		return "none"
	case SidePrincipal:
		return "principal"
	case SideResource:
		return "resource"
	case SideBoth:
		return "both"
	}
	return fmt.Sprintf("Side(%d)", int(s))
}

// MarshalText writes what [Side.String] returns.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A StatementRef points to a statement of a compiled policy. It is small and
// comparable; what it points to is looked up without allocation.
type StatementRef struct {
	Policy *Policy
	Index  int32 // of the statement in the policy, from 0
	Layer  Layer
	Level  int8 // of an SCP or RCP: 0 is the organisation's root
}

// Sid returns the statement's Sid, which may be empty.
func (r StatementRef) Sid() string { return r.Statement().Sid }

// Statement returns the statement as written. It must not be changed.
func (r StatementRef) Statement() *iam.Statement { return &r.Policy.source.Statements[r.Index] }

// Position returns where the statement was written; the zero Position if the
// policy was not parsed.
func (r StatementRef) Position() iam.Position {
	return r.Policy.source.Position(fmt.Sprintf("Statement[%d]", r.Index))
}

// MarshalJSON writes where the statement stands: layer and level, the policy's
// name, the statement's index, and its Sid and line if they are known.
func (r StatementRef) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Layer  Layer  `json:"layer"`
		Level  int8   `json:"level"`
		Policy string `json:"policy"`
		Index  int32  `json:"index"`
		Sid    string `json:"sid,omitempty"`
		Line   int    `json:"line,omitempty"`
	}{r.Layer, r.Level, r.Policy.name, r.Index, r.Sid(), r.Position().Line})
}

// String returns something like `"bucket-policy" statement 2 (AllowReaders)`.
func (r StatementRef) String() string {
	s := fmt.Sprintf("%q statement %d", r.Policy.name, r.Index)
	if sid := r.Sid(); sid != "" {
		s += " (" + sid + ")"
	}
	return s
}

// maxRefs is how many statements a Decision can hold. A decision needs at most
// one per layer and level: seven levels of SCPs, seven of RCPs (an organisation
// nests five deep) and five other layers.
const maxRefs = 20

// A Decision is the answer to an Input. Decisions are plain values.
type Decision struct {
	Verdict Verdict `json:"verdict"`

	// Layer is what decided: for an explicit denial the layer of the Deny
	// statement, for an implicit denial the first layer that should have
	// allowed and did not, for Allowed the layer of the grant (LayerNone if
	// nothing had to grant, as for the root user), for Depends the first layer
	// that is undetermined.
	Layer Layer `json:"layer"`

	// Level is the level of the SCP or RCP that decided; 0 is the
	// organisation's root.
	Level int8 `json:"level"`

	// Side is the account whose policies decided; see [SideBoth].
	Side Side `json:"side"`

	refs  [maxRefs]StatementRef
	nrefs int8
}

// Statements returns the statements that decided: for an explicit denial the
// Deny statement found first, for Allowed one Allow statement for each layer
// and level that had to allow, for Depends the statements that are
// undetermined. For an implicit denial there are none. The slice points into d.
func (d *Decision) Statements() []StatementRef { return d.refs[:d.nrefs] }

func (d *Decision) add(r StatementRef) {
	if d.nrefs < maxRefs && r.Policy != nil {
		d.refs[d.nrefs] = r
		d.nrefs++
	}
}

// Allowed reports whether the verdict is [Allowed].
func (d *Decision) Allowed() bool { return d.Verdict == Allowed }

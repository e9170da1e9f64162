package crossaccount

import (
	"context"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
)

// CredentialStorage keeps integrations, their audit records and the events that
// other parts of a product react to. Implementations: [NewMemoryStorage] and
// the packages under store. Package store/storetest is the test suite that all
// of them pass; it is this law as a program.
//
// # The law
//
// Values. An implementation treats sealed values and indexes as opaque bytes,
// keeps every field of a record, and neither keeps nor returns memory that the
// caller can reach: a record that was stored or returned can be changed by the
// caller without effect on the storage. A record's times keep at least
// microseconds and come back in UTC.
//
// Atomicity. A write stores the record, the audit records and the events of its
// [Change] together or not at all. When a write returns nil, all three survive
// a crash and every later read by anybody sees them. When it returns an error
// whose code is not storage or cancelled, nothing was stored. After storage or
// cancelled the outcome is unknown and the caller reads again.
//
// Optimistic concurrency. Create stores version 1. Update succeeds only if the
// stored version equals the given record's Version and then stores Version+1;
// otherwise it returns conflict. On success both write the new version into the
// record they were given, on failure they leave it alone. Of several concurrent
// updates from the same version exactly one succeeds.
//
// Tenant scope. Get and Update reach a record only with its customer's id.
// A record of another customer is reported exactly like one that does not
// exist: unknown_integration. A customer id never matches by prefix, pattern
// or case. Update cannot change CustomerID, ID or CreatedAt. Reading across
// customers needs AllCustomers, said explicitly; a query with neither a
// customer nor AllCustomers, or with both, is an invalid_request.
//
// Uniqueness. Each of these holds across all customers and under concurrency,
// decided by the storage itself and not by a read before the write:
//
//   - An ID is unique within its customer (conflict).
//   - A non-empty ExternalIDIndex belongs to the first integration that stored
//     it, for ever: after it was replaced, and after the integration was
//     revoked, no other integration can store it (conflict).
//   - A non-empty RoleARN belongs to one integration, compared by [RoleKey],
//     until that integration changes to another RoleARN or is revoked
//     (role_taken). A Candidate claims nothing.
//   - Within one customer at most one integration that is not revoked has a
//     given non-empty PendingKey (conflict).
//
// State. A record is created pending, or in any state by an import. Update
// refuses moves that [State.CanBecome] does not allow (illegal_state). Records
// are never deleted.
//
// Audit records and events are append-only. Their ids are unique; appending an
// audit record with a known id again is a no-op, so that retries do not
// duplicate. Events leave Outbox in the order in which their writes committed,
// as far as the storage can tell, until they are acknowledged; acknowledging
// an unknown id is a no-op.
//
// Listings are ordered by customer, then id (integrations), and newest first
// (audit). A Cursor is opaque; following cursors returns every record that
// existed throughout exactly once.
//
// All methods are safe for concurrent use and obey the context. Errors are
// of type [*Error].
type CredentialStorage interface {
	// Create stores a new integration.
	Create(ctx context.Context, integration *Integration, change Change) error

	// Update replaces an integration that is still at the given version.
	Update(ctx context.Context, integration *Integration, change Change) error

	// Get returns one integration of the customer.
	Get(ctx context.Context, customerID, integrationID string) (*Integration, error)

	// List returns a page of integrations.
	List(ctx context.Context, query IntegrationQuery) (*IntegrationPage, error)

	// RoleOwner returns who holds the role, compared by [RoleKey], or two empty
	// strings if nobody does.
	RoleOwner(ctx context.Context, role iam.RoleARN) (customerID, integrationID string, err error)

	// AppendAudit stores audit records of things that change no integration.
	AppendAudit(ctx context.Context, records ...AuditRecord) error

	// ListAudit returns a page of audit records.
	ListAudit(ctx context.Context, query AuditQuery) (*AuditPage, error)

	// Outbox returns up to limit events that were not acknowledged, oldest
	// first. Reading does not remove them.
	Outbox(ctx context.Context, limit int) ([]Event, error)

	// Acknowledge removes events from the outbox.
	Acknowledge(ctx context.Context, eventIDs ...string) error
}

// RoleKey returns what makes two role ARNs the same role: partition, account
// and the name without regard to case. IAM allows neither two names that differ
// only in case nor the same name under two paths.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
func RoleKey(role iam.RoleARN) string {
	return role.Partition + ":" + string(role.Account) + ":" + strings.ToLower(role.Name)
}

// An Integration is the record of one AWS account of one customer. It holds no
// credentials, and its external ID is sealed.
type Integration struct {
	ID           string `json:"id"`
	CustomerID   string `json:"customer_id"`
	CustomerName string `json:"customer_name,omitempty"`
	State        State  `json:"state"`

	// SealedExternalID is opened with the [Encryptor]; ExternalIDIndex is its
	// blind index.
	SealedExternalID []byte `json:"sealed_external_id,omitempty"`
	ExternalIDIndex  []byte `json:"external_id_index,omitempty"`

	// PendingKey keeps concurrent starts from creating two integrations; empty
	// once the integration was completed.
	PendingKey string `json:"pending_key,omitempty"`

	// AccountID is the account this integration is bound to; empty until it
	// was declared, reported by the stack or shown by the first role that
	// passed all probes.
	AccountID string `json:"account_id,omitempty"`
	Region    string `json:"region,omitempty"`
	StackName string `json:"stack_name,omitempty"`

	// TemplateKey and TemplateSHA256 name the template the customer was last
	// sent to.
	TemplateKey    string    `json:"template_key,omitempty"`
	TemplateSHA256 string    `json:"template_sha256,omitempty"`
	LinkedAt       time.Time `json:"linked_at,omitzero"` // when the customer last got a launch link

	// RoleARN is the role in use and Verification the last report about it.
	// Candidate is a role that was presented and is not in use.
	RoleARN      string     `json:"role_arn,omitempty"`
	Verification *Report    `json:"verification,omitempty"`
	Candidate    *Candidate `json:"candidate,omitempty"`

	// DegradedReason says why the state is degraded.
	DegradedReason Code `json:"degraded_reason,omitempty"`

	CreatedAt   time.Time `json:"created_at,omitzero"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
	ActivatedAt time.Time `json:"activated_at,omitzero"`
	CheckedAt   time.Time `json:"checked_at,omitzero"` // last verification of RoleARN

	Version int64 `json:"version"` // set by the storage
}

// A Candidate is a presented role and how far its verification got. A
// verification that ran out of patience continues from here.
type Candidate struct {
	RoleARN     string    `json:"role_arn"`
	PresentedAt time.Time `json:"presented_at,omitzero"`
	Attempts    int       `json:"attempts,omitempty"`
	Report      *Report   `json:"report,omitempty"` // the latest
}

// A Change is what is stored together with an integration.
type Change struct {
	Audit  []AuditRecord
	Events []Event
}

// An AuditRecord says who did what to an integration. It never contains an
// external ID or credentials.
type AuditRecord struct {
	ID            string            `json:"id"` // sorts by time
	Time          time.Time         `json:"time"`
	CustomerID    string            `json:"customer_id"`
	IntegrationID string            `json:"integration_id,omitempty"`
	Actor         string            `json:"actor,omitempty"` // see [WithActor]
	Action        string            `json:"action"`          // "integration.verify"
	Outcome       string            `json:"outcome"`         // "ok" or a [Code]
	RoleARN       string            `json:"role_arn,omitempty"`
	SessionName   string            `json:"session_name,omitempty"`
	RequestID     string            `json:"request_id,omitempty"` // AWS's, as in CloudTrail
	Details       map[string]string `json:"details,omitempty"`
}

// An Event tells the rest of a product that something changed. It is kept in
// the outbox until it is acknowledged, so it may be delivered more than once.
type Event struct {
	ID            string            `json:"id"`
	Time          time.Time         `json:"time"`
	Type          string            `json:"type"` // "integration.activated"
	CustomerID    string            `json:"customer_id"`
	IntegrationID string            `json:"integration_id"`
	Details       map[string]string `json:"details,omitempty"`
}

// MaxPage is the most that one listing returns; it is also what a Limit of zero
// means.
const MaxPage = 100

// An IntegrationQuery selects integrations. Zero fields select everything
// within the tenant scope.
type IntegrationQuery struct {
	CustomerID    string
	AllCustomers  bool // for the vendor's own sweeps only
	States        []State
	AccountID     string
	CheckedBefore time.Time // CheckedAt earlier than this, or never checked
	Limit         int
	Cursor        string
}

// An IntegrationPage is a part of a listing. Next is the cursor of the
// following part, empty at the end.
type IntegrationPage struct {
	Integrations []*Integration
	Next         string
}

// An AuditQuery selects audit records; From is included, Until is not.
type AuditQuery struct {
	CustomerID    string
	AllCustomers  bool
	IntegrationID string
	From, Until   time.Time
	Limit         int
	Cursor        string
}

// An AuditPage is a part of a listing, newest first.
type AuditPage struct {
	Records []AuditRecord
	Next    string
}

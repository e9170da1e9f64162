package api

import (
	"time"

	"github.com/crossaccount/crossaccount"
)

// An Integration is one AWS account of one customer, without anything secret.
type Integration struct {
	ID           string             `json:"id" doc:"Unique within the customer."`
	CustomerID   string             `json:"customer_id"`
	CustomerName string             `json:"customer_name,omitempty"`
	State        crossaccount.State `json:"state" enum:"pending,verifying,active,degraded,rejected,expired,disconnected,revoked"`

	AccountID      string            `json:"account_id,omitempty" doc:"The AWS account, once it is known."`
	Region         string            `json:"region,omitempty"`
	StackName      string            `json:"stack_name,omitempty"`
	TemplateSHA256 string            `json:"template_sha256,omitempty" doc:"Hash of the template the customer was last sent to, in hex."`
	RoleARN        string            `json:"role_arn,omitempty" doc:"The role in use."`
	DegradedReason crossaccount.Code `json:"degraded_reason,omitempty" doc:"Why the state is degraded."`

	Verification *crossaccount.Report    `json:"verification,omitempty" doc:"The last report about the role in use."`
	Candidate    *crossaccount.Candidate `json:"candidate,omitempty" doc:"A role that was presented and is not in use."`
	Operation    *Operation              `json:"operation,omitempty" doc:"What this server does with the integration, or did a short while ago."`

	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	LinkedAt    time.Time `json:"linked_at,omitzero" doc:"When the customer last got a launch link."`
	ActivatedAt time.Time `json:"activated_at,omitzero"`
	CheckedAt   time.Time `json:"checked_at,omitzero" doc:"When the role in use was last verified."`
}

// Kinds of operations.
const (
	KindVerify   = "verify"
	KindComplete = "complete"
	KindCheck    = "check"
)

// An Operation is something that may take longer than a request. It is known to
// the process that carries it out, for a quarter of an hour after its end.
type Operation struct {
	Kind       string               `json:"kind" enum:"verify,complete,check"`
	Running    bool                 `json:"running"`
	StartedAt  time.Time            `json:"started_at"`
	FinishedAt time.Time            `json:"finished_at,omitzero"`
	Report     *crossaccount.Report `json:"report,omitempty" doc:"What verifying or checking found out, passed or not."`
	Problem    *Problem             `json:"problem,omitempty" doc:"Why there is no result."`
}

// A StartRequest begins an onboarding, or asks again for the link of one that
// is pending.
type StartRequest struct {
	CustomerID    string `json:"customer_id,omitempty" maxLength:"256" doc:"The vendor's id of the customer. Operators must name it; a tenant's own may be left out."`
	CustomerName  string `json:"customer_name,omitempty" maxLength:"256" doc:"Shown to people."`
	Region        string `json:"region,omitempty" maxLength:"64" doc:"Where the customer launches the stack; the service's default if empty."`
	IntegrationID string `json:"integration_id,omitempty" pattern:"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$" doc:"One integration of a customer that has several, or the id a new one shall have."`
	AccountID     string `json:"account_id,omitempty" pattern:"^[0-9]{12}$" doc:"The customer's AWS account if it is known already."`
}

// A RoleRequest presents a role, for verification or to take it into use.
type RoleRequest struct {
	CustomerID string `json:"customer_id,omitempty" maxLength:"256" doc:"Operators must name the customer; a tenant's own id may be left out."`
	RoleARN    string `json:"role_arn" minLength:"1" maxLength:"2048" doc:"The RoleArn output of the customer's stack."`
	ExternalID string `json:"external_id,omitempty" maxLength:"1224" doc:"May repeat the external ID we made. If it differs, the request is refused."`
}

// A CustomerRequest names the customer of an operator's request.
type CustomerRequest struct {
	CustomerID string `json:"customer_id,omitempty" maxLength:"256" doc:"Operators must name the customer; a tenant's own id may be left out."`
}

// A SetupLinkRequest asks for a link to the setup page.
type SetupLinkRequest struct {
	CustomerID      string `json:"customer_id,omitempty" maxLength:"256" doc:"Operators must name the customer; a tenant's own id may be left out."`
	ValidForSeconds int    `json:"valid_for_seconds,omitempty" minimum:"60" maximum:"2592000" doc:"How long the link works; seven days if it is left out."`
}

// A SetupLink opens the setup page for one integration without signing in. It is
// a secret of the customer's.
type SetupLink struct {
	URL       string    `json:"url" format:"uri"`
	ExpiresAt time.Time `json:"expires_at"`
}

// An ImportRequest takes over an existing role with its existing external ID.
// For operators only.
type ImportRequest struct {
	CustomerID    string `json:"customer_id,omitempty" maxLength:"256"`
	CustomerName  string `json:"customer_name,omitempty" maxLength:"256"`
	RoleARN       string `json:"role_arn" minLength:"1" maxLength:"2048"`
	ExternalID    string `json:"external_id" minLength:"2" maxLength:"1224" doc:"The sts:ExternalId that the role's trust policy demands."`
	Reason        string `json:"reason" minLength:"1" maxLength:"500" doc:"Why the external ID may be one that we did not make. Kept in the audit records."`
	IntegrationID string `json:"integration_id,omitempty" pattern:"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"`
	Region        string `json:"region,omitempty" maxLength:"64"`
}

// An IntegrationPage is a part of a listing.
type IntegrationPage struct {
	Integrations []Integration `json:"integrations" nullable:"false"`
	Next         string        `json:"next,omitempty" doc:"Cursor of the following part; absent at the end."`
}

// An AuditPage is a part of an integration's audit records, newest first.
type AuditPage struct {
	Records []crossaccount.AuditRecord `json:"records" nullable:"false"`
	Next    string                     `json:"next,omitempty" doc:"Cursor of the following part; absent at the end."`
}

// Health says that the server works.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

// shown returns what of a record may be shown.
func shown(i *crossaccount.Integration, operation *Operation) Integration {
	return Integration{
		ID: i.ID, CustomerID: i.CustomerID, CustomerName: i.CustomerName, State: i.State,
		AccountID: i.AccountID, Region: i.Region, StackName: i.StackName, TemplateSHA256: i.TemplateSHA256,
		RoleARN: i.RoleARN, DegradedReason: i.DegradedReason,
		Verification: i.Verification, Candidate: i.Candidate, Operation: operation,
		CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt, LinkedAt: i.LinkedAt, ActivatedAt: i.ActivatedAt, CheckedAt: i.CheckedAt,
	}
}

package crossaccount

import "time"

// An IntegrationRequest starts an onboarding, or asks again for the launch link
// of one that is pending.
type IntegrationRequest struct {
	// CustomerID is the vendor's own id of the customer: 1 to 256 bytes
	// without control characters.
	CustomerID string `json:"customer_id"`

	// CustomerName is shown to people; optional.
	CustomerName string `json:"customer_name,omitempty"`

	// Region is where the customer launches the stack, and the region of the
	// configurations we use in the account. If empty, it stays what it is, and
	// is the configuration's DefaultRegion at first.
	Region string `json:"region,omitempty"`

	// IntegrationID names one integration of a customer that has several: one
	// that exists, or the id a new one shall have (letters, digits, hyphens and
	// underscores, at most 64). If empty, the pending one is continued, or else
	// a new one begins.
	IntegrationID string `json:"integration_id,omitempty"`

	// AccountID is the customer's AWS account if it is known already. The role
	// must then be in it.
	AccountID string `json:"account_id,omitempty"`
}

// An IntegrationResponse is what the customer needs to launch the stack.
type IntegrationResponse struct {
	LaunchURL  string `json:"launch_url"`
	ExternalID string `json:"external_id"`
	StackName  string `json:"stack_name"`

	IntegrationID  string `json:"integration_id,omitempty"`
	Region         string `json:"region,omitempty"`
	TemplateURL    string `json:"template_url,omitempty"`    // never presigned
	TemplateSHA256 string `json:"template_sha256,omitempty"` // hex

	// LinkExpiresAt is zero unless the link contains a presigned URL.
	LinkExpiresAt time.Time `json:"link_expires_at,omitzero"`

	// SetupURL opens the setup page for this integration without signing in. Only
	// servers that have a page fill it in; see [Client.SealSetupLink]. It is a
	// secret of the customer's.
	SetupURL          string    `json:"setup_url,omitempty"`
	SetupURLExpiresAt time.Time `json:"setup_url_expires_at,omitzero"`
}

// A VerificationRequest presents a role. ExternalID may be empty; if it is not,
// it must equal the one we made. The integration is the one bound to the role's
// account, else the customer's open one.
type VerificationRequest struct {
	CustomerID    string `json:"customer_id"`
	RoleARN       string `json:"role_arn"`
	ExternalID    string `json:"external_id,omitempty"`
	IntegrationID string `json:"integration_id,omitempty"`
}

// A StoreCredentialsRequest takes a verified role into use. Its fields mean the
// same as those of a [VerificationRequest].
type StoreCredentialsRequest struct {
	CustomerID    string `json:"customer_id"`
	RoleARN       string `json:"role_arn"`
	ExternalID    string `json:"external_id,omitempty"`
	IntegrationID string `json:"integration_id,omitempty"`
}

// CustomerCredentials is what it takes to assume a customer's role. It contains
// the external ID, so it must not be logged or shown to anybody but the
// customer.
type CustomerCredentials struct {
	RoleARN    string    `json:"role_arn"`
	ExternalID string    `json:"external_id"`
	CreatedAt  time.Time `json:"created_at"`
}

package crossaccount

import "time"

// A Result is the outcome of a step or of a whole verification.
type Result string

// The results. Only passed means that the expectation was seen to hold.
const (
	Passed       Result = "passed"
	Failed       Result = "failed"
	Inconclusive Result = "inconclusive" // could not be found out; try again
	Skipped      Result = "skipped"      // an earlier step made it pointless, or nothing is configured for it
)

// A Report is the outcome of one verification. It is safe to show to the
// customer.
type Report struct {
	CustomerID    string `json:"customer_id"`
	IntegrationID string `json:"integration_id"`
	RoleARN       string `json:"role_arn"`
	AccountID     string `json:"account_id,omitempty"`

	Result  Result `json:"result"`
	Code    Code   `json:"code,omitempty"`    // why the result is not passed
	Message string `json:"message,omitempty"` // the same for people
	Remedy  string `json:"remedy,omitempty"`

	// Controlled reports whether the refusals were shown to come from the
	// role's trust policy: a separate probe identity made them, and it proved
	// able to assume a role without an external ID. If false, the refusals
	// could come from the vendor's own policies.
	Controlled bool `json:"controlled"`

	Steps []Step `json:"steps"`

	// Permissions and SetupPermissions compare the role with the configuration.
	// They never change Result.
	Permissions      []PermissionCheck `json:"permissions,omitempty"`
	SetupPermissions []PermissionCheck `json:"setup_permissions,omitempty"`

	// SourceIdentity and SessionTags report whether the role's trust policy
	// allows callers to send them.
	SourceIdentity bool `json:"source_identity,omitempty"`
	SessionTags    bool `json:"session_tags,omitempty"`

	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
}

// A Step is one check of a verification.
type Step struct {
	Name        string `json:"name"` // see the Step constants
	Expectation string `json:"expectation"`
	Result      Result `json:"result"`
	Detail      string `json:"detail,omitempty"` // what was seen
	Remedy      string `json:"remedy,omitempty"` // what to do
}

// Names of steps, in the order of the protocol.
const (
	StepRole          = "role"            // the ARN is one of a customer's role
	StepAccount       = "account"         // the role is in the integration's account
	StepAssume        = "assume"          // we can assume it with the external ID
	StepIdentity      = "identity"        // the credentials are this role's
	StepOwner         = "owner"           // no other customer uses the role
	StepControl       = "control"         // the probe identity can assume a role without an external ID
	StepMissing       = "missing"         // refused without an external ID
	StepWrong         = "wrong"           // refused with a wrong external ID of the same shape
	StepCaseFlipped   = "case_flipped"    // refused with the external ID in the other case
	StepAssumeAgain   = "assume_again"    // the probe identity can assume it with the external ID
	StepSourceIdent   = "source_identity" // sessions may carry a source identity
	StepSessionTags   = "session_tags"    // sessions may carry tags
	StepSelfInspected = "self_inspection" // the role may read its own policies
	StepTrustPolicy   = "trust_policy"    // its trust policy has no other way in
)

// Step returns the step with the given name, or nil.
func (r *Report) Step(name string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return &r.Steps[i]
		}
	}
	return nil
}

// Err returns nil if the verification passed, else an [*Error] with the
// report's code, message and remedy.
func (r *Report) Err() error {
	if r.Result == Passed {
		return nil
	}
	return NewError(r.Code, r.Message, r.Remedy, nil)
}

// A PermissionState says whether the role has a declared permission.
type PermissionState string

// The states of a permission. Present, missing and removed were seen, not
// assumed.
const (
	PermissionPresent    PermissionState = "present"
	PermissionMissing    PermissionState = "missing" // an ongoing permission the role does not have
	PermissionRemoved    PermissionState = "removed" // a setup permission the role does not have
	PermissionNotChecked PermissionState = "not_checked"
)

// A PermissionCheck compares one declared permission with the role's policies.
type PermissionCheck struct {
	Sid     string          `json:"sid,omitempty"`
	Actions []string        `json:"actions"`
	State   PermissionState `json:"state"`
	Reason  string          `json:"reason,omitempty"`
}

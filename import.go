package crossaccount

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// An ImportRequest takes over a role that a customer created for the vendor
// before, with the external ID that its trust policy demands already.
type ImportRequest struct {
	CustomerID   string `json:"customer_id"`
	CustomerName string `json:"customer_name,omitempty"`
	RoleARN      string `json:"role_arn"`
	ExternalID   string `json:"external_id"`

	// Reason says why the external ID may be one that we did not make. It is
	// kept in the audit records; at most 500 bytes.
	Reason string `json:"reason"`

	IntegrationID string `json:"integration_id,omitempty"` // as in an [IntegrationRequest]
	Region        string `json:"region,omitempty"`
}

// Import begins an integration for an existing role with an existing external
// ID. It is the one exception from the rule that we make external IDs, so it is
// for operators only, never for customers, and the audit records say who did it
// and why. An external ID that any integration ever had is refused.
//
// The role is not in use yet: it has to pass the probe protocol like every other,
// with [Client.Verify] and [Client.StoreCustomerCredentials].
func (c *Client) Import(ctx context.Context, request *ImportRequest) (*Integration, error) {
	if request == nil {
		return nil, NewError(CodeInvalidRequest, "import request: is nil", "", nil)
	}
	in := *request
	role, err := c.checkImport(ctx, &in)
	if err != nil {
		return nil, err
	}
	now := storedTime(c.now())
	integration := &Integration{
		ID:           in.IntegrationID,
		CustomerID:   in.CustomerID,
		CustomerName: in.CustomerName,
		State:        StatePending,
		PendingKey:   "account " + string(role.Account),
		AccountID:    string(role.Account),
		Region:       cmp.Or(in.Region, c.config.DefaultRegion),
		Candidate:    &Candidate{RoleARN: role.String(), PresentedAt: now},
		LinkedAt:     now,
		CreatedAt:    now,
		UpdatedAt:    now,
	}
	if integration.ID == "" {
		if integration.ID, err = c.newID("int-"); err != nil {
			return nil, err
		}
	}
	if integration.SealedExternalID, err = c.encryptor.Seal(ctx, []byte(in.ExternalID), externalIDBinding(integration)); err != nil {
		return nil, err
	}
	if integration.ExternalIDIndex, err = c.encryptor.BlindIndex(ctx, "external_id", []byte(in.ExternalID)); err != nil {
		return nil, err
	}
	change, err := c.changed(ctx, integration, ActionImported, outcomeOK, role.String())
	if err != nil {
		return nil, err
	}
	change.Audit[0].Details = map[string]string{"exception": "the external ID was not made by us", "reason": in.Reason}
	err = c.storage.Create(ctx, integration, change)
	if errors.Is(err, CodeConflict) {
		return nil, NewError(CodeIllegalState, "the account has an open integration, or the integration_id or the external ID is in use",
			"show the customer's integrations; revoke the open one if it is not needed", nil)
	}
	if err != nil {
		return nil, err
	}
	c.log.Warn("crossaccount: a role was imported with an external ID that we did not make", "customer", integration.CustomerID, "integration", integration.ID, "role", role.String())
	return integration, nil
}

// checkImport checks everything that can be checked without asking AWS.
func (c *Client) checkImport(ctx context.Context, in *ImportRequest) (role iam.RoleARN, err error) {
	if err := c.checkIntegrationRequest(&IntegrationRequest{
		CustomerID: in.CustomerID, CustomerName: in.CustomerName, Region: in.Region, IntegrationID: in.IntegrationID,
	}); err != nil {
		return role, err
	}
	if err := checkText("reason", in.Reason, 500, true); err != nil {
		return role, err
	}
	// The rule that is broken, without the ID itself.
	if reference.CheckExternalID(in.ExternalID) != nil || !strings.ContainsFunc(in.ExternalID, func(r rune) bool { return isAlphanumeric(byte(r)) }) {
		return role, NewError(CodeInvalidRequest, "external_id: must be 2 to 1224 letters, digits and _+=,.@:/-, at least one a letter or digit", "repeat the sts:ExternalId of the role's trust policy", nil)
	}
	role, problem, remedy := c.customerRole(strings.TrimSpace(in.RoleARN))
	if problem != "" {
		return role, NewError(CodeInvalidRole, problem, remedy, nil)
	}
	_, owner, err := c.storage.RoleOwner(ctx, role)
	if err == nil && owner != "" {
		err = RoleTaken()
	}
	return role, err
}

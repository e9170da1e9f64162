package crossaccount

import "context"

// Integration returns one integration of a customer.
func (c *Client) Integration(ctx context.Context, customerID, integrationID string) (*Integration, error) {
	if err := checkCustomerID(customerID); err != nil {
		return nil, err
	}
	return c.storage.Get(ctx, customerID, integrationID)
}

// ListIntegrations returns a part of the integrations that the query selects.
// Across customers it is for the vendor's own people and sweeps only.
func (c *Client) ListIntegrations(ctx context.Context, query IntegrationQuery) (*IntegrationPage, error) {
	if err := checkText("customer_id", query.CustomerID, 256, false); err != nil {
		return nil, err
	}
	if err := checkAccountID("account_id", query.AccountID); err != nil {
		return nil, err
	}
	return c.storage.List(ctx, query)
}

// Audit returns a part of the audit records that the query selects, newest
// first.
func (c *Client) Audit(ctx context.Context, query AuditQuery) (*AuditPage, error) {
	if err := checkText("customer_id", query.CustomerID, 256, false); err != nil {
		return nil, err
	}
	return c.storage.ListAudit(ctx, query)
}

package crossaccount

import (
	"context"
	"maps"
	"slices"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/iam"
)

// StoreCustomerCredentials takes a role into use. It needs a verification of
// exactly this role that passed at most 15 minutes ago; without one it verifies
// first, with everything [Client.Verify] does. The role replaces the one the
// integration used before, if any, in one step.
func (c *Client) StoreCustomerCredentials(ctx context.Context, request *StoreCredentialsRequest) error {
	if request == nil {
		return NewError(CodeInvalidRequest, "store request: is nil", "", nil)
	}
	_, err := c.Complete(ctx, (*VerificationRequest)(request))
	return err
}

// fresh returns nil if the integration's candidate is this role and passed
// verification a short while ago.
func (c *Client) fresh(integration *Integration, arn string) error {
	switch candidate := integration.Candidate; {
	case candidate == nil || candidate.RoleARN != arn || candidate.Report == nil ||
		candidate.Report.RoleARN != arn || candidate.Report.Result != Passed:
		return NewError(CodeNotVerified, "the role has not passed verification", "verify it first", nil)
	case c.now().Sub(candidate.Report.FinishedAt) > freshFor:
		return NewError(CodeStaleVerification, "the role passed verification more than 15 minutes ago", "verify it again", nil)
	}
	return nil
}

// settled reports whether this role was taken into use a short while ago and no
// later verification of it ended otherwise.
func (c *Client) settled(i *Integration, arn string) bool {
	doubted := i.Candidate != nil && i.Candidate.RoleARN == arn && i.Candidate.Report != nil && i.Candidate.Report.Result != Passed
	return i.State == StateActive && i.RoleARN == arn && !doubted && c.now().Sub(i.CheckedAt) <= freshFor
}

// activate takes the verified candidate into use. The report is looked at once
// more together with the record that is written, so nothing can come between.
func (c *Client) activate(ctx context.Context, customerID, integrationID, arn string) error {
	role, err := iam.ParseRoleARN(arn)
	if err != nil {
		return NewError(CodeInvalidRole, err.Error(), "", nil)
	}
	integration, err := c.update(ctx, customerID, integrationID, func(i *Integration) (Change, error) {
		if err := c.fresh(i, arn); err != nil {
			if c.settled(i, arn) {
				return Change{}, errNoChange // somebody else just did it
			}
			return Change{}, err
		}
		if i.AccountID != "" && i.AccountID != string(role.Account) {
			return Change{}, wrongAccount()
		}
		if !i.State.CanBecome(StateActive) {
			return Change{}, IllegalMove(i.State, StateActive)
		}
		now := storedTime(c.now())
		i.State, i.DegradedReason = StateActive, ""
		i.RoleARN, i.Verification, i.Candidate = arn, i.Candidate.Report, nil
		i.AccountID, i.PendingKey = string(role.Account), ""
		i.ActivatedAt, i.CheckedAt = now, i.Verification.FinishedAt
		return c.changed(ctx, i, ActionActivated, outcomeOK, arn)
	})
	if err != nil {
		return err
	}
	c.forget(integration)
	c.log.Info("crossaccount: a role was taken into use", "customer", customerID, "integration", integrationID, "role", arn)
	return nil
}

// forget drops the credentials of an integration, so that whoever uses them next
// looks at the record again. It looks at everything the broker has.
func (c *Client) forget(integration *Integration) {
	c.mu.Lock()
	b := c.broker
	if integration.State == StateRevoked { // others may be used again, and whoever kept their credentials with them
		delete(c.accesses, integrationKey{integration.CustomerID, integration.ID})
	}
	c.mu.Unlock()
	if b != nil {
		b.Revoke(integration.CustomerID, integration.ID)
	}
}

// holds reports whether there are credentials of the integration that were not
// dropped, as far as is known without looking at everything the broker has.
func (c *Client) holds(integration *Integration) bool {
	c.mu.Lock()
	known := slices.Collect(maps.Values(c.accesses[integrationKey{integration.CustomerID, integration.ID}]))
	c.mu.Unlock()
	return slices.ContainsFunc(known, func(r *RoleCredentials) bool {
		session := r.current.Load()
		return session != nil && session.handle.Status().State != broker.StateRevoked
	})
}

// Check verifies the role of an integration in use again. If it fails, the
// integration is degraded with the reason and keeps working as far as AWS lets
// it; if it passes, the integration is active again. A check that is
// inconclusive changes nothing but is kept in the audit records. Checks count
// with the customer's verifications against the limit for them; more are refused
// with the code rate_limited.
func (c *Client) Check(ctx context.Context, customerID, integrationID string) (*Report, error) {
	if err := checkCustomerID(customerID); err != nil {
		return nil, err
	}
	if err := c.mayCheck(customerID); err != nil {
		return nil, err
	}
	return c.check(ctx, customerID, integrationID)
}

func (c *Client) mayCheck(customerID string) error {
	if !c.limits.allow(verificationLimits(customerID, "")...) {
		return NewError(CodeRateLimited, "too many verifications", "wait a minute, then try again", nil)
	}
	return nil
}

func (c *Client) check(ctx context.Context, customerID, integrationID string) (*Report, error) {
	integration, err := c.storage.Get(ctx, customerID, integrationID)
	if err != nil {
		return nil, err
	}
	if !integration.State.Usable() && integration.State != StateDisconnected {
		return nil, notInUse(integration.State)
	}
	v := c.newVerification(integration, integration.RoleARN)
	if err := v.checkRecords(ctx, integration, integration.RoleARN); err != nil {
		return nil, err
	}
	if v.report.Result != Failed {
		if v.externalID, err = c.externalIDOf(ctx, integration); err != nil {
			return nil, err
		}
		v.patience = c.patience
		if err := v.run(ctx); err != nil {
			return nil, err
		}
	}
	v.report.FinishedAt = storedTime(c.now())
	return v.report, c.keepCheck(ctx, integration, v.report)
}

// keepCheck stores the outcome of a check, unless the role was replaced
// meanwhile.
func (c *Client) keepCheck(ctx context.Context, integration *Integration, report *Report) error {
	_, err := c.update(ctx, integration.CustomerID, integration.ID, func(i *Integration) (Change, error) {
		if i.RoleARN != report.RoleARN || i.State == StateRevoked {
			return Change{}, errNoChange
		}
		before := i.State
		outcome := outcomeOK
		switch report.Result {
		case Passed:
			i.State, i.DegradedReason, i.Verification, i.CheckedAt = StateActive, "", report, report.FinishedAt
		case Failed:
			outcome = string(report.Code)
			i.State, i.DegradedReason, i.Verification, i.CheckedAt = StateDegraded, report.Code, report, report.FinishedAt
		default:
			outcome = string(report.Code)
		}
		if i.State == before {
			return c.changed(ctx, i, ActionVerified, outcome, report.RoleARN)
		}
		if i.State == StateActive {
			return c.changed(ctx, i, ActionRecovered, outcome, report.RoleARN)
		}
		c.log.Error("crossaccount: an integration is degraded", "customer", i.CustomerID, "integration", i.ID, "role", i.RoleARN, "reason", outcome)
		return c.changed(ctx, i, ActionDegraded, outcome, report.RoleARN)
	})
	return err
}

// Disconnect records that the customer seems to have removed the stack. The
// record and its role are kept: what we were told may be wrong, and a check or
// a new verification brings the integration back.
func (c *Client) Disconnect(ctx context.Context, customerID, integrationID string) error {
	return c.leave(ctx, customerID, integrationID, StateDisconnected, ActionDisconnected)
}

// Revoke gives an integration up for good. No credentials are obtained for it
// any more; those that AWS has issued work until they expire. Its external ID
// is never used again, and its role may be presented for another integration.
func (c *Client) Revoke(ctx context.Context, customerID, integrationID string) error {
	return c.leave(ctx, customerID, integrationID, StateRevoked, ActionRevoked)
}

func (c *Client) leave(ctx context.Context, customerID, integrationID string, state State, action string) error {
	if err := checkCustomerID(customerID); err != nil {
		return err
	}
	integration, err := c.update(ctx, customerID, integrationID, func(i *Integration) (Change, error) {
		if i.State == state {
			return Change{}, errNoChange
		}
		if !i.State.CanBecome(state) {
			return Change{}, IllegalMove(i.State, state)
		}
		i.State, i.PendingKey = state, ""
		return c.changed(ctx, i, action, outcomeOK, i.RoleARN)
	})
	if err != nil {
		return err
	}
	c.forget(integration)
	return nil
}

// Integrations returns the customer's integrations, also those that are over.
func (c *Client) Integrations(ctx context.Context, customerID string) ([]*Integration, error) {
	if err := checkCustomerID(customerID); err != nil {
		return nil, err
	}
	var found []*Integration
	query := IntegrationQuery{CustomerID: customerID}
	for {
		page, err := c.storage.List(ctx, query)
		if err != nil {
			return nil, err
		}
		found = append(found, page.Integrations...)
		if page.Next == "" {
			return found, nil
		}
		query.Cursor = page.Next
	}
}

package crossaccount

import (
	"context"
	"errors"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// Actions of audit records, and types of events where both are written.
const (
	ActionStarted      = "integration.started"      // an onboarding began
	ActionImported     = "integration.imported"     // an operator took over an existing role and its external ID
	ActionLinked       = "integration.linked"       // a launch link was handed out
	ActionVerifying    = "integration.verifying"    // a role was presented
	ActionVerified     = "integration.verified"     // a verification ended; the outcome is ok or its code
	ActionRejected     = "integration.rejected"     // a presented role was refused before or by verification
	ActionActivated    = "integration.activated"    // a role was taken into use
	ActionDegraded     = "integration.degraded"     // a check of a role in use failed
	ActionRecovered    = "integration.recovered"    // a later check passed
	ActionDisconnected = "integration.disconnected" // we were told that the stack is gone
	ActionRevoked      = "integration.revoked"      // offboarded
	ActionExpired      = "integration.expired"      // not completed in time
	ActionAssumed      = "role.assumed"             // credentials were issued, or refused
	ActionHandedOut    = "credentials.handed_out"   // issued credentials were given to another process
	ActionTokenIssued  = "token.issued"             // somebody may have the credentials from an endpoint
	ActionTokenRevoked = "token.revoked"            // and may no longer
)

const outcomeOK = "ok"

// audited makes an audit record. Times and ids are ours, never the caller's.
func (c *Client) audited(ctx context.Context, integration *Integration, action, outcome string) (AuditRecord, error) {
	id, err := c.newID("aud_")
	if err != nil {
		return AuditRecord{}, err
	}
	return AuditRecord{
		ID:            id,
		Time:          storedTime(c.now()),
		CustomerID:    integration.CustomerID,
		IntegrationID: integration.ID,
		Actor:         actorOf(ctx),
		Action:        action,
		Outcome:       outcome,
	}, nil
}

// changed makes an audit record and an event of the same kind.
func (c *Client) changed(ctx context.Context, integration *Integration, action, outcome, roleARN string) (Change, error) {
	record, err := c.audited(ctx, integration, action, outcome)
	if err != nil {
		return Change{}, err
	}
	record.RoleARN = roleARN
	id, err := c.newID("evt_")
	if err != nil {
		return Change{}, err
	}
	event := Event{ID: id, Time: record.Time, Type: action, CustomerID: integration.CustomerID, IntegrationID: integration.ID}
	details := map[string]string{}
	if outcome != outcomeOK {
		details["reason"] = outcome
	}
	if roleARN != "" {
		details["role_arn"] = roleARN
	}
	if len(details) > 0 {
		event.Details = details
	}
	return Change{Audit: []AuditRecord{record}, Events: []Event{event}}, nil
}

// updateTries bounds how often a change is tried again after somebody else's.
const updateTries = 8

// update reads an integration, lets apply change it, and stores it; if somebody
// else was faster, it starts again. Apply may return errNoChange.
func (c *Client) update(ctx context.Context, customerID, integrationID string, apply func(*Integration) (Change, error)) (*Integration, error) {
	for try := 1; ; try++ {
		integration, err := c.storage.Get(ctx, customerID, integrationID)
		if err != nil {
			return nil, err
		}
		change, err := apply(integration)
		if errors.Is(err, errNoChange) {
			return integration, nil
		}
		if err != nil {
			return nil, err
		}
		integration.UpdatedAt = storedTime(c.now())
		err = c.storage.Update(ctx, integration, change)
		if err == nil {
			return integration, nil
		}
		if CodeOf(err) != CodeConflict || try == updateTries {
			return nil, err
		}
	}
}

var errNoChange = errors.New("nothing to change")

// all returns every integration of a customer that was not revoked.
func (c *Client) all(ctx context.Context, customerID string) ([]*Integration, error) {
	var found []*Integration
	query := IntegrationQuery{CustomerID: customerID}
	for _, state := range States() {
		if state != StateRevoked {
			query.States = append(query.States, state)
		}
	}
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

// checkCustomerID refuses what cannot be a key in every storage.
func checkCustomerID(id string) error {
	return checkText("customer_id", id, 256, true)
}

func checkText(field, text string, limit int, required bool) error {
	problem := ""
	switch {
	case required && strings.TrimSpace(text) == "":
		problem = "must not be empty"
	case len(text) > limit:
		problem = "is too long; the limit is " + decimal(limit) + " bytes"
	case strings.ContainsFunc(text, isUnprintable):
		problem = "must be text without control characters"
	default:
		return nil
	}
	return NewError(CodeInvalidRequest, field+": "+problem, "", nil)
}

func checkAccountID(field, id string) error {
	if _, err := iam.ParseAccountID(id); id != "" && err != nil {
		return NewError(CodeInvalidRequest, field+": must be the 12 digits of an AWS account", "", nil)
	}
	return nil
}

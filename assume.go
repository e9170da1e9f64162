package crossaccount

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// AssumeCustomerRole returns a configuration for calls in the customer's
// account. Its credentials are obtained now, with the integration's external ID,
// and renew themselves in the background for as long as the integration is in
// use: nobody waits when they expire. All configurations of an integration share
// them. [Client.Credentials] says more about purposes and session policies.
//
// A customer with several integrations in use is ambiguous_integration: use
// [Client.AssumeIntegrationRole].
func (c *Client) AssumeCustomerRole(ctx context.Context, customerID string) (aws.Config, error) {
	integration, err := c.usable(ctx, customerID)
	if err != nil {
		return aws.Config{}, err
	}
	return c.assume(ctx, integration)
}

// AssumeIntegrationRole is [Client.AssumeCustomerRole] for one of several
// integrations of a customer.
func (c *Client) AssumeIntegrationRole(ctx context.Context, customerID, integrationID string) (aws.Config, error) {
	if err := checkCustomerID(customerID); err != nil {
		return aws.Config{}, err
	}
	integration, err := c.storage.Get(ctx, customerID, integrationID)
	if err != nil {
		return aws.Config{}, err
	}
	return c.assume(ctx, integration)
}

// CustomerCredentials returns what it takes to assume the customer's role, for
// software that does it by itself. The result contains the external ID.
func (c *Client) CustomerCredentials(ctx context.Context, customerID string) (*CustomerCredentials, error) {
	integration, err := c.usable(ctx, customerID)
	if err != nil {
		return nil, err
	}
	externalID, err := c.externalIDOf(ctx, integration)
	if err != nil {
		return nil, err
	}
	return &CustomerCredentials{RoleARN: integration.RoleARN, ExternalID: externalID, CreatedAt: integration.ActivatedAt}, nil
}

// usable returns the one integration of the customer that is in use.
func (c *Client) usable(ctx context.Context, customerID string) (*Integration, error) {
	if err := checkCustomerID(customerID); err != nil {
		return nil, err
	}
	integrations, err := c.all(ctx, customerID)
	if err != nil {
		return nil, err
	}
	var found *Integration
	for _, integration := range integrations {
		switch {
		case !integration.State.Usable():
		case found != nil:
			return nil, NewError(CodeAmbiguousIntegration, "the customer has several integrations in use", "name one by its id", nil)
		default:
			found = integration
		}
	}
	switch {
	case found != nil:
		return found, nil
	case len(integrations) == 0:
		return nil, unknownCustomer()
	case len(integrations) == 1:
		return nil, notInUse(integrations[0].State)
	}
	return nil, notInUse("")
}

func unknownCustomer() *Error {
	return NewError(CodeUnknownCustomer, "the customer has no integration", "start one with a launch link first", nil)
}

// notInUse says why an integration gives no credentials and what brings it back, by
// its state; it is "" if there are several in states of their own.
func notInUse(state State) *Error {
	message, remedy := "", "show the customer's integrations, then complete one or start another"
	switch state {
	case StatePending, StateVerifying:
		message, remedy = " yet", "complete it: verify the role, then store it"
	case StateRejected:
		message, remedy = ": the role that was presented did not pass", "its report says why; present a role that passes"
	case StateExpired:
		message, remedy = ": it was not completed in time", "ask for a new launch link"
	case StateDisconnected:
		message, remedy = ": we were told that its stack is gone", "verify its role again, which brings it back, or revoke it"
	case StateRevoked:
		message, remedy = ": it was given up for good", "start another one"
	case StateActive, StateDegraded: // in use; it was not when somebody looked
	}
	return NewError(CodeNotVerified, "the customer's integration is not in use"+message, remedy, nil)
}

// assume returns the integration's configuration once AWS has issued
// credentials for it.
func (c *Client) assume(ctx context.Context, integration *Integration) (aws.Config, error) {
	if !integration.State.Usable() {
		if c.holds(integration) { // somebody else ended it
			c.forget(integration)
		}
		return aws.Config{}, notInUse(integration.State)
	}
	credentials, err := c.credentialsOf(ctx, integration, access{})
	if err != nil {
		return aws.Config{}, err
	}
	if _, err := credentials.Retrieve(ctx); err != nil {
		return aws.Config{}, err
	}
	return credentials.Config(""), nil
}

// sessionName returns a legal session name that tells people in the customer's
// CloudTrail who was here and for whom: at most 64 letters, digits and _+=,.@-
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func sessionName(service, purpose string) string {
	legal := strings.Map(func(r rune) rune {
		if r < 0x80 && (isAlphanumeric(byte(r)) || strings.ContainsRune("_+=,.@-", r)) {
			return r
		}
		return '-'
	}, purpose)
	name := slug(service, 32) + "@" + legal
	if legal == purpose && len(name) <= 64 {
		return name
	}
	sum := sha256.Sum256([]byte(purpose))
	return name[:min(len(name), 64-9)] + "-" + hex.EncodeToString(sum[:4])
}

// sourceIdentity is what the customer's CloudTrail shows as the origin of every
// call, even after further roles were assumed. It must not begin with "aws:".
func (c *Client) sourceIdentity() string { return slug(c.config.ServiceName, 40) + ".crossaccount" }

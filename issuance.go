package crossaccount

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// auditTimeout bounds writing an audit record that nobody waits for.
const auditTimeout = 5 * time.Second

// authorize is asked by the broker before every call of STS: an integration
// that is no longer in use gets no more credentials, wherever its configuration
// went, and one whose role or external ID changed gets them under the new.
func (c *Client) authorize(ctx context.Context, subject broker.Subject) error {
	integration, err := c.storage.Get(ctx, subject.Customer, subject.Integration)
	switch {
	case CodeOf(err) == CodeUnknownIntegration:
		return broker.Revoked(notInUse(""))
	case err != nil:
		return err
	case !integration.State.Usable():
		return broker.Revoked(notInUse(integration.State))
	}
	if c.changedSince(integration, subject.Key) {
		return broker.Revoked(NewError(CodeNotVerified, "the integration has another role or external ID now", "", nil))
	}
	return nil
}

// changedSince reports whether the session with the key is one for another role or
// external ID than those of the record.
func (c *Client) changedSince(integration *Integration, key broker.Key) bool {
	now := fingerprintOf(integration)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.accesses[integrationKey{integration.CustomerID, integration.ID}] {
		if session := r.current.Load(); session != nil && session.handle.Key() == key && session.fingerprint != now {
			return true
		}
	}
	return false
}

// issuances keeps what the broker does: an audit record for each session, and
// a check of the integration whose trust was withdrawn.
type issuances struct {
	client *Client
	also   broker.Observer // of [WithBrokerObserver]; may be nil
}

// Issued implements [broker.Observer]. Credentials whose issuance cannot be
// audited are dropped by the broker.
func (o *issuances) Issued(ctx context.Context, issuance broker.Issuance) error {
	c := o.client
	details := map[string]string{
		"expires":       issuance.Expires.UTC().Format(time.RFC3339),
		"access_key_id": issuance.AccessKeyID,
		"region":        issuance.Region,
	}
	if issuance.Purpose != "" {
		details["purpose"] = issuance.Purpose
	}
	if issuance.PackedPolicySize > 0 {
		details["packed_policy_size"] = strconv.Itoa(issuance.PackedPolicySize)
	}
	if err := c.auditAssumption(ctx, issuance.Subject, outcomeOK, issuance.RequestID, details); err != nil {
		c.log.Error("crossaccount: an assumption could not be audited; its result is dropped",
			"customer", issuance.Customer, "integration", issuance.Integration, "code", CodeOf(err))
		return err
	}
	c.log.Info("crossaccount: assumed a customer's role", "customer", issuance.Customer, "integration", issuance.Integration,
		"role", issuance.RoleARN, "session", issuance.SessionName, "request", issuance.RequestID, "expires", details["expires"])
	if o.also != nil {
		return o.also.Issued(ctx, issuance)
	}
	return nil
}

func (c *Client) auditAssumption(ctx context.Context, subject broker.Subject, outcome, requestID string, details map[string]string) error {
	record, err := c.audited(ctx, &Integration{CustomerID: subject.Customer, ID: subject.Integration}, ActionAssumed, outcome)
	if err != nil {
		return err
	}
	record.RoleARN, record.SessionName = subject.RoleARN, subject.SessionName
	record.RequestID, record.Details = requestID, details
	return c.storage.AppendAudit(ctx, record)
}

// Happened implements [broker.Observer].
func (o *issuances) Happened(event broker.Event) {
	c := o.client
	switch event.Kind {
	case broker.EventRefused, broker.EventSuspected, broker.EventWithdrawn:
		c.assumptionRefused(event)
	case broker.EventFailing:
		c.log.Warn("crossaccount: renewing credentials failed; using those that are still valid",
			"customer", event.Subject.Customer, "integration", event.Subject.Integration, "code", event.Code, "expires", event.Expires)
	case broker.EventOwnIdentity:
		c.log.Error("crossaccount: many customers' roles refuse us at once, which points at our own identity; nothing was taken from anybody",
			"remedy", "check that the broker's role exists and that its own policies allow sts:AssumeRole")
	case broker.EventRegionDown, broker.EventRegionUp:
		c.log.Warn("crossaccount: "+map[broker.EventKind]string{
			broker.EventRegionDown: "STS does not work in a region; it is left alone for a while",
			broker.EventRegionUp:   "STS works again in a region",
		}[event.Kind], "region", event.Region)
	}
	if o.also != nil {
		o.also.Happened(event)
	}
}

// assumptionRefused keeps that AWS refused. Once it is certain that a role in use
// was taken from us the integration is checked, which degrades it with the
// reason; a single refusal may be IAM's delay.
func (c *Client) assumptionRefused(event broker.Event) {
	ctx, cancel := context.WithTimeout(context.Background(), auditTimeout)
	defer cancel()
	s := event.Subject
	c.log.Warn("crossaccount: a customer's role could not be assumed", "customer", s.Customer, "integration", s.Integration,
		"role", s.RoleARN, "session", s.SessionName, "code", CodeRoleRefused, "event", event.Kind)
	if err := c.auditAssumption(ctx, s, string(CodeRoleRefused), "", map[string]string{"event": string(event.Kind)}); err != nil {
		c.log.Error("crossaccount: a refusal could not be audited", "customer", s.Customer, "integration", s.Integration, "code", CodeOf(err))
	}
	if event.Kind != broker.EventWithdrawn {
		return
	}
	if _, err := c.beginCheck(ctx, s.Customer, s.Integration); err != nil {
		c.log.Warn("crossaccount: an integration whose trust was withdrawn could not be checked", "customer", s.Customer, "integration", s.Integration, "code", CodeOf(err))
	}
}

// Called implements [broker.Observer].
func (o *issuances) Called(call broker.Call) {
	if o.also != nil {
		o.also.Called(call)
	}
}

// sessionSealer seals sessions for a shared store with the client's own
// encryption, bound to the entry they belong to.
type sessionSealer struct{ encryptor Encryptor }

func sessionBinding(associatedData []byte) Binding {
	return Binding{Field: "session:" + hex.EncodeToString(associatedData)}
}

// Seal implements [broker.Sealer].
func (s sessionSealer) Seal(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return s.encryptor.Seal(ctx, plaintext, sessionBinding(associatedData))
}

// Open implements [broker.Sealer].
func (s sessionSealer) Open(ctx context.Context, sealed, associatedData []byte) ([]byte, error) {
	return s.encryptor.Open(ctx, sealed, sessionBinding(associatedData))
}

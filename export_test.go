package crossaccount

import "time"

// WithoutProbe takes the probe identity and the canary role away again.
func WithoutProbe(c *Client) { c.probe, c.canaryRole = nil, "" }

// NewLimiter returns what says whether a customer may present a role of an
// account. Through the front door, filling its memory would take minutes.
func NewLimiter(now func() time.Time) (allow func(customerID, account string) bool) {
	l := &limiter{now: now}
	return func(customerID, account string) bool { return l.allow(verificationLimits(customerID, account)...) }
}

// Accesses returns how many accesses of an integration the client remembers.
func (c *Client) Accesses(customerID, integrationID string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.accesses[integrationKey{customerID, integrationID}])
}

// ForgetSessions drops a customer's sessions as if nobody had read them for long.
func (c *Client) ForgetSessions(customerID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broker.Forget(customerID, "")
}

// SessionName is sessionName.
func SessionName(service, purpose string) string { return sessionName(service, purpose) }

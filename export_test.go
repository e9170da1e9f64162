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

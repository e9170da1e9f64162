package crossaccount

// WithoutProbe takes the probe identity and the canary role away again.
func WithoutProbe(c *Client) { c.probe, c.canaryRole = nil, "" }

package crossaccount

import (
	"slices"

	"github.com/crossaccount/crossaccount/broker"
)

// WithPurposes says for which purposes customers' roles are used. Each has a
// session policy that narrows what credentials asked for with [ForPurpose] may
// do, so that a job which only lists cannot delete, whatever its bugs.
func WithPurposes(purposes ...broker.Purpose) Option {
	return func(c *Client) { c.brokering.Purposes = append(c.brokering.Purposes, purposes...) }
}

// WithSTSRegions says whose STS endpoints are used for customers' roles, the
// usual one first; the region of Config.AWSConfig alone if not given. A second
// one takes over when the first is in trouble. Customers whose organisation
// allows some regions only must allow these.
func WithSTSRegions(regions ...string) Option {
	return func(c *Client) { c.brokering.Regions = slices.Clone(regions) }
}

// WithWithdrawal says what happens to credentials that are still valid when a
// customer withdraws its trust; [broker.Stop] if not given.
func WithWithdrawal(withdrawal broker.Withdrawal) Option {
	return func(c *Client) { c.brokering.Withdrawn = withdrawal }
}

// WithSTSRate limits the calls of STS per region and second, 300 if not given.
// AWS allows 600 per account and region by default, for all callers of the
// account together.
func WithSTSRate(perSecond float64) Option {
	return func(c *Client) {
		if perSecond <= 0 {
			c.problem("WithSTSRate (sts_rate): %v must be more than 0", perSecond)
		}
		c.brokering.MaxPerSecond = perSecond
	}
}

// WithSharedSessions keeps customers' sessions in a store that several processes
// share and that outlives them: one of them calls STS for all. They are sealed
// with the sealer, or with the client's own encryption if it is nil. Without
// this option no credentials leave the process's memory: whoever has the store
// and the key has every customer's access until the sessions expire.
func WithSharedSessions(store broker.SharedStore, sealer broker.Sealer) Option {
	return func(c *Client) {
		if store == nil {
			c.problem("WithSharedSessions: the store is nil")
		}
		c.brokering.SharedStore, c.brokering.Sealer = store, sealer
	}
}

// WithBrokerObserver is told what the broker does, for metrics and alerts. The
// client keeps its own audit records in any case.
func WithBrokerObserver(observer broker.Observer) Option {
	return func(c *Client) { c.brokering.Observer = observer }
}

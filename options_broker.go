package crossaccount

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/iam"
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

// WithSTSRate limits the calls of STS per region and second, 300 if not given
// and at least 1.
// AWS allows 600 per account and region by default, for all callers of the
// account together.
func WithSTSRate(perSecond float64) Option {
	return func(c *Client) {
		if !(perSecond >= 1) { // also NaN
			c.problem("WithSTSRate (sts_rate): %v must be at least 1 call a second", perSecond)
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

// checkBrokering refuses in New what the broker would refuse when it is made, which
// is at first use. The broker knows the rules; here they are told by option.
func (c *Client) checkBrokering() {
	regions, home := c.brokering.Regions, cmp.Or(c.config.AWSConfig.Region, c.config.DefaultRegion)
	check := func(option string, config broker.Config) (fine bool) {
		config.AWSConfig = aws.Config{Region: home, Credentials: aws.AnonymousCredentials{}} // nobody is called
		err := config.Validate()
		if err != nil {
			c.problem("%s: %s", option, strings.TrimPrefix(err.Error(), "broker: "))
		}
		return err == nil
	}
	check("WithWithdrawal (withdrawal)", broker.Config{Regions: []string{DefaultRegion}, Withdrawn: c.brokering.Withdrawn})
	if len(regions) == 0 {
		if !check("AWSConfig", broker.Config{}) {
			return
		}
	} else {
		if !check("WithSTSRegions (sts_regions)", broker.Config{Regions: regions}) {
			return
		}
		if p, _ := iam.PartitionOfRegion(regions[0]); p.ID != c.partition.ID {
			c.problem("WithSTSRegions (sts_regions): %s is in partition %s, default_region %s is in %s", regions[0], p.ID, c.config.DefaultRegion, c.partition.ID)
			return
		}
	}
	check("WithPurposes (purposes)", broker.Config{Regions: regions, Purposes: c.brokering.Purposes}) // managed policies are of a partition
}

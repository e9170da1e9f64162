package broker

import (
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// A region is one STS endpoint.
type region struct {
	name   string
	home   bool
	client *sts.Client

	mu      sync.Mutex
	pace    pace
	breaker breaker
	recent  [64]time.Duration // how long the last calls took that were answered
	seen    int
	p99     time.Duration
	answers map[Code]uint64 // for Stats :: how calls ended → how many
}

// spend takes a token of the region's budget or says how long to wait for it.
func (r *region) spend(now int64) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pace.take(now)
}

func (r *region) refund() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pace.give()
}

// readyIn returns how soon the region will be up. Of one that is being tried
// that is not known.
func (r *region) readyIn(now int64) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.breaker.ready(now):
		return 0
	case r.breaker.probing:
		return attemptTime
	}
	return time.Duration(r.breaker.openUntil - now)
}

func (r *region) acquire(now int64) (probe, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.breaker.acquire(now)
}

func (r *region) abandon(probe bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breaker.abandon(probe)
}

// answered takes the result of a call: what it says about the endpoint and
// about the budget. It reports whether the breaker opened or closed by it.
func (r *region) answered(now int64, probe bool, code Code, took time.Duration) (changed, open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch code {
	case "":
		r.pace.succeeded(now)
	case CodeThrottled:
		r.pace.throttled(now)
	}
	up := code != CodeUnavailable
	if up {
		r.recent[r.seen%len(r.recent)] = took
		r.seen++
		if r.seen%16 == 0 {
			calls := slices.Sorted(slices.Values(r.recent[:min(r.seen, len(r.recent))]))
			r.p99 = calls[(len(calls)*99)/100]
		}
	}
	changed = r.breaker.done(now, probe, up)
	return changed, r.breaker.open
}

const (
	attemptTime = time.Second     // one call of STS
	flightTime  = 3 * time.Second // all there is to one session
	minHedge    = 300 * time.Millisecond
)

// hedgeAfter is how long a call may take before a second one is made.
func (r *region) hedgeAfter() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(minHedge, 3*r.p99)
}

// readyIn returns how soon a region will be up, 0 if one is.
func (b *Broker) readyIn(now int64) time.Duration {
	soonest := breakerLast
	for _, r := range b.regions {
		soonest = min(soonest, r.readyIn(now))
	}
	return soonest
}

// acquire claims a call to the first region that is up, leaving out one.
func (b *Broker) acquire(now int64, except *region) (r *region, probe bool) {
	for _, r := range b.regions {
		if r == except {
			continue
		}
		if probe, ok := r.acquire(now); ok {
			return r, probe
		}
	}
	return nil, false
}

// acquireExtra claims a second call beside one to the region first: to another
// region if there is one, or else, on another connection, to the same. There is
// none without a budget for it.
func (b *Broker) acquireExtra(now int64, first *region, same bool) (r *region, probe bool) {
	r, probe = b.acquire(now, first)
	if r == nil && same {
		if p, ok := first.acquire(now); ok {
			r, probe = first, p
		}
	}
	if r != nil && r.spend(now) > 0 {
		r.abandon(probe)
		return nil, false
	}
	return r, probe
}

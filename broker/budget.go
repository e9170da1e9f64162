package broker

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// A bucket is a token bucket without a rate of its own. Time is given in
// nanoseconds. The zero bucket is full.
type bucket struct {
	spent float64 // tokens taken and not yet refilled
	last  int64
}

// take takes a token, or says how long to wait for one.
func (t *bucket) take(now int64, perSecond, burst float64) time.Duration {
	if elapsed := now - t.last; elapsed > 0 {
		t.spent = max(0, t.spent-float64(elapsed)/1e9*perSecond)
	}
	t.last = now
	if missing := t.spent + 1 - burst; missing > 1e-9 {
		return time.Duration(math.Ceil(missing / perSecond * 1e9))
	}
	t.spent++
	return 0
}

// give returns a token that was not needed.
func (t *bucket) give() { t.spent = max(0, t.spent-1) }

// customerBudget holds a bucket per integration, and only of those that called
// STS lately: two generations of a map, of which the older is thrown away when
// every bucket in it must be full again.
type customerBudget struct {
	rate Rate
	seed maphash.Seed

	mu           sync.Mutex
	young, old   map[uint64]bucket // :: hash of customer and integration → bucket
	turn, rotate int64             // when the generations turn, and how long one lasts
}

func newCustomerBudget(rate Rate) *customerBudget {
	return &customerBudget{
		rate: rate, seed: maphash.MakeSeed(), young: map[uint64]bucket{},
		rotate: int64(rate.Burst+1) * int64(rate.Every),
	}
}

func (c *customerBudget) take(now int64, customer, integration string) time.Duration {
	key := maphash.Comparable(c.seed, [2]string{customer, integration})
	c.mu.Lock()
	defer c.mu.Unlock()
	if now >= c.turn || c.turn-now > c.rotate { // the clock may have been set back
		c.young, c.old, c.turn = map[uint64]bucket{}, c.young, now+c.rotate
	}
	b, ok := c.young[key]
	if !ok {
		b = c.old[key]
	}
	wait := b.take(now, 1/c.rate.Every.Seconds(), float64(c.rate.Burst))
	c.young[key] = b
	return wait
}

// pace is the budget of one region. What AWS throttles is halved at most once a
// second, and regained by a hundredth of the limit per second that passed when a
// call succeeds, also if there were none to make.
type pace struct {
	bucket
	limit, current float64 // calls per second
	changed        int64
}

func newPace(limit float64) pace { return pace{limit: limit, current: limit} }

func (p *pace) take(now int64) time.Duration {
	return p.bucket.take(now, p.current, max(1, p.current/5))
}

func (p *pace) throttled(now int64) {
	if p.settled(now) || p.current == p.limit {
		p.current, p.changed = max(1, p.current/2), now
	}
}

func (p *pace) succeeded(now int64) {
	if p.current < p.limit && p.settled(now) {
		seconds := max(1, float64(now-p.changed)/1e9)
		p.current, p.changed = min(p.limit, p.current+p.limit/100*seconds), now
	}
}

// settled reports whether the last change is a second old, or of a clock that was
// set back.
func (p *pace) settled(now int64) bool {
	return now-p.changed >= int64(time.Second) || now < p.changed
}

// hedgeBudget limits the second calls that are made because the first takes
// long.
type hedgeBudget struct {
	mu sync.Mutex
	bucket
	perSecond float64
}

const hedgeBurst = 20

func (h *hedgeBudget) take(now int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bucket.take(now, h.perSecond, hedgeBurst) == 0
}

package crossaccount

import (
	"sync"
	"time"
)

// Verification asks STS about roles that somebody typed in. Without a limit it
// would tell strangers which roles exist, and one customer could use up the
// vendor's 600 STS requests per second that all customers share.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	verificationBurst    = 10
	verificationInterval = 6 * time.Second // one more every
	accountShare         = 20              // an account may be presented this many times as fast, by all customers together
	limiterKeys          = 10_000          // forget full buckets beyond this
)

// A limiter lets every key act verificationBurst times at once and once per
// verificationInterval in the long run, or a multiple of both. It limits one
// process.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	buckets map[string]bucket
}

// A limit is a key that may act share times as often as a single one.
type limit struct {
	key   string
	share float64
}

// verificationLimits are the limits for a customer who presents a role. An
// account has its own, so that many customers together cannot search it for
// roles, but a large one: each of them may be stopped by its own limit only, and
// not by somebody else who presents roles of an account that is not theirs.
func verificationLimits(customerID, account string) []limit {
	limits := []limit{{"customer " + customerID, 1}}
	if account != "" {
		limits = append(limits, limit{"account " + account, accountShare})
	}
	return limits
}

// A bucket had the given number of tokens at the given time.
type bucket struct {
	tokens float64
	at     time.Time
	share  float64
}

func (b bucket) full() float64 { return verificationBurst * b.share }

func (b bucket) refilled(now time.Time) bucket {
	earned := b.share * float64(max(0, now.Sub(b.at))) / float64(verificationInterval)
	return bucket{min(b.full(), b.tokens+earned), now, b.share}
}

// allow takes one token from the bucket of every limit's key, or none if one of
// them is empty.
func (l *limiter) allow(limits ...limit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buckets == nil {
		l.buckets = make(map[string]bucket)
	}
	now := l.now()
	if len(l.buckets) > limiterKeys {
		for key, b := range l.buckets {
			if b.refilled(now).tokens >= b.full() {
				delete(l.buckets, key)
			}
		}
	}
	filled := make([]bucket, len(limits))
	for i, limit := range limits {
		b, known := l.buckets[limit.key]
		if !known {
			b = bucket{verificationBurst * limit.share, now, limit.share}
		}
		if filled[i] = b.refilled(now); filled[i].tokens < 1 {
			return false
		}
	}
	for i, limit := range limits {
		filled[i].tokens--
		l.buckets[limit.key] = filled[i]
	}
	return true
}

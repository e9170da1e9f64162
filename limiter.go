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
	limiterKeys          = 10_000          // forget full buckets beyond this
)

// A limiter lets every key act verificationBurst times at once and once per
// verificationInterval in the long run. It limits one process.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	buckets map[string]bucket
}

// A bucket had the given number of tokens at the given time.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b bucket) refilled(now time.Time) bucket {
	earned := float64(max(0, now.Sub(b.at))) / float64(verificationInterval)
	return bucket{min(verificationBurst, b.tokens+earned), now}
}

// allow takes one token from every key's bucket, or none if one of them is
// empty.
func (l *limiter) allow(keys ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buckets == nil {
		l.buckets = make(map[string]bucket)
	}
	now := l.now()
	if len(l.buckets) > limiterKeys {
		for key, b := range l.buckets {
			if b.refilled(now).tokens >= verificationBurst {
				delete(l.buckets, key)
			}
		}
	}
	filled := make([]bucket, len(keys))
	for i, key := range keys {
		b, known := l.buckets[key]
		if !known {
			b = bucket{verificationBurst, now}
		}
		if filled[i] = b.refilled(now); filled[i].tokens < 1 {
			return false
		}
	}
	for i, key := range keys {
		filled[i].tokens--
		l.buckets[key] = filled[i]
	}
	return true
}

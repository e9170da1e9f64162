package broker

import (
	"sync"
	"time"
)

// A fleet tells a customer that withdraws its trust from all of them seeming to
// do so, which is what it looks like when our own identity loses its permission
// to assume roles. Dropping everybody's credentials would then turn our mistake
// into an outage at once, instead of one that can be mended before they expire.
//
// It remembers the last renewals, so that it judges as fast as renewals come.
type fleet struct {
	mu   sync.Mutex
	last [20]renewal
	next int
	told int64 // when it was last said
}

// A renewal is of an entry with valid credentials.
type renewal struct {
	at       int64
	customer string
	refused  bool
}

const (
	fleetMany   = 5 // customers; fewer are believed
	fleetMemory = 10 * time.Minute
)

func (f *fleet) saw(now int64, customer string, refused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last[f.next%len(f.last)] = renewal{now, customer, refused}
	f.next++
}

// tooMany reports whether so many customers refused that it is not them.
func (f *fleet) tooMany(now int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	refused, renewed := map[string]bool{}, 0
	for _, r := range f.last {
		switch {
		case r.at == 0 || now-r.at > int64(fleetMemory):
		case r.refused:
			refused[r.customer] = true
		default:
			renewed++
		}
	}
	return len(refused) >= fleetMany && len(refused) > renewed
}

// tell reports whether it is time to say so (again).
func (f *fleet) tell(now int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told != 0 && now-f.told < int64(fleetMemory) {
		return false
	}
	f.told = now
	return true
}

package broker

// Stats are counts for metrics.
type Stats struct {
	Entries     int // interned handles
	Warm        int // of them, those with valid credentials
	Queued      int // waiting for the budget of calls
	Flights     int // calls under way
	Waiting     int // callers that wait now
	Waits       uint64
	Calls       uint64 // to STS, all regions
	Hedges      uint64 // of them, second requests
	Failures    uint64 // of them, those without credentials
	Issued      uint64 // sessions from STS
	Shared      uint64 // sessions from the shared store
	StoreErrors uint64 // of the shared store
	OpenRegions int    // regions whose breaker is open
}

// Stats returns counts since the broker was made, and what it holds now. It
// looks at every entry.
func (b *Broker) Stats() Stats {
	c := &b.counts
	s := Stats{
		Waiting: int(c.waiting.Load()), Waits: c.waits.Load(), Calls: c.calls.Load(), Hedges: c.hedges.Load(),
		Failures: c.failures.Load(), Issued: c.issued.Load(), Shared: c.shared.Load(), StoreErrors: c.storeFailures.Load(),
	}
	now := b.clock.now()
	for i := range b.shards {
		sh := &b.shards[i]
		sh.Lock()
		for _, h := range sh.entries {
			for ; h != nil; h = h.next {
				s.Entries++
				if h.current.Load().valid(now) {
					s.Warm++
				}
			}
		}
		sh.Unlock()
	}
	s.Queued, s.Flights = b.schedule.load()
	for _, r := range b.regions {
		if r.isOpen() {
			s.OpenRegions++
		}
	}
	return s
}

func (s *schedule) load() (queued, flights int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queues[ready]), s.flights
}

func (r *region) isOpen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.breaker.open
}

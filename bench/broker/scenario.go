package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/bench/stsfaults"
	"github.com/crossaccount/crossaccount/broker"
)

// A scenario is what happens to STS while callers read credentials.
type scenario struct {
	callers, customers int           // caller i reads customer i modulo customers
	every              time.Duration // one reads, plus what the read takes
	reads              int           // if not 0, each caller stops after so many
	deadline           time.Duration // of a read; 0: none
	cold               bool          // the callers' first reads find nothing; else one is made before that is not counted
	from, to           time.Duration // when they read, since the warming read
	countFrom          time.Duration // when calls of STS begin to count
	lifetime           time.Duration // of sessions; an hour if 0
	class              broker.Class
	regions            []string
	replicas           int // with a shared store, if the way has one; 0 is one without
	// sts decides on a call so long after the warming read.
	sts func(since time.Duration, c stsfaults.Call) stsfaults.Fault
	// heavy limits the callers and the time of ways that always call.
	heavyCallers int
	heavyTime    time.Duration
}

// An outcome is what came of it.
type outcome struct {
	reads, failed, waited, expired int
	longest                        time.Duration // wait
	total                          time.Duration // of all waits
	calls, peak                    int           // of STS
	firstError, laterError         time.Duration // how long the first failed read of a caller took at most, and one after it
	example                        error         // of a failed read
}

// wait is how long a read may take before it counts as waiting.
const wait = time.Millisecond

// run lets callers read. It must be called in a bubble.
func (s scenario) run(w way) (outcome, error) {
	if s.lifetime == 0 {
		s.lifetime = time.Hour
	}
	if w.heavy && s.heavyCallers > 0 {
		s.callers = min(s.callers, s.heavyCallers)
	}
	if w.heavy && s.heavyTime > 0 {
		s.to = min(s.to, s.from+s.heavyTime)
	}
	var out outcome
	fake := stsfaults.New(nil)
	began := time.Now()
	fake.Do(func(c stsfaults.Call) stsfaults.Fault {
		f := s.sts(c.At.Sub(began), c)
		if f.Lifetime == 0 {
			f.Lifetime = s.lifetime
		}
		return f
	})
	p := process{http: fake, regions: s.regions, lifetime: s.lifetime, class: s.class}
	if s.replicas > 0 {
		p.store = broker.NewMemoryStore(time.Now)
	}
	var clients []*client
	defer func() {
		for _, c := range clients {
			c.close()
		}
		fake.Close()
		time.Sleep(time.Minute) // the SDK tries again
	}()
	for range max(1, s.replicas) {
		c, err := w.open(p)
		if err != nil {
			return out, err
		}
		clients = append(clients, c)
	}
	if !s.cold {
		if err := warm(clients, s.customers); err != nil {
			return out, fmt.Errorf("%s: warming: %w", w.name, err)
		}
		fake.Reset()
	}
	time.Sleep(s.from - time.Since(began))
	if s.countFrom > 0 {
		time.AfterFunc(s.countFrom-time.Since(began), fake.Reset)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	end := began.Add(s.to)
	for i := range s.callers {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		all.Go(func() {
			var mine outcome
			if s.reads == 0 {
				time.Sleep(time.Duration(random.Int64N(int64(s.every))))
			}
			customer := i % s.customers
			for n := 0; s.reads == 0 && time.Now().Before(end) || n < s.reads; n++ {
				ctx, cancel := context.Background(), func() {}
				if s.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, s.deadline)
				}
				asked := time.Now()
				c, err := clients[(i/s.customers)%len(clients)].get(ctx, customer)
				took := time.Since(asked)
				cancel()
				mine.reads++
				if took > wait {
					mine.waited++
					mine.total += took
					mine.longest = max(mine.longest, took)
				}
				switch {
				case err != nil:
					mine.failed++
					mine.example = err
					if mine.failed == 1 {
						mine.firstError = took
					} else {
						mine.laterError = max(mine.laterError, took)
					}
				case stsfaults.Check(c, roleOf(customer), time.Now()) != nil:
					mine.expired++
				}
				if s.reads == 0 {
					time.Sleep(s.every)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			out.add(mine)
		})
	}
	all.Wait()
	counts := fake.Counts()
	out.calls, out.peak = counts.Calls, counts.Peak
	return out, nil
}

// warm reads once for every customer, as many at once as there are, and again
// those that found STS's budget used up.
func warm(clients []*client, customers int) error {
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	for _, c := range clients {
		for i := range customers {
			all.Go(func() {
				for {
					_, err := c.get(context.Background(), i)
					if broker.CodeOf(err) == broker.CodeThrottled {
						time.Sleep(time.Second)
						continue
					}
					mu.Lock()
					defer mu.Unlock()
					failed = errors.Join(failed, err)
					return
				}
			})
		}
	}
	all.Wait()
	return failed
}

func (o *outcome) add(a outcome) {
	o.reads += a.reads
	o.failed += a.failed
	o.waited += a.waited
	o.expired += a.expired
	o.total += a.total
	o.longest = max(o.longest, a.longest)
	o.firstError = max(o.firstError, a.firstError)
	o.laterError = max(o.laterError, a.laterError)
	if a.example != nil {
		o.example = a.example
	}
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount/bench/stsfaults"
	"github.com/crossaccount/crossaccount/broker"
)

// TestSoak reads the credentials of many customers while everything that
// package stsfaults knows happens to STS, at random and in two regions.
//
// Nothing may be handed out that AWS would not accept; nobody whose customer
// trusts us may be told otherwise; when it is over all customers must be served
// again; and goroutines, memory and descriptors must be what they were.
//
// It takes CROSSACCOUNT_SOAK, such as 30m for 10,000 customers with sessions of
// a minute, or else some seconds with fewer of both.
func TestSoak(t *testing.T) {
	s := &soak{T: t, customers: 300, lifetime: 3 * time.Second, skew: 20 * time.Second}
	length := 8 * time.Second
	if long := os.Getenv("CROSSACCOUNT_SOAK"); long != "" {
		var err error
		if length, err = time.ParseDuration(long); err != nil {
			t.Fatal(err)
		}
		s.customers, s.lifetime = 10_000, time.Minute
	} else if testing.Short() {
		t.Skip("takes 8 seconds")
	}
	before := look()
	s.run(length)
	s.broker, s.handles = nil, nil
	s.sts = nil
	after := look()
	for tries := 0; after.goroutines > before.goroutines && tries < 50; tries++ {
		time.Sleep(100 * time.Millisecond)
		after = look()
	}
	t.Logf("before: %s; after: %s", before, after)
	if after.goroutines > before.goroutines || after.descriptors > before.descriptors || after.heap > before.heap+4<<20 {
		t.Errorf("something leaked")
	}
}

// dateError is how far the Date header and the way here can mislead about AWS's
// clock. For sessions of AWS's lengths it is about what the broker leaves at
// the end of a session; those of this test are too short for that.
const dateError = 2 * time.Second

type use struct{ heap, goroutines, descriptors int }

func (u use) String() string {
	return fmt.Sprintf("%d kB, %d goroutines, %d descriptors", u.heap>>10, u.goroutines, u.descriptors)
}

func look() use {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/proc/self/fd") // none where there is no /proc
	return use{int(m.HeapAlloc), runtime.NumGoroutine(), len(files)}
}

type soak struct {
	*testing.T
	customers int
	lifetime  time.Duration
	skew      time.Duration // of AWS's clock

	sts     *stsfaults.STS
	broker  *broker.Broker
	handles []*broker.Handle

	mu       sync.Mutex
	weather  map[string]stsfaults.Fault // :: region → what every other call suffers
	distrust map[string]bool            // roles that refuse us

	reads, served, recovered atomic.Int64
	failed                   sync.Map // :: code → *atomic.Int64
}

func (s *soak) run(length time.Duration) {
	s.sts = stsfaults.New(nil)
	s.weather, s.distrust = map[string]stsfaults.Fault{}, map[string]bool{}
	s.sts.Do(s.fault)
	c, err := ours.open(process{
		http: s.sts, regions: []string{home, "us-west-2"},
		change: func(c *broker.Config) { c.CustomerRate = broker.Rate{Burst: 10, Every: s.lifetime / 20} },
	})
	if err != nil {
		s.Fatal(err)
	}
	s.broker = c.broker
	defer s.sts.Close()
	defer c.close()
	for i := range s.customers {
		h, err := s.broker.For(requestOf(i, broker.Class(i%2)))
		if err != nil {
			s.Fatal(err)
		}
		s.handles = append(s.handles, h)
	}

	ctx, cancel := context.WithTimeout(s.Context(), length)
	defer cancel()
	var working sync.WaitGroup
	for worker := range 16 {
		working.Go(func() { s.read(ctx, worker) })
	}
	working.Go(func() { s.spoil(ctx) })
	var uses []use
	for range 4 {
		s.pause(ctx, length/4)
		uses = append(uses, look())
		s.Logf("%s; %+v", uses[len(uses)-1], s.broker.Stats())
	}
	working.Wait()

	// The weather clears, and all customers trust us again.
	s.mu.Lock()
	clear(s.weather)
	clear(s.distrust)
	s.mu.Unlock()
	settle, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	began := time.Now()
	for worker := range 16 {
		working.Go(func() {
			for i := worker; i < s.customers; i += 16 {
				s.recover(settle, i)
			}
		})
	}
	working.Wait()
	s.Logf("all customers were served again after %s", time.Since(began).Round(time.Millisecond))
	s.report(uses)
}

// recover asks until the customer is served: at once, or when breakers, which
// stay open for 30 s at most, and pauses are over.
func (s *soak) recover(ctx context.Context, i int) {
	h := s.handles[i]
	for tries := 1; ; tries++ {
		_, err := h.Retrieve(ctx)
		if err != nil && broker.CodeOf(err) != broker.CodeThrottled && broker.CodeOf(err) != broker.CodeUnavailable {
			err = h.Recheck(ctx) // as a person would who has settled it with the customer
		}
		if err == nil {
			s.recovered.Add(1)
			return
		}
		if ctx.Err() != nil {
			s.Errorf("customer %d is not served again after %d tries: %v; %+v", i, tries, err, h.Status())
			return
		}
		s.pause(ctx, 200*time.Millisecond)
	}
}

// fault is what becomes of a call now.
func (s *soak) fault(c stsfaults.Call) stsfaults.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := stsfaults.Fault{Latency: time.Duration(rand.IntN(30)) * time.Millisecond}
	if bad, ok := s.weather[c.Region]; ok && c.Number%2 == 0 {
		f = bad
	} else if s.distrust[c.Role] {
		f = stsfaults.Denied
	}
	f.Lifetime, f.Skew = s.lifetime, s.skew
	return f
}

// spoil changes the weather every second, and whom customers trust.
func (s *soak) spoil(ctx context.Context) {
	kinds := []stsfaults.Fault{
		{}, stsfaults.Throttled, stsfaults.Unavailable, {Down: true}, {Hang: true},
		{Latency: 400 * time.Millisecond}, {Code: "InternalFailure", Status: 500},
	}
	for ctx.Err() == nil {
		s.mu.Lock()
		clear(s.weather)
		both := rand.IntN(4) == 0
		for _, region := range []string{home, "us-west-2"} {
			if both || rand.IntN(2) == 0 {
				s.weather[region] = kinds[rand.IntN(len(kinds))]
			}
		}
		clear(s.distrust)
		for range s.customers / 100 {
			s.distrust[roleOf(rand.IntN(s.customers/10))] = true // only the first tenth ever refuses
		}
		s.mu.Unlock()
		s.pause(ctx, time.Second)
	}
}

// read is one caller.
func (s *soak) read(ctx context.Context, worker int) {
	random := rand.New(rand.NewPCG(uint64(worker), 0))
	for ctx.Err() == nil {
		i := random.IntN(s.customers)
		asked := time.Now()
		got, err := s.handles[i].Retrieve(ctx)
		n := s.reads.Add(1)
		switch code := broker.CodeOf(err); {
		case err == nil:
			s.served.Add(1)
			if err := stsfaults.Check(got, roleOf(i), asked.Add(s.skew-dateError)); err != nil {
				s.Error(err)
			}
		case code == broker.CodeCanceled && ctx.Err() != nil:
		case code == broker.CodeUnavailable, code == broker.CodeThrottled, i < s.customers/10 && (code == broker.CodeRefused || code == broker.CodeWithdrawn):
			counter, _ := s.failed.LoadOrStore(code, new(atomic.Int64))
			counter.(*atomic.Int64).Add(1)
		default:
			s.Errorf("customer %d: %v", i, err)
		}
		switch {
		case n%1000 == 0:
			s.handles[i].Invalidate(got.AccessKeyID)
		case n%1500 == 0:
			s.broker.Forget(fmt.Sprintf("customer-%07d", i), "")
		}
		s.pause(ctx, time.Duration(random.IntN(4000))*time.Microsecond)
	}
}

// pause waits, but not longer than the context.
func (s *soak) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *soak) report(uses []use) {
	stats, counts := s.broker.Stats(), s.sts.Counts()
	s.Logf("%d reads, %d served, %d looked at in the end; %d calls of STS, %d at once, by region %v, %d hedges, %d failures",
		s.reads.Load(), s.served.Load(), s.recovered.Load(), counts.Calls, counts.Peak, counts.ByRegion, stats.Hedges, stats.Failures)
	s.failed.Range(func(code, n any) bool {
		s.Logf("%8d  %s", n.(*atomic.Int64).Load(), code)
		return true
	})
	if stats.Failures == 0 || s.served.Load() < s.reads.Load()/10 || counts.Calls < s.customers {
		s.Error("so little happened, or so little worked, that this soak shows nothing")
	}
	// What is kept for a customer is there when each was read once; the second
	// half adds nothing.
	if grown := uses[3].heap - uses[1].heap; grown > s.customers*200+4<<20 {
		s.Errorf("memory grows: %v", uses)
	}
	if uses[3].goroutines > uses[0].goroutines+256 {
		s.Errorf("goroutines grow: %v", uses)
	}
}

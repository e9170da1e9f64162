package broker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

func twoRegions(sts *fakeSTS) broker.Config {
	c := sts.config()
	c.Regions = []string{"us-east-1", "us-west-2"}
	return c
}

// in does one thing with the calls to a region and issues in the others.
func in(region string, does reply) func(call) reply {
	return func(c call) reply {
		if c.region == region {
			return does
		}
		return granted(c)
	}
}

// A region is down: nobody notices, and after a few failures it is left alone.
func TestRegionDown(t *testing.T) {
	for name, does := range map[string]reply{"503": down, "connection": {broken: true}, "hang": {hang: true},
		"disabled": {code: "RegionDisabledException", status: 403}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := newFake(t)
				sts.do(in("us-east-1", does))
				seen := &recorder{}
				c := twoRegions(sts)
				c.Observer = seen
				b := start(t, c)
				for i := range 30 {
					asked := time.Now()
					get(t, handle(t, b, access(fmt.Sprint("customer-", i))))
					if waited := time.Since(asked); waited > 350*time.Millisecond {
						t.Errorf("customer %d waited %s", i, waited)
					}
				}
				home := 0
				for _, c := range sts.seen() {
					if c.region == "us-east-1" {
						home++
					}
				}
				if home > 8 {
					t.Errorf("%d calls to the region that is down", home)
				}
				if b.Stats().OpenRegions != 1 {
					t.Error("the region is not known to be down")
				}
				sts.do(granted)
				time.Sleep(time.Minute)
				get(t, handle(t, b, access("late")))
				if b.Stats().OpenRegions != 0 {
					t.Error("the region is not known to be up again")
				}
				if got := seen.kinds(); got != "region_down region_up" {
					t.Errorf("events %q", got)
				}
				last := sts.seen()
				if r := last[len(last)-1].region; r != "us-east-1" {
					t.Errorf("the last call went to %s", r)
				}
			})
		})
	}
}

// One request hangs; a second one is made beside it, on another connection.
func TestHungRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		first := true
		sts.do(func(c call) reply {
			if first {
				first = false
				return reply{hang: true}
			}
			return granted(c)
		})
		b := start(t, sts.config())
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := handle(t, b, access("acme")).Retrieve(ctx); err != nil {
			t.Fatal(err)
		}
		if s := b.Stats(); s.Hedges != 1 || sts.count() != 2 {
			t.Errorf("%d hedges", s.Hedges)
		}
	})
}

// A second call is made at most once, however slow everything is.
func TestHedgesDoNotMultiply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(reply{hang: true})
		b := start(t, twoRegions(sts))
		fails(t, handle(t, b, access("acme")), broker.CodeUnavailable)
		if n := sts.count(); n != 2 {
			t.Errorf("%d calls; want 2", n)
		}
	})
}

// What another region refuses proves nothing.
func TestRefusalByAnotherRegionIsInconclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		seen := &recorder{}
		c := twoRegions(sts)
		c.Observer = seen
		b := start(t, c)
		h := handle(t, b, access("acme"))
		until := get(t, h).Expires
		sts.do(func(c call) reply {
			if c.region == "us-east-1" {
				return down
			}
			return denied
		})
		for time.Until(until) > time.Second {
			get(t, h)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		fails(t, h, broker.CodeUnavailable)
		for _, e := range seen.happened() {
			if e.Kind != broker.EventFailing && e.Kind != broker.EventRegionDown && e.Kind != broker.EventRegionUp {
				t.Errorf("event %s", e.Kind)
			}
		}
	})
}

// The budget: many customers at once are spread, those somebody waits for come
// first, and the time to expiry orders the rest.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		c := sts.config()
		c.MaxPerSecond = 10
		b := start(t, c)
		var all []broker.Request
		for i := range 100 {
			all = append(all, access(fmt.Sprint("customer-", i)))
		}
		began := time.Now()
		done := make(chan error)
		go func() { done <- b.Prewarm(t.Context(), all) }()
		time.Sleep(2 * time.Second)
		asked := time.Now()
		get(t, handle(t, b, access("urgent")))
		if waited := time.Since(asked); waited > 250*time.Millisecond {
			t.Errorf("a caller waited %s behind the prewarming", waited)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("prewarming took %s at 10 calls a second", took)
		}
		if s := b.Stats(); s.Warm != 101 || s.Issued != 101 {
			t.Errorf("%+v", s)
		}
	})
}

// Callers do not wait for ever for the budget.
func TestBudgetUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		c := sts.config()
		c.MaxPerSecond = 1
		b := start(t, c)
		failed := make(chan error, 20)
		for i := range 20 {
			go func() {
				_, err := handle(t, b, access(fmt.Sprint("customer-", i))).Retrieve(t.Context())
				failed <- err
			}()
		}
		good := 0
		for range 20 {
			if err := <-failed; err == nil {
				good++
			} else if broker.CodeOf(err) != broker.CodeThrottled {
				t.Error(err)
			}
		}
		if good < 3 || good > 6 {
			t.Errorf("%d callers got credentials in 3 s at 1 call a second", good)
		}
	})
}

// One customer with ever new requests does not use up the budget of all.
func TestCustomerBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		c := sts.config()
		c.CustomerRate = broker.Rate{Burst: 3, Every: 5 * time.Second}
		b := start(t, c)
		refused := 0
		for i := range 20 {
			r := access("acme")
			r.Chain[0].SessionName = fmt.Sprint("user-", i)
			if _, err := handle(t, b, r).Retrieve(t.Context()); broker.CodeOf(err) == broker.CodeThrottled {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if n := sts.count(); n != 3 || refused != 17 {
			t.Errorf("%d calls, %d refused", n, refused)
		}
		get(t, handle(t, b, access("other")))
		time.Sleep(6 * time.Second)
		get(t, handle(t, b, access("acme")))
	})
}

// An integration that used up its calls keeps what is valid, without a word of
// trouble, and is renewed when it may call again.
func TestCustomerBudgetUsedUpByRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFake(t).config()
		c.CustomerRate = broker.Rate{Burst: 1, Every: 50 * time.Minute}
		b := start(t, c)
		h := handle(t, b, access("acme"))
		first := get(t, h).AccessKeyID
		read := func() string {
			t.Helper()
			began := time.Now()
			c, err := h.RetrieveLasting(context.Background(), 15*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if time.Since(began) > 0 {
				t.Error("a caller had to wait")
			}
			return c.AccessKeyID
		}
		read()                       // over HTTP, so to speak
		time.Sleep(47 * time.Minute) // it was due after 45 minutes at the latest
		if read() != first {
			t.Fatal("it was renewed")
		}
		if s := h.Status(); s.State != broker.StateWarm || s.Err != nil {
			t.Errorf("the state is %s, %v", s.State, s.Err)
		}
		time.Sleep(4 * time.Minute)
		if read() == first {
			t.Error("it was not renewed when the integration could call again")
		}
		h.Invalidate(get(t, h).AccessKeyID)
		synctest.Wait()
		if err := broker.CheckBroker(b); err != nil {
			t.Error(err)
		}
		fails(t, h, broker.CodeThrottled)
	})
}

// A region whose second calls come too late to be needed is not down.
func TestAbandonedHedgesProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.do(func(c call) reply {
			if c.region == "us-east-1" {
				return reply{after: 350 * time.Millisecond}
			}
			return reply{after: 250 * time.Millisecond}
		})
		b := start(t, twoRegions(sts))
		for i := range 12 {
			get(t, handle(t, b, access(fmt.Sprint("c", i))))
		}
		if s := b.Stats(); s.Hedges < 10 || s.OpenRegions != 0 {
			t.Errorf("%d second calls, %d regions are down", s.Hedges, s.OpenRegions)
		}
	})
}

// Calls under way that wait for a role earlier in their chain do not take the place
// from the call for that one, and nor do those that came before it.
func TestRolesOnTheWayGoFirst(t *testing.T) {
	for name, before := range map[string]func(b *broker.Broker){
		"nobody knew": func(*broker.Broker) {},
		"queued by itself": func(b *broker.Broker) {
			way := access("chained")
			way.Integration, way.Chain = "int-0", through("chained", 0).Chain[:2]
			go func() { _ = b.Prewarm(context.Background(), []broker.Request{way}) }()
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := newFake(t)
				sts.always(reply{after: 100 * time.Millisecond})
				c := sts.config()
				c.MaxConcurrent = 1
				b := start(t, c)
				var all sync.WaitGroup
				defer all.Wait()
				all.Go(func() { _, _ = handle(t, b, access("first")).Retrieve(context.Background()) })
				time.Sleep(10 * time.Millisecond)
				before(b)
				chained := handle(t, b, through("chained", 0))
				began := time.Now()
				all.Go(func() {
					if _, err := chained.Retrieve(context.Background()); err != nil || time.Since(began) > time.Second {
						t.Errorf("after %s: %v", time.Since(began), err)
					}
				})
				time.Sleep(10 * time.Millisecond)
				for i := range 20 {
					all.Go(func() { _, _ = handle(t, b, access(fmt.Sprint("c", i))).Retrieve(context.Background()) })
				}
			})
		})
	}
}

// Customers that came together do not stay together.
func TestRenewalsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		b := start(t, sts.config())
		var all []broker.Request
		for i := range 500 {
			all = append(all, access(fmt.Sprint("customer-", i)))
		}
		if err := b.Prewarm(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		sts.mu.Lock()
		sts.most = 0
		sts.calls = nil
		sts.mu.Unlock()
		sts.always(reply{after: 150 * time.Millisecond})
		for range 3 * 60 {
			for _, r := range all {
				get(t, handle(t, b, r))
			}
			time.Sleep(time.Minute)
		}
		if sts.most > 12 {
			t.Errorf("%d calls at once", sts.most)
		}
		if n := sts.count(); n > 500*4 {
			t.Errorf("%d calls for 500 customers in 3 hours", n)
		}
	})
}

// While every region is down, what nobody waits for stays in the queue, and does
// not fail by the thousand.
func TestPrewarmThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(down)
		c := sts.config()
		c.MaxPerSecond = 20
		b := start(t, c)
		var all []broker.Request
		for i := range 100 {
			all = append(all, access(fmt.Sprint("customer-", i)))
		}
		done := make(chan error)
		go func() { done <- b.Prewarm(t.Context(), all) }()
		time.Sleep(20 * time.Second)
		if n := sts.count(); n > 15 {
			t.Errorf("%d calls while the region was down", n)
		}
		asked := time.Now()
		fails(t, handle(t, b, access("urgent")), broker.CodeUnavailable)
		if waited := time.Since(asked); waited > 0 {
			t.Errorf("who waits was told after %s", waited)
		}
		sts.do(granted)
		if err := <-done; err == nil {
			t.Error("the first ones did not fail")
		}
		if s := b.Stats(); s.Warm < 85 {
			t.Errorf("%d of 100 are warm", s.Warm)
		}
	})
}

// When everything is slow, second calls are rare.
func TestHedgesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(reply{after: 600 * time.Millisecond})
		c := sts.config()
		b := start(t, c)
		var all []broker.Request
		for i := range 1000 {
			all = append(all, access(fmt.Sprint("customer-", i)))
		}
		if err := b.Prewarm(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if n := sts.count(); n > 1100 {
			t.Errorf("%d calls for 1000 sessions", n)
		}
	})
}

// Renewals that stay in the queue because every region is down let nobody wait
// who has valid credentials, in the last minute either.
func TestNobodyWaitsForRegionsThatAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		b := start(t, fake.config())
		var handles []*broker.Handle
		for i := range 20 {
			h := handle(t, b, access(fmt.Sprint("customer-", i)))
			get(t, h)
			handles = append(handles, h)
		}
		time.Sleep(50 * time.Minute)
		fake.always(reply{after: 100 * time.Millisecond, code: "ServiceUnavailable", status: 503})
		fake.count()
		for began := time.Now(); time.Since(began) < 9*time.Minute+50*time.Second; time.Sleep(time.Second) {
			for _, h := range handles {
				asked := time.Now()
				get(t, h)
				if waited := time.Since(asked); waited > 0 {
					t.Fatalf("a caller waited %s with %s left", waited, time.Until(h.Status().Expires))
				}
			}
		}
		if n := fake.count(); n == 0 || n > 100 {
			t.Errorf("%d calls", n)
		}
	})
}

// Credentials that AWS did not accept are replaced also when their renewal was
// in the queue already.
func TestInvalidateWhileQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		b := start(t, fake.config())
		var handles []*broker.Handle
		for i := range 20 {
			h := handle(t, b, access(fmt.Sprint("customer-", i)))
			get(t, h)
			handles = append(handles, h)
		}
		time.Sleep(50 * time.Minute)
		fake.always(down)
		time.Sleep(7 * time.Minute)
		if b.Stats().Queued == 0 {
			t.Fatal("no renewal is in the queue")
		}
		for _, h := range handles {
			h.Invalidate(h.Status().AccessKeyID)
		}
		fake.do(granted)
		time.Sleep(time.Minute)
		for _, h := range handles {
			get(t, h)
		}
	})
}

package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// through is the access of a customer by way of a hub of ours and, for some, of a
// role of the customer.
func through(customer string, i int) broker.Request {
	r := access(customer)
	chain := []broker.Role{{ARN: "arn:aws:iam::111111111111:role/hub", SessionName: "hub", Shared: true}}
	if i%2 == 0 {
		chain = append(chain, broker.Role{ARN: "arn:aws:iam::222222222222:role/way-" + customer, SessionName: "way"})
	}
	r.Chain = append(chain, r.Chain...)
	r.Integration = fmt.Sprint("int-", i%3)
	r.Class = broker.Class(i % 2)
	return r
}

// mindful observes, and uses what it observes, as it may.
type mindful struct{ broker *broker.Broker }

func (m *mindful) Issued(ctx context.Context, i broker.Issuance) error {
	if h, ok := m.broker.Lookup(i.Key); ok {
		h.Status()
	}
	return nil
}

func (m *mindful) Happened(e broker.Event) {
	m.broker.Stats()
	if h, ok := m.broker.Lookup(e.Subject.Key); ok {
		h.Status()
		h.Invalidate(h.Status().AccessKeyID)
	}
	if e.Kind == broker.EventWithdrawn {
		m.broker.Forget(e.Subject.Customer, e.Subject.Integration)
	}
}

func (m *mindful) Called(broker.Call) { m.broker.Stats() }

// Hours of everything, with chains whose roles lapse, are forgotten and refused
// while others need them, and functions of the configuration that use the broker.
// What nobody can find any more has nothing, and when it is calm everybody is
// served or told why not.
func TestStorm(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		for _, concurrent := range []int{2, 64} {
			t.Run(fmt.Sprint(seed, concurrent), func(t *testing.T) {
				watched(t, func() {
					synctest.Test(t, func(t *testing.T) { storm(t, seed, concurrent) })
				})
			})
		}
	}
}

func storm(t *testing.T, seed uint64, concurrent int) {
	sts := newFake(t)
	sts.do(func(c call) reply {
		switch c.number % 13 {
		case 0, 1:
			return denied
		case 2:
			return down
		case 3:
			return reply{hang: true}
		case 4:
			return reply{code: "Throttling", status: 400}
		case 5:
			return reply{code: "ExpiredToken"}
		}
		return reply{after: 30 * time.Millisecond, lifetime: 20 * time.Minute}
	})
	c := twoRegions(sts)
	c.MaxConcurrent = concurrent
	c.CustomerRate = broker.Rate{Burst: 100, Every: time.Second}
	c.SharedStore, c.Sealer = broker.NewMemoryStore(nil), aSealer(t)
	m := &mindful{}
	c.Observer = m
	c.Authorize = func(_ context.Context, s broker.Subject) error {
		if h, ok := m.broker.Lookup(s.Key); ok {
			h.Status()
		}
		if time.Now().Unix()%97 == 0 {
			return broker.Revoked(nil)
		}
		return nil
	}
	b, err := broker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	m.broker = b

	const customers = 8
	var all sync.WaitGroup
	var mu sync.Mutex
	var old []*broker.Handle
	for g := range 12 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(g)))
			var held *broker.Handle
			for range 150 {
				time.Sleep(time.Duration(random.Int64N(int64(90 * time.Second))))
				i := random.IntN(customers)
				name := fmt.Sprint("c", i)
				h, err := b.For(through(name, i))
				if err != nil {
					t.Error(err)
					return
				}
				if held == nil || random.IntN(10) == 0 {
					held = h
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.Int64N(int64(4*time.Second))))
				switch random.IntN(12) {
				case 0:
					b.Forget(name, "")
				case 1:
					b.Revoke(name, fmt.Sprint("int-", i%3))
				case 2:
					_ = h.Recheck(ctx)
				case 3:
					_ = b.Prewarm(ctx, []broker.Request{through(name, i), through("c1", 1), through(name, i)})
				case 4:
					h.Invalidate(h.Status().AccessKeyID)
				case 5:
					_, _ = h.RetrieveLasting(ctx, 15*time.Minute)
				case 6:
					time.Sleep(time.Duration(random.Int64N(int64(2 * time.Hour))))
				case 7:
					_, _ = held.Retrieve(ctx)
				case 8:
					_ = held.Recheck(ctx)
				case 9:
					held.Invalidate(held.Status().AccessKeyID)
				default:
					if c, err := h.Retrieve(ctx); err == nil && !c.Expires.After(time.Now()) {
						t.Error("expired")
					}
				}
				cancel()
				mu.Lock()
				old = append(old, h)
				mu.Unlock()
				if err := broker.CheckHandle(h); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	time.Sleep(10 * time.Second)
	synctest.Wait()
	if err := broker.CheckBroker(b); err != nil {
		t.Error(err)
	}
	for _, h := range old {
		if err := broker.CheckHandle(h); err != nil {
			t.Fatal(err)
		}
	}

	sts.do(func(c call) reply { return reply{after: 30 * time.Millisecond} })
	time.Sleep(6 * time.Minute)
	for i := range customers {
		h := handle(t, b, through(fmt.Sprint("c", i), i))
		for broker.CodeOf(errorOf(h.Retrieve(context.Background()))) == broker.CodeRevoked {
			time.Sleep(time.Second) // Authorize said so
		}
		get(t, h)
	}

	// Closing beside everything.
	var late sync.WaitGroup
	for g := range 20 {
		late.Go(func() {
			for i := range 40 {
				h := old[(g*40+i)%len(old)]
				_, _ = h.Retrieve(context.Background())
				_ = h.Recheck(context.Background())
				h.Invalidate(h.Status().AccessKeyID)
				_ = b.Prewarm(context.Background(), []broker.Request{through("c3", 3)})
				b.Forget(fmt.Sprint("c", i%customers), "")
			}
		})
	}
	for range 2 {
		late.Go(func() {
			if err := b.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	late.Wait()
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := broker.CheckBroker(b); err != nil {
		t.Error(err)
	}
	for _, h := range old {
		if c, err := h.Retrieve(context.Background()); err == nil {
			t.Fatalf("a closed broker hands out %s", c.AccessKeyID)
		}
	}
	if s := b.Stats(); s.Flights != 0 || s.Waiting != 0 || s.Warm != 0 {
		t.Errorf("%+v", s)
	}
}

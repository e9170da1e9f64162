package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// replicas are brokers of one identity with one store.
func replicas(t *testing.T, fake *fakeSTS, store broker.SharedStore, n int) []*broker.Broker {
	t.Helper()
	sealer, err := broker.NewAESSealer(nil, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*broker.Broker, n)
	for i := range all {
		c := fake.config()
		c.SharedStore, c.Sealer = store, sealer
		all[i] = start(t, c)
	}
	return all
}

func TestReplicasShareColdKeys(t *testing.T) {
	for _, keys := range []int{1, 100} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				var all sync.WaitGroup
				for _, b := range replicas(t, fake, broker.NewMemoryStore(time.Now), 10) {
					for i := range 1000 {
						all.Go(func() {
							h, err := b.For(access(fmt.Sprint("customer-", i%keys)))
							if err == nil {
								_, err = h.Retrieve(context.Background())
							}
							if err != nil {
								t.Error(err)
							}
						})
					}
				}
				all.Wait()
				if n := fake.count(); n > keys+keys/50 {
					t.Errorf("%d calls for %d keys", n, keys)
				}
			})
		})
	}
}

// Ten replicas renew a session as often as one would.
func TestReplicasShareRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.always(reply{after: 150 * time.Millisecond})
		var handles []*broker.Handle
		for _, b := range replicas(t, fake, broker.NewMemoryStore(time.Now), 10) {
			h := handle(t, b, access("acme"))
			get(t, h)
			handles = append(handles, h)
		}
		for began := time.Now(); time.Since(began) < 24*time.Hour; time.Sleep(10 * time.Second) {
			for _, h := range handles {
				asked := time.Now()
				get(t, h)
				if waited := time.Since(asked); waited > 0 {
					t.Fatalf("a caller waited %s", waited)
				}
			}
		}
		if n := fake.count(); n < 24 || n > 29 {
			t.Errorf("%d calls in 24 h", n)
		}
	})
}

// A broker that restarts finds what it had.
func TestWarmRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		store := broker.NewMemoryStore(time.Now)
		before := get(t, handle(t, replicas(t, fake, store, 1)[0], access("acme")))
		fake.count()
		next := replicas(t, fake, store, 1)[0]
		after := get(t, handle(t, next, access("acme")))
		if fake.count() != 0 || after != before {
			t.Error("the session was not found again")
		}
		if s := next.Stats(); s.Shared != 1 || s.Issued != 0 {
			t.Errorf("%+v", s)
		}
		// Of another customer there is nothing, whatever the role.
		other := access("acme")
		other.Customer = "other"
		get(t, handle(t, next, other))
		if fake.count() != 1 {
			t.Error("another customer found the session")
		}
	})
}

// brokenStore is a store that fails or hangs.
type brokenStore struct {
	broker.SharedStore
	hang bool
}

func (s brokenStore) fail(ctx context.Context) error {
	if s.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return errors.New("no connection")
}

func (s brokenStore) Get(ctx context.Context, _ broker.Key) (broker.Sealed, bool, error) {
	return broker.Sealed{}, false, s.fail(ctx)
}

func (s brokenStore) Put(ctx context.Context, _ broker.Key, _ broker.Sealed) error {
	return s.fail(ctx)
}

func (s brokenStore) Claim(ctx context.Context, _ broker.Key, _ string, _ time.Duration) (bool, error) {
	return false, s.fail(ctx)
}

func (s brokenStore) Release(ctx context.Context, _ broker.Key, _ string) error { return s.fail(ctx) }
func (s brokenStore) Delete(ctx context.Context, _ broker.Key) error            { return s.fail(ctx) }

// deafStore accepts no claim and has nothing: its owner died.
type deafStore struct{ *broker.MemoryStore }

func (deafStore) Claim(context.Context, broker.Key, string, time.Duration) (bool, error) {
	return false, nil
}

// Without the store every broker goes on by itself.
func TestStoreIsNoHelp(t *testing.T) {
	for name, test := range map[string]struct {
		store broker.SharedStore
		cold  time.Duration // a caller of a cold entry waits at most
	}{
		"fails":       {brokenStore{}, 50 * time.Millisecond},
		"hangs":       {brokenStore{hang: true}, 800 * time.Millisecond},
		"owner died":  {deafStore{broker.NewMemoryStore(time.Now)}, 2200 * time.Millisecond},
		"other's key": {sealedByAnother(t), 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				b := replicas(t, fake, test.store, 1)[0]
				h := handle(t, b, access("acme"))
				asked := time.Now()
				get(t, h)
				if waited := time.Since(asked); waited > test.cold {
					t.Errorf("a caller waited %s", waited)
				}
				for began := time.Now(); time.Since(began) < 5*time.Hour; time.Sleep(10 * time.Second) {
					asked := time.Now()
					get(t, h)
					if waited := time.Since(asked); waited > 0 {
						t.Fatalf("a warm caller waited %s", waited)
					}
				}
				if n := fake.count(); n < 5 || n > 7 {
					t.Errorf("%d calls", n)
				}
				b.Revoke("acme", "")
				fails(t, h, broker.CodeRevoked)
			})
		})
	}
}

// sealedByAnother is a store in which another sealer put something for the key.
func sealedByAnother(t *testing.T) broker.SharedStore {
	store := broker.NewMemoryStore(time.Now)
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		sealer, err := broker.NewAESSealer(nil, append(make([]byte, 31), 1))
		if err != nil {
			t.Fatal(err)
		}
		c := fake.config()
		c.SharedStore, c.Sealer = store, sealer
		get(t, handle(t, start(t, c), access("acme")))
	})
	return store
}

// What AWS did not accept, and what the customer withdrew, does not come back
// from the store.
func TestStoreForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		store := broker.NewMemoryStore(time.Now)
		all := replicas(t, fake, store, 2)
		h := handle(t, all[0], access("acme"))
		first := get(t, h)
		h.Invalidate(first.AccessKeyID)
		second := get(t, h)
		if second.AccessKeyID == first.AccessKeyID {
			t.Fatal("the invalidated session came back")
		}
		fake.count()
		if c := get(t, handle(t, all[1], access("acme"))); c.AccessKeyID != second.AccessKeyID {
			t.Error("the new session is not shared")
		}
		all[0].Forget("acme", "")
		if _, ok, err := store.Get(t.Context(), h.Key()); ok || err != nil {
			t.Errorf("the store still has it (%v)", err)
		}
		get(t, h)
		fake.always(denied)
		time.Sleep(time.Until(h.Status().RefreshAt) + time.Minute)
		fails(t, h, broker.CodeWithdrawn)
		if _, ok, _ := store.Get(t.Context(), h.Key()); ok {
			t.Error("the store has a session that was given up")
		}
	})
}

// putsFirst is a store to which another broker puts its session when this one is
// about to claim the key.
type putsFirst struct {
	*broker.MemoryStore
	other *broker.Handle
}

func (s putsFirst) Claim(ctx context.Context, key broker.Key, owner string, lease time.Duration) (bool, error) {
	if _, err := s.other.Retrieve(ctx); err != nil {
		return false, err
	}
	return s.MemoryStore.Claim(ctx, key, owner, lease)
}

// Between looking and claiming, another broker stored the session.
func TestLooksAgainAfterClaiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		store := broker.NewMemoryStore(time.Now)
		other := handle(t, replicas(t, fake, store, 1)[0], access("acme"))
		h := handle(t, replicas(t, fake, putsFirst{store, other}, 1)[0], access("acme"))
		if get(t, h).AccessKeyID != get(t, other).AccessKeyID || fake.count() != 1 {
			t.Error("two sessions")
		}
		if ok, err := store.Claim(t.Context(), h.Key(), "a third", time.Second); !ok || err != nil {
			t.Errorf("the claim was not given back: %t %v", ok, err)
		}
	})
}

// A session that STS issued while the broker closed is there for the next one.
func TestIssuedWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		store := broker.NewMemoryStore(time.Now)
		c := fake.config()
		c.SharedStore, c.Sealer = store, aSealer(t)
		c.AWSConfig.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			time.Sleep(500 * time.Millisecond) // and does not notice that nobody waits
			return fake.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
		})}
		b, err := broker.New(c)
		if err != nil {
			t.Fatal(err)
		}
		h := handle(t, b, access("acme"))
		go func() { _, _ = h.Retrieve(context.Background()) }()
		time.Sleep(100 * time.Millisecond)
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if fake.count() != 1 || store.Len() != 1 {
			t.Errorf("%d sessions in the store", store.Len())
		}
	})
}

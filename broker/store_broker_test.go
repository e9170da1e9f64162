package broker_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// Whoever can write to the store can make the broker call STS, and nothing else:
// callers get credentials, and their own.
func TestTamperedSessionsAreIgnored(t *testing.T) {
	for name, tamper := range map[string]func(mine, other broker.Sealed) broker.Sealed{
		"swapped with another customer's": func(_, other broker.Sealed) broker.Sealed { return other },
		"another's with our expiry": func(mine, other broker.Sealed) broker.Sealed {
			return broker.Sealed{Expires: mine.Expires, Data: other.Data}
		},
		"made to last longer":  func(mine, _ broker.Sealed) broker.Sealed { mine.Expires = mine.Expires.Add(time.Hour); return mine },
		"made to last shorter": func(mine, _ broker.Sealed) broker.Sealed { mine.Expires = mine.Expires.Add(-time.Minute); return mine },
		"expired":              func(mine, _ broker.Sealed) broker.Sealed { mine.Expires = time.Now().Add(-time.Second); return mine },
		"one bit": func(mine, _ broker.Sealed) broker.Sealed {
			return broker.Sealed{Expires: mine.Expires, Data: flipped(mine.Data)}
		},
		"cut off": func(mine, _ broker.Sealed) broker.Sealed {
			return broker.Sealed{Expires: mine.Expires, Data: mine.Data[:40]}
		},
		"empty":       func(mine, _ broker.Sealed) broker.Sealed { return broker.Sealed{Expires: mine.Expires} },
		"not touched": func(mine, _ broker.Sealed) broker.Sealed { return mine },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				store := broker.NewMemoryStore(time.Now)
				first := replicas(t, fake, store, 1)[0]
				h, other := handle(t, first, access("acme")), handle(t, first, access("globex"))
				before, foreign := get(t, h), get(t, other)
				read := func(key broker.Key) broker.Sealed {
					entry, ok, err := store.Get(t.Context(), key)
					if !ok || err != nil {
						t.Fatal("the session was not stored", err)
					}
					return entry
				}
				if err := store.Put(t.Context(), h.Key(), tamper(read(h.Key()), read(other.Key()))); err != nil {
					t.Fatal(err)
				}
				fake.count()
				got := get(t, handle(t, replicas(t, fake, store, 1)[0], access("acme")))
				calls, want := fake.count(), 1
				if name == "not touched" {
					want = 0
				}
				if calls != want || (got.AccessKeyID == before.AccessKeyID) != (want == 0) || got.AccessKeyID == foreign.AccessKeyID {
					t.Errorf("got %s with %d calls; before it was %s, another's is %s", got.AccessKeyID, calls, before.AccessKeyID, foreign.AccessKeyID)
				}
			})
		})
	}
}

func flipped(data []byte) []byte {
	data = append([]byte{}, data...)
	data[len(data)/2] ^= 1
	return data
}

// Ten processes with a hundred callers each need one call, and after a restart
// none. Here the folder is a real one.
func TestReplicasShareAFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "sessions")
		fake := newFake(t)
		var all sync.WaitGroup
		for range 10 {
			b := replicas(t, fake, openDirectory(t, dir, nil), 1)[0]
			for range 100 {
				all.Go(func() {
					if h, err := b.For(access("acme")); err != nil {
						t.Error(err)
					} else if _, err := h.Retrieve(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		if n := fake.count(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		get(t, handle(t, replicas(t, fake, openDirectory(t, dir, nil), 1)[0], access("acme")))
		if n := fake.count(); n != 0 {
			t.Errorf("%d calls after a restart, want 0", n)
		}
	})
}

// A service that restarts with a snapshot asks STS for nothing.
func TestRestartFromSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const customers = 2000
		path := filepath.Join(t.TempDir(), "snapshot")
		fake := newFake(t)
		fake.always(reply{})
		requests := make([]broker.Request, customers)
		for i := range requests {
			requests[i] = access(fmt.Sprint("customer-", i))
		}
		warm := func(store *broker.MemoryStore) *broker.Broker {
			c := fake.config()
			c.SharedStore, c.Sealer, c.MaxPerSecond = store, newSealer(t, newKey(1)), 1e6
			b := start(t, c)
			if err := b.Prewarm(t.Context(), requests); err != nil {
				t.Fatal(err)
			}
			return b
		}
		store := broker.NewMemoryStore(nil)
		if n := warm(store).Stats().Issued; n != customers {
			t.Fatalf("%d sessions were issued, want %d", n, customers)
		}
		fake.count()
		if n, err := store.WriteSnapshot(path); n != customers || err != nil {
			t.Fatal(n, err)
		}
		restarted := broker.NewMemoryStore(nil)
		if n, err := restarted.ReadSnapshot(path); n != customers || err != nil {
			t.Fatal(n, err)
		}
		b := warm(restarted)
		if s := b.Stats(); fake.count() != 0 || s.Shared != customers || s.Warm != customers {
			t.Errorf("%+v", s)
		}
	})
}

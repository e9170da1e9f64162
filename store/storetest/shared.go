package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/broker"
)

// RunShared runs the law of [broker.SharedStore] as a test suite. Open is called
// once for each test with the store's clock, and returns a function that opens
// the same, at first empty, store once more, as another process would.
func RunShared(t *testing.T, open func(t *testing.T, now func() time.Time) (process func() broker.SharedStore)) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*sharedSuite)
	}{
		{"Entries", (*sharedSuite).entries},
		{"EntriesExpire", (*sharedSuite).entriesExpire},
		{"AnyBytes", (*sharedSuite).anyBytes},
		{"Claims", (*sharedSuite).claims},
		{"ClaimsEndWithTheLease", (*sharedSuite).claimsEndWithTheLease},
		{"PutEndsClaims", (*sharedSuite).putEndsClaims},
		{"Delete", (*sharedSuite).deletes},
		{"ConcurrentClaims", (*sharedSuite).concurrentClaims},
		{"ConcurrentTakeovers", (*sharedSuite).concurrentTakeovers},
		{"ConcurrentPuts", (*sharedSuite).concurrentPuts},
		{"EndedContexts", (*sharedSuite).endedContexts},
		{"ManyKeys", (*sharedSuite).manyKeys},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &sharedSuite{T: t}
			s.clock.Store(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).UnixNano())
			s.process = open(t, s.now)
			s.one, s.other = s.process(), s.process()
			test.run(s)
		})
	}
}

type sharedSuite struct {
	*testing.T
	clock      atomic.Int64
	process    func() broker.SharedStore
	one, other broker.SharedStore // the same store in two processes
}

func (s *sharedSuite) now() time.Time          { return time.Unix(0, s.clock.Load()).UTC() }
func (s *sharedSuite) advance(d time.Duration) { s.clock.Add(int64(d)) }

func aKey(name string) broker.Key { return sha256.Sum256([]byte(name)) }

func (s *sharedSuite) put(store broker.SharedStore, name, data string, life time.Duration) broker.Sealed {
	s.Helper()
	entry := broker.Sealed{Expires: s.now().Add(life).Truncate(time.Second), Data: []byte(data)}
	if err := store.Put(s.Context(), aKey(name), entry); err != nil {
		s.Fatal(err)
	}
	return entry
}

// wants looks an entry up in both processes; nil is none.
func (s *sharedSuite) wants(name string, want *broker.Sealed) {
	s.Helper()
	for i, store := range []broker.SharedStore{s.one, s.other} {
		got, ok, err := store.Get(s.Context(), aKey(name))
		switch {
		case err != nil:
			s.Errorf("process %d: %s: %v", i, name, err)
		case ok != (want != nil):
			s.Errorf("process %d: %s: is there: %t, want %t", i, name, ok, want != nil)
		case want != nil:
			if diff := cmp.Diff(*want, got); diff != "" {
				s.Errorf("process %d: %s (-want +got):\n%s", i, name, diff)
			}
		}
	}
}

func (s *sharedSuite) claim(store broker.SharedStore, name, owner string, lease time.Duration, want bool) {
	s.Helper()
	got, err := store.Claim(s.Context(), aKey(name), owner, lease)
	if err != nil || got != want {
		s.Errorf("claim of %s by %s: got %t %v, want %t", name, owner, got, err, want)
	}
}

func (s *sharedSuite) release(store broker.SharedStore, name, owner string) {
	s.Helper()
	if err := store.Release(s.Context(), aKey(name), owner); err != nil {
		s.Errorf("release of %s by %s: %v", name, owner, err)
	}
}

func (s *sharedSuite) entries() {
	s.wants("a", nil)
	a := s.put(s.one, "a", "first", time.Hour)
	s.wants("a", &a)
	s.wants("b", nil)
	b := s.put(s.other, "b", "of b", time.Hour)
	a = s.put(s.other, "a", "second", 2*time.Hour)
	s.wants("a", &a)
	s.wants("b", &b)
}

func (s *sharedSuite) entriesExpire() {
	a := s.put(s.one, "a", "data", time.Minute)
	s.advance(time.Minute - time.Second)
	s.wants("a", &a)
	s.advance(time.Second)
	s.wants("a", nil)
	a = s.put(s.one, "a", "anew", time.Minute)
	s.wants("a", &a)
}

func (s *sharedSuite) anyBytes() {
	all := make([]byte, 3*256)
	for i := range all {
		all[i] = byte(i)
	}
	a := s.put(s.one, "a", string(all), time.Hour)
	s.wants("a", &a)
	large := s.put(s.one, "large", strings.Repeat("x", 32<<10), time.Hour)
	s.wants("large", &large)
}

func (s *sharedSuite) claims() {
	s.claim(s.one, "a", "one", time.Minute, true)
	s.claim(s.other, "a", "two", time.Minute, false)
	s.claim(s.one, "a", "one", time.Minute, true) // its own
	s.claim(s.other, "a", "one", time.Minute, true)
	s.claim(s.other, "b", "two", time.Minute, true) // another key
	s.release(s.other, "a", "two")                  // not its own
	s.claim(s.other, "a", "two", time.Minute, false)
	s.release(s.one, "a", "one")
	s.release(s.one, "a", "one")
	s.claim(s.other, "a", "two", time.Minute, true)
	s.claim(s.one, "a", "one", time.Minute, false)
	s.claim(s.one, "c", "an owner, with \n spaces\x00", time.Minute, true)
	s.claim(s.other, "c", "an owner, with \n spaces\x00", time.Minute, true)
	s.claim(s.other, "c", "an owner,", time.Minute, false)
}

func (s *sharedSuite) claimsEndWithTheLease() {
	s.claim(s.one, "a", "one", 10*time.Second, true)
	s.advance(9 * time.Second)
	s.claim(s.other, "a", "two", 10*time.Second, false)
	s.claim(s.one, "a", "one", 10*time.Second, true) // longer
	s.advance(9 * time.Second)
	s.claim(s.other, "a", "two", 10*time.Second, false)
	s.advance(time.Second)
	s.claim(s.other, "a", "two", 10*time.Second, true)
	s.claim(s.one, "a", "one", 10*time.Second, false)
	s.release(s.one, "a", "one")
	s.claim(s.one, "a", "one", 10*time.Second, false)
}

func (s *sharedSuite) putEndsClaims() {
	s.claim(s.one, "a", "one", time.Minute, true)
	a := s.put(s.other, "a", "data", time.Hour)
	s.claim(s.other, "a", "two", time.Minute, true)
	s.wants("a", &a) // a claim hides nothing
	s.release(s.other, "a", "two")
	s.wants("a", &a)
}

func (s *sharedSuite) deletes() {
	b := s.put(s.one, "b", "data", time.Hour)
	s.put(s.one, "a", "data", time.Hour)
	s.claim(s.one, "a", "one", time.Minute, true)
	for range 2 {
		if err := s.other.Delete(s.Context(), aKey("a")); err != nil {
			s.Error(err)
		}
	}
	s.wants("a", nil)
	s.wants("b", &b)
	s.claim(s.other, "a", "two", time.Minute, true)
}

const processes = 8

// winners lets many owners claim one key at once and returns how many got it.
func (s *sharedSuite) winners(name string) int {
	s.Helper()
	var won atomic.Int32
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i := range processes {
		store := s.process()
		wait.Go(func() {
			<-start
			ok, err := store.Claim(s.Context(), aKey(name), fmt.Sprint("owner ", i), time.Minute)
			if err != nil {
				s.Error(err)
			}
			if ok {
				won.Add(1)
			}
		})
	}
	close(start)
	wait.Wait()
	return int(won.Load())
}

func (s *sharedSuite) concurrentClaims() {
	for i := range 20 {
		if got := s.winners(fmt.Sprint("key ", i)); got != 1 {
			s.Errorf("%d owners have the claim, want 1", got)
		}
	}
}

func (s *sharedSuite) concurrentTakeovers() {
	for i := range 20 {
		name := fmt.Sprint("key ", i)
		s.claim(s.one, name, "one that died", time.Second, true)
		s.advance(time.Second)
		if got := s.winners(name); got != 1 {
			s.Errorf("%d owners have taken the claim over, want 1", got)
		}
	}
}

// concurrentPuts has readers that must never see half an entry.
func (s *sharedSuite) concurrentPuts() {
	expires := s.now().Add(time.Hour)
	var wait sync.WaitGroup
	for i := range processes {
		store := s.process()
		content := strings.Repeat(string(rune('a'+i)), 1000+100*i)
		wait.Go(func() {
			for range 10 {
				if err := store.Put(s.Context(), aKey("a"), broker.Sealed{Expires: expires, Data: []byte(content)}); err != nil {
					s.Error(err)
				}
				entry, ok, err := store.Get(s.Context(), aKey("a"))
				if err != nil || !ok {
					s.Errorf("the entry is there: %t %v", ok, err)
					return
				}
				whose := int(entry.Data[0] - 'a')
				if string(entry.Data) != strings.Repeat(string(rune('a'+whose)), 1000+100*whose) {
					s.Error("the entry has parts of several")
				}
			}
		})
	}
	wait.Wait()
}

// endedContexts may fail or not, but must not hang, and must not claim.
func (s *sharedSuite) endedContexts() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	ok, err := s.one.Claim(ctx, aKey("a"), "one", time.Minute)
	if ok != (err == nil) {
		s.Errorf("claimed is %t with the error %v", ok, err)
	}
	if _, _, err := s.one.Get(ctx, aKey("a")); err != nil && !errors.Is(err, context.Canceled) {
		s.Logf("get: %v", err) // any error will do
	}
	if !ok {
		s.claim(s.other, "a", "two", time.Minute, true)
	}
}

func (s *sharedSuite) manyKeys() {
	const count = 600
	for i := range count {
		life := time.Minute
		if i%2 == 0 {
			life = time.Hour
		}
		s.put(s.one, fmt.Sprint(i), fmt.Sprint("data of ", i), life)
		s.claim(s.other, fmt.Sprint("claimed ", i), "one", time.Minute, true)
	}
	s.advance(time.Minute)
	for i := range count { // and now and then the store forgets expired ones
		s.put(s.one, fmt.Sprint("later ", i), "data", time.Hour)
	}
	for i := range count {
		entry, ok, err := s.other.Get(s.Context(), aKey(fmt.Sprint(i)))
		if want := i%2 == 0; err != nil || ok != want || ok && string(entry.Data) != fmt.Sprint("data of ", i) {
			s.Fatalf("entry %d: %t %q %v, want it there: %t", i, ok, entry.Data, err, want)
		}
	}
}

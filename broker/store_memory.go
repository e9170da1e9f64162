package broker

import (
	"context"
	"maps"
	"sync"
	"time"
)

// A MemoryStore is a [SharedStore] in this process: for brokers that run side by
// side in it, for tests, and for warm restarts, together with
// [MemoryStore.WriteSnapshot] and [MemoryStore.ReadSnapshot]. It takes about
// 200 bytes per entry besides the sealed session.
//
// It is safe for concurrent use.
type MemoryStore struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[Key]Sealed
	claims  map[Key]claim
	prune   int // when there are so many entries and claims, the expired ones are removed
}

// A claim is the right to obtain the session of a key.
type claim struct {
	owner string
	until time.Time
}

const firstPrune = 1024

// NewMemoryStore returns an empty store. A nil now is [time.Now].
func NewMemoryStore(now func() time.Time) *MemoryStore {
	if now == nil {
		now = time.Now
	}
	return &MemoryStore{now: now, entries: make(map[Key]Sealed), claims: make(map[Key]claim), prune: firstPrune}
}

// Get implements [SharedStore].
func (s *MemoryStore) Get(_ context.Context, key Key) (Sealed, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, ok := s.entries[key]
	if !ok || !entry.Expires.After(s.now()) {
		return Sealed{}, false, nil
	}
	return entry, true, nil
}

// Put implements [SharedStore]. The store keeps the data as it is; it must not be
// changed.
func (s *MemoryStore) Put(_ context.Context, key Key, entry Sealed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[key] = entry
	delete(s.claims, key)
	s.prunes()
	return nil
}

// Claim implements [SharedStore].
func (s *MemoryStore) Claim(_ context.Context, key Key, owner string, lease time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if held, ok := s.claims[key]; ok && held.owner != owner && held.until.After(now) {
		return false, nil
	}
	s.claims[key] = claim{owner, now.Add(lease)}
	s.prunes()
	return true, nil
}

// Release implements [SharedStore].
func (s *MemoryStore) Release(_ context.Context, key Key, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[key].owner == owner {
		delete(s.claims, key)
	}
	return nil
}

// Delete implements [SharedStore].
func (s *MemoryStore) Delete(_ context.Context, key Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
	delete(s.claims, key)
	return nil
}

// Len returns how many entries there are, expired ones included that were not
// removed yet.
func (s *MemoryStore) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

// prunes removes what has expired, whenever there is twice as much as the last
// time left.
func (s *MemoryStore) prunes() {
	if len(s.entries)+len(s.claims) < s.prune {
		return
	}
	now := s.now()
	maps.DeleteFunc(s.entries, func(_ Key, entry Sealed) bool { return !entry.Expires.After(now) })
	maps.DeleteFunc(s.claims, func(_ Key, held claim) bool { return !held.until.After(now) })
	s.prune = max(firstPrune, 2*(len(s.entries)+len(s.claims)))
}

package broker

import (
	"context"
	"encoding/binary"
	"time"
)

// Brokers of one identity may share sessions through a store. Of those that
// need the same session, the one whose claim the store accepts calls STS; the
// others look for its result. The store is asked for little and never trusted to
// answer: without it every broker calls for itself.

const (
	storeTime  = 250 * time.Millisecond // one request to the store
	claimLease = 5 * time.Second        // a bit longer than a flight
	lookEvery  = 50 * time.Millisecond  // at first, for what another broker obtains
)

// fromStore returns a session that another broker obtained, or else whether the
// claim to obtain it is ours. It waits for one that holds the claim, but not so
// long that no time is left for a call.
func (b *Broker) fromStore(ctx context.Context, h *Handle, f *flight) (s *session, claimed bool) {
	sh := b.shardOf(h.key)
	sh.Lock()
	current, avoid, forced := h.current.Load(), f.avoid, f.forced
	sh.Unlock()
	deadline := b.config.Now().Add(flightTime - attemptTime - storeTime)
	for pause := lookEvery; ; pause = min(2*pause, 4*lookEvery) {
		if !forced {
			s, err := b.look(ctx, h)
			if err != nil {
				return nil, claimed
			}
			if s != nil && s.accessKeyID() == avoid {
				b.unshare(h) // or the next flight, which does not know, would take it
				s = nil
			}
			if s != nil && b.better(h, current, s) {
				if claimed {
					b.toStore(h, nil, true)
				}
				b.counts.shared.Add(1)
				return s, false
			}
		}
		if claimed {
			return nil, true
		}
		request, cancel := context.WithTimeout(ctx, storeTime)
		mine, err := b.config.SharedStore.Claim(request, h.key, b.owner, claimLease)
		cancel()
		b.storeTrouble("claim", h, err)
		if err == nil && mine {
			// Another broker may have put its session, which ends its claim, after
			// we looked and before we claimed.
			claimed = true
			continue
		}
		if err != nil || b.config.Now().After(deadline) {
			return nil, false
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(pause):
		}
	}
}

// better reports whether a session of the store is of use: not due to be
// renewed itself, and newer than ours.
func (b *Broker) better(h *Handle, ours, theirs *session) bool {
	now := b.clock.now()
	if !theirs.valid(now) || now >= theirs.refreshAt(Class(h.class.Load()), 0) {
		return false
	}
	return ours == nil || theirs.issued() > ours.issued()
}

// look returns what the store has, nil if nothing. The error says that the
// store is no help now.
func (b *Broker) look(ctx context.Context, h *Handle) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	sealed, ok, err := b.config.SharedStore.Get(ctx, h.key)
	if err != nil || !ok {
		b.storeTrouble("get", h, err)
		return nil, err
	}
	plain, err := b.config.Sealer.Open(ctx, sealed.Data, b.binding(h.key, sealed.Expires))
	if err != nil {
		// Sealed with another key, or by somebody else: as if it were not there.
		b.storeTrouble("open", h, err)
		return nil, nil
	}
	return unmarshalSession(plain), nil
}

// toStore shares a session, or gives up the claim to obtain one.
func (b *Broker) toStore(h *Handle, s *session, claimed bool) {
	// The flight's deadline is not the store's business: what was issued is
	// worth sharing.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.context), storeTime)
	defer cancel()
	if s == nil {
		if claimed {
			b.storeTrouble("release", h, b.config.SharedStore.Release(ctx, h.key, b.owner))
		}
		return
	}
	expires := time.Unix(0, s.expires).Truncate(time.Second).UTC()
	sealed, err := b.config.Sealer.Seal(ctx, s.marshal(), b.binding(h.key, expires))
	if err == nil {
		err = b.config.SharedStore.Put(ctx, h.key, Sealed{Expires: expires, Data: sealed})
	}
	b.storeTrouble("put", h, err)
}

// unshare removes a session that must not be used any more. It is best effort:
// a broker that has it in memory keeps it until it learns the same.
func (b *Broker) unshare(h *Handle) {
	if b.config.SharedStore == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.context), storeTime)
	defer cancel()
	b.storeTrouble("delete", h, b.config.SharedStore.Delete(ctx, h.key))
}

func (b *Broker) storeTrouble(what string, h *Handle, err error) {
	if err != nil {
		b.counts.storeFailures.Add(1)
		b.config.Logger.Warn("broker: the shared store does not help; going on without it", "operation", what, "key", h.key, "error", err)
	}
}

// binding is the associated data of a sealed session: it opens only as what it
// was sealed as.
func (b *Broker) binding(key Key, expires time.Time) []byte {
	out := []byte("crossaccount broker session 1")
	out = append(out, key[:]...)
	return binary.BigEndian.AppendUint64(out, uint64(expires.Unix()))
}

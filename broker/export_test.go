package broker

import "fmt"

// CheckHandle says what is wrong with a handle, whatever goes on.
func CheckHandle(h *Handle) error {
	sh := h.broker.shardOf(h.key)
	sh.Lock()
	defer sh.Unlock()
	found := sh.find(h.key)
	switch {
	case h.interned != (found == h):
		return fmt.Errorf("%s says that it is an entry: %t, which is not so", h.key, h.interned)
	case h.interned && h.revoked:
		return fmt.Errorf("%s is an entry that was revoked", h.key)
	case !h.interned && (h.current.Load() != nil || h.flight != nil || h.queue != unqueued):
		return fmt.Errorf("%s has a session, a flight or a place in a queue, and nobody can find it", h.key)
	}
	return nil
}

// CheckBroker says what is wrong with the entries and queues of a broker in which
// nothing goes on.
func CheckBroker(b *Broker) error {
	children, interned := map[*Handle]int32{}, map[*Handle]bool{}
	for i := range b.shards {
		sh := &b.shards[i]
		sh.Lock()
		defer sh.Unlock()
		for hash, h := range sh.entries {
			for ; h != nil; h = h.next {
				interned[h] = true
				if h.parent != nil {
					children[h.parent]++
				}
				switch {
				case b.shardOf(h.key) != sh || h.key.hash() != hash || sh.find(h.key) != h || !h.interned:
					return fmt.Errorf("%s is in the wrong place", h.key)
				case h.queue == unqueued && (h.flight == nil || !h.flight.started) && !b.closed.Load():
					return fmt.Errorf("%s waits for nothing", h.key)
				case h.queue == ready && (h.flight == nil || h.flight.started):
					return fmt.Errorf("%s is ready to call and has nothing to call for", h.key)
				}
			}
		}
	}
	for h := range interned {
		if got := h.children.Load(); got != children[h] {
			return fmt.Errorf("%s has %d children and counts %d", h.key, children[h], got)
		}
	}
	s := b.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	for q, l := range s.queues {
		for i, h := range l {
			if h.queue != queue(q) || int(h.slot) != i || i > 0 && l.Less(i, (i-1)/2) {
				return fmt.Errorf("%s is in the wrong place of queue %d", h.key, q)
			}
			if !interned[h] {
				return fmt.Errorf("%s is in queue %d and no entry", h.key, q)
			}
		}
	}
	return nil
}

package broker

import (
	"encoding/binary"
	"sync"
)

// shards is how many locks share the entries.
const shards = 64

// A shard holds the entries whose key begins alike, and its lock guards their
// states. It is never held during a call to anybody else. The scheduler's lock
// may be taken while it is held, not the other way round.
type shard struct {
	sync.Mutex
	entries map[uint64]*Handle // :: eight bytes of the key → entries, chained by next
}

func (b *Broker) shardOf(key Key) *shard { return &b.shards[key[0]%shards] }

func (k Key) hash() uint64 { return binary.LittleEndian.Uint64(k[8:]) }

func (sh *shard) find(key Key) *Handle {
	h := sh.entries[key.hash()]
	for h != nil && h.key != key {
		h = h.next
	}
	return h
}

func (sh *shard) insert(h *Handle) {
	h.next = sh.entries[h.key.hash()]
	h.interned = true
	sh.entries[h.key.hash()] = h
	if h.parent != nil {
		h.parent.children.Add(1)
	}
}

func (sh *shard) remove(h *Handle) {
	if !h.interned {
		return
	}
	h.interned = false
	if h.parent != nil {
		h.parent.children.Add(-1)
	}
	at := h.key.hash()
	first := sh.entries[at]
	if first == h {
		if h.next == nil {
			delete(sh.entries, at)
		} else {
			sh.entries[at] = h.next
		}
		h.next = nil
		return
	}
	for p := first; p != nil; p = p.next {
		if p.next == h {
			p.next, h.next = h.next, nil
			return
		}
	}
}

// For returns the handle for a request. It makes no call: the first Retrieve
// does, or [Broker.Prewarm]. Equal requests get the same handle; keep it rather
// than ask each time, because For hashes the request.
func (b *Broker) For(request Request) (*Handle, error) {
	if b.closed.Load() {
		return nil, errClosed
	}
	h := b.known(&request)
	if h == nil {
		if err := b.check(&request); err != nil {
			return nil, err
		}
		born := b.revoked.now()
		b.hops(&request, func(purpose *Purpose, role encoded) bool {
			h = b.intern(h, purpose, role, born)
			return true
		})
	}
	h.raiseClass(request.Class)
	if !request.Onboarded.IsZero() {
		h.bePatient(request.Onboarded)
	}
	return h, nil
}

// Lookup returns the handle with the key, if there is one now. It takes a tenth
// of what For takes.
func (b *Broker) Lookup(key Key) (*Handle, bool) {
	sh := b.shardOf(key)
	sh.Lock()
	defer sh.Unlock()
	h := sh.find(key)
	return h, h != nil
}

// known returns the handle of a request that was checked before, or nil.
func (b *Broker) known(request *Request) (h *Handle) {
	last := len(request.Chain) - 1
	if request.Customer == "" || last < 0 || last >= MaxChain || request.Chain[last].Shared || request.Class > HTTPRead || request.Purpose != "" && b.purposes[request.Purpose] == nil {
		return nil
	}
	b.hops(request, func(purpose *Purpose, role encoded) (ok bool) {
		var parent *Key
		if h != nil {
			parent = &h.key
		}
		h, ok = b.Lookup(entryKey(b.ground, parent, purpose, role))
		return ok
	})
	return h
}

// hops goes through the chain of a request until visit returns false.
func (b *Broker) hops(request *Request, visit func(*Purpose, encoded) bool) {
	for i, role := range request.Chain {
		role.Duration = lasting(&role, i > 0)
		customer, integration, purpose := request.Customer, request.Integration, (*Purpose)(nil)
		if role.Shared {
			customer, integration = "", ""
		}
		if i == len(request.Chain)-1 {
			purpose = b.purposes[request.Purpose]
		}
		if !visit(purpose, encode(customer, integration, &role)) {
			return
		}
	}
}

// intern returns the entry, a new one if there is none. born is when the request
// came.
func (b *Broker) intern(parent *Handle, purpose *Purpose, role encoded, born uint64) *Handle {
	var parentKey *Key
	if parent != nil {
		parentKey = &parent.key
	}
	key := entryKey(b.ground, parentKey, purpose, role)
	sh := b.shardOf(key)
	sh.Lock()
	defer sh.Unlock()
	if h := sh.find(key); h != nil {
		return h
	}
	h := &Handle{broker: b, key: key, role: role, purpose: purpose, parent: parent, slot: -1, born: born}
	if h.ended() { // while the request was being looked at; the parent may have been revoked
		return h
	}
	now := b.clock.now()
	h.lastRead.Store(now)
	sh.insert(h)
	b.schedule.put(h, timed, now+int64(coldLife))
	return h
}

// Forget drops the credentials of an integration (of all of the customer's if
// integration is empty), here and in the shared store, and returns how many
// entries there were. Handles stay usable and obtain new ones. It looks at every
// entry, which takes some 10 ms with 100,000 of them.
func (b *Broker) Forget(customer, integration string) int {
	return b.drop(customer, integration, false)
}

// Revoke is Forget, but handles that exist return an error with [CodeRevoked]
// for ever. A later [Broker.For] makes new ones.
func (b *Broker) Revoke(customer, integration string) int {
	return b.drop(customer, integration, true)
}

func (b *Broker) drop(customer, integration string, revoke bool) int {
	if customer == "" {
		return 0 // what is shared between customers belongs to none
	}
	if revoke {
		b.revoked.add(customer, integration)
	}
	var dropped []*Handle
	for i := range b.shards {
		sh := &b.shards[i]
		sh.Lock()
		var here []*Handle
		for _, h := range sh.entries {
			for ; h != nil; h = h.next {
				if c, n := h.role.who(); c == customer && (integration == "" || n == integration) {
					here = append(here, h)
				}
			}
		}
		for _, h := range here {
			b.dropLocked(sh, h, revoke)
		}
		sh.Unlock()
		dropped = append(dropped, here...)
	}
	for _, h := range dropped {
		b.unshare(h)
		b.dropChildless(h.parent)
	}
	return len(dropped)
}

func (b *Broker) dropLocked(sh *shard, h *Handle, revoke bool) {
	sh.remove(h)
	h.current.Store(nil)
	h.trouble = nil
	h.revoked = h.revoked || revoke
	b.schedule.remove(h)
	if f := h.flight; f != nil {
		// Who waits starts again, or learns that the handle is revoked.
		h.flight = nil
		f.end(nil, errForgotten)
	}
}

// dropChildless drops the shared roles that were assumed only on the way to
// others that are gone now.
func (b *Broker) dropChildless(h *Handle) {
	for ; h != nil; h = h.parent {
		if customer, _ := h.role.who(); customer != "" || h.children.Load() > 0 {
			return
		}
		sh := b.shardOf(h.key)
		sh.Lock()
		if h.children.Load() == 0 {
			b.dropLocked(sh, h, false)
		}
		sh.Unlock()
		b.unshare(h)
	}
}

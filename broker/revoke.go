package broker

import "sync"

// Revocations are numbered, and a handle knows how many there were before the
// request it was made for. That tells handles that are no entries when their
// integration is revoked, because they lapsed or were forgotten and nobody could
// find them, from those of later requests.
type revocations struct {
	mu   sync.Mutex
	last uint64
	of   map[[2]string]uint64 // :: customer and integration → its last revocation
}

func (r *revocations) now() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// add must come before the entries are looked through: a handle that becomes one
// after that sees it.
func (r *revocations) add(customer, integration string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[[2]string]uint64{}
	}
	r.last++
	r.of[[2]string{customer, integration}] = r.last
}

func (r *revocations) since(born uint64, customer, integration string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == born {
		return false
	}
	return r.of[[2]string{customer, integration}] > born || r.of[[2]string{customer, ""}] > born
}

// ended reports whether the handle was revoked. Its shard is locked.
func (h *Handle) ended() bool {
	if !h.revoked && !h.interned {
		customer, integration := h.role.who()
		h.revoked = h.broker.revoked.since(h.born, customer, integration)
	}
	return h.revoked
}

package broker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A Handle gives the credentials of one request. Its methods may be called at
// the same time.
type Handle struct {
	// There may be a hundred thousand of these. A test watches their size.

	current  atomic.Pointer[session] // stored under the shard's lock, loaded by anyone
	lastRead atomic.Int64            // AWS's time, exact to a second
	broker   *Broker
	key      Key
	role     encoded
	purpose  *Purpose // nil if none
	parent   *Handle  // whose credentials assume the role; nil for the broker's own
	flight   *flight  // guarded by the shard: the call that is queued or under way
	trouble  *trouble // guarded by the shard: nil if the last call succeeded
	next     *Handle  // guarded by the shard: with the same hash

	due      int64 // guarded by the scheduler: when to do something, or priority
	slot     int32 // guarded by the scheduler: position in its queue
	queue    queue // guarded by the scheduler: which queue
	shorter  uint8 // guarded by the shard: see shortened
	interned bool  // guarded by the shard: found by For
	revoked  bool  // guarded by the shard

	children atomic.Int32 // interned handles whose parent this is
	class    atomic.Uint32
	born     uint64 // see revocations
}

var _ aws.CredentialsProvider = (*Handle)(nil)

// Retrieve returns credentials that AWS accepts now. It blocks only when there
// are none, for at most a few seconds and not longer than the context lasts,
// and allocates nothing when there are.
func (h *Handle) Retrieve(ctx context.Context) (c aws.Credentials, err error) {
	if s := h.current.Load(); s != nil {
		if now := h.broker.clock.read(); now < s.soft {
			h.touch(now)
			h.fill(&c, s)
			return c, nil
		}
	}
	s, err := h.await(ctx, 0)
	if err != nil {
		return aws.Credentials{}, err
	}
	return h.credentials(s), nil
}

// RetrieveLasting is Retrieve for readers that keep the credentials: it returns
// some that last at least that long (or a quarter of the session if that is
// shorter), unless they cannot be renewed, then what is still valid. Reading so
// makes the entry's class [HTTPRead].
func (h *Handle) RetrieveLasting(ctx context.Context, least time.Duration) (c aws.Credentials, err error) {
	if s := h.current.Load(); s != nil && h.class.Load() == uint32(HTTPRead) {
		if now := h.broker.clock.read(); s.lasts(now, int64(least)) {
			h.touch(now)
			h.fill(&c, s)
			return c, nil
		}
	}
	h.raiseClass(HTTPRead)
	s, err := h.await(ctx, int64(least))
	if err != nil {
		return aws.Credentials{}, err
	}
	return h.credentials(s), nil
}

// touch notes that somebody reads. It writes at most once a second, because
// readers on other processors would wait for the memory.
func (h *Handle) touch(now int64) {
	if now-h.lastRead.Load() >= int64(time.Second) {
		h.lastRead.Store(now)
	}
}

// Key returns the key of the entry.
func (h *Handle) Key() Key { return h.key }

// Subject returns whom the handle is for.
func (h *Handle) Subject() Subject {
	customer, integration := h.role.who()
	role := h.role.role()
	s := Subject{Customer: customer, Integration: integration, RoleARN: role.ARN, SessionName: role.SessionName, Key: h.key}
	if h.purpose != nil {
		s.Purpose = h.purpose.Name
	}
	return s
}

// A Status is the state of an entry.
type Status struct {
	State       State
	Class       Class
	AccessKeyID string // of the credentials at hand, "" if none
	Expires     time.Time
	RefreshAt   time.Time // when they will be renewed
	LastRead    time.Time
	Err         *Error    // why the last call failed, nil if it did not
	RetryAt     time.Time // AWS is not asked before, unless by Recheck
}

// State of an entry. Its text is stable.
type State string

// The states of an entry.
const (
	StateCold      State = "cold"      // never read, or lapsed
	StateWarm      State = "warm"      // valid credentials, nothing wrong
	StateFailing   State = "failing"   // valid credentials, renewing fails
	StateSuspect   State = "suspect"   // valid credentials, AWS refused once
	StateDraining  State = "draining"  // valid credentials, trust withdrawn, used up
	StateWithdrawn State = "withdrawn" // none, trust withdrawn
	StateRefused   State = "refused"   // none, AWS refuses
	StateDown      State = "down"      // none, STS or our own budget does not answer
	StateRevoked   State = "revoked"   // none, ended by us
)

// Status returns what is known without asking AWS.
func (h *Handle) Status() Status {
	b := h.broker
	sh := b.shardOf(h.key)
	sh.Lock()
	defer sh.Unlock()
	now := b.clock.now()
	s, t := h.current.Load(), h.trouble
	status := Status{Class: Class(h.class.Load())}
	if n := h.lastRead.Load(); n != 0 {
		status.LastRead = b.clock.local(n)
	}
	h.ended()
	valid := s.valid(now)
	if valid {
		status.AccessKeyID = s.accessKeyID()
		status.Expires = b.clock.local(s.expires)
		if due := b.schedule.dueAt(h); due != 0 {
			status.RefreshAt = b.clock.local(due)
		}
	}
	if t != nil && t.err != nil {
		status.Err = t.err
		status.RetryAt = b.clock.local(t.until)
	}
	status.State = h.state(valid)
	return status
}

// state names what the fields say. The shard is locked.
func (h *Handle) state(valid bool) State {
	t := h.trouble
	switch {
	case h.revoked:
		return StateRevoked
	case t == nil || t.err == nil:
		if valid {
			return StateWarm
		}
		return StateCold
	case t.err.Code == CodeRevoked:
		return StateRevoked
	case t.withdrawn && valid:
		return StateDraining
	case t.withdrawn:
		return StateWithdrawn
	case t.suspectSince != 0 && valid:
		return StateSuspect
	case valid:
		return StateFailing
	case t.err.Code == CodeRefused || t.err.Code == CodePropagating || t.err.Code == CodeInvalidRequest:
		return StateRefused
	}
	return StateDown
}

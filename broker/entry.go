package broker

import (
	"context"
	"sync"
	"time"
)

// The life of an entry. Its states are the fields current, flight and trouble,
// guarded by its shard:
//
//	cold ──read──▶ flight ──issued──▶ warm ──due──▶ flight …
//	                 │ failed            │ unread for two lifetimes
//	                 ▼                   ▼
//	              trouble             lapsed, which is cold
//
// A flight is one call of STS that is queued or under way; whoever needs it
// waits for the same. While there is trouble, AWS is not asked before its time
// has come, and what is still valid is handed out.

// trouble is what an entry has besides while AWS did not issue.
type trouble struct {
	err       *Error // nil: none yet, only patience
	count     int    // failures of this kind in a row
	until     int64  // AWS is not asked before
	checked   int64  // when it was asked
	patience  int64  // until then a refusal is IAM being slow
	withdrawn bool   // confirmed

	// suspectSince is when AWS first refused while a session was valid, and
	// confirmAt the earliest time at which another refusal confirms it.
	suspectSince, confirmAt int64
}

// waits reports whether AWS is not to be asked now. When the clock turned out to
// be fast, after AWS was asked, until would be too far away.
func (t *trouble) waits(now int64) bool {
	return t.err != nil && now < t.until && now >= t.checked
}

// A flight is one attempt to obtain a session.
type flight struct {
	done chan struct{}
	// For those that wait, after done is closed:
	session *session
	err     *Error

	started  bool   // guarded by the shard
	forced   bool   // by Recheck or Invalidate: past what the shared store has
	avoid    string // an access key that AWS did not accept
	renewing bool   // valid credentials were at hand
}

func (f *flight) end(s *session, err *Error) {
	f.session, f.err = s, err
	close(f.done)
}

// await returns a session for a reader for whom there was none at a glance.
func (h *Handle) await(ctx context.Context, least int64) (*session, error) {
	b := h.broker
	sh := b.shardOf(h.key)
	for {
		sh.Lock()
		now := b.clock.now()
		if other := h.adopt(sh); other != nil {
			sh.Unlock()
			other.raiseClass(Class(h.class.Load()))
			return other.await(ctx, least)
		}
		h.lastRead.Store(now)
		s, err := h.atHand(now, least)
		if s != nil || err != nil {
			sh.Unlock()
			return s, orNil(err)
		}
		if ctx.Err() != nil { // nobody waits for what a call would bring
			sh.Unlock()
			return nil, gaveUp(ctx)
		}
		f, err := b.join(h, now, waitedFor(now))
		sh.Unlock()
		if err == nil {
			err = b.waitFor(ctx, h, f)
		}
		if err == errForgotten {
			continue
		}
		if err == nil && f.session.valid(b.clock.now()) {
			return f.session, nil
		}
		// Nothing new, but what was there may still be good.
		sh.Lock()
		s, now = h.current.Load(), b.clock.now()
		sh.Unlock()
		if s.valid(now) {
			return s, nil
		}
		if err == nil { // issued, and expired before we got to see it: the process slept
			continue
		}
		return nil, err
	}
}

// orNil keeps a nil *Error from becoming an error that is not nil.
func orNil(err *Error) error {
	if err == nil {
		return nil
	}
	return err
}

// adopt makes a handle that lapsed or was forgotten an entry again, or returns
// the entry that took its place. The shard is locked.
func (h *Handle) adopt(sh *shard) *Handle {
	if h.interned || h.ended() {
		return nil
	}
	if other := sh.find(h.key); other != nil {
		return other
	}
	sh.insert(h)
	h.broker.schedule.put(h, timed, h.broker.clock.now()+int64(coldLife))
	return nil
}

// successor returns the entry that took the handle's place while it was none, or
// the handle.
func (h *Handle) successor() *Handle {
	sh := h.broker.shardOf(h.key)
	sh.Lock()
	defer sh.Unlock()
	if other := sh.find(h.key); other != nil && !h.ended() {
		return other
	}
	return h
}

// atHand returns what can be said without a flight: a session, an error, or
// neither. The shard is locked.
func (h *Handle) atHand(now, least int64) (*session, *Error) {
	if h.broker.closed.Load() {
		return nil, errClosed
	}
	if h.revoked {
		return nil, errRevoked
	}
	s := h.current.Load()
	if s.lasts(now, least) || s.valid(now) && h.broker.readyIn(now) > 0 {
		return s, nil // also if no region is up, where a renewal would only fail
	}
	if t := h.trouble; t != nil && t.err != nil {
		if s.valid(now) {
			return s, nil // it is being retried in the background
		}
		if !t.waits(now) {
			return nil, nil
		}
		again := *t.err
		again.RetryAfter = time.Duration(t.until - now)
		return nil, &again
	}
	return nil, nil
}

// join returns the entry's flight, a new one if there is none. The shard is
// locked.
func (b *Broker) join(h *Handle, now, priority int64) (*flight, *Error) {
	if f := h.flight; f != nil {
		b.schedule.hurry(h, h.priority(now, priority))
		return f, nil
	}
	if customer, integration := h.role.who(); customer != "" {
		if wait := b.customers.take(now, customer, integration); wait > 0 {
			err := &Error{Code: CodeThrottled, Message: "too many sessions were asked for on behalf of this integration; try again later", RetryAfter: wait}
			if h.current.Load().valid(now) {
				return nil, err
			}
			t := h.troubled()
			if t.err == nil {
				t.err = err
			}
			t.until = now + int64(wait)
			again := *t.err // what AWS said last tells more than that we do not ask
			again.RetryAfter = wait
			return nil, &again
		}
	}
	return b.launch(h, now, priority), nil
}

// launch queues a new flight. The shard is locked and there is no flight.
func (b *Broker) launch(h *Handle, now, priority int64) *flight {
	f := &flight{done: make(chan struct{}), renewing: h.current.Load().valid(now)}
	h.flight = f
	b.schedule.put(h, ready, h.priority(now, priority))
	return f
}

// priority puts roles that others are assumed with before all: calls under way
// may be waiting for them.
func (h *Handle) priority(now, usual int64) int64 {
	if h.children.Load() > 0 {
		return beforeAll(now)
	}
	return usual
}

func (h *Handle) troubled() *trouble {
	if h.trouble == nil {
		h.trouble = &trouble{}
	}
	return h.trouble
}

// queuePatience is how long a caller waits for the budget of calls.
const queuePatience = 3 * time.Second

// waitFor waits until the flight ends, the context does, or the budget of calls
// shows no sign of allowing it.
func (b *Broker) waitFor(ctx context.Context, h *Handle, f *flight) *Error {
	select {
	case <-f.done: // do not count or arm a timer for what is over
		return f.err
	default:
	}
	b.counts.waits.Add(1)
	b.counts.waiting.Add(1)
	defer b.counts.waiting.Add(-1)
	timer := time.NewTimer(queuePatience)
	defer timer.Stop()
	late := false
	for {
		select {
		case <-f.done:
			return f.err
		case <-ctx.Done():
			return gaveUp(ctx)
		case <-timer.C:
			sh := b.shardOf(h.key)
			sh.Lock()
			started := f.started
			sh.Unlock()
			if started && !late {
				// It ends by itself, unless something that it asks ignores its deadline.
				late = true
				timer.Reset(flightTime + time.Second)
				continue
			}
			if late {
				return &Error{Code: CodeUnavailable, Message: "the call for credentials does not end: authorization, audit or the shared store does not answer; try again later"}
			}
			return &Error{Code: CodeThrottled, Message: "the budget of STS calls is used up; try again later", RetryAfter: time.Second}
		}
	}
}

func gaveUp(ctx context.Context) *Error {
	return &Error{Code: CodeCanceled, Message: "the caller did not wait for credentials", cause: context.Cause(ctx)}
}

// coldLife is how long an entry without credentials is kept for readers.
const coldLife = time.Hour

// attend does what is due for an entry. It is called by the scheduler.
func (b *Broker) attend(h *Handle, now int64) {
	sh := b.shardOf(h.key)
	sh.Lock()
	s, t := h.current.Load(), h.trouble
	unread := now - h.lastRead.Load()
	switch {
	case !h.interned || h.revoked || h.flight != nil || b.closed.Load():
	case s == nil && t != nil && now < t.patience:
		b.launch(h, now, atLeisure(now))
	case s == nil && unread < int64(coldLife):
		b.schedule.put(h, timed, now+int64(coldLife)-unread)
	case s == nil:
		h.trouble = nil
		sh.remove(h)
	case unread > 2*s.lifetime:
		lapsed := b.event(h, EventLapsed, s, "")
		h.lapse(sh)
		sh.Unlock()
		b.tellLapsed(lapsed)
		return
	case t != nil && t.waits(now):
		b.schedule.put(h, timed, t.until)
	default:
		customer, integration := h.role.who()
		if customer != "" {
			if wait := b.customers.take(now, customer, integration); wait > 0 {
				b.schedule.put(h, timed, now+int64(wait))
				break
			}
		}
		b.launch(h, now, s.expires)
	}
	sh.Unlock()
}

// lapses are events that the scheduler has to tell. It must not wait for an
// observer, and there may be many at once, so one goroutine tells them.
type lapses struct {
	sync.Mutex
	events  []Event
	telling bool
}

func (b *Broker) tellLapsed(e Event) {
	l := &b.lapses
	l.Lock()
	defer l.Unlock()
	l.events = append(l.events, e)
	if l.telling {
		return
	}
	l.telling = true
	b.flying.Go(func() {
		for {
			l.Lock()
			events := l.events
			l.events, l.telling = nil, len(events) > 0
			l.Unlock()
			if len(events) == 0 {
				return
			}
			for _, e := range events {
				b.report(e)
			}
		}
	})
}

// lapse drops what nobody reads. The entry goes, too: requests may differ in
// what never comes again, such as the name of a session.
func (h *Handle) lapse(sh *shard) {
	h.current.Store(nil)
	h.trouble = nil
	h.class.Store(uint32(InProcess))
	sh.remove(h)
}

// raiseClass makes the class at least c.
func (h *Handle) raiseClass(c Class) {
	if h.class.Load() >= uint32(c) {
		return
	}
	b := h.broker
	sh := b.shardOf(h.key)
	sh.Lock()
	defer sh.Unlock()
	if h.class.Load() >= uint32(c) {
		return
	}
	h.class.Store(uint32(c))
	if s := h.current.Load(); s != nil && h.flight == nil && h.trouble == nil && h.interned {
		b.schedule.put(h, timed, s.refreshAt(c, b.spread()))
	}
}

// bePatient takes refusals for IAM being slow, for a while after the role was
// accepted. If that is in the future, clocks differ.
func (h *Handle) bePatient(accepted time.Time) {
	left := min(Patience-h.broker.config.Now().Sub(accepted), Patience)
	sh := h.broker.shardOf(h.key)
	sh.Lock()
	defer sh.Unlock()
	if h.current.Load() == nil && !h.revoked && left > 0 {
		t := h.troubled()
		t.patience = h.broker.clock.now() + int64(left)
		t.err = nil // what AWS said before the role was accepted no longer counts
	}
}

// Invalidate says that AWS did not accept the credentials with this access key.
// They are dropped and new ones obtained, unless they have been replaced
// already.
func (h *Handle) Invalidate(accessKeyID string) {
	b := h.broker
	sh := b.shardOf(h.key)
	sh.Lock()
	other := h.invalidate(sh, accessKeyID)
	sh.Unlock()
	if other != nil {
		other.Invalidate(accessKeyID)
	}
}

// invalidate returns the entry that took the handle's place, if there is one
// that has to be asked instead. The shard is locked.
func (h *Handle) invalidate(sh *shard, accessKeyID string) *Handle {
	b := h.broker
	s := h.current.Load()
	if s == nil || s.accessKeyID() != accessKeyID || h.revoked || b.closed.Load() {
		return h.adopt(sh)
	}
	h.current.Store(nil)
	if h.flight == nil { // else it may be its place in the queue
		b.schedule.remove(h)
	}
	now := b.clock.now()
	f, err := b.join(h, now, waitedFor(now))
	if err != nil { // nobody may come for it again
		b.schedule.put(h, timed, now+int64(coldLife))
		return nil
	}
	f.avoid = accessKeyID
	return nil
}

// Recheck asks AWS anew, whatever was answered before, at most once a second,
// and returns its answer: nil if it issued credentials.
func (h *Handle) Recheck(ctx context.Context) error {
	b := h.broker
	sh := b.shardOf(h.key)
	sh.Lock()
	now := b.clock.now()
	if other := h.adopt(sh); other != nil {
		sh.Unlock()
		return other.Recheck(ctx)
	}
	h.lastRead.Store(now)
	s, t, f := h.current.Load(), h.trouble, h.flight
	switch {
	case b.closed.Load():
		sh.Unlock()
		return errClosed
	case h.revoked:
		sh.Unlock()
		return errRevoked
	case f != nil:
		// If it was not begun it can still be made to ask AWS.
		f.forced = f.forced || !f.started
		b.schedule.hurry(h, h.priority(now, waitedFor(now)))
	case t == nil && s.valid(now) && now-s.issued() < int64(time.Second):
		sh.Unlock()
		return nil
	case t != nil && t.err != nil && now >= t.checked && now-t.checked < int64(time.Second):
		err := t.err
		sh.Unlock()
		return err
	case ctx.Err() != nil:
		sh.Unlock()
		return gaveUp(ctx)
	default:
		b.schedule.remove(h)
		f = b.launch(h, now, waitedFor(now))
		f.forced = true
	}
	sh.Unlock()
	return orNil(b.waitFor(ctx, h, f))
}

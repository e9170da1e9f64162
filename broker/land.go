package broker

import (
	"time"
)

// land ends the entry's flight with a session or an error.
func (b *Broker) land(h *Handle, f *flight, s *session, err *Error) {
	now := b.clock.now()
	if s != nil && !s.valid(now) {
		s, err = nil, &Error{Code: CodeUnavailable, Message: "the session expired before it could be used; try again"}
	}
	if err != nil && b.context.Err() != nil {
		err = errClosed
	}
	sh := b.shardOf(h.key)
	sh.Lock()
	if h.flight != f { // forgotten meanwhile
		sh.Unlock()
		if s != nil && !b.closed.Load() {
			b.unshare(h) // where the flight may have put it after that
		}
		return
	}
	h.flight = nil
	var events []Event
	dropped := false
	if s != nil {
		events = b.succeed(h, s, now)
	} else {
		events, dropped = b.fail(h, err, now)
		if t := h.trouble; t != nil && t.err != nil {
			err = t.err
		}
	}
	sh.Unlock()
	f.end(s, err)
	for _, e := range events {
		b.report(e)
	}
	if dropped {
		b.unshare(h)
	}
}

// succeed makes the session the current one. The shard is locked.
func (b *Broker) succeed(h *Handle, s *session, now int64) []Event {
	var events []Event
	if t := h.trouble; t != nil && t.err != nil && (t.suspectSince != 0 || t.err.Code == CodeRefused || t.err.Code == CodeWithdrawn) {
		events = append(events, b.event(h, EventRestored, s, ""))
	}
	h.trouble = nil
	if b.closed.Load() {
		return nil
	}
	if customer, _ := h.role.who(); customer != "" && h.current.Load().valid(now) {
		b.fleet.saw(now, customer, false)
	}
	h.current.Store(s)
	b.schedule.put(h, timed, max(now, s.refreshAt(Class(h.class.Load()), b.spread())))
	return events
}

// fail records why there is no new session, decides what becomes of the one at
// hand and when AWS is asked again. The shard is locked. dropped says that a
// valid session was given up, which must not come back from the shared store.
func (b *Broker) fail(h *Handle, err *Error, now int64) (events []Event, dropped bool) {
	t, s := h.troubled(), h.current.Load()
	if !s.valid(now) && s != nil {
		h.current.Store(nil)
		s = nil
	}
	before := Code("")
	if t.err != nil {
		before = t.err.Code
	}
	if before == err.Code || before == CodeWithdrawn && err.Code == CodeRefused {
		t.count++
	} else {
		t.count = 1
	}
	t.err, t.checked = err, now
	switch err.Code {
	case CodeRefused:
		events, dropped = b.refused(h, t, s, now)
	case CodeRevoked:
		dropped = s != nil
		h.current.Store(nil)
		t.until = now + b.refusalPause(t.count)
	case CodeInvalidRequest, CodeWithdrawn:
		t.until = now + b.refusalPause(t.count)
	case CodeThrottled:
		t.until = now + b.between(500*time.Millisecond, time.Second)<<min(t.count-1, 5)
	default:
		t.until = now + b.transientPause(t.count, s, now)
	}
	if s = h.current.Load(); s == nil {
		// Nobody is served in the background: who reads asks again.
		if now < t.patience {
			b.schedule.put(h, timed, t.until)
		} else {
			b.schedule.put(h, timed, now+int64(coldLife))
		}
		return events, dropped
	}
	if t.count == 1 && t.suspectSince == 0 {
		events = append(events, b.event(h, EventFailing, s, err.Code))
	}
	b.schedule.put(h, timed, min(t.until, s.expires))
	return events, dropped
}

// confirmAfter is how long after the first refusal a second one confirms that
// trust was withdrawn. IAM is eventually consistent: while a role is being
// replaced, it may refuse for seconds.
const confirmAfter = 30 * time.Second

// refused decides what a refusal means. The shard is locked.
func (b *Broker) refused(h *Handle, t *trouble, s *session, now int64) (events []Event, dropped bool) {
	t.until = now + b.refusalPause(t.count)
	switch {
	case now < t.patience && s == nil:
		slow := *t.err
		slow.Code = CodePropagating
		slow.Message = "AWS does not let us assume the role yet; it was accepted a moment ago, and IAM takes some seconds to spread it; try again"
		t.err = &slow
		t.until = now + b.between(time.Second, 2*time.Second)
	case t.withdrawn:
		t.err = withdrawnError(t.err)
	case s == nil && t.suspectSince != 0 && now >= t.confirmAt && !b.fleet.tooMany(now):
		// It was suspected, and expired before anything could be done.
		t.withdrawn = true
		t.err = withdrawnError(t.err)
		events = append(events, b.event(h, EventWithdrawn, nil, t.err.Code))
	case s == nil:
		if t.count == 1 {
			events = append(events, b.event(h, EventRefused, nil, t.err.Code))
		}
	case t.suspectSince == 0:
		t.suspectSince = now
		if customer, _ := h.role.who(); customer != "" {
			b.fleet.saw(now, customer, true)
		}
		wait := min(b.between(confirmAfter-5*time.Second, confirmAfter+5*time.Second), (s.expires-now)/2)
		t.confirmAt = now + wait
		t.until = t.confirmAt
		events = append(events, b.event(h, EventSuspected, s, t.err.Code))
	case now < t.confirmAt: // Recheck was quicker; it cannot confirm
		t.until = t.confirmAt
	case b.fleet.tooMany(now):
		t.confirmAt = min(now+b.between(confirmAfter, 2*confirmAfter), s.expires)
		t.until = t.confirmAt
		if b.fleet.tell(now) {
			events = append(events, Event{Kind: EventOwnIdentity, Code: t.err.Code})
		}
	default:
		t.withdrawn = true
		t.err = withdrawnError(t.err)
		events = append(events, b.event(h, EventWithdrawn, s, t.err.Code))
		// A role that customers' roles are assumed with is our own.
		if customer, _ := h.role.who(); customer != "" && b.config.Withdrawn == Stop {
			h.current.Store(nil)
			dropped = true
		}
	}
	return events, dropped
}

func withdrawnError(err *Error) *Error {
	return &Error{
		Code:    CodeWithdrawn,
		Message: "the customer no longer lets us assume its role; AWS refused twice what it had allowed. Ask the customer, and verify the integration again when that is settled",
		cause:   err.cause,
	}
}

// refusalPause is 1 to 5 s at first, twice as long each time, about 5 minutes
// at most: never more than 15 calls an hour.
func (b *Broker) refusalPause(count int) int64 {
	const longest = 5 * time.Minute
	pause := b.between(time.Second, 5*time.Second) << min(count-1, 10)
	if pause > int64(longest)*4/5 {
		pause = b.between(longest*4/5, longest)
	}
	return pause
}

// transientPause is 100 ms at first, twice as long each time up to 2 s. While a
// session is at hand there is no hurry: a sixteenth of what is left of it.
func (b *Broker) transientPause(count int, s *session, now int64) int64 {
	pause := min(int64(100*time.Millisecond)<<min(count-1, 10), int64(2*time.Second))
	if s != nil {
		pause = max(pause, (s.expires-now)/16)
	}
	return b.between(time.Duration(pause*3/4), time.Duration(pause*5/4))
}

// event describes something that happened to an entry.
func (b *Broker) event(h *Handle, kind EventKind, s *session, code Code) Event {
	e := Event{Kind: kind, Subject: h.Subject(), Code: code}
	if s != nil {
		e.Expires = b.clock.local(s.expires)
	}
	return e
}

// report tells the observer and the log. No lock is held.
func (b *Broker) report(e Event) {
	e.At = b.clock.source().UTC()
	log := b.config.Logger
	switch e.Kind {
	case EventOwnIdentity:
		log.Error("broker: most customers refuse at once; check the broker's own identity and its policies", "code", e.Code)
	case EventRegionDown, EventRegionUp:
		log.Warn("broker: "+string(e.Kind), "region", e.Region, "code", e.Code)
	case EventLapsed:
		log.Debug("broker: "+string(e.Kind), "customer", e.Subject.Customer, "integration", e.Subject.Integration, "key", e.Subject.Key)
	default:
		log.Warn("broker: "+string(e.Kind), "customer", e.Subject.Customer, "integration", e.Subject.Integration,
			"purpose", e.Subject.Purpose, "role", e.Subject.RoleARN, "key", e.Subject.Key, "code", e.Code, "expires", e.Expires)
	}
	if b.config.Observer != nil {
		b.config.Observer.Happened(e)
	}
}

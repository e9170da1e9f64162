package broker

import "time"

// A breaker keeps calls away from a region whose STS endpoint fails: after five
// failures in a row, or when more than half of twenty within ten seconds fail,
// it opens for 2 s, for twice as long each time up to 30 s. Then one call may
// try.
//
// It is our own because those that exist read the computer's clock and open for
// a fixed time.
type breaker struct {
	inRow         int
	calls, bad    int   // within the window
	window        int64 // when it began
	openUntil     int64 // of a probe: when it counts as lost
	openFor       time.Duration
	open, probing bool // probing: the one call is under way
}

const (
	breakerInRow  = 5
	breakerCalls  = 20
	breakerWindow = 10 * time.Second
	breakerFirst  = 2 * time.Second
	breakerLast   = 30 * time.Second
	breakerProbe  = flightTime + 2*time.Second
)

// ready reports whether a call may be made now.
//
// A probe that is not heard of again, because the flight that has it waits for
// something that does not answer, does not keep the region down, and nor does a
// clock that turns out to be fast.
func (b *breaker) ready(now int64) bool {
	return !b.open || now >= b.openUntil || b.openUntil-now > int64(breakerLast)
}

// acquire claims the right to call; done or abandon ends it. probe says that
// this is the one call an open breaker lets through.
func (b *breaker) acquire(now int64) (probe, ok bool) {
	if !b.ready(now) {
		return false, false
	}
	if b.probing = b.open; b.probing {
		b.openUntil = now + int64(breakerProbe)
	}
	return b.open, true
}

// abandon ends a call that shows nothing about the region.
func (b *breaker) abandon(probe bool) {
	if probe {
		b.probing, b.openUntil = false, 0
	}
}

// done ends a call and reports whether the breaker opened or closed by it.
func (b *breaker) done(now int64, probe, ok bool) (changed bool) {
	b.abandon(probe)
	switch {
	case b.open && probe && ok:
		*b = breaker{}
		return true
	case b.open && probe:
		b.openFor = min(2*b.openFor, breakerLast)
		b.openUntil = now + int64(b.openFor)
		return false
	case b.open: // it began before the breaker opened
		return false
	}
	if now-b.window >= int64(breakerWindow) || now < b.window {
		b.window, b.calls, b.bad = now, 0, 0
	}
	b.calls++
	b.inRow++
	if ok {
		b.inRow = 0
	} else {
		b.bad++
	}
	if b.inRow >= breakerInRow || b.calls >= breakerCalls && 2*b.bad > b.calls {
		b.open, b.openFor = true, breakerFirst
		b.openUntil = now + int64(breakerFirst)
		return true
	}
	return false
}

package broker

import (
	"sync/atomic"
	"time"
)

// A clock tells AWS's time, in nanoseconds since 1970: the wall clock's,
// corrected by the difference that answers of STS show.
//
// It is the wall clock and not the monotonic one that decides whether
// credentials have expired. The monotonic clock stands still while a machine is
// suspended, so it would take credentials for valid that expired meanwhile.
//
// Reading the time is most of what handing out cached credentials costs (60 of
// 90 ns where this was measured), and there is no way around it that is always
// right: whatever another goroutine keeps up to date is stale when the process
// was stopped and a reader runs again before that goroutine does. So the exact
// clock is the default, and the coarse one is for who accepts that.
type clock struct {
	source func() time.Time
	skew   atomic.Int64 // AWS's time minus ours
	coarse atomic.Int64 // the time when it was last looked at; 0: look always

	// elapsed is the monotonic clock, nil where the time is not the computer's.
	// It and what it was last compared with belong to settle, which one
	// goroutine calls.
	elapsed   func() time.Duration
	lastRan   time.Duration
	lastShown int64
}

// now looks at the wall clock.
func (c *clock) now() int64 { return c.source().UnixNano() + c.skew.Load() }

// read returns the time for the hot path.
func (c *clock) read() int64 {
	if t := c.coarse.Load(); t != 0 {
		return t
	}
	return c.now()
}

// local returns an instant of AWS's time as our computer's clock will show it.
func (c *clock) local(nanos int64) time.Time {
	return time.Unix(0, nanos-c.skew.Load()).UTC()
}

// minSkew is the difference below which two clocks agree: the Date header
// counts whole seconds, and the answer needs time to arrive.
const minSkew = 2 * time.Second

// observe takes the Date of an answer that arrived just now.
func (c *clock) observe(date time.Time) {
	if date.IsZero() {
		return
	}
	measured := date.Sub(c.source().Round(0))
	if measured.Abs() < minSkew {
		measured = 0
	}
	if d := measured - time.Duration(c.skew.Load()); d.Abs() >= minSkew || measured == 0 {
		c.skew.Store(int64(measured))
	}
}

// settle notices that the wall clock was set back, which would make sessions
// look valid for longer than they are: AWS's time did not go back. A clock that
// leaps forward may as well be a machine that was suspended; that is taken to
// be so, which only makes sessions look older, until STS answers again.
func (c *clock) settle() {
	if c.elapsed != nil {
		ran, shown := c.elapsed(), c.source().UnixNano()
		if back := int64(ran-c.lastRan) - (shown - c.lastShown); c.lastShown != 0 && back >= int64(minSkew) {
			c.skew.Add(back)
		}
		c.lastRan, c.lastShown = ran, shown
	}
	if c.coarse.Load() != 0 {
		c.coarse.Store(c.now())
	}
}

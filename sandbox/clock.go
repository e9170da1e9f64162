package sandbox

import (
	"sync"
	"time"
)

// A Clock is a time that moves only when told to. Give its Now to
// [Options.Clock]. It is safe for concurrent use.
//
// Clients sign with their own clock and are refused if it differs by more than
// 15 minutes. AWS's SDKs then correct their offset by the Date of the answer
// and try again after a moment; the sandbox dates its answers by its clock. Go
// tests avoid this with a testing/synctest bubble, where the sandbox, the SDK
// and the test share one time and no Clock is needed.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at t.
func NewClock(t time.Time) *Clock { return &Clock{now: t} }

// Now returns the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

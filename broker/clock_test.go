package broker

import (
	"testing"
	"time"
)

// What the broker takes AWS's time to be, while the computer's clocks do what
// clocks do.
func TestClock(t *testing.T) {
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var wall, ran time.Duration // since began
	c := &clock{
		source:  func() time.Time { return began.Add(wall) },
		elapsed: func() time.Duration { return ran },
	}
	pass := func(w, r time.Duration) { wall, ran = wall+w, ran+r }
	for _, step := range []struct {
		what string
		do   func()
		want time.Duration // AWS's time since began
	}{
		{"at the start it agrees", func() {}, 0},
		{"a minute passes", func() { pass(time.Minute, time.Minute) }, time.Minute},
		{"the clock is set back by ten minutes", func() { pass(-10*time.Minute+time.Second, time.Second) }, time.Minute + time.Second},
		{"another minute", func() { pass(time.Minute, time.Minute) }, 2*time.Minute + time.Second},
		{"the machine sleeps for two hours", func() { pass(2*time.Hour, 0) }, 2*time.Hour + 2*time.Minute + time.Second},
		{"the clock slows a little", func() { pass(time.Second-time.Millisecond, time.Second) }, 2*time.Hour + 2*time.Minute + 2*time.Second - time.Millisecond},
		{"AWS says what time it is", func() { c.observe(began.Add(3 * time.Hour)) }, 3 * time.Hour},
		{"AWS says nothing", func() { c.observe(time.Time{}) }, 3 * time.Hour},
		{"AWS says nearly the same", func() { c.observe(began.Add(3*time.Hour - time.Second)) }, 3 * time.Hour},
		{"our clock is right again, nearly", func() { wall = 3 * time.Hour; c.observe(began.Add(3*time.Hour - time.Second)) }, 3 * time.Hour},
	} {
		step.do()
		c.settle()
		got := time.Duration(c.now() - began.UnixNano())
		if got != step.want {
			t.Fatalf("%s: AWS's time is %s; want %s", step.what, got, step.want)
		}
		if local := c.local(c.now()); !local.Equal(c.source()) {
			t.Fatalf("%s: now is %s by our clock", step.what, local)
		}
	}
}

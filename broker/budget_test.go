package broker

import (
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	const s = int64(time.Second)
	var b breaker
	try := func(now int64, ok bool) (let bool) {
		probe, let := b.acquire(now)
		if let {
			b.done(now, probe, ok)
		}
		return let
	}
	for i := range 5 {
		if !try(100*s, false) {
			t.Fatalf("closed to call %d", i)
		}
	}
	now := 100 * s
	for _, open := range []int64{2, 4, 8, 16, 30, 30} {
		if try(now+open*s-1, true) {
			t.Fatalf("lets calls through before %d s", open)
		}
		now += open * s
		probe, let := b.acquire(now)
		if !let || !probe {
			t.Fatalf("lets no call through after %d s", open)
		}
		if _, second := b.acquire(now); second {
			t.Fatal("lets a second call through beside the probe")
		}
		b.done(now, false, true) // one that began before changes nothing
		b.done(now, probe, false)
	}
	probe, _ := b.acquire(now + 30*s)
	b.abandon(probe)
	if !try(now+30*s, true) || b.open {
		t.Error("a probe that succeeded did not close it")
	}
	now += 100 * s
	for i := range 20 {
		try(now+int64(i), i%2 == 0)
	}
	r := region{breaker: breaker{open: true, openFor: 8 * time.Second, openUntil: 8 * s}}
	for _, test := range []struct {
		now  int64
		want time.Duration
	}{{0, 8 * time.Second}, {3 * s, 5 * time.Second}, {8 * s, 0}, {-3600 * s, 0}} {
		if got := r.readyIn(test.now); got != test.want {
			t.Errorf("ready in %s after %d s, want %s", got, test.now/s, test.want)
		}
	}
	r.acquire(8 * s)
	if got := r.readyIn(8 * s); got != attemptTime {
		t.Errorf("ready in %s while a call tries it, want %s", got, attemptTime)
	}
	if got := r.readyIn(14 * s); got != 0 {
		t.Errorf("ready in %s after a call that tried it was lost", got)
	}
	if b.open {
		t.Error("open with half of the calls failing")
	}
	for i := range 20 {
		try(now+11*s+int64(i), i%5 < 2)
	}
	if !b.open {
		t.Error("not open with most of the calls failing")
	}
}

func TestPace(t *testing.T) {
	const s = int64(time.Second)
	p := newPace(100)
	run := func(from int64) (n int) {
		for now := from; now < from+10*s; {
			if wait := p.take(now); wait > 0 {
				now += int64(wait)
				continue
			}
			n++
		}
		return n
	}
	if n := run(0); n < 1000 || n > 1025 {
		t.Errorf("%d calls in 10 s; want 100 a second and the burst", n)
	}
	for i := range int64(10) { // all within a second count once
		p.throttled(20*s + i)
	}
	if n := run(20 * s); n < 500 || n > 515 {
		t.Errorf("%d calls in 10 s after one throttling; want half", n)
	}
	for i := range int64(20) {
		p.throttled(40*s + i*s)
	}
	if n := run(70 * s); n < 10 || n > 12 {
		t.Errorf("%d calls in 10 s after much throttling; want one a second", n)
	}
	for i := range int64(200) {
		if i == 49 && (p.current < 88 || p.current > 92) {
			t.Errorf("%v calls a second 90 s after the last throttling", p.current)
		}
		p.succeeded(100*s + i*s)
	}
	if p.current != 100 {
		t.Errorf("%v calls a second after 200 s of success", p.current)
	}
	p.throttled(400 * s)
	p.succeeded(500 * s) // nothing was called in between
	if p.current != 100 {
		t.Errorf("%v calls a second 100 s after a throttling", p.current)
	}
	p.throttled(600 * s)
	p.throttled(300 * s) // the clock was set back
	p.succeeded(100 * s) // and again
	if p.current != 26 {
		t.Errorf("%v calls a second after the clock was set back", p.current)
	}
	p.take(1000 * s)
	if wait := p.take(900 * s); wait > time.Second { // the clock was set back
		t.Errorf("waits %s after the clock was set back", wait)
	}
}

func TestCustomerBudgetForgets(t *testing.T) {
	c := newCustomerBudget(Rate{Burst: 2, Every: time.Second})
	c.take(1e6*int64(time.Second), "customer", "") // the clock is set back after that
	for i := range int64(1000) {
		c.take(i*int64(time.Second), "customer", string(rune('a'+i%500)))
	}
	if n := len(c.young) + len(c.old); n > 10 {
		t.Errorf("%d buckets are kept that must be full", n)
	}
}

// What an integration used up is known for as long as it matters, also if others
// call in between.
func TestCustomerBudgetRemembers(t *testing.T) {
	const second = int64(time.Second)
	c := newCustomerBudget(Rate{Burst: 5, Every: time.Second})
	take := func(now int64, customer string) (n int) {
		for c.take(now, customer, "") == 0 {
			n++
		}
		return n
	}
	for _, test := range []struct {
		now  int64 // tenths of a second
		who  string
		want int
	}{{0, "a", 5}, {11, "b", 5}, {22, "c", 5}, {23, "a", 2}, {44, "b", 3}, {59, "d", 5}, {60, "a", 4}, {61, "c", 3}, {10, "c", 0}, {400, "a", 5}} {
		if n := take(test.now*second/10, test.who); n != test.want {
			t.Errorf("%s gets %d calls after %v s, want %d", test.who, n, float64(test.now)/10, test.want)
		}
	}
}

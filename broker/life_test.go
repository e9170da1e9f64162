package broker_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// A thousand callers at once cost one call.
func TestColdStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		b := start(t, sts.config())
		h := handle(t, b, access("acme"))
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if _, err := h.Retrieve(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := sts.count(); n != 1 {
			t.Errorf("%d calls of STS; want 1", n)
		}
	})
}

// Nobody waits when credentials expire, and STS is called about once per
// session.
func TestWarmCallersNeverWait(t *testing.T) {
	for class, most := range map[broker.Class]int{broker.InProcess: 28, broker.HTTPRead: 36} {
		t.Run(class.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := newFake(t)
				sts.always(reply{after: 150 * time.Millisecond})
				b := start(t, sts.config())
				r := access("acme")
				r.Class = class
				h := handle(t, b, r)
				get(t, h)
				began := time.Now()
				for time.Since(began) < 24*time.Hour {
					time.Sleep(5 * time.Second)
					asked := time.Now()
					c := get(t, h)
					if waited := time.Since(asked); waited > 0 {
						t.Fatalf("a caller waited %s after %s", waited, time.Since(began))
					}
					if class == broker.HTTPRead && time.Until(c.Expires) < 15*time.Minute-time.Minute {
						t.Fatalf("an HTTP reader got credentials for %s", time.Until(c.Expires))
					}
				}
				n := sts.count()
				t.Logf("%d calls of STS in 24 hours", n)
				if n < 24 || n > most {
					t.Errorf("%d calls of STS in 24 hours; want 24 to %d", n, most)
				}
			})
		})
	}
}

// Once one reader keeps what it got, the entry is renewed earlier for ever.
func TestLastingReadRaisesTheClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		b := start(t, sts.config())
		h := handle(t, b, access("acme"))
		get(t, h)
		early := h.Status().RefreshAt
		c, err := h.RetrieveLasting(context.Background(), 15*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		s := h.Status()
		if s.Class != broker.HTTPRead || !s.RefreshAt.Before(early) || c.Expires.Sub(s.RefreshAt) < 15*time.Minute {
			t.Errorf("class %s, renewed at %s of credentials until %s", s.Class, s.RefreshAt, c.Expires)
		}
		for range 1000 {
			time.Sleep(time.Minute)
			c, err := h.RetrieveLasting(context.Background(), 15*time.Minute)
			if err != nil || time.Until(c.Expires) < 15*time.Minute-time.Second {
				t.Fatalf("%s left, %v", time.Until(c.Expires), err)
			}
		}
	})
}

// What nobody reads is not renewed for ever.
func TestUnreadEntriesLapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		seen := &recorder{}
		c := sts.config()
		c.Observer = seen
		b := start(t, c)
		h := handle(t, b, access("acme"))
		first := get(t, h)
		if _, err := h.RetrieveLasting(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if n := sts.count(); n > 4 {
			t.Errorf("%d calls of STS for an entry that was read once", n)
		}
		if got := seen.kinds(); got != "lapsed" {
			t.Errorf("events %q", got)
		}
		if s := b.Stats(); s.Entries != 0 {
			t.Errorf("%d entries are kept", s.Entries)
		}
		// The handle is as good as before, and so is a new one.
		if again := get(t, h); again.AccessKeyID == first.AccessKeyID {
			t.Error("the same session after a day")
		}
		if got := h.Status().Class; got != broker.InProcess {
			t.Errorf("the class of one that begins anew is %s", got)
		}
		if handle(t, b, access("acme")) != h {
			t.Error("another handle for the same request")
		}
	})
}

// A handle that lapsed and one made since are one entry.
func TestLapsedHandleFollowsTheNewEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		b := start(t, sts.config())
		old := handle(t, b, access("acme"))
		get(t, old)
		time.Sleep(24 * time.Hour)
		sts.count()
		newer := handle(t, b, access("acme"))
		if newer == old {
			t.Fatal("the entry did not lapse")
		}
		a, c := get(t, newer), get(t, old)
		if a.AccessKeyID != c.AccessKeyID || sts.count() != 1 {
			t.Error("the two handles have sessions of their own")
		}
	})
}

// While STS fails, what AWS accepts is handed out to the last second, and
// nothing after it.
func TestOutageAcrossAnExpiry(t *testing.T) {
	for name, failure := range map[string]reply{
		"503":        down,
		"hang":       {hang: true},
		"connection": {broken: true},
		"throttle":   {code: "Throttling", status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := newFake(t)
				b := start(t, sts.config())
				h := handle(t, b, access("acme"))
				until := get(t, h).Expires
				sts.always(failure)
				for time.Now().Before(until.Add(-time.Second)) {
					asked := time.Now()
					get(t, h)
					if waited := time.Since(asked); waited > 0 {
						t.Fatalf("a caller waited %s", waited)
					}
					if _, err := h.RetrieveLasting(t.Context(), 15*time.Minute); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				if n := sts.count(); n > 150 {
					t.Errorf("%d calls of STS during the outage", n)
				}
				time.Sleep(time.Until(until))
				asked := time.Now()
				_, err := h.Retrieve(context.Background())
				if err == nil {
					t.Fatal("credentials after they expired")
				}
				if waited := time.Since(asked); waited > 1500*time.Millisecond {
					t.Errorf("the error came after %s", waited)
				}
				asked = time.Now()
				if _, err := h.Retrieve(context.Background()); err == nil || time.Since(asked) > 0 {
					t.Errorf("the second error came after %s (%v)", time.Since(asked), err)
				}
				sts.do(granted)
				time.Sleep(40 * time.Second)
				get(t, h)
			})
		})
	}
}

// The process was stopped for long and a reader comes before anything else could
// run. Its clock leaps, the broker's goroutines have not noticed.
func TestFreeze(t *testing.T) {
	for _, test := range []struct {
		sleeps time.Duration
		down   bool
		same   bool // session
	}{
		{sleeps: 30 * time.Minute, same: true},
		{sleeps: 59*time.Minute + 30*time.Second}, // a reader waits for a new one
		{sleeps: 59*time.Minute + 30*time.Second, down: true, same: true},
		{sleeps: time.Hour - time.Second},
		{sleeps: time.Hour},
		{sleeps: time.Hour + 20*time.Second},
		{sleeps: 2 * time.Hour},
		{sleeps: 200 * time.Hour},
	} {
		t.Run(test.sleeps.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := newFake(t)
				var leap atomic.Int64
				c := sts.config()
				c.Now = func() time.Time {
					return time.Now().Round(0).Add(time.Duration(leap.Load())) // no monotonic reading: it stood still
				}
				b := start(t, c)
				h := handle(t, b, access("acme"))
				sts.always(reply{})
				first := get(t, h)
				leap.Store(int64(test.sleeps))
				sts.always(reply{skew: test.sleeps})
				if test.down {
					sts.always(reply{code: "ServiceUnavailable", status: 503, skew: test.sleeps})
				}
				got, err := h.Retrieve(context.Background())
				if err != nil || !got.Expires.After(c.Now()) || (got.AccessKeyID == first.AccessKeyID) != test.same {
					t.Fatalf("%s until %s at %s, %v", got.AccessKeyID, got.Expires, c.Now(), err)
				}
			})
		})
	}
}

// With the coarse clock, only what is read before the clock was looked at again
// may have expired during a freeze.
func TestFreezeWithCoarseClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(reply{})
		var leap atomic.Int64
		c := sts.config()
		c.CoarseClock = 5 * time.Millisecond
		c.Now = func() time.Time { return time.Now().Round(0).Add(time.Duration(leap.Load())) }
		h := handle(t, start(t, c), access("acme"))
		first := get(t, h)
		for range 100 {
			time.Sleep(time.Second)
			get(t, h)
		}
		leap.Store(int64(2 * time.Hour))
		sts.always(reply{skew: 2 * time.Hour})
		time.Sleep(c.CoarseClock)
		synctest.Wait()
		got, err := h.Retrieve(t.Context())
		if err != nil || got.AccessKeyID == first.AccessKeyID || !got.Expires.After(c.Now()) {
			t.Errorf("%s until %s at %s, %v", got.AccessKeyID, got.Expires, c.Now(), err)
		}
		if status := h.Status(); status.LastRead.Before(c.Now().Add(-time.Second)) {
			t.Errorf("last read at %s", status.LastRead)
		}
	})
}

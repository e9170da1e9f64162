package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// poll reads like a number of callers that try every 10 ms, and returns how
// many calls of STS that caused.
func poll(sts *fakeSTS, h *broker.Handle, callers int, d time.Duration) int {
	sts.count()
	for began := time.Now(); time.Since(began) < d; time.Sleep(10 * time.Millisecond) {
		for range callers {
			_, _ = h.Retrieve(context.Background())
		}
	}
	return sts.count()
}

// Trust that is gone costs few calls, at first and for ever.
func TestRefusalIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(denied)
		seen := &recorder{}
		c := sts.config()
		c.Observer = seen
		b := start(t, c)
		h := handle(t, b, access("acme"))
		if n := poll(sts, h, 20, 3*time.Second); n < 1 || n > 4 {
			t.Errorf("%d calls in the first 3 seconds; want 1 to 4", n)
		}
		e := fails(t, h, broker.CodeRefused)
		if e.RetryAfter <= 0 || e.RetryAfter > 10*time.Second {
			t.Errorf("retry after %s", e.RetryAfter)
		}
		for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(time.Second) {
			_, _ = h.Retrieve(context.Background())
		}
		sts.count()
		for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(time.Second) {
			_, _ = h.Retrieve(context.Background())
		}
		if n := sts.count(); n < 12 || n > 15 {
			t.Errorf("%d calls in an hour; want 12 to 15", n)
		}
		if got := seen.kinds(); got != "refused" {
			t.Errorf("events %q", got)
		}
		if s := h.Status(); s.State != broker.StateRefused || s.Err == nil {
			t.Errorf("status %+v", s)
		}
		// A person who pressed a button need not wait.
		sts.do(granted)
		if err := h.Recheck(context.Background()); err != nil {
			t.Fatal(err)
		}
		get(t, h)
		if got := seen.kinds(); got != "restored" {
			t.Errorf("events %q", got)
		}
	})
}

// A customer withdraws its trust while its credentials are valid.
func TestWithdrawnTrust(t *testing.T) {
	for _, test := range []struct {
		withdrawn broker.Withdrawal
		state     broker.State
	}{{broker.Stop, broker.StateWithdrawn}, {broker.Drain, broker.StateDraining}} {
		t.Run(string(test.state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := newFake(t)
				seen := &recorder{}
				c := sts.config()
				c.Observer, c.Withdrawn = seen, test.withdrawn
				b := start(t, c)
				h := handle(t, b, access("acme"))
				until := get(t, h).Expires
				refreshed := h.Status().RefreshAt
				sts.count()
				sts.always(denied)

				time.Sleep(time.Until(refreshed) + 2*time.Second)
				if s := h.Status(); s.State != broker.StateSuspect {
					t.Fatalf("state %s after the first refusal", s.State)
				}
				get(t, h) // one refusal proves nothing
				if err := h.Recheck(context.Background()); broker.CodeOf(err) != broker.CodeRefused {
					t.Errorf("recheck: %v", err)
				}
				get(t, h) // nor does another at once
				time.Sleep(40 * time.Second)
				if n := sts.count(); n < 3 || n > 3 && test.withdrawn == broker.Stop || n > 5 {
					t.Errorf("%d calls; want the renewal, the recheck, the confirmation and, while draining, a few more", n)
				}
				if s := h.Status(); s.State != test.state {
					t.Fatalf("state %s; want %s", s.State, test.state)
				}
				if got := seen.kinds(); got != "suspected withdrawn" {
					t.Errorf("events %q", got)
				}
				if test.withdrawn == broker.Drain {
					for time.Until(until) > time.Second {
						get(t, h)
						time.Sleep(time.Second)
					}
					time.Sleep(time.Second)
				}
				fails(t, h, broker.CodeWithdrawn)
				if n := poll(sts, h, 20, 3*time.Second); n > 4 {
					t.Errorf("%d calls in 3 seconds", n)
				}
				// Trust is given again.
				sts.do(granted)
				for began := time.Now(); time.Since(began) < 6*time.Minute; time.Sleep(time.Second) {
					_, _ = h.Retrieve(context.Background())
				}
				get(t, h)
				if got := seen.kinds(); got != "restored" {
					t.Errorf("events %q", got)
				}
			})
		})
	}
}

// The session was short and expired while the refusal was only suspected.
func TestWithdrawnAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(reply{lifetime: 20 * time.Second})
		seen := &recorder{}
		c := sts.config()
		c.Observer = seen
		h := handle(t, start(t, c), access("acme"))
		get(t, h)
		sts.always(denied)
		time.Sleep(18500 * time.Millisecond) // it was due to be renewed, and not yet to be confirmed
		if s := h.Status().State; s != broker.StateSuspect {
			t.Fatalf("state %s", s)
		}
		sts.always(down)
		time.Sleep(40 * time.Second) // until the region may be tried again in any case
		sts.always(denied)
		fails(t, h, broker.CodeWithdrawn)
		if got := strings.Replace(seen.kinds(), "region_down region_up ", "", 1); got != "suspected withdrawn" { // its failures may suffice
			t.Errorf("events %q", got)
		}
	})
}

// A refusal that does not last is not worth an event beyond the suspicion.
func TestRefusalThatPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		seen := &recorder{}
		c := sts.config()
		c.Observer = seen
		b := start(t, c)
		h := handle(t, b, access("acme"))
		get(t, h)
		sts.always(denied)
		time.Sleep(time.Until(h.Status().RefreshAt) + time.Second)
		sts.do(granted)
		for range 60 {
			get(t, h)
			time.Sleep(time.Second)
		}
		if got, state := seen.kinds(), h.Status().State; got != "suspected restored" || state != broker.StateWarm {
			t.Errorf("events %q, state %s", got, state)
		}
	})
}

// After onboarding, IAM may refuse for a while what it will allow.
func TestPatienceAfterOnboarding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		seen := &recorder{}
		c := sts.config()
		c.Observer = seen
		b := start(t, c)
		sts.always(denied)
		r := access("acme")
		h := handle(t, b, r)
		fails(t, h, broker.CodeRefused) // not accepted yet
		r.Onboarded = time.Now()
		if handle(t, b, r) != h {
			t.Fatal("onboarding is part of the key")
		}
		e := fails(t, h, broker.CodePropagating)
		if !e.Code.Retryable() || e.RetryAfter > 2*time.Second {
			t.Errorf("%+v", e)
		}
		time.Sleep(15 * time.Second)
		sts.do(granted)
		time.Sleep(2500 * time.Millisecond)
		asked := time.Now()
		get(t, h) // it was tried in the background
		if time.Since(asked) > 0 {
			t.Error("the caller had to wait")
		}
		if got := seen.kinds(); strings.Contains(got, "withdrawn") || strings.Contains(got, "suspected") {
			t.Errorf("events %q", got)
		}
		if n := sts.count(); n > 20 {
			t.Errorf("%d calls", n)
		}

		// It ends.
		sts.always(denied)
		other := access("other")
		other.Onboarded = time.Now()
		h = handle(t, b, other)
		fails(t, h, broker.CodePropagating)
		time.Sleep(broker.Patience + 10*time.Second)
		fails(t, h, broker.CodeRefused)

		// Who says again that it was accepted long ago does not make AWS be asked.
		sts.count()
		for range 10 {
			fails(t, handle(t, b, other), broker.CodeRefused)
		}
		if n := sts.count(); n != 0 {
			t.Errorf("%d calls within a refusal's pause", n)
		}
	})
}

// What each answer of STS is taken for.
func TestAnswersOfSTS(t *testing.T) {
	for _, test := range []struct {
		code   string
		status int
		want   broker.Code
		says   string
		calls  int
	}{
		{"AccessDenied", 403, broker.CodeRefused, "trust policy", 1},
		{"AccessDeniedException", 400, broker.CodeRefused, "trust policy", 1},
		{"Throttling", 400, broker.CodeThrottled, "throttles", 1},
		{"RequestLimitExceeded", 503, broker.CodeThrottled, "throttles", 1},
		{"SomethingNew", 429, broker.CodeThrottled, "throttles", 1},
		{"UnknownError", 429, broker.CodeThrottled, "throttles", 1},
		{"SomethingNew", 400, broker.CodeInvalidRequest, "SomethingNew", 1},
		{"PackedPolicyTooLarge", 400, broker.CodeInvalidRequest, "session policies", 1},
		{"SomethingNew", 500, broker.CodeUnavailable, "could not be asked", 1},
		{"InternalFailure", 503, broker.CodeUnavailable, "could not be asked", 1},
		{"UnknownError", 403, broker.CodeUnavailable, "could not be asked", 1},
		{"RegionDisabledException", 403, broker.CodeUnavailable, "could not be asked", 1},
		{"ExpiredToken", 403, broker.CodeUnavailable, "own identity", 2}, // again with new credentials of ours
		{"ExpiredTokenException", 400, broker.CodeUnavailable, "own identity", 2},
		{"InvalidClientTokenId", 403, broker.CodeUnavailable, "own identity", 2},
		{"UnrecognizedClientException", 403, broker.CodeUnavailable, "own identity", 2},
		{"SignatureDoesNotMatch", 403, broker.CodeUnavailable, "own identity", 2},
		{"IncompleteSignature", 400, broker.CodeUnavailable, "own identity", 2},
		{"InvalidSignatureException", 403, broker.CodeUnavailable, "own identity", 2},
		{"RequestExpired", 400, broker.CodeUnavailable, "own identity", 2},
		{"RequestTimeTooSkewed", 403, broker.CodeUnavailable, "own identity", 2},
		{"NotAuthorized", 400, broker.CodeUnavailable, "own identity", 2},
		{"MissingAuthenticationToken", 403, broker.CodeUnavailable, "own identity", 2},
	} {
		t.Run(fmt.Sprint(test.code, test.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := newFake(t)
				sts.always(reply{code: test.code, status: test.status, message: "raw message"})
				b := start(t, sts.config())
				if err := fails(t, handle(t, b, access("acme")), test.want); !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %q, want it to say %q", err, test.says)
				}
				if n := sts.count(); n != test.calls {
					t.Errorf("%d calls, want %d", n, test.calls)
				}
				if b.Stats().OpenRegions != 0 {
					t.Error("the region counts as down")
				}
				for i := range 6 { // a region that answers so to all is down if it is its fault
					_, _ = handle(t, b, access(fmt.Sprint("c", i))).Retrieve(context.Background())
				}
				if got, want := b.Stats().OpenRegions == 1, test.want == broker.CodeUnavailable && test.calls == 1; got != want {
					t.Errorf("the region counts as down: %t, want %t", got, want)
				}
			})
		})
	}
}

// What AWS refuses for its form is our fault and no reason to drop anything.
func TestRequestAWSDoesNotAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		seen := &recorder{}
		c := sts.config()
		c.Observer = seen
		b := start(t, c)
		h := handle(t, b, access("acme"))
		until := get(t, h).Expires
		sts.always(reply{code: "PackedPolicyTooLarge", status: 400, message: "raw message of STS"})
		for time.Until(until) > time.Second {
			get(t, h)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		fails(t, h, broker.CodeInvalidRequest)
		if got := seen.kinds(); got != "failing" {
			t.Errorf("events %q", got)
		}
		if n := sts.count(); n > 12 {
			t.Errorf("%d calls", n)
		}
	})
}

// Throttling slows all calls to the region down, and their pace recovers.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		c := sts.config()
		c.Regions = []string{"us-east-1", "us-west-2"}
		b := start(t, c)
		sts.always(reply{code: "Throttling", status: 400})
		h := handle(t, b, access("acme"))
		e := fails(t, h, broker.CodeThrottled)
		if !e.Code.Retryable() {
			t.Error("not retryable")
		}
		for _, c := range sts.seen() {
			if c.region != "us-east-1" {
				t.Errorf("throttled in one region, called in %s", c.region)
			}
		}
		if n := poll(sts, h, 20, 3*time.Second); n > 4 {
			t.Errorf("%d calls in 3 seconds", n)
		}
		sts.do(granted)
		time.Sleep(time.Minute)
		get(t, h)
	})
}

// The total outage is known at once after the first caller.
func TestNothingCachedAndEverythingDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(down)
		c := sts.config()
		c.Regions = []string{"us-east-1", "us-west-2"}
		b := start(t, c)
		asked := time.Now()
		fails(t, handle(t, b, access("acme")), broker.CodeUnavailable)
		if waited := time.Since(asked); waited > time.Second {
			t.Errorf("the error came after %s", waited)
		}
		if n := poll(sts, handle(t, b, access("acme")), 20, 3*time.Second); n > 12 {
			t.Errorf("%d calls in 3 seconds", n)
		}
	})
}

// A caller that gives up gets an error, the call goes on for the next.
func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(reply{after: 900 * time.Millisecond})
		b := start(t, sts.config())
		h := handle(t, b, access("acme"))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := h.Retrieve(ctx)
		if broker.CodeOf(err) != broker.CodeCanceled || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		get(t, h)
		if n := sts.count(); n > 2 {
			t.Errorf("%d calls", n)
		}
	})
}

// What cannot be audited is not handed out.
func TestUnauditedIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		seen := &recorder{refuse: errors.New("the audit log is full")}
		c := sts.config()
		c.Observer = seen
		b := start(t, c)
		h := handle(t, b, access("acme"))
		fails(t, h, broker.CodeUnavailable)
		seen.mu.Lock()
		seen.refuse = nil
		seen.mu.Unlock()
		time.Sleep(time.Second)
		got := get(t, h)
		sessions := seen.sessions()
		last := sessions[len(sessions)-1]
		if last.AccessKeyID != got.AccessKeyID || last.Customer != "acme" || last.Integration != "int-acme" ||
			last.Region != "us-east-1" || last.RequestID == "" || last.PackedPolicySize != 6 || last.SessionName != "inventory@acme" {
			t.Errorf("audit record %+v", last)
		}
	})
}

// An integration that was revoked gets nothing, wherever its handles went.
func TestAuthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		var answer atomic.Value // of func() error
		say := func(err error) { answer.Store(func() error { return err }) }
		say(nil)
		c := sts.config()
		store := broker.NewMemoryStore(time.Now)
		c.SharedStore, c.Sealer = store, aSealer(t)
		c.Authorize = func(context.Context, broker.Subject) error { return answer.Load().(func() error)() }
		b := start(t, c)
		h := handle(t, b, access("acme"))
		get(t, h)
		sts.count()
		say(errors.New("the storage is down"))
		time.Sleep(time.Until(h.Status().RefreshAt) + time.Second)
		get(t, h)
		say(broker.Revoked(nil))
		time.Sleep(2 * time.Minute)
		fails(t, h, broker.CodeRevoked)
		if h.Status().State != broker.StateRevoked {
			t.Errorf("state %s", h.Status().State)
		}
		if n := sts.count(); n != 0 {
			t.Errorf("%d calls of STS for what was not authorized", n)
		}
		if store.Len() != 0 {
			t.Error("the shared store still has what was revoked")
		}
		say(nil)
		time.Sleep(10 * time.Second)
		get(t, h)
	})
}

func TestForgetAndRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		b := start(t, sts.config())
		h, other := handle(t, b, access("acme")), handle(t, b, access("other"))
		first := get(t, h)
		get(t, other)
		sts.count()
		if n := b.Forget("acme", ""); n != 1 {
			t.Errorf("forgot %d entries", n)
		}
		if again := get(t, h); again.AccessKeyID == first.AccessKeyID {
			t.Error("what was forgotten is still handed out")
		}
		if n := b.Revoke("acme", "int-acme"); n != 1 {
			t.Errorf("revoked %d entries", n)
		}
		fails(t, h, broker.CodeRevoked)
		sts.count()
		time.Sleep(3 * time.Hour)
		fails(t, h, broker.CodeRevoked)
		if n := sts.count(); n > 3 { // other lapses
			t.Errorf("%d calls", n)
		}
		get(t, handle(t, b, access("acme"))) // taken up again by a new request
		if b.Forget("", "") != 0 || b.Revoke("nobody", "") != 0 {
			t.Error("dropped what was not named")
		}
	})
}

func TestForgetDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(reply{after: 500 * time.Millisecond})
		b := start(t, sts.config())
		h := handle(t, b, access("acme"))
		go func() {
			time.Sleep(100 * time.Millisecond)
			b.Revoke("acme", "")
		}()
		fails(t, h, broker.CodeRevoked)
		time.Sleep(time.Second)
		fails(t, h, broker.CodeRevoked) // what came afterwards was not taken
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		b, err := broker.New(sts.config())
		if err != nil {
			t.Fatal(err)
		}
		h := handle(t, b, access("acme"))
		get(t, h)
		sts.always(reply{hang: true})
		waiting := handle(t, b, access("other"))
		failed := make(chan error)
		go func() {
			_, err := waiting.Retrieve(context.Background())
			failed <- err
		}()
		time.Sleep(100 * time.Millisecond)
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-failed; broker.CodeOf(err) != broker.CodeClosed {
			t.Errorf("who waited got %v", err)
		}
		fails(t, h, broker.CodeClosed)
		if _, err := b.For(access("third")); broker.CodeOf(err) != broker.CodeClosed {
			t.Errorf("For: %v", err)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Our own identity lost its permission: every customer seems to have withdrawn
// its trust, and nobody's credentials are dropped. One that really did is.
func TestOwnIdentityRefused(t *testing.T) {
	for _, test := range []struct {
		customers int
		dropped   bool
	}{{3, true}, {40, false}} {
		synctest.Test(t, func(t *testing.T) {
			sts := newFake(t)
			seen := &recorder{}
			c := sts.config()
			c.Observer = seen
			b := start(t, c)
			var all []*broker.Handle
			for i := range test.customers {
				h := handle(t, b, access(fmt.Sprint("customer-", i)))
				get(t, h)
				all = append(all, h)
			}
			sts.always(denied)
			time.Sleep(57 * time.Minute) // all were due after 55.2 minutes at the latest
			dropped := 0
			for _, h := range all {
				if _, err := h.Retrieve(t.Context()); err != nil {
					dropped++
				}
			}
			if test.dropped && dropped < test.customers || !test.dropped && dropped > 4 { // who comes first is believed
				t.Errorf("%d of %d customers lost their credentials", dropped, test.customers)
			}
			if got := seen.kinds(); strings.Contains(got, "own_identity") == test.dropped {
				t.Errorf("events %q", got)
			}
			sts.do(granted)
			time.Sleep(time.Minute)
			cold := 0
			for _, h := range all {
				if h.Status().State != broker.StateWarm {
					cold++
				}
			}
			if !test.dropped && cold > 4 {
				t.Errorf("%d customers have no credentials after it was mended", cold)
			}
		})
	}
}

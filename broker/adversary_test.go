package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/broker"
)

// A handle that lapsed, or was forgotten, is no entry at the moment; Revoke must
// end it all the same.
func TestRevokeEndsHandlesThatLapsed(t *testing.T) {
	for name, leave := range map[string]func(b *broker.Broker){
		"lapsed":    func(*broker.Broker) { time.Sleep(4 * time.Hour) },
		"forgotten": func(b *broker.Broker) { b.Forget("acme", "") },
	} {
		for _, integration := range []string{"", "int-acme"} {
			t.Run(name+" "+integration, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := start(t, newFake(t).config())
					old := handle(t, b, access("acme"))
					get(t, old)
					leave(b)
					if n := b.Stats().Entries; n != 0 {
						t.Fatalf("%d entries", n)
					}
					b.Revoke("acme", integration)
					if s := old.Status().State; s != broker.StateRevoked {
						t.Errorf("the state is %s", s)
					}
					fails(t, old, broker.CodeRevoked)
					if err := old.Recheck(context.Background()); broker.CodeOf(err) != broker.CodeRevoked {
						t.Errorf("Recheck: %v", err)
					}
					get(t, handle(t, b, access("acme"))) // taken up again
					fails(t, old, broker.CodeRevoked)
				})
			})
		}
	}
}

// Between Prewarm's finding of the handles and its asking for them, they are
// forgotten, again and again.
func TestPrewarmBesideForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFake(t).config()
		c.CustomerRate = broker.Rate{Burst: 1 << 20, Every: time.Nanosecond}
		b := start(t, c)
		var requests []broker.Request
		for i := range 50 {
			r := access("acme")
			r.Chain[0].SessionName = fmt.Sprint("session", i)
			requests = append(requests, r)
		}
		var all sync.WaitGroup
		handles := make(chan *broker.Handle, 100*len(requests))
		for range 20 {
			all.Go(func() { _ = b.Prewarm(context.Background(), requests) })
			all.Go(func() {
				for _, r := range requests {
					h, err := b.For(r)
					if err != nil {
						t.Error(err)
						return
					}
					handles <- h
				}
			})
			all.Go(func() {
				for range 50 {
					b.Forget("acme", "")
				}
			})
		}
		all.Wait()
		close(handles)
		for h := range handles {
			if err := broker.CheckHandle(h); err != nil {
				t.Fatal(err)
			}
		}
		if err := broker.CheckBroker(b); err != nil {
			t.Error(err)
		}
	})
}

// Whoever does not wait causes no call.
func TestCanceledBeforehand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		b := start(t, sts.config())
		h := handle(t, b, access("acme"))
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		for name, err := range map[string]error{
			"Retrieve":        errorOf(h.Retrieve(gone)),
			"RetrieveLasting": errorOf(h.RetrieveLasting(gone, time.Minute)),
			"Recheck":         h.Recheck(gone),
		} {
			if broker.CodeOf(err) != broker.CodeCanceled || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(time.Second)
		if n := sts.count(); n != 0 {
			t.Errorf("%d calls for callers that were gone", n)
		}
		get(t, h)
		if _, err := h.Retrieve(gone); err != nil { // what is there costs nothing
			t.Error(err)
		}
	})
}

func errorOf(_ aws.Credentials, err error) error { return err }

// A handle that another has replaced raises the class of that one, and a
// configuration made of it invalidates that one's credentials.
func TestReplacedHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFake(t).config())
		old := handle(t, b, access("acme"))
		b.Forget("acme", "")
		h := handle(t, b, access("acme"))
		before := get(t, h)
		if _, err := old.RetrieveLasting(context.Background(), 15*time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := h.Status().Class; got != broker.HTTPRead {
			t.Errorf("the entry's class is %s", got)
		}
		time.Sleep(time.Minute)
		if !old.Config("").Retryer().IsErrorRetryable(&smithy.GenericAPIError{Code: "ExpiredToken"}) {
			t.Error("the request is not tried again")
		}
		if after := get(t, old); after.AccessKeyID == before.AccessKeyID {
			t.Error("credentials that AWS calls expired are still handed out")
		}
		if get(t, h).AccessKeyID != get(t, old).AccessKeyID {
			t.Error("two entries")
		}
	})
}

// Recheck does not wait behind a queue that it found its entry in.
func TestRecheckHurriesWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFake(t).config()
		c.MaxPerSecond = 1
		c.SharedStore, c.Sealer = broker.NewMemoryStore(nil), aSealer(t)
		b := start(t, c)
		var requests []broker.Request
		for i := range 60 {
			requests = append(requests, access(fmt.Sprint("c", i)))
		}
		go func() { _ = b.Prewarm(context.Background(), requests) }()
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		if err := handle(t, b, access("c30")).Recheck(context.Background()); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func aSealer(t *testing.T) broker.Sealer {
	t.Helper()
	sealer, err := broker.NewAESSealer(nil, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// What AWS does not accept does not come back from the store, even if no other
// can be had at once.
func TestInvalidatedLeavesTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		c := sts.config()
		store := broker.NewMemoryStore(nil)
		c.SharedStore, c.Sealer = store, aSealer(t)
		b := start(t, c)
		h := handle(t, b, access("acme"))
		bad := get(t, h).AccessKeyID
		sts.always(down)
		h.Invalidate(bad)
		time.Sleep(5 * time.Second)
		fails(t, h, broker.CodeUnavailable)
		if store.Len() != 0 {
			t.Error("the store still has it")
		}
		sts.do(granted)
		time.Sleep(5 * time.Second)
		if got := get(t, h).AccessKeyID; got == bad {
			t.Error("got what AWS does not accept")
		}
	})
}

// An integration that is said to begin in a hundred years is not asked for until
// then.
func TestOnboardedInTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(denied)
		b := start(t, sts.config())
		r := access("acme")
		r.Onboarded = time.Now().AddDate(100, 0, 0)
		fails(t, handle(t, b, r), broker.CodePropagating)
		time.Sleep(broker.Patience + 10*time.Second)
		sts.count()
		time.Sleep(time.Hour)
		if n := sts.count(); n > 1 {
			t.Errorf("%d calls in an hour in which nobody asked", n)
		}
		fails(t, handle(t, b, access("acme")), broker.CodeRefused)
	})
}

// The clock turns out to be two hours fast. What was said until then about when
// AWS may be asked, and when a region may be tried, no longer counts.
func TestClockTurnsOutToBeFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const fast = 2 * time.Hour
		sts := newFake(t)
		sts.always(reply{broken: true, skew: -fast})
		c := twoRegions(sts)
		b := start(t, c)
		first := handle(t, b, access("acme"))
		for i := range 12 { // until both regions are down
			_, _ = handle(t, b, access(fmt.Sprint("c", i))).Retrieve(context.Background())
		}
		fails(t, first, broker.CodeUnavailable)
		if b.Stats().OpenRegions != 2 {
			t.Fatalf("%d regions are down", b.Stats().OpenRegions)
		}
		sts.always(reply{after: time.Millisecond, skew: -fast})
		time.Sleep(5 * time.Second)
		get(t, handle(t, b, access("other"))) // from here on AWS's time is known
		get(t, first)
		sts.do(func(c call) reply {
			if c.region == "us-east-1" {
				return reply{broken: true, skew: -fast}
			}
			return reply{after: time.Millisecond, skew: -fast}
		})
		for i := range 12 {
			get(t, handle(t, b, access(fmt.Sprint("d", i))))
		}
	})
}

// A region is tried again although the flight that was to try it waits for ever
// for something else.
func TestLostProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := newFake(t)
		sts.always(reply{broken: true})
		c := sts.config()
		blocked := make(chan struct{})
		c.Authorize = func(_ context.Context, s broker.Subject) error {
			if s.Customer == "slow" {
				<-blocked
			}
			return nil
		}
		b := start(t, c)
		defer close(blocked)
		for i := range 5 {
			_, _ = handle(t, b, access(fmt.Sprint("c", i))).Retrieve(context.Background())
		}
		if b.Stats().OpenRegions != 1 {
			t.Fatal("the region is not down")
		}
		sts.do(granted)
		time.Sleep(2 * time.Second)
		go func() { _, _ = handle(t, b, access("slow")).Retrieve(context.Background()) }()
		time.Sleep(10 * time.Second)
		get(t, handle(t, b, access("acme")))
	})
}

// A handle that becomes an entry again without being read does not stay one.
func TestUnreadEntriesDoNotComeBackForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFake(t).config())
		h := handle(t, b, access("acme"))
		b.Forget("acme", "")
		h.Invalidate("a key it never had")
		if err := broker.CheckBroker(b); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Hour)
		if n := b.Stats().Entries; n != 0 {
			t.Errorf("%d entries", n)
		}
	})
}

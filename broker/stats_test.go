package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/broker"
)

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		c := twoRegions(fake)
		b := start(t, c)
		for i := range 3 {
			get(t, handle(t, b, access(fmt.Sprint("customer-", i))))
		}
		fake.always(denied)
		if _, err := handle(t, b, access("refusing")).Retrieve(t.Context()); broker.CodeOf(err) != broker.CodeRefused {
			t.Fatal(err)
		}
		handle(t, b, access("unread"))
		want := broker.Stats{
			Entries: 5, Warm: 3, States: map[broker.State]int{broker.StateWarm: 3, broker.StateRefused: 1, broker.StateCold: 1},
			Waits: 4, Calls: 4, Failures: 1, Issued: 3,
			Regions: []broker.RegionStats{
				{Region: "us-east-1", CallsPerSecond: 300, Answers: map[broker.Code]uint64{"": 3, broker.CodeRefused: 1}},
				{Region: "us-west-2", CallsPerSecond: 300, Answers: map[broker.Code]uint64{}},
			},
		}
		if diff := cmp.Diff(want, b.Stats()); diff != "" {
			t.Error(diff)
		}
		b.Stats().Regions[0].Answers[""] = 0 // a copy
		if n := b.Stats().Regions[0].Answers[""]; n != 3 {
			t.Errorf("%d", n)
		}

		// STS throttles, and then goes down, through the time of renewal.
		fake.always(reply{code: "Throttling", status: 400})
		if _, err := handle(t, b, access("later")).Retrieve(t.Context()); broker.CodeOf(err) != broker.CodeThrottled {
			t.Fatal(err)
		}
		fake.always(down)
		time.Sleep(time.Hour - 30*time.Second)
		s := b.Stats()
		// While the regions are down, renewals wait; not all of them have failed yet.
		failing := s.States[broker.StateFailing]
		if s.Ending != 3 || s.Warm != 3 || failing == 0 || failing+s.States[broker.StateWarm] != 3 || s.OpenRegions != 2 || !s.Regions[0].Open || !s.Regions[1].Open {
			t.Errorf("%+v", s)
		}
		if r := s.Regions[0]; r.CallsPerSecond >= 300 || r.Answers[broker.CodeThrottled] == 0 || r.Answers[broker.CodeUnavailable] == 0 {
			t.Errorf("%+v", r)
		}
		var total uint64
		for _, r := range s.Regions {
			for _, n := range r.Answers {
				total += n
			}
		}
		if total != s.Calls {
			t.Errorf("%d answers of %d calls", total, s.Calls)
		}
	})
}

// The second call of a hedge wins: the first is counted as given up.
func TestStatsOfHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.do(in("us-east-1", reply{hang: true}))
		b := start(t, twoRegions(fake))
		get(t, handle(t, b, access("acme")))
		synctest.Wait()
		s := b.Stats()
		if s.Hedges != 1 || s.Regions[0].Answers[broker.CodeCanceled] != 1 || s.Regions[1].Answers[""] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

package broker

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"time"
)

// queue names the queue of the scheduler an entry is in.
type queue uint8

const (
	unqueued queue = iota
	timed          // until due, when something is to be done
	ready          // for the budget of calls; due is its priority, least first
)

// A line is one queue, a heap by due.
type line []*Handle

func (l line) Len() int           { return len(l) }
func (l line) Less(i, j int) bool { return l[i].due < l[j].due }
func (l line) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].slot, l[j].slot = int32(i), int32(j)
}
func (l *line) Push(x any) {
	h := x.(*Handle)
	h.slot = int32(len(*l))
	*l = append(*l, h)
}
func (l *line) Pop() any {
	last := len(*l) - 1
	h := (*l)[last]
	(*l)[last], *l = nil, (*l)[:last]
	h.slot = -1
	return h
}

// A schedule holds the entries for which something is to be done. An entry is
// in one of its queues at most.
type schedule struct {
	mu      sync.Mutex
	queues  [3]line // :: queue → entries
	flights int     // under way
	nudge   chan struct{}
}

func newSchedule() *schedule { return &schedule{nudge: make(chan struct{}, 1)} }

// put moves the entry into a queue.
func (s *schedule) put(h *Handle, q queue, due int64) {
	s.mu.Lock()
	first := int64(math.MaxInt64)
	if l := s.queues[q]; len(l) > 0 {
		first = l[0].due
	}
	s.takeOut(h)
	h.queue, h.due = q, due
	heap.Push(&s.queues[q], h)
	s.mu.Unlock()
	if q == ready || due < first {
		s.wake()
	}
}

func (s *schedule) remove(h *Handle) {
	s.mu.Lock()
	s.takeOut(h)
	s.mu.Unlock()
}

func (s *schedule) takeOut(h *Handle) {
	if h.queue != unqueued {
		heap.Remove(&s.queues[h.queue], int(h.slot))
		h.queue = unqueued
	}
}

// hurry moves an entry that waits for the budget forward.
func (s *schedule) hurry(h *Handle, due int64) {
	s.mu.Lock()
	moved := h.queue == ready && due < h.due
	if moved {
		h.due = due
		heap.Fix(&s.queues[ready], int(h.slot))
	}
	s.mu.Unlock()
	if moved { // it may call now, or be told at once that it cannot
		s.wake()
	}
}

// dueAt returns when something will be done for the entry, or 0.
func (s *schedule) dueAt(h *Handle) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.queue == timed {
		return h.due
	}
	return 0
}

// popDue returns an entry that is due, or nil.
func (s *schedule) popDue(now int64) *Handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.queues[timed]
	if len(*l) == 0 || (*l)[0].due > now {
		return nil
	}
	h := heap.Pop(l).(*Handle)
	h.queue = unqueued
	return h
}

// popReady returns the entry that is to call next and counts its call. Roles
// that others are assumed with pass the limit of concurrency, for the calls
// under way may all be waiting for them.
func (s *schedule) popReady(limit int) *Handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.queues[ready]
	if len(*l) == 0 || s.flights >= limit && (*l)[0].children.Load() == 0 {
		return nil
	}
	h := heap.Pop(l).(*Handle)
	h.queue = unqueued
	s.flights++
	return h
}

func (s *schedule) landed() {
	s.mu.Lock()
	s.flights--
	waiting := len(s.queues[ready]) > 0
	s.mu.Unlock()
	if waiting {
		s.wake()
	}
}

// next returns when the first entry is due, if there is one.
func (s *schedule) next() (due int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.queues[timed]; len(l) > 0 {
		return l[0].due, true
	}
	return 0, false
}

// urgent reports whether the first entry that is ready has a caller waiting.
func (s *schedule) urgent() (urgent, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.queues[ready]
	return len(l) > 0 && l[0].due < 0, len(l) > 0
}

func (s *schedule) wake() {
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// Priorities of the calls that wait for the budget. Renewals have the time at
// which the session expires; the others come before, with less than 0, or after.
func beforeAll(now int64) int64 { return now - math.MaxInt64/2 - int64(24*time.Hour) }
func waitedFor(now int64) int64 { return now - math.MaxInt64/2 }
func atLeisure(now int64) int64 { return now + int64(24*time.Hour) }

// oversleep is how long the scheduler sleeps at most: timers count the time the
// machine was awake, the entries are due by the wall clock.
const oversleep = time.Second

// run is the scheduler's goroutine.
func (b *Broker) run(ctx context.Context) {
	timer := time.NewTimer(oversleep)
	defer timer.Stop()
	for {
		b.clock.settle()
		now := b.clock.now()
		for h := b.schedule.popDue(now); h != nil; h = b.schedule.popDue(now) {
			b.attend(h, now)
		}
		sleep := min(oversleep, b.dispatch(now))
		if due, ok := b.schedule.next(); ok {
			sleep = min(sleep, time.Duration(due-now))
		}
		if ctx.Err() != nil {
			return
		}
		timer.Reset(max(sleep, 0))
		select {
		case <-ctx.Done():
			return
		case <-b.schedule.nudge:
		case <-timer.C:
		}
	}
}

// dispatch starts as many calls as the budget allows, most urgent first, and
// returns how long to wait for more of it.
func (b *Broker) dispatch(now int64) time.Duration {
	for {
		urgent, ok := b.schedule.urgent()
		if !ok {
			return oversleep
		}
		t := ticket{}
		t.region, t.probe = b.acquire(now, nil)
		if t.region == nil && !urgent {
			// Every region is down. Only those who wait are told so.
			return max(b.readyIn(now), time.Millisecond)
		}
		if t.region != nil {
			if wait := t.region.spend(now); wait > 0 {
				t.region.abandon(t.probe)
				return wait
			}
		}
		h := b.schedule.popReady(b.config.MaxConcurrent)
		if h == nil {
			t.handBack()
			return oversleep // a call that ends wakes us
		}
		b.flying.Add(1)
		go b.fly(h, t)
	}
}

// tick keeps the coarse clock. It is a goroutine of its own so that a long
// queue does not delay it.
func (b *Broker) tick(ctx context.Context) {
	ticker := time.NewTicker(b.config.CoarseClock)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			b.clock.coarse.Store(b.clock.now())
		}
	}
}

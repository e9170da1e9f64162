package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/bench/stsfaults"
	"github.com/crossaccount/crossaccount/broker"
)

// A measure is one row of the table.
type measure struct {
	number string // of the goal
	what   string
	goal   string
	ways   []way
	// run measures one way. met is asked of ours only.
	run func(l *lab, w way) (result, error)
}

type result struct {
	text  string
	met   bool // the goal
	sound bool // the part of the goal that no other load of the machine can spoil
}

// A lab is where measures run.
type lab struct {
	quick bool
	// bubble runs f where time passes only when everybody waits.
	bubble func(f func())
	// child runs this program again for one measure of a way and returns what it
	// printed; see children.
	child func(role string, arguments ...string) (string, error)
}

// pick returns the first number, or the second if there is little time.
func (l *lab) pick(full, quick int) int {
	if l.quick {
		return quick
	}
	return full
}

// in runs a scenario in a bubble and makes a result of the outcome.
func (l *lab) in(s scenario, w way, judge func(outcome) result) (r result, err error) {
	l.bubble(func() {
		var out outcome
		if out, err = s.run(w); err == nil {
			r = judge(out)
			r.sound = r.met
			if out.expired > 0 {
				r = result{text: fmt.Sprintf("%s; %d expired or of another role", r.text, out.expired)}
			}
		}
	})
	return r, err
}

func always(f stsfaults.Fault) func(time.Duration, stsfaults.Call) stsfaults.Fault {
	return func(time.Duration, stsfaults.Call) stsfaults.Fault { return f }
}

// millis is the STS of these scenarios when nothing is wrong.
func millis(n int) stsfaults.Fault {
	return stsfaults.Fault{Latency: time.Duration(n) * time.Millisecond}
}

// until makes a fault of what lies in a span of time.
func until(from, to time.Duration, regions string, fault stsfaults.Fault) func(time.Duration, stsfaults.Call) stsfaults.Fault {
	return func(since time.Duration, c stsfaults.Call) stsfaults.Fault {
		if since >= from && since < to && (regions == "" || regions == c.Region) {
			return fault
		}
		return millis(20)
	}
}

var measures = []measure{
	{"1", "reads that wait over 1 ms while sessions expire: 200 callers, STS 150 ms", "0", ways, expiries},
	{"2", "hot Retrieve", "0 allocations, ≥ 5 × faster than CredentialsCache (≤ 20 ns)", []way{ours, coarse, cached, windowed, library}, hotRead},
	{"3", "Retrieve by key, with the look-up", "0 allocations, ≤ 150 ns", []way{ours, coarse, cached, library}, keyRead},
	{"4", "STS calls per session life of 1 h, in process", "≤ 1.15", []way{ours, cached, windowed, library}, perLife(broker.InProcess, 1, 1.15)},
	{"4", "the same, read over HTTP", "≤ 1.45", []way{ours}, perLife(broker.HTTPRead, 1, 1.45)},
	{"5", "STS calls per customer and hour, 10 replicas with a shared store", "≤ 1.45", []way{ours, cached}, perLife(broker.InProcess, 10, 1.45)},
	{"6", "STS calls: 10 replicas × 1,000 callers × 1 cold key", "1", ways, stampede(1)},
	{"6", "the same × 100 cold keys", "≤ 102", []way{ours, cached, library}, stampede(100)},
	{"7", "most STS calls at once: 500 busy customers whose sessions expire together", "≤ 1/5 of CredentialsCache (100)", []way{ours, cached, windowed, library}, synchronised},
	{"8", "heap per customer beyond the payload; goroutines, descriptors", "≤ 600 B, 0, 0", []way{ours, cached, library, own}, weight},
	{"9", "home region down 50 min, across an expiry: failed reads, longest wait", "0, ≤ 25 ms", []way{ours, cached, windowed, library}, regionDown},
	{"9", "home region hangs instead of answering, same span", "0, ≤ 25 ms", []way{ours, cached, windowed, library}, regionHangs},
	{"10", "STS 503 while credentials are valid: failed reads", "0", []way{ours, cached, windowed, library}, failingRefresh},
	{"11", "first call hangs for ever, 40 callers with 500 ms deadlines for 10 s: failed reads", "0", []way{ours, cached, windowed, library, naive}, hungCall},
	{"12", "AWS refuses, nothing cached, 20 pollers: STS calls in the first 3 s", "≤ 4", ways, refusedFirst},
	{"12", "the same in the steady state, per hour", "≤ 15", []way{ours, cached, windowed, library}, refusedSteady},
	{"13", "STS 503, nothing cached: time to the first error, to later ones", "≤ 1 s, ≤ 1 ms", ways, outage(stsfaults.Fault{Latency: 5 * time.Millisecond, Code: "ServiceUnavailable", Status: 503})},
	{"13", "STS hangs, nothing cached, deadline 60 s: the same", "≤ 3 s, ≤ 1 ms", ways, outage(stsfaults.Fault{Hang: true})},
	{"14", "restart from a snapshot: STS calls, time to ready, to all opened", "0, ≤ 1 s", []way{ours}, restart},
	{"15", "HTTP endpoint, handler only", "0 allocations, ≤ 2 µs", []way{ours}, handler},
	{"16", "clock jumps 2 h while nothing else runs: expired credentials handed out", "0", []way{ours}, jump},
	{"16", "process stopped (SIGSTOP) over an expiry: expired credentials handed out", "0", []way{ours, cached, library}, stopped},
}

// expiries: sessions of a minute, so that 200 callers can read all the time.
func expiries(l *lab, w way) (result, error) {
	lives := l.pick(20, 4)
	s := scenario{
		callers: 200, customers: 1, every: 250 * time.Millisecond, to: time.Duration(lives)*time.Minute + 2*time.Second, lifetime: time.Minute,
		sts: always(millis(150)), heavyCallers: 5, heavyTime: 10 * time.Second,
	}
	return l.in(s, w, func(o outcome) result {
		text := fmt.Sprintf("%d of %d, longest %s", o.waited, o.reads, o.longest)
		if o.waited == 0 {
			text = fmt.Sprintf("0 of %d", o.reads)
		}
		return result{text: text, met: o.waited == 0 && o.failed == 0}
	})
}

func perLife(class broker.Class, replicas int, most float64) func(*lab, way) (result, error) {
	return func(l *lab, w way) (result, error) {
		hours, customers := l.pick(48, 24), l.pick(200, 40)/replicas
		s := scenario{
			callers: customers * replicas, customers: customers, every: 20 * time.Second, to: time.Duration(hours) * time.Hour,
			class: class, sts: always(millis(150)),
		}
		if replicas > 1 {
			s.replicas = replicas
		}
		return l.in(s, w, func(o outcome) result {
			each := float64(o.calls) / float64(customers*hours)
			return result{text: fmt.Sprintf("%.2f", each), met: each <= most && o.failed == 0}
		})
	}
}

func stampede(keys int) func(*lab, way) (result, error) {
	return func(l *lab, w way) (result, error) {
		s := scenario{
			callers: 10 * 1000, customers: keys, reads: 1, cold: true, replicas: 10,
			sts: always(millis(20)), heavyCallers: l.pick(1000, 100),
		}
		return l.in(s, w, func(o outcome) result {
			text := fmt.Sprint(o.calls)
			if w.heavy {
				text = fmt.Sprintf("%d of %d callers", o.calls, o.reads)
			}
			return result{text: text, met: o.calls >= keys && o.calls <= keys+keys/50 && o.failed == 0}
		})
	}
}

// synchronised: sessions of ten minutes, all begun in the same moment.
func synchronised(l *lab, w way) (result, error) {
	customers := l.pick(500, 100)
	s := scenario{
		callers: customers, customers: customers, every: 100 * time.Millisecond, from: 8 * time.Minute, to: 11 * time.Minute, lifetime: 10 * time.Minute,
		sts: always(millis(150)),
	}
	return l.in(s, w, func(o outcome) result {
		return result{text: fmt.Sprintf("%d (%d calls)", o.peak, o.calls), met: o.peak <= customers/5 && o.calls >= customers}
	})
}

func failures(o outcome) string {
	text := fmt.Sprintf("%d of %d failed", o.failed, o.reads)
	if o.longest > 0 {
		text += fmt.Sprintf(", longest %s", o.longest.Round(time.Millisecond))
	}
	if o.total > time.Second {
		text += fmt.Sprintf(", all waits %.0f s", o.total.Seconds())
	}
	return text
}

func downFor(fault stsfaults.Fault) scenario {
	return scenario{
		callers: 50, customers: 5, every: time.Second, from: 45 * time.Minute, to: 75 * time.Minute, regions: []string{home, "us-west-2"},
		deadline: 5 * time.Second, sts: until(30*time.Minute, 80*time.Minute, home, fault),
	}
}

func judgeDown(o outcome) result {
	return result{text: failures(o), met: o.failed == 0 && o.longest <= 25*time.Millisecond && o.calls > 0}
}

func regionDown(l *lab, w way) (result, error) {
	return l.in(downFor(stsfaults.Fault{Latency: 20 * time.Millisecond, Down: true}), w, judgeDown)
}

func regionHangs(l *lab, w way) (result, error) {
	return l.in(downFor(stsfaults.Fault{Hang: true}), w, judgeDown)
}

func failingRefresh(l *lab, w way) (result, error) {
	s := scenario{
		callers: 50, customers: 5, every: time.Second, from: 50 * time.Minute, to: 59*time.Minute + 50*time.Second, deadline: 5 * time.Second,
		sts: until(10*time.Minute, 2*time.Hour, "", stsfaults.Fault{Latency: 5 * time.Millisecond, Code: "ServiceUnavailable", Status: 503}),
	}
	return l.in(s, w, func(o outcome) result {
		return result{text: failures(o), met: o.failed == 0}
	})
}

func hungCall(l *lab, w way) (result, error) {
	s := scenario{
		callers: 40, customers: 1, every: 500 * time.Millisecond, to: 10 * time.Second, cold: true, deadline: 500 * time.Millisecond,
	}
	calls := 0
	s.sts = func(time.Duration, stsfaults.Call) stsfaults.Fault {
		if calls++; calls == 1 {
			return stsfaults.Fault{Hang: true}
		}
		return millis(20)
	}
	return l.in(s, w, func(o outcome) result {
		return result{text: fmt.Sprintf("%s; %d calls", failures(o), o.calls), met: o.failed == 0}
	})
}

func refused(every time.Duration) scenario {
	f := stsfaults.Denied
	f.Latency = 20 * time.Millisecond
	return scenario{callers: 20, customers: 1, every: every, to: 3 * time.Second, cold: true, sts: always(f), heavyCallers: 20}
}

func refusedFirst(l *lab, w way) (result, error) {
	s := refused(10 * time.Millisecond)
	if w.heavy {
		s.to = time.Duration(l.pick(3000, 300)) * time.Millisecond
	}
	return l.in(s, w, func(o outcome) result {
		text := fmt.Sprint(o.calls)
		if w.heavy && l.quick {
			text += " in 0.3 s"
		}
		return result{text: text, met: o.calls >= 1 && o.calls <= 4 && o.failed == o.reads}
	})
}

// refusedSteady counts after the pauses between the broker's calls have grown.
func refusedSteady(l *lab, w way) (result, error) {
	s := refused(time.Duration(l.pick(250, 1000)) * time.Millisecond)
	s.countFrom, s.to = time.Hour, 3*time.Hour
	if w.short != ours.short { // they call at every read, and a part of it shows that
		s.countFrom, s.to = time.Minute, 3*time.Minute
	}
	return l.in(s, w, func(o outcome) result {
		hourly := float64(o.calls) / (s.to - s.countFrom).Hours()
		return result{text: fmt.Sprintf("%.0f", hourly), met: hourly <= 15 && o.calls > 0}
	})
}

func outage(fault stsfaults.Fault) func(*lab, way) (result, error) {
	return func(l *lab, w way) (result, error) {
		s := scenario{callers: 20, customers: 1, reads: 3, cold: true, deadline: time.Minute, sts: always(fault)}
		return l.in(s, w, func(o outcome) result {
			most := time.Second
			if fault.Hang {
				most = 3 * time.Second
			}
			round := func(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
			return result{
				text: fmt.Sprintf("%s, %s", round(o.firstError), round(o.laterError)),
				met:  o.firstError <= most && o.laterError <= wait && o.failed == o.reads,
			}
		})
	}
}

// describe is one line of the table.
func describe(m measure, w way, r result) string {
	verdict := ""
	if w.short == ours.short || w.short == coarse.short {
		verdict = "met"
		if !r.met {
			verdict = "MISSED"
		}
	}
	return strings.TrimRight(fmt.Sprintf("    %-52s %-44s %s", w.name, r.text, verdict), " ")
}

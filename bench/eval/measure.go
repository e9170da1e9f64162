package main

import (
	"runtime"
	"slices"
	"time"
)

// A figure is what one engine needs for one decision.
type figure struct {
	cpu         time.Duration // median over the samples
	allocations float64
	bytes       float64
}

// perSecond returns how many decisions a second of CPU time buys.
func (f figure) perSecond() float64 { return float64(time.Second) / float64(f.cpu) }

// measure calls decide again and again and returns the medians over samples of
// about the given length. What decide does is all that is counted, with the
// garbage collection it causes.
func measure(samples int, length time.Duration, decide func()) figure {
	times := 1
	for {
		if spent := spend(times, decide); spent >= length/4 {
			times = max(1, int(float64(times)*float64(length)/float64(spent)))
			break
		}
		times *= 2
	}
	var cpu []time.Duration
	var allocations, bytes []float64
	for range samples {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		spent := spend(times, decide)
		runtime.ReadMemStats(&after)
		cpu = append(cpu, spent/time.Duration(times))
		allocations = append(allocations, float64(after.Mallocs-before.Mallocs)/float64(times))
		bytes = append(bytes, float64(after.TotalAlloc-before.TotalAlloc)/float64(times))
	}
	return figure{cpu: median(cpu), allocations: median(allocations), bytes: median(bytes)}
}

// spend returns the CPU time of so many calls.
func spend(times int, decide func()) time.Duration {
	start := cpuTime()
	for range times {
		decide()
	}
	return cpuTime() - start
}

func median[T time.Duration | float64](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

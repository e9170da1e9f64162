package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

func main() {
	samples := flag.Int("samples", 11, "how many samples a median is taken of")
	distinct := flag.Bool("distinct", false, "also make 100,000 roles with 20 statements of their own each (needs 6 GB while it is made)")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(os.Stdout, *samples, *distinct); err != nil {
		fmt.Fprintln(os.Stderr, "world:", err)
		os.Exit(4)
	}
}

const (
	bucket = "data"
	owner  = "100000000000"
)

func run(out io.Writer, samples int, distinct bool) error {
	shapes := []shape{
		{roles: 10_000, own: 20, rolesPerUnit: 500, readsEvery: 100, bucket: bucket, owner: owner},
		{roles: 100_000, own: 4, managed: 20, policies: 500, rolesPerUnit: 500, readsEvery: 100, bucket: bucket, owner: owner},
	}
	if distinct {
		shapes = append(shapes, shape{roles: 100_000, own: 20, rolesPerUnit: 500, readsEvery: 100, bucket: bucket, owner: owner})
	}
	return measureAll(out, shapes, samples)
}

func measureAll(out io.Writer, shapes []shape, samples int) error {
	fmt.Fprintf(out, "%s, %s/%s, one thread, CPU time, medians of %d samples\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, samples)
	fmt.Fprintln(out, "| world | step | time | memory or garbage | result |")
	fmt.Fprintln(out, "|---|---|---:|---:|---|")
	for _, s := range shapes {
		if err := measureWorld(out, s, samples); err != nil {
			return err
		}
	}
	return nil
}

func measureWorld(out io.Writer, s shape, samples int) error {
	row := func(step string, spent time.Duration, memory uint64, result string) {
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", s.name(), step, spent.Round(time.Microsecond), size(memory), result)
	}
	before := used()
	snapshot, err := generate(s)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := snapshot.Write(&file); err != nil {
		return err
	}
	snapshot = nil
	read := spend(func() { snapshot, err = world.Read(bytes.NewReader(file.Bytes())) })
	if err != nil {
		return err
	}
	row("read world.json", read, uint64(file.Len()), "size of the file")
	file = bytes.Buffer{}
	var w *world.World
	compiled := spend(func() { w, err = world.Compile(snapshot) })
	if err != nil {
		return err
	}
	patch := &world.Snapshot{Format: world.Format, Roles: slices.Clone(snapshot.Roles[:1])}
	patch.Roles[0].Tags = map[string]string{"team": "other"}
	snapshot = nil
	row("compile", compiled, used()-before, "kept in memory")

	who := world.Question{Action: "s3:GetObject", Resource: "arn:aws:s3:::" + bucket + "/report.csv"}
	found := 0
	ask := func() {
		list, failed := w.WhoCan(who, world.WhoCanOptions{})
		found, err = len(list), failed
	}
	row("who-can, the first time", spend(ask), 0, fmt.Sprintf("%d findings", found))
	spent, garbage := medians(samples, ask)
	row("who-can", spent, garbage, fmt.Sprintf("%d findings", found))
	if err != nil {
		return err
	}

	can := who
	can.Principal = "arn:aws:iam::100000000000:role/service/role-0"
	var verdict eval.Verdict
	const many = 200 // one is too short to be measured
	spent, garbage = medians(samples, func() {
		for range many {
			var a *world.Answer
			if a, err = w.Can(can); err != nil {
				return
			}
			verdict = a.Verdict()
		}
	})
	row("can", spent/many, garbage/many, verdict.String())
	if err != nil {
		return err
	}

	spent, garbage = medians(samples, func() { err = w.Update(patch) })
	row("update one role", spent, garbage, "")
	row("after all questions", 0, used()-before, "kept in memory")
	runtime.KeepAlive(w)
	return err
}

// medians returns CPU time and garbage of one call.
func medians(samples int, call func()) (time.Duration, uint64) {
	var times []time.Duration
	var garbage []uint64
	for range samples {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		times = append(times, spend(call))
		runtime.ReadMemStats(&after)
		garbage = append(garbage, after.TotalAlloc-before.TotalAlloc)
	}
	slices.Sort(times)
	slices.Sort(garbage)
	return times[samples/2], garbage[samples/2]
}

// spend returns the CPU time of one call.
func spend(call func()) time.Duration {
	start := cpuTime()
	call()
	return cpuTime() - start
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// used returns the memory in use after a collection.
func used() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func size(n uint64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KB", float64(n)/1000)
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/bench/stsfaults"
	"github.com/crossaccount/crossaccount/broker"
)

// childVariable makes this program measure one thing of one way and print it,
// in a process that has done nothing else.
const childVariable = "CROSSACCOUNT_BENCH_CHILD"

// children are the measures that need a process of their own.
var children = map[string]func(w way, arguments []string) error{
	"weight":  weightChild,
	"restart": restartChild,
	"reads":   readsChild,
}

// runChild starts this program again.
func runChild(role string, arguments ...string) (string, error) {
	c := childCommand(role, arguments...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", role, strings.Join(arguments, " "), err)
	}
	return string(out), nil
}

func childCommand(role string, arguments ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], arguments...)
	c.Env = append(os.Environ(), childVariable+"="+role)
	return c
}

// beChild does what the parent wants and reports whether this process is a child.
func beChild() (bool, error) {
	role := os.Getenv(childVariable)
	if role == "" {
		return false, nil
	}
	do := children[role]
	if do == nil || len(os.Args) < 2 {
		return true, fmt.Errorf("no child does %q", role)
	}
	for _, w := range append([]way{coarse, own}, ways...) {
		if w.short == os.Args[1] {
			return true, do(w, os.Args[2:])
		}
	}
	return true, fmt.Errorf("no way is called %q", os.Args[1])
}

// own is a configuration, a client and a cache for each customer, over real
// connections: what a program has that does naive, and caches the result.
var own = way{name: "own configuration, client and cache each", short: "own", open: func(p process) (*client, error) {
	var providers sync.Map
	handle := func(customer int) (aws.CredentialsProvider, error) {
		if c, ok := providers.Load(customer); ok {
			return c.(aws.CredentialsProvider), nil
		}
		naive, err := openNaive(p)
		if err != nil {
			return nil, err
		}
		c := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) { return naive.get(ctx, customer) }))
		providers.Store(customer, c)
		return c, nil
	}
	return &client{handle: handle, get: through(handle), close: func() {}}, nil
}}

// payload is what STS sends for a session: two keys and a token.
const payload = 20 + 40 + stsfaults.TokenLength

func weight(l *lab, w way) (result, error) {
	customers := l.pick(100_000, 10_000)
	if w.short == own.short {
		customers = l.pick(2000, 500) // each has a descriptor
	}
	text, err := l.child("weight", w.short, strconv.Itoa(customers))
	if err != nil {
		return result{}, err
	}
	n, err := numbersIn(text)
	if err != nil {
		return result{}, err
	}
	more := n["heap"]/float64(customers) - payload
	met := more <= 600 && n["goroutines"] <= 0 && n["descriptors"] <= 0
	return result{
		text: fmt.Sprintf("%.0f B (of %d customers), %.0f, %.0f", more, customers, n["goroutines"], n["descriptors"]),
		met:  met, sound: met,
	}, nil
}

func weightChild(w way, arguments []string) error {
	customers, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	fake := stsfaults.New(nil)
	p := process{http: fake, lifetime: 12 * time.Hour, change: func(c *broker.Config) { c.MaxPerSecond = 1e9 }}
	if w.short == own.short {
		s := httptest.NewServer(fake)
		defer s.Close()
		p.endpoint = s.URL
	}
	fake.Always(stsfaults.Fault{Lifetime: 12 * time.Hour})
	c, err := w.open(p)
	if err != nil {
		return err
	}
	defer c.close()
	look := func() (heap, goroutines, descriptors int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		files, _ := os.ReadDir("/proc/self/fd") // none where there is no /proc
		return int(m.HeapAlloc), runtime.NumGoroutine(), len(files)
	}
	if _, err := c.get(context.Background(), customers); err != nil {
		return err
	}
	heap, goroutines, descriptors := look()
	for i := range customers {
		if _, err := c.get(context.Background(), i); err != nil {
			return err
		}
	}
	h, g, d := look()
	fmt.Printf("heap %d\ngoroutines %d\ndescriptors %d\n", h-heap, g-goroutines, d-descriptors)
	runtime.KeepAlive(c)
	return nil
}

func restart(l *lab, w way) (result, error) {
	customers := l.pick(100_000, 5000)
	text, err := l.child("restart", w.short, strconv.Itoa(customers))
	if err != nil {
		return result{}, err
	}
	n, err := numbersIn(text)
	if err != nil {
		return result{}, err
	}
	return result{
		text: fmt.Sprintf("%.0f calls, %.2f s, %.1f s (%d customers)", n["calls"], n["ready"], n["opened"], customers),
		met:  n["calls"] == 0 && n["ready"] <= 1, sound: n["calls"] == 0,
	}, nil
}

// restartChild fills a store, writes the snapshot, and starts again with an STS
// that must not be needed. Ready is when the snapshot was read and the first
// session handed out.
func restartChild(w way, arguments []string) error {
	customers, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "broker-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "snapshot")
	fake := stsfaults.New(nil)
	store := broker.NewMemoryStore(nil)
	first, err := w.open(process{http: fake, store: store, change: func(c *broker.Config) { c.MaxPerSecond = 1e9 }})
	if err != nil {
		return err
	}
	for i := range customers {
		if _, err := first.get(context.Background(), i); err != nil {
			return err
		}
	}
	first.close()
	if n, err := store.WriteSnapshot(path); err != nil || n != customers {
		return fmt.Errorf("%d of %d sessions written: %w", n, customers, err)
	}
	fake.Reset()
	fake.Always(stsfaults.Fault{Down: true})
	runtime.GC()

	began := time.Now()
	store = broker.NewMemoryStore(nil)
	if _, err := store.ReadSnapshot(path); err != nil {
		return err
	}
	again, err := w.open(process{http: fake, store: store})
	if err != nil {
		return err
	}
	defer again.close()
	if _, err := again.get(context.Background(), customers/2); err != nil {
		return err
	}
	ready := time.Since(began)
	requests := make([]broker.Request, customers)
	for i := range requests {
		requests[i] = requestOf(i, broker.InProcess)
	}
	began = time.Now()
	if err := again.broker.Prewarm(context.Background(), requests); err != nil {
		return err
	}
	opened := time.Since(began)
	if s := again.broker.Stats(); s.Warm != customers {
		return fmt.Errorf("%d of %d customers are warm", s.Warm, customers)
	}
	fmt.Printf("calls %d\nready %f\nopened %f\n", fake.Counts().Calls, ready.Seconds(), opened.Seconds())
	return nil
}

// stopped lets a child read all the time, with sessions of 2 s, and stops it for
// longer than that, again and again.
func stopped(l *lab, w way) (result, error) {
	rounds := l.pick(10, 2)
	c := childCommand("reads", w.short)
	var out strings.Builder
	c.Stdout, c.Stderr = &out, os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return result{}, err
	}
	if err := c.Start(); err != nil {
		return result{}, err
	}
	for range rounds {
		time.Sleep(time.Second)
		err = errors.Join(err, c.Process.Signal(syscall.SIGSTOP))
		time.Sleep(3 * time.Second)
		err = errors.Join(err, c.Process.Signal(syscall.SIGCONT))
	}
	time.Sleep(200 * time.Millisecond)
	if err = errors.Join(err, in.Close(), c.Wait()); err != nil {
		return result{}, err
	}
	n, err := numbersIn(out.String())
	if err != nil {
		return result{}, err
	}
	met := n["expired"] == 0 && n["reads"] > 1000
	return result{
		text: fmt.Sprintf("%.0f of %.0f reads, %d stops", n["expired"], n["reads"], rounds),
		met:  met, sound: met,
	}, nil
}

// readsChild reads until its input ends. A read counts as wrong if what it
// returned had expired before it was asked for.
func readsChild(w way, _ []string) error {
	fake := stsfaults.New(nil)
	const lifetime = 2 * time.Second
	fake.Always(stsfaults.Fault{Latency: 5 * time.Millisecond, Lifetime: lifetime})
	// Every session of 2 s is a call, which no customer of AWS's needs.
	c, err := w.open(process{http: fake, lifetime: lifetime, change: func(c *broker.Config) { c.CustomerRate = broker.Rate{Burst: 100, Every: time.Millisecond} }})
	if err != nil {
		return err
	}
	defer c.close()
	var reads, expired atomic.Int64
	var done atomic.Bool
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for !done.Load() {
				asked := time.Now()
				got, err := c.get(context.Background(), i)
				reads.Add(1)
				if err == nil && stsfaults.Check(got, roleOf(i), asked) != nil {
					expired.Add(1)
				}
				if reads.Load()%64 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	_, err = os.Stdin.Read(make([]byte, 1)) // ends when the parent closes it
	done.Store(true)
	all.Wait()
	fmt.Printf("reads %d\nexpired %d\n", reads.Load(), expired.Load())
	if err != nil && err.Error() != "EOF" {
		return err
	}
	return nil
}

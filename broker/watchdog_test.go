package broker_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A mutex that is never given back makes a test hang, in a bubble too, and the
// time limit of a test run is long. So somebody outside watches whether tests get
// on, and otherwise shows what every goroutine is doing.
const noProgress = 2 * time.Minute

// progress is counted by what most tests use.
var progress atomic.Int64

func TestMain(m *testing.M) {
	if dir := os.Getenv(otherProcess); dir != "" {
		if err := compete(dir, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.bench").Value.String() != "" ||
		flag.Lookup("test.fuzzworker").Value.String() == "true"
	if !fuzzing {
		go watch(noProgress)
	}
	os.Exit(m.Run())
}

func watch(limit time.Duration) {
	for last := progress.Load(); ; last = progress.Load() {
		time.Sleep(limit)
		if progress.Load() == last {
			hangs(fmt.Sprintf("no test got on within %s", limit))
		}
	}
}

// hangs ends the test run. The goroutines that hang cannot be ended.
func hangs(what string) {
	stacks := make([]byte, 4<<20)
	fmt.Fprintf(os.Stderr, "%s; goroutines:\n%s\n", what, stacks[:runtime.Stack(stacks, true)])
	os.Exit(2)
}

// within ends the test run if the function takes that long of real time. It must
// be called outside of bubbles.
func within(t *testing.T, limit time.Duration, do func()) {
	t.Helper()
	late := time.AfterFunc(limit, func() { hangs(fmt.Sprintf("%s hangs for %s", t.Name(), limit)) })
	defer late.Stop()
	do()
}

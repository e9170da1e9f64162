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
// on, and otherwise shows what every goroutine is doing. No machine is so slow
// that this takes for hanging what only waits its turn.
const noProgress = 8 * time.Minute

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
		go watch()
	}
	os.Exit(m.Run())
}

func watch() {
	for last := progress.Load(); ; last = progress.Load() {
		time.Sleep(noProgress)
		if progress.Load() == last {
			hangs(fmt.Sprintf("no test got on within %s", noProgress))
		}
	}
}

// hangs ends the test run. The goroutines that hang cannot be ended.
func hangs(what string) {
	stacks := make([]byte, 4<<20)
	fmt.Fprintf(os.Stderr, "%s; goroutines:\n%s\n", what, stacks[:runtime.Stack(stacks, true)])
	os.Exit(2)
}

// watched ends the test run if the function hangs. It must be called outside of
// bubbles.
func watched(t *testing.T, do func()) {
	t.Helper()
	late := time.AfterFunc(noProgress, func() { hangs(fmt.Sprintf("%s hangs for %s", t.Name(), noProgress)) })
	defer late.Stop()
	do()
}

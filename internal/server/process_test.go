package server_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/crossaccount/crossaccount/internal/cli"
	"github.com/crossaccount/crossaccount/internal/servetest"
)

// serveVariable makes the test's own program be crossaccount, as its main
// function is.
const serveVariable = "CROSSACCOUNT_TEST_IS_CROSSACCOUNT"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func newWorld(t *testing.T) *servetest.World {
	t.Helper()
	w, err := servetest.NewWorld(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// serve starts `crossaccount serve` in a process of its own.
func serve(t *testing.T, w *servetest.World, environment ...string) *servetest.Process {
	t.Helper()
	p, err := w.Serve(t.Context(), []string{os.Args[0]}, append(environment, serveVariable+"=1")...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Many customers at once, from the first request to the role in use. How fast
// that is, bench/onboarding measures, with more of them.
func TestConcurrentOnboardings(t *testing.T) {
	t.Parallel()
	customers := 100
	if testing.Short() {
		customers = 20
	}
	w := newWorld(t)
	p := serve(t, w)
	phases, err := w.Onboard(t.Context(), p, customers)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	for _, phase := range phases {
		t.Logf("%-8s %d in %s, the slowest in %s", phase.Name, len(phase.Latencies), phase.Elapsed, phase.Percentile(100))
	}
	if err := p.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
}

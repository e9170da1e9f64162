// Command onboarding measures how many customers `crossaccount serve` can onboard
// at the same time:
//
//	cd bench && go run ./onboarding [-customers 1000] [-runs 3] [-profile serve.pprof]
//
// The server is the real one: built, started as a process of its own on SQLite,
// and driven through its HTTP API. AWS is the sandbox in this process, over TLS
// on the loopback interface, so server, client and AWS share the machine. Every
// answer is compared with what the server has afterwards.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/crossaccount/crossaccount/internal/cli"
	"github.com/crossaccount/crossaccount/internal/servetest"
)

// profileVariable makes this program be the server, which writes a profile there
// when it ends.
const profileVariable = "CROSSACCOUNT_BENCH_PROFILE"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if file := os.Getenv(profileVariable); file != "" {
		os.Exit(serveWithProfile(ctx, file))
	}
	customers := flag.Int("customers", 1000, "how many to onboard at the same time")
	runs := flag.Int("runs", 3, "how often, each time with an empty database")
	profile := flag.String("profile", "", "write a CPU profile of the server's first run to this `file`")
	flag.Parse()
	if err := measure(ctx, os.Stdout, *customers, *runs, *profile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, out io.Writer, customers, runs int, profile string) error {
	folder, err := os.MkdirTemp("", "onboarding-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	program, environment := []string{filepath.Join(folder, "crossaccount")}, []string(nil)
	build := exec.CommandContext(ctx, "go", "build", "-o", program[0], "github.com/crossaccount/crossaccount/cmd/crossaccount")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	if profile != "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		if profile, err = filepath.Abs(profile); err != nil {
			return err
		}
		program, environment, runs = []string{self}, []string{profileVariable + "=" + profile}, 1
	}
	fmt.Fprintf(out, "%d customers at the same time; %s/%s, %d processors, %s\n", customers, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	for run := range runs {
		if err := measureOnce(ctx, out, filepath.Join(folder, fmt.Sprint("run-", run)), program, environment, customers); err != nil {
			return err
		}
	}
	return nil
}

func measureOnce(ctx context.Context, out io.Writer, folder string, program, environment []string, customers int) (err error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	world, err := servetest.NewWorld(ctx, folder)
	if err != nil {
		return err
	}
	defer world.Close()
	server, err := world.Serve(ctx, program, environment...)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, server.Interrupt(), server.Wait())
		if err == nil {
			fmt.Fprintf(out, "processor   %s\n", server.CPU().Round(10*time.Millisecond))
		}
	}()
	first, err := server.Memory()
	if err != nil {
		return err
	}
	phases, err := world.Onboard(ctx, server, customers)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, server.Log())
	}
	peak, err := server.Memory()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%-10s %10s %10s %10s %10s %10s\n", "", "per second", "all in", "p50", "p99", "slowest")
	for _, p := range phases {
		if p.Name == "stack" {
			continue // the customers' work
		}
		round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
		fmt.Fprintf(out, "%-10s %10.0f %10s %10s %10s %10s\n", p.Name, p.PerSecond(), round(p.Elapsed),
			round(p.Percentile(50)), round(p.Percentile(99)), round(p.Percentile(100)))
	}
	fmt.Fprintf(out, "ready after %s; memory %d MB at the start, %d MB at most\n", server.Ready.Round(time.Millisecond), first>>20, peak>>20)
	return nil
}

func serveWithProfile(ctx context.Context, name string) (code int) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	defer func() {
		pprof.StopCPUProfile()
		if err := file.Close(); err != nil {
			code = 4
		}
	}()
	return cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}

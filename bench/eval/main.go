package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/crossaccount/crossaccount/iam/eval"
)

func main() {
	samples := flag.Int("samples", 11, "how many samples a median is taken of")
	length := flag.Duration("length", 200*time.Millisecond, "how much CPU time one sample takes")
	peers := flag.Bool("peers", true, "measure cedar-go and iam-simulate too")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(context.Background(), os.Stdout, *samples, *length, *peers); err != nil {
		fmt.Fprintln(os.Stderr, "eval:", err)
		os.Exit(4)
	}
}

// sizes are the numbers of identity statements.
var sizes = []int{20, 200, 2000}

func run(ctx context.Context, out io.Writer, samples int, length time.Duration, peers bool) error {
	simulate := ""
	if _, err := exec.LookPath("npm"); peers && err == nil {
		dir, err := os.MkdirTemp("", "iam-simulate-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := installSimulate(ctx, dir); err != nil {
			fmt.Fprintf(out, "iam-simulate is left out: %v\n\n", err)
		} else {
			simulate = dir
		}
	}
	fmt.Fprintf(out, "%s, %s/%s, one thread, median of %d samples of %s CPU time\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, samples, length)
	fmt.Fprintln(out, "| statements | engine | decisions per CPU-second | iam/eval is faster by | allocations | bytes |")
	fmt.Fprintln(out, "|---:|---|---:|---:|---:|---:|")
	for _, n := range sizes {
		c, err := newCase(n)
		if err != nil {
			return err
		}
		in, err := c.Input()
		if err != nil {
			return err
		}
		if d := eval.Decide(in); !d.Allowed() || len(d.Statements()) == 0 {
			return fmt.Errorf("with %d statements the answer is\n%s", n, eval.Explain(in))
		}
		ours := measure(samples, length, func() {
			d := eval.Decide(in)
			runtime.KeepAlive(&d)
		})
		row(out, n, "iam/eval", ours, ours)
		if !peers {
			continue
		}
		q, err := newCedarQuestion(n)
		if err != nil {
			return err
		}
		row(out, n, "cedar-go", measure(samples, length, func() { q.allowed() }), ours)
		if simulate != "" {
			theirs, err := measureSimulate(ctx, simulate, c, samples, length)
			if err != nil {
				return err
			}
			row(out, n, "iam-simulate", theirs, ours)
		}
	}

	fmt.Fprintln(out, "\n| also | CPU time | allocations | bytes |")
	fmt.Fprintln(out, "|---|---:|---:|---:|")
	return others(out, samples, length)
}

func row(out io.Writer, n int, engine string, f, ours figure) {
	allocations, bytes := fmt.Sprintf("%.0f", f.allocations), fmt.Sprintf("%.0f", f.bytes)
	if engine == "iam-simulate" {
		allocations, bytes = "", ""
	}
	faster := ""
	if f != ours {
		faster = fmt.Sprintf("%.0f times", ours.perSecond()/f.perSecond())
	}
	fmt.Fprintf(out, "| %d | %s | %.0f | %s | %s | %s |\n", n, engine, f.perSecond(), faster, allocations, bytes)
}

// others measures what is not a decision.
func others(out io.Writer, samples int, length time.Duration) error {
	c, err := newCase(20)
	if err != nil {
		return err
	}
	in, err := c.Input()
	if err != nil {
		return err
	}
	large, err := newCase(2000)
	if err != nil {
		return err
	}
	many, err := large.Input()
	if err != nil {
		return err
	}
	var failed error
	compile := func() {
		for _, p := range many.Identity {
			if _, err := eval.Compile(p.Source(), p.Kind(), p.Name()); err != nil {
				failed = err
			}
		}
	}
	for _, m := range []struct {
		name string
		do   func()
	}{
		{"explain, 20 statements", func() { eval.Explain(in) }},
		{"compile 2,000 statements", compile},
		{"parse and compile 2,000 statements", func() {
			if _, err := large.Input(); err != nil {
				failed = err
			}
		}},
	} {
		f := measure(samples, length, m.do)
		fmt.Fprintf(out, "| %s | %s | %.0f | %.0f |\n", m.name, f.cpu.Round(time.Microsecond/10), f.allocations, f.bytes)
	}
	return failed
}

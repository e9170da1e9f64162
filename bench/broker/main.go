package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func main() {
	clearEnvironment()
	if child, err := beChild(); child {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testing.Init()
	quick := flag.Bool("quick", false, "fewer customers and shorter histories: a minute")
	only := flag.String("only", "", "only the goals with these `numbers`, such as 1,9")
	flag.Parse()
	// Bubbles want a test, so all of this is one.
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "goals", F: func(t *testing.T) {
		l := &lab{quick: *quick, child: runChild, bubble: func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }}
		missed, err := l.table(os.Stdout, *only)
		if err != nil {
			t.Fatal(err)
		}
		if missed > 0 {
			t.Errorf("%d goals missed", missed)
		}
	}}}, nil, nil)
}

// clearEnvironment keeps LoadDefaultConfig to what the program says.
func clearEnvironment() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	_ = os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	_ = os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// table measures and prints, and returns how many goals were missed.
func (l *lab) table(out io.Writer, only string) (missed int, err error) {
	fmt.Fprintf(out, "%s, %s/%s, %d processors\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	for _, m := range measures {
		if only != "" && !strings.Contains(","+only+",", ","+m.number+",") {
			continue
		}
		fmt.Fprintf(out, "\n%2s  %s; goal: %s\n", m.number, m.what, m.goal)
		for _, w := range m.ways {
			began := time.Now()
			r, err := m.run(l, w)
			if err != nil {
				return missed, fmt.Errorf("%s: %s: %w", m.what, w.name, err)
			}
			if w.short == ours.short && !r.met {
				missed++
			}
			fmt.Fprintln(out, describe(m, w, r))
			if took := time.Since(began); took > 20*time.Second {
				fmt.Fprintf(os.Stderr, "(%s took %s)\n", w.short, took.Round(time.Second))
			}
		}
	}
	return missed, nil
}

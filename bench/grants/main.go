// Command grants measures how long it takes to compile, lint and check a manifest
// with many grants over 50 accounts, and how long the AWS CDK takes to write the
// same policies:
//
//	(cd bench/grants/cdk && npm ci) && cd bench && go run ./grants [-grants 1000,10000] [-runs 3]
//
// Both are programs of their own: the crossaccount command as it is built for
// users, and a CDK app run by node, without the cdk command around it. The CDK app
// is given the finished statements, lints nothing and checks nothing; its output
// is compared with ours, resource by resource. Without the CDK its part is left
// out.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/crossaccount/crossaccount/iam/reference"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sizes := flag.String("grants", "1000,10000", "how many grants, several with commas")
	runs := flag.Int("runs", 3, "how often; the medians are shown")
	app := flag.String("cdk", "grants/cdk", "`folder` of the CDK app, with its node_modules")
	flag.Parse()
	if err := run(ctx, os.Stdout, *sizes, *runs, *app); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, sizes string, runs int, app string) error {
	folder, err := os.MkdirTemp("", "grants-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "crossaccount")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/crossaccount/crossaccount/cmd/crossaccount")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building crossaccount: %w", err)
	}
	fmt.Fprintf(out, "%s/%s, %d processors, medians of %d runs; time is CPU time, in brackets what a clock shows\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runs)
	fmt.Fprintf(out, "%8s  %-32s %10s %12s %10s\n", "grants", "", "time", "", "memory")
	for _, text := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 50 {
			return fmt.Errorf("-grants %s: must be numbers of at least 50", text)
		}
		if err := measure(ctx, out, filepath.Join(folder, text), program, n, runs, app); err != nil {
			return err
		}
	}
	return nil
}

// measure shows what one size takes.
func measure(ctx context.Context, out io.Writer, folder, program string, n, runs int, app string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	manifest, plan := filepath.Join(folder, "crossaccount.yaml"), filepath.Join(folder, "plan")
	if err := os.WriteFile(manifest, manifestOf(n), 0o600); err != nil {
		return err
	}
	show := func(what string, f figure) {
		fmt.Fprintf(out, "%8d  %-32s %10s %12s %7d MB\n", n, what, f.cpu.Round(time.Millisecond), "("+f.wall.Round(time.Millisecond).String()+")", f.memory>>20)
	}
	compile, err := median(runs, func() (figure, error) { return start(ctx, nil, program, "compile", manifest, "--out", plan) })
	if err != nil {
		return err
	}
	show("compile, write the files", compile)
	check, err := median(runs, func() (figure, error) { return start(ctx, nil, program, "check", manifest) })
	if err != nil {
		return err
	}
	show("compile, lint and check", check)
	ours, err := resources(plan)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%8d  %d resources in %d stacks, the largest template has %d bytes\n", n, ours.resources, ours.stacks, ours.largest)
	if ours.largest > reference.MaxTemplateBody {
		return fmt.Errorf("a template has %d bytes; CloudFormation takes %d", ours.largest, reference.MaxTemplateBody)
	}
	if _, err := os.Stat(filepath.Join(app, "node_modules", "aws-cdk-lib")); err != nil {
		fmt.Fprintf(out, "%8d  no CDK: run npm ci in %s\n", n, app)
		return nil
	}
	synthesized := filepath.Join(folder, "cdk.out")
	synth, err := median(runs, func() (figure, error) {
		return start(ctx, append(os.Environ(), "CDK_OUTDIR="+synthesized, "JSII_DEPRECATED=quiet", "NODE_OPTIONS=--max-old-space-size=8192"), "node", filepath.Join(app, "app.js"), plan)
	})
	if err != nil {
		return err
	}
	show("CDK: write the same, no checks", synth)
	theirs, err := resources(synthesized)
	if err != nil {
		return err
	}
	if theirs.resources != ours.resources {
		return fmt.Errorf("the CDK app wrote %d resources, the plan %d: they are not the same", theirs.resources, ours.resources)
	}
	fmt.Fprintf(out, "%8d  ratio: compile %.1f, compile with lint and checks %.1f; memory %.1f and %.1f\n", n,
		ratio(synth.cpu, compile.cpu), ratio(synth.cpu, check.cpu), ratio(synth.memory, compile.memory), ratio(synth.memory, check.memory))
	return nil
}

func ratio[T ~int64](a, b T) float64 { return float64(a) / float64(b) }

// A figure is what one run of a program took.
type figure struct {
	cpu, wall time.Duration
	memory    int64 // the most it had at a time, in bytes
}

// start runs a program.
func start(ctx context.Context, environment []string, name string, args ...string) (figure, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = environment
	var errs strings.Builder
	c.Stderr = &errs
	began := time.Now()
	err := c.Run()
	f := figure{wall: time.Since(began)}
	if err != nil {
		return f, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[0], err, errs.String())
	}
	usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return f, errors.New("this system does not say what a process used")
	}
	f.cpu = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	f.memory = usage.Maxrss
	if runtime.GOOS != "darwin" { // which counts in bytes
		f.memory <<= 10
	}
	return f, nil
}

func median(runs int, once func() (figure, error)) (figure, error) {
	var all []figure
	for range runs {
		f, err := once()
		if err != nil {
			return f, err
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b figure) int { return cmp.Compare(a.cpu, b.cpu) })
	return all[len(all)/2], nil
}

// A content is what the templates below a folder have.
type content struct{ stacks, resources, largest int }

func resources(folder string) (content, error) {
	var c content
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "template.json") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var t struct{ Resources map[string]json.RawMessage }
		if err := json.Unmarshal(data, &t); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		delete(t.Resources, "CDKMetadata")
		c.stacks, c.resources, c.largest = c.stacks+1, c.resources+len(t.Resources), max(c.largest, len(data))
		return nil
	})
	return c, err
}

// manifestOf returns a manifest with n grants in one stage each, over 50
// accounts: 25 apps and 25 consumers, and two grants on each resource.
func manifestOf(n int) []byte {
	var b strings.Builder
	b.WriteString("version: 1\naccounts:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "  a%d: {id: \"%012d\", regions: [eu-central-1]}\n", i, 100000000000+i)
	}
	b.WriteString("apps:\n")
	for i := range 25 {
		fmt.Fprintf(&b, "  app%d: {accounts: {prod: a%d}}\n", i, i)
	}
	b.WriteString("consumers:\n")
	for i := range 25 {
		fmt.Fprintf(&b, "  c%d: {accounts: {production: a%d}}\n", i, 25+i)
	}
	kinds := []struct{ kind, access string }{{"kinesis-stream", "read"}, {"s3-bucket", "read"}, {"sqs-queue", "send"}, {"sns-topic", "publish"}, {"event-bus", "put"}, {"lambda-function", "invoke"}}
	b.WriteString("resources:\n")
	for i := range n / 2 {
		fmt.Fprintf(&b, "  r%d: {kind: %s, app: app%d, name: \"r%d-{stage}\"}\n", i, kinds[i%len(kinds)].kind, i%25, i)
	}
	b.WriteString("grants:\n")
	for i := range n {
		r := i % (n / 2)
		fmt.Fprintf(&b, "  - {name: g%d, consumer: c%d, resource: r%d, access: %s, role: {name: worker-%d}}\n", i, (i*7)%25, r, kinds[r%len(kinds)].access, i/50)
	}
	return []byte(b.String())
}

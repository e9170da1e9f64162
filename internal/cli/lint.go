package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template/policies"
)

// lintFlags are the flags of lint as they were written.
type lintFlags struct {
	format, failOn, kind, account, org, config, explain string
	suppress                                            []string
	crossAccount, showSuppressed, verbose, list, json   bool
}

func newLint(streams Streams) *cobra.Command {
	var flags lintFlags
	c := &cobra.Command{
		Use:   "lint PATH...",
		Short: "Find mistakes in policies, also inside templates and plans",
		Long: `Find what is wrong or unwise in IAM policies, at the line where it was written.

A path is a file, a directory, or - for standard input. These are read:

  policy documents             in JSON or YAML, and what the AWS CLI prints of them
                               (get-bucket-policy, get-account-authorization-details, ...)
  CloudFormation and SAM       in YAML with short tags and in JSON; what parameters and
                               other resources will give counts as unknown, and every
                               branch of Fn::If is judged
  Terraform plans and states   terraform plan -out=plan && terraform show -json plan > plan.json
                               (.tf files are not read: policies are computed in them)
  Terraform's JSON syntax      .tf.json with jsonencode
  state machines               the roles that tasks of Step Functions assume
  CDK output                   cdk.out with all its stacks; findings name the construct

Files in a directory that have nothing to do with policies are passed over; with
--verbose they are listed. What cannot be read is an error, and policies that are
known only after deployment are counted.

A finding is accepted with a reason, in one of four places:

  Metadata: {crossaccount: {suppress: [{id: GX-P02, reason: "..."}]}}
                               of a template or of one of its resources
  # crossaccount:ignore GX-P02 the reason
                               in YAML, for the line and what is below it
  --suppress "GX-P02=the reason"
                               for everything
  .crossaccount-lint.yaml      in the working directory, or --config:
                               suppress:
                                 - id: GX-P02
                                   reason: why this is accepted
                                   file: "stacks/*.yaml"       (optional)
                                   where: /Resources/Reader    (optional)
                                   path: Statement[0]          (optional)

Exit codes: 0 nothing found, 1 findings at or above --fail-on, 2 a file could not
be read or the usage is wrong.`,
		Example: `  crossaccount lint template.yaml
  crossaccount lint --format github --fail-on warning .
  aws iam get-account-authorization-details | crossaccount lint -
  crossaccount lint --kind trust --account 111122223333 trust.json
  crossaccount lint --explain GX-P02`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, paths []string) error {
			switch {
			case flags.list:
				return listRules(streams.Out, flags.json)
			case flags.explain != "":
				return explainRule(streams.Out, flags.explain, flags.json)
			case len(paths) == 0:
				return errors.New("name what to lint: crossaccount lint PATH... (- for standard input)")
			}
			l, err := newLinter(streams, flags)
			if err != nil {
				return &exitError{ExitUsage, err}
			}
			return l.run(c.Context(), paths)
		},
	}
	c.Flags().StringVar(&flags.format, "format", "text", "text, json, sarif or github")
	c.Flags().BoolVar(&flags.json, "json", false, "the same as --format json")
	c.Flags().StringVar(&flags.failOn, "fail-on", "error", "the least `severity` that makes the exit code 1: error, warning, info or never")
	c.Flags().StringVar(&flags.kind, "kind", "", "`kind` of policy documents without context: "+strings.Join(kindNames(), ", ")+"; what they look like if not given")
	c.Flags().StringVar(&flags.account, "account", "", "the `account` that owns the policies, twelve digits")
	c.Flags().StringVar(&flags.org, "org", "", "`id` of the organisation of that account, o-...")
	c.Flags().BoolVar(&flags.crossAccount, "cross-account", false, "the policies give access to other accounts: report also what is merely wide within one")
	c.Flags().StringArrayVar(&flags.suppress, "suppress", nil, "accept the findings of a rule: `ID=reason`; may be repeated")
	c.Flags().StringVar(&flags.config, "config", "", "`file` with suppressions (default .crossaccount-lint.yaml if there is one)")
	c.Flags().BoolVar(&flags.showSuppressed, "show-suppressed", false, "print accepted findings too, with their reasons")
	c.Flags().BoolVarP(&flags.verbose, "verbose", "v", false, "list the files that were passed over, and why")
	c.Flags().BoolVar(&flags.list, "list", false, "list all rules")
	c.Flags().StringVar(&flags.explain, "explain", "", "explain a `rule`")
	fixedValues(c, "format", lintFormats...)
	fixedValues(c, "fail-on", failOns...)
	fixedValues(c, "kind", kindNames()...)
	return c
}

var (
	lintFormats = []string{"text", "json", "sarif", "github"}
	failOns     = []string{"error", "warning", "info", "never"}
)

var kinds = []struct {
	name string
	kind iam.Kind
}{
	{"identity", iam.KindIdentity}, {"resource", iam.KindResource}, {"trust", iam.KindTrust}, {"boundary", iam.KindBoundary},
	{"session", iam.KindSession}, {"scp", iam.KindServiceControl}, {"rcp", iam.KindResourceControl}, {"endpoint", iam.KindEndpoint},
}

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// A linter is one run of the command.
type linter struct {
	streams        Streams
	format         string
	failOn         lint.Severity // 0 is never
	options        lint.Options
	reading        policies.Options
	suppressions   []fileSuppression
	showSuppressed bool
	verbose        bool
	progress       *progress
}

func newLinter(streams Streams, flags lintFlags) (*linter, error) {
	l := &linter{streams: streams, format: flags.format, showSuppressed: flags.showSuppressed, verbose: flags.verbose}
	if flags.json {
		l.format = "json"
	}
	if !slices.Contains(lintFormats, l.format) {
		return nil, fmt.Errorf("--format: %q is none of %s", l.format, strings.Join(lintFormats, ", "))
	}
	switch i := slices.Index(failOns, flags.failOn); i {
	case -1:
		return nil, fmt.Errorf("--fail-on: %q is none of %s", flags.failOn, strings.Join(failOns, ", "))
	default:
		l.failOn = []lint.Severity{lint.Error, lint.Warning, lint.Info, 0}[i]
	}
	if flags.kind != "" {
		for _, k := range kinds {
			if k.name == flags.kind {
				l.reading.Kind = k.kind
			}
		}
		if l.reading.Kind == 0 {
			return nil, fmt.Errorf("--kind: %q is none of %s", flags.kind, strings.Join(kindNames(), ", "))
		}
	}
	if flags.account != "" {
		id, err := iam.ParseAccountID(flags.account)
		if err != nil {
			return nil, fmt.Errorf("--account: %w", err)
		}
		l.options.Account = id
	}
	if flags.org != "" && !strings.HasPrefix(flags.org, "o-") {
		return nil, fmt.Errorf("--org: %q is not the id of an organisation; it begins with o-", flags.org)
	}
	l.options.OrganizationID, l.options.CrossAccount = flags.org, flags.crossAccount
	var err error
	l.suppressions, err = readSuppressions(flags.config, flags.suppress)
	return l, err
}

// run lints everything and prints the result.
func (l *linter) run(ctx context.Context, paths []string) error {
	l.progress = startProgress(l.streams.Err)
	defer l.progress.stop()
	targets, skipped, err := l.collect(paths)
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	report, err := l.lintAll(ctx, targets)
	if err != nil {
		return err
	}
	report.Skipped = append(skipped, report.Skipped...)
	slices.SortFunc(report.Skipped, func(a, b lintedFile) int { return strings.Compare(a.File, b.File) })
	l.progress.stop()
	if err := l.print(report); err != nil {
		return &exitError{ExitInternal, err}
	}
	switch {
	case len(report.Errors) > 0:
		return &exitError{code: ExitUsage}
	case l.failOn > 0 && slices.ContainsFunc(report.Findings, func(f lintFinding) bool { return f.Severity >= l.failOn }):
		return &exitError{code: ExitNo}
	}
	return nil
}

// A lintFinding is a finding with its file.
type lintFinding struct {
	File string `json:"file"`
	policies.Finding
	Reason   string `json:"reason,omitempty"` // why it is accepted; empty if it is not
	inSource bool   // it is accepted by the document itself
}

// A lintUnread is something in a file that could not be read.
type lintUnread struct {
	File string `json:"file"`
	policies.Unread
}

// A lintedFile is a file that could not be linted, or had no need to be.
type lintedFile struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// A lintReport is everything a run found, in the order of the files.
type lintReport struct {
	Files      int           `json:"files"`    // that were read
	Policies   int           `json:"policies"` // in them
	Findings   []lintFinding `json:"findings"`
	Suppressed []lintFinding `json:"suppressed"`
	Unread     []lintUnread  `json:"unread"`
	Errors     []lintedFile  `json:"errors"`
	Skipped    []lintedFile  `json:"skipped"`
	Notes      []string      `json:"notes"`
}

// lintAll lints the targets, several at a time, and joins what is found in their
// order.
func (l *linter) lintAll(ctx context.Context, targets []lintTarget) (*lintReport, error) {
	parts := make([]lintReport, len(targets))
	used := make([][]bool, len(targets))
	var done atomic.Int64
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), max(1, len(targets))) {
		workers.Go(func() {
			for i := range next {
				used[i] = l.lintOne(targets[i], &parts[i])
				l.progress.say(fmt.Sprintf("linted %d of %d files", done.Add(1), len(targets)))
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer workers.Wait()
		defer close(next)
		for i := range targets {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	select {
	case <-finished:
	case <-ctx.Done(): // the workers are left to themselves, for one huge file can take long
	}
	if err := ctx.Err(); err != nil {
		return nil, &exitError{ExitUndetermined, err}
	}
	all := &lintReport{Findings: []lintFinding{}, Suppressed: []lintFinding{}, Unread: []lintUnread{}, Errors: []lintedFile{}, Skipped: []lintedFile{}, Notes: []string{}}
	for _, p := range parts {
		all.Files += p.Files
		all.Policies += p.Policies
		all.Findings = append(all.Findings, p.Findings...)
		all.Suppressed = append(all.Suppressed, p.Suppressed...)
		all.Unread = append(all.Unread, p.Unread...)
		all.Errors = append(all.Errors, p.Errors...)
		all.Skipped = append(all.Skipped, p.Skipped...)
	}
	for i, s := range l.suppressions {
		if !slices.ContainsFunc(used, func(u []bool) bool { return i < len(u) && u[i] }) && !s.Optional {
			all.Notes = append(all.Notes, fmt.Sprintf("the suppression of %s (%s) covers no finding; remove it", s.ID, s.from))
		}
	}
	return all, nil
}

// lintOne lints one target. It says which of the suppressions from outside were
// used.
func (l *linter) lintOne(t lintTarget, report *lintReport) []bool {
	data, err := t.read()
	var document *policies.Document
	if err == nil {
		reading := l.reading
		reading.Constructs = t.constructs
		document, err = policies.Read(t.name, data, reading)
	}
	switch {
	case err == nil:
	case errors.Is(err, policies.ErrNotRecognised) && !t.named:
		report.Skipped = append(report.Skipped, lintedFile{t.name, policies.ErrNotRecognised.Error()})
		return nil
	default:
		report.Errors = append(report.Errors, lintedFile{t.name, err.Error()})
		return nil
	}
	report.Files, report.Policies = 1, len(document.Policies)
	options := l.options
	if t.account != "" {
		options.Account = t.account
	}
	outside := make([]policies.Suppression, len(l.suppressions))
	for i, s := range l.suppressions {
		if outside[i] = s.Suppression; !s.concerns(t.name) {
			outside[i] = policies.Suppression{} // keeps its place and covers nothing
		}
	}
	left, suppressed, used := policies.Suppress(document.Lint(options), append(outside, document.Suppressions...))
	columns := newColumns(data)
	for _, f := range left {
		f.Position = columns.inCharacters(f.Position)
		report.Findings = append(report.Findings, lintFinding{File: t.name, Finding: f})
	}
	for _, s := range suppressed {
		s.Position = columns.inCharacters(s.Position)
		inSource := slices.ContainsFunc(document.Suppressions, func(by policies.Suppression) bool { return by.Covers(s.Finding) })
		report.Suppressed = append(report.Suppressed, lintFinding{t.name, s.Finding, s.Reason, inSource})
	}
	for _, u := range document.Unread {
		u.Position = columns.inCharacters(u.Position)
		report.Unread = append(report.Unread, lintUnread{t.name, u})
	}
	return used[:len(outside)]
}

// columns counts columns in characters, as editors do. It remembers where it
// counted last, so that many findings in one long line, asked for in order, cost
// one pass over it.
type columns struct {
	lines [][]byte
	line  int // number of the line counted last
	bytes int // of it that were counted
	runes int // in these
}

func newColumns(data []byte) *columns {
	return &columns{lines: bytes.Split(data, []byte("\n"))}
}

func (c *columns) inCharacters(p iam.Position) iam.Position {
	if p.Line < 1 || p.Line > len(c.lines) {
		return p
	}
	line := c.lines[p.Line-1]
	before := max(0, min(p.Column-1, len(line)))
	if p.Line != c.line || before < c.bytes {
		c.line, c.bytes, c.runes = p.Line, 0, 0
	}
	c.runes += utf8.RuneCount(line[c.bytes:before])
	c.bytes = before
	p.Column = c.runes + 1
	return p
}

// print writes the report in the format asked for.
func (l *linter) print(r *lintReport) error {
	var err error
	switch l.format {
	case "json":
		err = printLintJSON(l.streams.Out, r)
	case "sarif":
		err = printSARIF(l.streams.Out, r)
	case "github":
		err = printAnnotations(l.streams.Out, r)
	default:
		err = l.printText(l.streams.Out, r)
	}
	if err != nil || l.format == "text" {
		return err
	}
	return l.printOutside(l.streams.Err, r)
}

// printOutside says on standard error what formats for machines have no place
// for.
func (l *linter) printOutside(w io.Writer, r *lintReport) error {
	var b strings.Builder
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "%s: %s\n", e.File, e.Reason)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

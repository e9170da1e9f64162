// Package cli is the command line of crossaccount: commands, flags and output.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/internal/server"
)

// Exit codes, the same for every command.
const (
	ExitDone         = 0 // yes, or done
	ExitNo           = 1 // no, or findings
	ExitUsage        = 2 // wrong usage or bad input
	ExitUndetermined = 3 // it could not be determined; trying again may help
	ExitInternal     = 4 // a fault of ours
)

// Streams are the standard streams of a command.
type Streams struct {
	In  io.Reader
	Out io.Writer // results, and nothing else
	Err io.Writer // messages, warnings and progress
}

// Main runs the command line and returns the exit code. It stops when the
// context ends.
func Main(ctx context.Context, args []string, streams Streams) int {
	out := &attentive{Writer: streams.Out}
	streams.Out = out
	root := newRoot(streams)
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	command, err := root.ExecuteContextC(ctx)
	if out.err != nil && (err == nil || errors.Is(err, out.err)) {
		err = &exitError{ExitInternal, fmt.Errorf("the output could not be written: %w", out.err)}
	}
	if err == nil {
		return ExitDone
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		if strings.Contains(err.Error(), "arg(s)") { // cobra's count says nothing of what is wanted
			err = fmt.Errorf("%w; use: %s", err, command.UseLine())
		}
		if strings.HasPrefix(err.Error(), "unknown command") {
			err = fmt.Errorf("%w; %s", err, nearestCommand(command))
		}
		exit = &exitError{code: exitCode(err), err: err}
	}
	if flag := command.Flags().Lookup("json"); exit.err != nil && flag != nil && flag.Value.String() == "true" {
		_ = printJSONLine(streams.Err, errorForPrograms(exit)) // nobody could be told
		return exit.code
	}
	if exit.err != nil {
		fmt.Fprintf(streams.Err, "crossaccount: %s\n", strings.ReplaceAll(exit.err.Error(), "\n", "\n  "))
	}
	return exit.code
}

// nearestCommand says which command was meant by the first argument, or where they
// are listed.
func nearestCommand(parent *cobra.Command) string {
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if len(names) == 0 { // cobra calls every argument too many a command
		return "use: " + parent.UseLine()
	}
	if near := reference.Nearest(parent.Flags().Arg(0), names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("%q lists all", parent.CommandPath()+" --help")
}

// An attentive writer remembers that writing failed: a result that was lost on
// a full disk must not look like success, whoever ignored the error.
type attentive struct {
	io.Writer
	mu  sync.Mutex
	err error
}

func (a *attentive) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := a.Writer.Write(b)
	if err != nil && a.err == nil {
		a.err = err
	}
	return n, err
}

// An exitError is an error with an exit code of its own. Without err everything
// was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// A programError is what is printed of an error with --json, as the last line of
// standard error.
type programError struct {
	Error    programProblem `json:"error"`
	ExitCode int            `json:"exit_code"`
}

type programProblem struct {
	Code      crossaccount.Code `json:"code"`
	Message   string            `json:"message"`
	Remedy    string            `json:"remedy,omitempty"`
	Retryable bool              `json:"retryable"`
}

// unnamed are the codes of errors that have none.
var unnamed = map[int]crossaccount.Code{
	ExitNo: "findings", ExitUsage: "usage", ExitUndetermined: "undetermined", ExitInternal: api.CodeInternal,
}

func errorForPrograms(exit *exitError) programError {
	problem := programProblem{Code: unnamed[exit.code], Message: exit.err.Error(), Retryable: exit.code == ExitUndetermined}
	var ours *crossaccount.Error
	if errors.As(exit.err, &ours) {
		problem = programProblem{ours.Code, ours.Message, ours.Remedy, api.Retryable(ours.Code)}
	}
	return programError{problem, exit.code}
}

// exitCode is the one table from errors to exit codes.
func exitCode(err error) int {
	code := crossaccount.CodeOf(err)
	switch {
	case code == "":
		return ExitUsage // cobra's errors: an unknown command or flag
	case api.Retryable(code):
		return ExitUndetermined
	}
	switch code {
	case crossaccount.CodeInvalidConfig, crossaccount.CodeInvalidRequest, crossaccount.CodeInvalidRole, crossaccount.CodeTemplate,
		api.CodeUnauthenticated, api.CodeNoSuchRoute, api.CodeTooLarge:
		return ExitUsage
	case crossaccount.CodeDecrypt, crossaccount.CodeRandom, api.CodeInternal:
		return ExitInternal
	}
	return ExitNo
}

func newRoot(streams Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "crossaccount",
		Short: "Get and give AWS access across accounts, and show that it is right",
		Long: `crossaccount gets and gives AWS access across accounts, and shows that it is
right.

Start with "crossaccount demo": it onboards a customer's AWS account end to end
in a sandbox that enforces IAM, without any AWS account.

Exit codes: 0 yes or done, 1 no or findings, 2 wrong usage or bad input,
3 undetermined (trying again may help), 4 a fault of crossaccount's.`,
		Args:          cobra.NoArgs,
		Version:       server.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate("crossaccount {{.Version}}\n")
	root.AddCommand(newDemo(streams), newSandbox(streams), newTemplate(streams), newServe(streams), newIntegration(streams), newKeys(streams), newDoctor(streams))
	root.AddCommand(newExec(streams), newCredentialProcess(streams), newWhoAmI(streams), newCurl(streams), newLoginURL(streams), newToken(streams))
	root.AddCommand(newBucket(streams), newStatus(streams), newVersion(streams))
	root.AddCommand(newSimulate(streams), newLint(streams))
	root.AddCommand(newInit(streams), newCompile(streams), newCheck(streams), newProbe(streams), newExplain(streams))
	root.AddCommand(newMatrix(streams), newClients(streams))
	root.AddCommand(newConformance(streams), newCan(streams), newWhoCan(streams), newWhatCan(streams), newWorld(streams), newWhy(streams))
	return root
}

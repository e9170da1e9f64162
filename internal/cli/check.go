package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/grant"
)

func newCheck(streams Streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Show that an access manifest gives what it says, and nothing beside it",
		Long: `Compile an access manifest and evaluate the compiled policies, without any AWS
account. Every request that a grant declares must be allowed. Its neighbours must
be denied, by each account's policies alone, whatever the other account allows:
another action, another resource, another stage, the same role in another
account, another role of the account, a condition that does not hold. Every
policy is linted.

Exit code 0 if all of this is so, 1 if not. Warnings of the linter are shown and
do not count.`,
		Example: `  crossaccount check
  crossaccount check access.yaml --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			plan, err := compileManifest(streams, manifestArgument(args), grant.CloudFormation)
			if err != nil {
				return err
			}
			report, err := plan.Check()
			if err != nil {
				return &exitError{ExitInternal, err}
			}
			if asJSON {
				err = printJSON(streams.Out, report)
			} else {
				printGrantReport(streams.Out, report)
			}
			if err == nil && !report.OK() {
				return &exitError{code: ExitNo}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printGrantReport(w io.Writer, r *grant.Report) {
	for _, f := range r.Failures {
		fmt.Fprintf(w, "%s in %s: %s should be %s (%s)\n  %s\n", f.Grant, f.Stage, f.Action, f.Want, f.Case, strings.ReplaceAll(strings.TrimSpace(f.Explanation), "\n", "\n  "))
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s\n", f.Document, f.Finding)
	}
	fmt.Fprintf(w, "%d declared requests allowed, %d neighbours denied, %d otherwise\n", r.Allowed, r.Denied, len(r.Failures))
}

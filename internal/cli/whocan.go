package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

func newWhoCan(streams Streams) *cobra.Command {
	q := &question{streams: streams}
	var options world.WhoCanOptions
	c := &cobra.Command{
		Use:   "who-can ACTION RESOURCE",
		Short: "Who may do this, and on what conditions",
		Long: `List everybody who may do something to a resource: users, roles and root users
of the world, and whoever else the resource's policy names, in accounts that the
world does not list too. Those for whom it hangs on something unknown are listed
with the condition.
` + contextHelp + `

The exit code is 0 if somebody may, 1 if nobody may, and 3 if it depends for
everybody listed.`,
		Example: `  crossaccount who-can s3:GetObject arn:aws:s3:::data/a.txt
  crossaccount who-can sts:AssumeRole arn:aws:iam::444455556666:role/vendor --chains
  crossaccount who-can kms:Decrypt arn:aws:kms:us-east-1:444455556666:key/1234 --json`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: q.complete(argAction, argResource),
	}
	q.flags(c)
	c.Flags().BoolVar(&options.Chains, "chains", false, "also list who may assume a role that may, through any number of roles")
	c.RunE = func(_ *cobra.Command, args []string) error {
		if err := q.checkAction(args[0]); err != nil {
			return err
		}
		asked, err := q.ask("", args[0], args[1])
		if err != nil {
			return err
		}
		w, err := q.open()
		if err != nil {
			return err
		}
		found, err := w.WhoCan(asked, options)
		if err != nil {
			return &exitError{ExitUsage, err}
		}
		return q.whoCan(w, asked, found)
	}
	return c
}

// A jsonFinding is somebody who may, as --json prints it.
type jsonFinding struct {
	Kind         world.FindingKind   `json:"kind"`
	Principal    string              `json:"principal"`
	Verdict      eval.Verdict        `json:"verdict"`
	Via          []string            `json:"via,omitempty"`
	Statements   []jsonStatement     `json:"statements,omitempty"`
	Requirements []world.Requirement `json:"requirements,omitempty"`
	Assumptions  []string            `json:"assumptions,omitempty"`
}

func (q *question) whoCan(w *openWorld, asked world.Question, found []world.Finding) error {
	out := []jsonFinding{}
	sure := 0
	for i := range found {
		f := &found[i]
		j := jsonFinding{Kind: f.Kind, Principal: f.Principal, Verdict: f.Verdict, Via: f.Via}
		if a := f.Answer(); a != nil {
			full := jsonAnswerOf(a, w.places)
			j.Statements, j.Requirements, j.Assumptions = full.Statements, full.Requirements, full.Assumptions
		}
		if f.Verdict == eval.Allowed {
			sure++
		}
		out = append(out, j)
	}
	if q.asJSON {
		if err := printJSON(q.streams.Out, out); err != nil {
			return &exitError{ExitInternal, err}
		}
	} else {
		q.printFindings(asked, out, sure)
	}
	switch {
	case sure > 0:
		return nil
	case len(out) > 0:
		return &exitError{code: ExitUndetermined}
	}
	return &exitError{code: ExitNo}
}

func (q *question) printFindings(asked world.Question, found []jsonFinding, sure int) {
	w := q.streams.Out
	if len(found) == 0 {
		fmt.Fprintf(w, "nobody in this world may %s on %s\n", asked.Action, asked.Resource)
		return
	}
	for _, verdict := range []eval.Verdict{eval.Allowed, eval.Depends} {
		if verdict == eval.Allowed && sure > 0 {
			fmt.Fprintf(w, "%d may %s on %s:\n", sure, asked.Action, asked.Resource)
		}
		if verdict == eval.Depends && sure < len(found) {
			fmt.Fprintf(w, "for %d it depends:\n", len(found)-sure)
		}
		for _, f := range found {
			if f.Verdict != verdict {
				continue
			}
			kind := ""
			if f.Kind != world.FindPrincipal {
				kind = fmt.Sprintf(" (%s)", f.Kind)
			}
			if len(f.Via) > 0 {
				kind += ", by assuming " + strings.Join(f.Via, ", then ")
			}
			fmt.Fprintf(w, "  %s%s\n", f.Principal, kind)
			for _, r := range f.Requirements {
				fmt.Fprintf(w, "      %s\n", r)
			}
		}
	}
}

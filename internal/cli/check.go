package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/grant"
)

func newCheck(streams Streams) *cobra.Command {
	var asJSON bool
	var worldFile string
	var values []string
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Show that an access manifest gives what it says, and nothing beside it",
		Long: `Compile an access manifest and evaluate the compiled policies, without any AWS
account. Every request that a grant declares must be allowed. Its neighbours must
be denied, by each account's policies alone, whatever the other account allows:
another action, another resource, another stage, the same role in another
account, another role of the account, a condition that does not hold. Every
policy is linted.

With --world, what exists already takes part: service control policies, resource
control policies, permissions boundaries, other policies of the roles, and Deny
statements in the policies of resources. A grant that they block is named with
the statement that blocks it. Deny statements that deploying would remove from
the policy of a resource are named too: keep them with "keep" in the manifest.

Ids that the manifest finds elsewhere (id_from) are known when the plan is
deployed. --value gives them for --world; without it, a grant on such a resource is
undetermined where the world has a policy that the resource could have already.

Exit code 0 if all of this is so, 1 if not, and 3 if it is so as far as the world
says, but something that matters is not in it. Warnings of the linter are shown
and do not count.`,
		Example: `  crossaccount check
  crossaccount check access.yaml --json
  crossaccount check --world world.json
  crossaccount check --world world.json --value orders-api.prod=a1b2c3d4e5`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(values) > 0 && worldFile == "" {
				return &exitError{ExitUsage, errors.New("--value is for --world: without one, ids do not matter")}
			}
			plan, err := compileManifest(streams, manifestArgument(args), grant.CloudFormation)
			if err != nil {
				return err
			}
			report, err := plan.Check()
			if err != nil {
				return &exitError{ExitInternal, err}
			}
			out := checkOutput{Report: report}
			if worldFile != "" {
				if out.World, err = checkWorld(streams, plan, worldFile, values); err != nil {
					return err
				}
			}
			if asJSON {
				err = printJSON(streams.Out, out)
			} else {
				printGrantReport(streams.Out, report)
				if out.World != nil {
					printWorldReport(streams.Out, out.World)
				}
			}
			switch {
			case err != nil:
				return err
			case !report.OK() || out.World != nil && !out.World.OK():
				return &exitError{code: ExitNo}
			case out.World != nil && len(out.World.Undetermined) > 0:
				return &exitError{code: ExitUndetermined}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&worldFile, "world", "", "snapshot `file` of what exists already, see crossaccount world --help")
	c.Flags().StringArrayVar(&values, "value", nil, "the id of a resource with id_from, as `RESOURCE[.STAGE]=ID`")
	completeFlag(c, "world", func(string) ([]string, cobra.ShellCompDirective) {
		return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
	})
	return c
}

// A checkOutput is what check --json prints.
type checkOutput struct {
	*grant.Report
	World *grant.WorldReport `json:"world,omitempty"`
}

// checkWorld asks whether what exists lets the plan work, and finds the lines of
// the statements it names.
func checkWorld(streams Streams, plan *grant.Plan, name string, values []string) (*grant.WorldReport, error) {
	ids := map[string]string{}
	for _, v := range values {
		resource, id, ok := strings.Cut(v, "=")
		if !ok || resource == "" || id == "" {
			return nil, &exitError{ExitUsage, fmt.Errorf("--value %s: must be RESOURCE=ID or RESOURCE.STAGE=ID", v)}
		}
		ids[resource] = id
	}
	snapshot, data, err := readWorld(name, streams)
	if err != nil {
		return nil, &exitError{ExitUsage, err}
	}
	report, err := plan.CheckWorld(snapshot, ids)
	if wrong := (*grant.IDError)(nil); errors.As(err, &wrong) {
		return nil, &exitError{ExitUsage, fmt.Errorf("--value %w", err)}
	}
	if err != nil {
		return nil, &exitError{ExitUsage, fmt.Errorf("%s: %w", name, err)}
	}
	lines := newPlaces(name, data)
	for i := range report.Blocked {
		for k := range report.Blocked[i].By {
			if b := &report.Blocked[i].By[k]; b.Reference != nil {
				b.Place = lines.of(*b.Reference, b.Owners...)
			}
		}
	}
	for i := range report.Removed {
		r := &report.Removed[i]
		r.Place = lines.of(*r.Reference, r.Resource)
	}
	return report, nil
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

func printWorldReport(w io.Writer, r *grant.WorldReport) {
	for _, b := range r.Blocked {
		fmt.Fprintf(w, "%s in %s: blocked for %s\n  %s on %s\n", b.Grant, b.Stage, b.Principal, strings.Join(b.Actions, ", "), strings.Join(b.Resources, ", "))
		for _, by := range b.By {
			fmt.Fprintf(w, "  by %s\n", describeBlock(&by))
			if by.Because != "" {
				fmt.Fprintf(w, "    %s\n", by.Because)
			}
		}
	}
	for _, u := range r.Undetermined {
		fmt.Fprintf(w, "%s in %s: undetermined for %s\n  %s\n", u.Grant, u.Stage, u.Principal, strings.Join(u.Actions, ", "))
		for _, h := range u.Hangs {
			fmt.Fprintf(w, "  hangs on: %s\n", h)
		}
	}
	for _, m := range r.Removed {
		fmt.Fprintf(w, "the %s would replace the policy of %s and remove its %s statement %s; write it under keep if it must stay\n",
			m.Document, m.Resource, m.Effect, statementName(m.Statement, m.Sid, m.Place))
	}
	for _, a := range r.Assumptions {
		fmt.Fprintf(w, "assumed: %s\n", a)
	}
	fmt.Fprintf(w, "in the world: %d declared requests allowed, %d groups blocked, %d undetermined, %d existing statements removed\n", r.Allowed, len(r.Blocked), len(r.Undetermined), len(r.Removed))
}

// describeBlock names the policies of a block, where they are attached, and the
// statement.
func describeBlock(b *grant.Block) string {
	var s strings.Builder
	fmt.Fprintf(&s, "the %s", b.Layer)
	if b.Statement < 0 && len(b.Policies) > 1 {
		fmt.Fprintf(&s, " layer (%s)", strings.Join(b.Policies, ", "))
	} else if len(b.Policies) > 0 {
		fmt.Fprintf(&s, " %q", strings.Join(b.Policies, ", "))
	}
	if b.Attached != "" {
		fmt.Fprintf(&s, " of %s", b.Attached)
	}
	if b.Statement < 0 {
		return s.String() + ", which has no statement that allows it"
	}
	return s.String() + ", statement " + statementName(b.Statement, b.Sid, b.Place)
}

func statementName(n int, sid, at string) string {
	s := fmt.Sprint(n)
	if sid != "" {
		s += " (" + sid + ")"
	}
	if at != "" {
		s += " at " + at
	}
	return s
}

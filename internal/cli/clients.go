package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/grant"
)

func newClients(streams Streams) *cobra.Command {
	var o grant.ClientOptions
	var out string
	var asJSON bool
	languages := grant.ClientLanguages()
	c := &cobra.Command{
		Use:   "clients [FILE]",
		Short: "Write what consumers' programs need to use their access",
		Long: `Write, for every consumer and stage of an access manifest, what its programs
need to use what was granted: a profile for ~/.aws/config, modules for Node.js,
Python, Go and .NET whose credentials renew themselves, with signed requests for
APIs, and the consumer's role for the AWS CDK.

The modules follow how the access is given. With a resource policy they keep the
consumer's own credentials and use full ARNs and addresses; with a role they
assume it, with the external ID where one was agreed. What only AWS knows, such
as the id of an API that the plan creates, they take from an environment
variable, which they name.

With -o everything goes into a folder, with a README.md for each consumer and
stage. With --language one language goes to standard output.

Languages: ` + strings.Join(languages, ", ") + ".",
		Example: `  crossaccount clients -o clients
  crossaccount clients --language python --consumer analytics --stage prod
  crossaccount clients access.yaml --language aws-config --grant analytics-reads-orders`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" && o.Language == "" && !asJSON {
				return &exitError{ExitUsage, fmt.Errorf("say where the files go with -o FOLDER, or which language to print with --language: %s", strings.Join(languages, ", "))}
			}
			plan, err := compileManifest(streams, manifestArgument(args), "")
			if err != nil {
				return err
			}
			if err := knownClients(plan, o); err != nil {
				return &exitError{ExitUsage, err}
			}
			files, err := plan.Clients(o)
			if err != nil {
				return &exitError{ExitUsage, err}
			}
			if len(files) == 0 {
				return &exitError{ExitNo, fmt.Errorf("nothing is selected: no grant has all that was asked for")}
			}
			switch {
			case asJSON:
				return printJSON(streams.Out, clientFiles(files))
			case out == "":
				return printFiles(streams.Out, files)
			}
			if err := writeFiles(out, files); err != nil {
				return &exitError{ExitUsage, err}
			}
			fmt.Fprintf(streams.Out, "%s in %s\n", count(len(files), "file"), out)
			return nil
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "", "`folder` to write to")
	f.StringVar(&o.Language, "language", "", "only this `language`: "+strings.Join(languages, ", "))
	f.StringVar(&o.Consumer, "consumer", "", "only this `consumer`")
	f.StringVar(&o.Stage, "stage", "", "only this `stage`, of the resource or of the consumer")
	f.StringVar(&o.Grant, "grant", "", "only this `grant`")
	f.DurationVar(&o.Session, "session", time.Hour, "how long sessions of assumed roles last, 15m to 1h")
	f.BoolVar(&asJSON, "json", false, "print the files as JSON")
	fixedValues(c, "language", languages...)
	return c
}

// knownClients refuses filters that select nothing because nothing has that name.
func knownClients(plan *grant.Plan, o grant.ClientOptions) error {
	m := plan.Matrix()
	if err := knownNames(m, grant.MatrixFilter{Consumer: o.Consumer, Stage: o.Stage}); err != nil {
		return err
	}
	var names []string
	for _, g := range plan.Grants { // one for each stage
		if !slices.Contains(names, g.Grant) {
			names = append(names, g.Grant)
		}
	}
	return knownName("grant", o.Grant, names)
}

type clientFile struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

func clientFiles(files []grant.File) []clientFile {
	out := make([]clientFile, len(files))
	for i, f := range files {
		out[i] = clientFile{f.Path, string(f.Data)}
	}
	return out
}

// printFiles prints one file as it is, and several under their names.
func printFiles(w io.Writer, files []grant.File) error {
	for _, f := range files {
		if len(files) > 1 {
			if _, err := fmt.Fprintf(w, "-- %s --\n", f.Path); err != nil {
				return err
			}
		}
		if _, err := w.Write(f.Data); err != nil {
			return err
		}
	}
	return nil
}

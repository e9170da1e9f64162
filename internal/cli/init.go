package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/grant"
)

func newInit(streams Streams) *cobra.Command {
	var schema bool
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write an access manifest to begin with",
		Long: `Write crossaccount.yaml, or another file, with a commented manifest to begin
with: two teams, three stages, a stream and a bucket. It compiles as it is;
replace the accounts and names by yours. A file that exists is left alone.

With --schema the JSON schema of manifests is printed instead, for editors.`,
		Example: `  crossaccount init
  crossaccount init --schema > crossaccount.schema.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if schema {
				_, err := streams.Out.Write(grant.Schema())
				return err
			}
			name := manifestArgument(args)
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, os.ErrExist) {
				return &exitError{ExitUsage, fmt.Errorf("%s exists already; give another name", name)}
			}
			if err != nil {
				return &exitError{ExitUsage, err}
			}
			_, err = f.Write(grant.Starter())
			if err := errors.Join(err, f.Close()); err != nil {
				return &exitError{ExitInternal, errors.Join(err, os.Remove(name))}
			}
			fmt.Fprintf(streams.Out, "wrote %s; next: crossaccount compile\n", name)
			return nil
		},
	}
	c.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of manifests")
	return c
}

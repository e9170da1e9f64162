package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/world"
)

func newWorld(streams Streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "world",
		Short: "Make and check world.json, the snapshot that can and who-can ask",
		Long: `Make a world.json from what the aws command prints. A world is one file with the
accounts, their organisation, principals and resources that questions are about.

In each account, what there is in IAM:

  aws iam get-account-authorization-details --profile dev  > dev.json
  aws iam get-account-authorization-details --profile data > data.json

The policy of each resource that matters, of a bucket for example:

  aws s3api get-bucket-policy --bucket data --profile data > bucket.json

Then merge them. What an output does not say itself, its subject, is written
before it; buckets do not show their account either:

  crossaccount world import dev.json data.json
  crossaccount world import arn:aws:s3:::data=bucket.json --owner 444455556666
  crossaccount can arn:aws:iam::111122223333:role/reader s3:GetObject arn:aws:s3:::data/a.txt

Importing again replaces what is there, so a script may do it every night. See
docs/world.md for all commands whose output is understood, and the format.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newWorldImport(streams), newWorldValidate(streams), newWorldSchema(streams))
	return c
}

func newWorldImport(streams Streams) *cobra.Command {
	var into, owner string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import [SUBJECT=]FILE…",
		Short: "Merge what the aws command printed into world.json",
		Long: `Merge outputs of the aws command (--output json) into a world.json, which is made
if it is not there. The kind of output is recognised by its fields.

SUBJECT is what the command was asked about, where its output does not say so:
the ARN of the resource for resource policies and tags, the id of the target for
"organizations list-policies-for-target", the id of the parent for
"organizations list-accounts-for-parent". A policy document alone is an output
too. FILE may be - for standard input.

If one of the files cannot be merged, the world stays as it was.`,
		Example: `  aws iam get-account-authorization-details | crossaccount world import -
  crossaccount world import dev.json data.json arn:aws:s3:::data=bucket.json --owner 444455556666
  aws sqs get-queue-attributes --queue-url "$URL" --attribute-names All | crossaccount world import -`,
		Args: cobra.MinimumNArgs(1),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print what the world has now as JSON")
	c.Flags().StringVar(&into, "world", defaultWorld, "snapshot `file` to merge into")
	c.Flags().StringVar(&owner, "owner", "", "`account` that owns the subjects whose ARNs do not show it, such as buckets")
	c.RunE = func(_ *cobra.Command, files []string) error {
		if owner != "" {
			if _, err := iam.ParseAccountID(owner); err != nil {
				return &exitError{ExitUsage, fmt.Errorf("--owner: %w", err)}
			}
		}
		snapshot, _, err := readWorld(into, streams)
		if errors.Is(err, fs.ErrNotExist) {
			snapshot, err = &world.Snapshot{Format: world.Format}, nil
		}
		if err != nil {
			return &exitError{ExitUsage, err}
		}
		if strings.HasSuffix(into, ".yaml") || strings.HasSuffix(into, ".yml") {
			return &exitError{ExitUsage, fmt.Errorf("%s: a world in YAML is read, not written; import into a .json file", into)}
		}
		for _, argument := range files {
			subject, name := splitSubject(argument)
			data, err := readInput(name, streams, maxWorldSize)
			if err != nil {
				return &exitError{ExitUsage, err}
			}
			if err := snapshot.Add(data, subject, iam.AccountID(owner)); err != nil {
				if subject == "" && strings.Contains(err.Error(), "name its ARN") {
					err = fmt.Errorf("%w before the file, as in arn:aws:s3:::data=%s", err, name)
				}
				return &exitError{ExitUsage, fmt.Errorf("%s: %w", name, err)}
			}
		}
		if err := writeWorld(into, snapshot); err != nil {
			return &exitError{ExitUsage, err}
		}
		return printSize(streams, asJSON, into, snapshot)
	}
	return c
}

// splitSubject takes SUBJECT=FILE apart. Subjects are ARNs or ids of AWS
// Organizations; other text before a = is part of a file's name.
func splitSubject(argument string) (subject, file string) {
	subject, file, ok := strings.Cut(argument, "=")
	if !ok {
		return "", argument
	}
	for _, prefix := range []string{"arn:", "r-", "ou-", "o-"} {
		if strings.HasPrefix(subject, prefix) {
			return subject, file
		}
	}
	if _, err := iam.ParseAccountID(subject); err == nil {
		return subject, file
	}
	return "", argument
}

// writeWorld replaces a file as a whole.
func writeWorld(name string, s *world.Snapshot) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".world-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has been renamed
	err = errors.Join(s.Write(f), f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// printSize says how much a world has.
func printSize(streams Streams, asJSON bool, name string, s *world.Snapshot) error {
	size := struct {
		File            string `json:"file"`
		Accounts        int    `json:"accounts"`
		Roles           int    `json:"roles"`
		Users           int    `json:"users"`
		Groups          int    `json:"groups"`
		Policies        int    `json:"policies"`
		Resources       int    `json:"resources"`
		ControlPolicies int    `json:"control_policies"`
	}{name, len(s.Accounts), len(s.Roles), len(s.Users), len(s.Groups), len(s.Policies), len(s.Resources), len(s.ControlPolicies)}
	if asJSON {
		return printJSON(streams.Out, size)
	}
	_, err := fmt.Fprintf(streams.Out, "%s: %d accounts, %d roles, %d users, %d groups, %d managed policies, %d resources, %d control policies\n",
		name, size.Accounts, size.Roles, size.Users, size.Groups, size.Policies, size.Resources, size.ControlPolicies)
	return err
}

func newWorldValidate(streams Streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check a snapshot, and say what is in it",
		Long: `Read a snapshot as strictly as the questions do, and say with line and path what
is wrong with it. Without FILE it is ./world.json.`,
		Example: `  crossaccount world validate
  crossaccount world validate accounts/world.json`,
		Args: cobra.MaximumNArgs(1),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print what is in it as JSON")
	c.RunE = func(_ *cobra.Command, args []string) error {
		name := defaultWorld
		if len(args) == 1 {
			name = args[0]
		}
		snapshot, _, err := readWorld(name, streams)
		if err != nil {
			return &exitError{ExitUsage, err}
		}
		if _, err := world.Compile(snapshot); err != nil {
			return &exitError{ExitUsage, fmt.Errorf("%s: %w", name, err)}
		}
		return printSize(streams, asJSON, name, snapshot)
	}
	return c
}

func newWorldSchema(streams Streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON schema of world.json",
		Long:    `Print the JSON schema of world.json, for editors and other programs.`,
		Example: `  crossaccount world schema > world.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := streams.Out.Write(world.Schema)
			return err
		},
	}
	c.Flags().Bool("json", true, "the schema is JSON in any case")
	return c
}

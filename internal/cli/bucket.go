package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/server"
)

// A bucketChanges is what --json prints of a template bucket.
type bucketChanges struct {
	Bucket    string   `json:"bucket"`
	AccountID string   `json:"account_id"`
	Region    string   `json:"region"` // of a bucket that is created
	Applied   bool     `json:"applied"`
	Changes   []string `json:"changes"` // made, or to be made
}

func newBucket(streams Streams) *cobra.Command {
	var asJSON, apply bool
	c := &cobra.Command{
		Use:   "bucket",
		Short: "Show what the template bucket lacks, and with --apply create or mend it",
		Long: `Launch links point to templates in a bucket of the vendor's. It must keep all
versions, encrypt, refuse plain HTTP, let nobody overwrite or delete a template, and
let customers' accounts read them. This command says what would have to change, and
with --apply changes it; statements of others in the bucket's policy stay. A bucket
of another account is refused.

It uses the AWS credentials of the shell, which are meant to be an administrator's:
the server itself needs none of these permissions. The bucket is service.template_s3_bucket
of the configuration; see "crossaccount serve --help" for all settings.

The exit code is 0 if nothing is missing or everything was done, and 1 if something
would change.`,
		Example: `  crossaccount bucket --service-name Example --service-account-id 111122223333 --template-s3-bucket example-templates
  crossaccount bucket --config /etc/crossaccount/server.yaml --apply`,
		Args: cobra.NoArgs,
	}
	read := configFlags(c)
	c.Flags().BoolVar(&apply, "apply", false, "make the changes")
	c.Flags().BoolVar(&asJSON, "json", false, "print the changes as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := read()
		if err != nil {
			return err
		}
		bucket, err := server.NewTemplateBucket(c.Context(), config)
		if err != nil {
			return err
		}
		progress := startProgress(streams.Err)
		defer progress.stop()
		do := bucket.Plan
		if progress.say("looking at bucket " + bucket.Name); apply {
			progress.say("setting up bucket " + bucket.Name)
			do = bucket.Prepare
		}
		changes, failed := do(c.Context())
		progress.stop()
		if changes == nil {
			changes = []string{}
		}
		if asJSON {
			err = printJSON(streams.Out, bucketChanges{bucket.Name, bucket.AccountID, bucket.Region, apply, changes})
		} else {
			printBucketChanges(streams, bucket, apply, changes, failed)
		}
		switch {
		case failed != nil:
			return errors.Join(withCause(failed), err)
		case err == nil && len(changes) > 0 && !apply:
			return &exitError{ExitNo, fmt.Errorf("changes to be made: %d; run the command again with --apply", len(changes))}
		}
		return err
	}
	completeConfig(c)
	return c
}

func printBucketChanges(streams Streams, bucket *server.TemplateBucket, applied bool, changes []string, failed error) {
	if len(changes) == 0 && failed == nil {
		fmt.Fprintf(streams.Out, "Bucket %s of account %s is as templates need it.\n", bucket.Name, bucket.AccountID)
		return
	}
	verb := "would"
	if applied {
		verb = "did"
	}
	for _, change := range changes {
		fmt.Fprintf(streams.Out, "%s: %s %s\n", bucket.Name, verb, change)
	}
}

// withCause adds AWS's error code to an error of the operator's own account. It
// is safe to show: it quotes nothing.
func withCause(err error) error {
	var ours *crossaccount.Error
	if errors.As(err, &ours) && ours.Cause() != nil {
		return &exitError{exitCode(err), crossaccount.NewError(ours.Code, ours.Message+" ("+ours.Cause().Error()+")", ours.Remedy, nil)}
	}
	return err
}

package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/server"
)

// An issuedTemplate is what --json prints.
type issuedTemplate struct {
	Format   crossaccount.TemplateFormat `json:"format"`
	SHA256   string                      `json:"sha256"` // of the document, in hex
	Document string                      `json:"document"`
	Warnings []crossaccount.Warning      `json:"warnings"` // empty with --server, whose log has them
}

func newTemplate(streams Streams) *cobra.Command {
	var serviceName, accountID, configFile, format string
	o := &operator{streams: streams}
	c := &cobra.Command{
		Use:   "template --service-name NAME --service-account-id ID",
		Short: "Print the template of the customer's role",
		Long: `Print the stack that a customer creates to give a vendor access: an IAM role
that trusts the vendor's account with an external ID, with the permissions of
the configuration.

The configuration is a JSON or YAML file. Flags override it:

  service_name: Example
  service_account_id: "111122223333"
  ongoing_permissions:
    - sid: ReadReports
      actions: [s3:GetObject]
      resources: ["arn:aws:s3:::*-reports/*"]
  setup_permissions:
    - actions: [s3:ListAllMyBuckets]
      resources: ["*"]

With --server it is the template that a running server gives to its customers.

Warnings go to standard error; the template alone goes to standard output. With
--json the output is an object with format, sha256, document and warnings.`,
		Example: `  crossaccount template --service-name Example --service-account-id 111122223333
  crossaccount template --config service.yaml --format terraform > main.tf.json
  crossaccount template --server http://127.0.0.1:8080 --format cli > create-role.sh`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			issued := issuedTemplate{Format: crossaccount.TemplateFormat(format), Warnings: []crossaccount.Warning{}}
			var document []byte
			var err error
			if o.server == "" {
				document, issued.Warnings, err = buildTemplate(streams.In, configFile, serviceName, accountID, issued.Format)
			} else if configFile != "" || serviceName != "" || accountID != "" {
				err = &exitError{ExitUsage, errors.New("--server: the server has its own configuration; leave --config, --service-name and --service-account-id out")}
			} else {
				err = o.run(func(ctx context.Context, client *api.Client, _ []string) (err error) {
					document, err = client.Template(ctx, issued.Format)
					return err
				})(c, args)
			}
			if err != nil {
				return err
			}
			if o.json {
				sum := sha256.Sum256(document)
				issued.SHA256, issued.Document = hex.EncodeToString(sum[:]), string(document)
				return printJSON(streams.Out, issued)
			}
			for _, w := range issued.Warnings {
				fmt.Fprintln(streams.Err, "warning:", w)
			}
			_, err = streams.Out.Write(document)
			return err
		},
	}
	c.Flags().StringVar(&serviceName, "service-name", "", "name of the vendor's service, as customers know it")
	c.Flags().StringVar(&accountID, "service-account-id", "", "the vendor's AWS account, twelve digits")
	c.Flags().StringVar(&configFile, "config", "", "configuration `file`, JSON or YAML; - for standard input")
	c.Flags().StringVar(&format, "format", string(crossaccount.FormatCloudFormation), "cloudformation, terraform or cli")
	c.Flags().StringVar(&o.server, "server", "", "`URL` of a server, whose template it is")
	c.Flags().StringVar(&o.tokenFile, "token-file", "", "with --server: `file` with the operator token")
	c.Flags().BoolVar(&o.json, "json", false, "print the template within a JSON object")
	fixedValues(c, "format", string(crossaccount.FormatCloudFormation), string(crossaccount.FormatTerraform), string(crossaccount.FormatScript))
	completeConfig(c)
	return c
}

// buildTemplate makes the template of a configuration.
func buildTemplate(stdin io.Reader, configFile, serviceName, accountID string, format crossaccount.TemplateFormat) ([]byte, []crossaccount.Warning, error) {
	config, options, err := readConfig(configFile, stdin)
	if err != nil {
		return nil, nil, err
	}
	if serviceName != "" {
		config.ServiceName = serviceName
	}
	if accountID != "" {
		config.ServiceAccountID = accountID
	}
	// The warnings that matter here are about the template; the caller has them.
	options = append(options, crossaccount.WithLogger(slog.New(slog.DiscardHandler)))
	client, err := crossaccount.New(config, options...)
	if err != nil {
		return nil, nil, err
	}
	document, err := client.Template(format)
	return document, append([]crossaccount.Warning{}, client.Warnings()...), err
}

// fixedValues completes a flag from a fixed set of values.
func fixedValues(c *cobra.Command, flag string, values ...string) {
	completeWith(c, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func completeWith(c *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // the flag does not exist
	}
}

// maxConfigSize is far more than any configuration needs, in bytes.
const maxConfigSize = 4 << 20

// readConfig reads a configuration file in JSON or YAML. Without a name the
// configuration is empty.
func readConfig(name string, stdin io.Reader) (*crossaccount.Config, []crossaccount.Option, error) {
	if name == "" {
		return &crossaccount.Config{}, nil, nil
	}
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, &exitError{ExitUsage, err}
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxConfigSize+1))
	if err != nil {
		return nil, nil, &exitError{ExitUsage, err}
	}
	if len(data) > maxConfigSize {
		return nil, nil, &exitError{ExitUsage, fmt.Errorf("%s: larger than %d bytes", name, maxConfigSize)}
	}
	if data, err = server.ReadDocument(name, data); err != nil {
		return nil, nil, &exitError{ExitUsage, fmt.Errorf("%s: %w", name, err)}
	}
	config, options, err := crossaccount.ParseConfig(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return config, options, nil
}

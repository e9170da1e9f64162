package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/server"
)

func newTemplate(streams Streams) *cobra.Command {
	var serviceName, accountID, configFile, format string
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

Warnings go to standard error; the template alone goes to standard output.`,
		Example: `  crossaccount template --service-name Example --service-account-id 111122223333
  crossaccount template --config service.yaml --format terraform > main.tf.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			config, options, err := readConfig(configFile, streams.In)
			if err != nil {
				return err
			}
			if serviceName != "" {
				config.ServiceName = serviceName
			}
			if accountID != "" {
				config.ServiceAccountID = accountID
			}
			// The warnings that matter here are about the template; they are
			// printed below.
			options = append(options, crossaccount.WithLogger(slog.New(slog.DiscardHandler)))
			client, err := crossaccount.New(config, options...)
			if err != nil {
				return err
			}
			document, err := client.Template(crossaccount.TemplateFormat(format))
			if err != nil {
				return err
			}
			for _, w := range client.Warnings() {
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
	fixedValues(c, "format", string(crossaccount.FormatCloudFormation), string(crossaccount.FormatTerraform), string(crossaccount.FormatScript))
	return c
}

// fixedValues completes a flag from a fixed set of values.
func fixedValues(c *cobra.Command, flag string, values ...string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
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

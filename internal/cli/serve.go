package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/internal/server"
)

// configFlags registers flags for the server's settings with these keys, for all if
// none is named, and returns what reads the configuration with those that were given.
func configFlags(c *cobra.Command, keys ...string) func() (*server.Config, error) {
	flags := c.Flags()
	file := flags.String("config", "", "configuration `file`, JSON or YAML; "+server.ConfigFile+" if it exists")
	for _, s := range server.Settings() {
		if s.Flag == "" || len(keys) > 0 && !slices.Contains(keys, s.Key) {
			continue
		}
		help := s.Help
		if s.Default != "" && !s.Switch {
			help += " (default " + s.Default + ")"
		}
		if s.Switch {
			flags.Bool(s.Flag, false, s.Help)
		} else {
			flags.String(s.Flag, "", help)
		}
	}
	return func() (*server.Config, error) {
		given := map[string]string{}
		for _, s := range server.Settings() {
			if flag := flags.Lookup(s.Flag); flag != nil && flag.Changed {
				given[s.Flag] = flag.Value.String()
			}
		}
		return server.ReadConfig(server.Source{File: *file, Lookup: os.LookupEnv, Flags: given})
	}
}

func newServe(streams Streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the JSON API and the customer's page",
		Long: `Serve the JSON API and the customer's page until interrupted.

The first start makes a database and a key file. Everything that customers were
given depends on both: back them up, apart from each other.

Settings come from the configuration file (server.yaml, or --config), from the
environment (CROSSACCOUNT_ and the name in capitals) and from flags; later ones
win. The file also holds the vendor's service:

  listen: 127.0.0.1:8080
  service:
    service_name: Example
    service_account_id: "111122223333"
    template_s3_bucket: example-templates
    ongoing_permissions:
      - sid: ReadReports
        actions: [s3:GetObject]
        resources: ["arn:aws:s3:::*-reports/*"]

AWS credentials are those of the environment the process runs in. Others than
this machine are served only with an operator token. "crossaccount doctor" says
what is missing.`,
		Example: `  crossaccount serve --config /etc/crossaccount/server.yaml
  CROSSACCOUNT_OPERATOR_TOKEN=$(cat token) crossaccount serve --listen 0.0.0.0:8080`,
		Args: cobra.NoArgs,
	}
	read := configFlags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the address as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := read()
		if err != nil {
			return err
		}
		// Starting is not cancelled half-way by an interrupt, but ends after it.
		s, err := server.New(context.WithoutCancel(c.Context()), config, server.NewLogger(streams.Err, config.LogLevel))
		if err != nil {
			return err
		}
		return s.Run(c.Context(), func(address net.Addr) {
			scheme := "http"
			if config.TLSCertificateFile != "" {
				scheme = "https"
			}
			started := servedAt{scheme + "://" + address.String(), s.CredentialsEndpoint()}
			if asJSON {
				_ = json.NewEncoder(streams.Out).Encode(started) // nobody reads it
				return
			}
			started.print(streams.Out)
		})
	}
	completeConfig(c)
	return c
}

// servedAt is where a server is.
type servedAt struct {
	URL         string `json:"url"`
	Credentials string `json:"credentials_endpoint,omitempty"` // as --endpoint takes it
}

func (at servedAt) print(w io.Writer) {
	fmt.Fprintf(w, "The server is at %s\n\n  %s/connect       the customer's page\n  %s/openapi.json  the API\n  %s/readyz        whether it works\n", at.URL, at.URL, at.URL, at.URL)
	switch {
	case at.Credentials == "":
	case strings.HasPrefix(at.Credentials, "unix:"):
		fmt.Fprintf(w, "\nPrograms get customers' credentials at %s, with --endpoint of exec and others\nand a token of \"crossaccount token issue\".\n", at.Credentials)
	default:
		fmt.Fprintf(w, "\nPrograms get customers' credentials at http://%s/credentials/CUSTOMER, with a\ntoken of \"crossaccount token issue\".\n", at.Credentials)
	}
	fmt.Fprint(w, "\nInterrupt to stop.\n")
}

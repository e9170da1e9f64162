package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/server"
)

// readyTimeout is longer than a server takes to find out that it is not ready.
const readyTimeout = 10 * time.Second

func newStatus(streams Streams) *cobra.Command {
	o := &operator{streams: streams}
	c := &cobra.Command{
		Use:   "status",
		Short: "Ask a running server whether it can work",
		Long: `Ask a running server whether it is ready: whether it answers, has its database,
and is not about to stop. No token is needed. Load balancers ask GET /readyz.

The exit code is 0 if the server is ready, and 3 if it is not or cannot be reached.
"crossaccount doctor" looks for the cause on the server's own machine.`,
		Example: `  crossaccount status --server http://127.0.0.1:8080`,
		Args:    cobra.NoArgs,
		RunE: o.run(func(ctx context.Context, client *api.Client, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, readyTimeout)
			defer cancel()
			progress := startProgress(streams.Err)
			defer progress.stop()
			progress.say("asking the server")
			if err := client.Ready(ctx); err != nil {
				return err
			}
			progress.stop()
			return o.result(api.Health{Status: "ok"}, func(w io.Writer) { fmt.Fprintln(w, "The server is ready.") })
		}),
	}
	c.Flags().StringVar(&o.server, "server", "", "`URL` of the server (default CROSSACCOUNT_SERVER, else http://127.0.0.1:8080)")
	c.Flags().BoolVar(&o.json, "json", false, "print the answer as JSON")
	return c
}

func newVersion(streams Streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    `Print the version of this program, and what it was built with and for.`,
		Example: `  crossaccount version --json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !asJSON {
				_, err := fmt.Fprintf(streams.Out, "crossaccount %s (%s, %s/%s)\n", server.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
			return printJSON(streams.Out, struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{server.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the version as JSON")
	return c
}

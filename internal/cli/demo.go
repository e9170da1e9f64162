package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/server"
	"github.com/crossaccount/crossaccount/sandbox"
)

func newDemo(streams Streams) *cobra.Command {
	var (
		once, asJSON          bool
		listen, serviceListen string
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "Onboard a customer's AWS account end to end, without any AWS account",
		Long: `Onboard a customer's AWS account end to end in a sandbox with a vendor and two
customers: the launch link, the stack, verification with the calls that must be
refused, use of the customer's data, and the attacks that must fail. Every call
is a real AWS SDK call that the sandbox verifies and authorises.

Afterwards the sandbox, and the vendor's page and API over it, stay open for
exploring until interrupted. With --once the story runs unattended; the exit code
is 0 only if every step went as expected.

With --json every line of the output is an object: one of type "step" for each
step with its outcome, then one of type "summary", and without --once one of
type "serving" with the addresses and the credentials.`,
		Example: `  crossaccount demo
  crossaccount demo --once
  crossaccount demo --once --json | jq -r 'select(.type == "step") | .outcome + " " + .title'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			box := sandbox.New(sandbox.Options{})
			story := &story{box: box, out: streams.Out, json: asJSON}
			started := time.Now()
			if err := story.run(c.Context()); err != nil {
				return err
			}
			if asJSON {
				if err := printJSONLine(streams.Out, storySummary{"summary", "passed", len(box.Calls()), story.refusals(), time.Since(started).Seconds()}); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(streams.Out, "\nEvery step went as expected: %d API calls, %d of them refused, in %s.\n",
					len(box.Calls()), story.refusals(), time.Since(started).Round(time.Millisecond))
			}
			if once {
				return nil
			}
			return story.explore(c.Context(), streams, listen, serviceListen)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "run the story and exit")
	c.Flags().BoolVar(&asJSON, "json", false, "print every step as a line of JSON")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:4566", "loopback address of the sandbox; port 0 picks a free one")
	c.Flags().StringVar(&serviceListen, "service-listen", "127.0.0.1:8080", "loopback address of the vendor's page and API; port 0 picks a free one")
	return c
}

// A storySummary is what --json prints of the whole story.
type storySummary struct {
	Type     string  `json:"type"`      // summary
	Outcome  string  `json:"outcome"`   // passed; a story that failed has none
	APICalls int     `json:"api_calls"` // made with the AWS SDK
	Refused  int     `json:"refused"`   // of these
	Seconds  float64 `json:"seconds"`
}

// explore serves the sandbox, and the vendor's page and API, until the context
// ends.
func (s *story) explore(ctx context.Context, streams Streams, listen, serviceListen string) error {
	site, err := server.NewSite(s.client, server.SiteOptions{
		Authenticate: api.Trusting(), LoopbackNamesOnly: true, Logger: slog.New(slog.DiscardHandler), Version: server.Version(),
	})
	if err != nil {
		return err
	}
	sandboxListener, err := listenSomewhere(ctx, streams, listen)
	if err != nil {
		return err
	}
	siteListener, err := listenSomewhere(ctx, streams, serviceListen)
	if err != nil {
		return errors.Join(err, sandboxListener.Close())
	}
	url := "http://" + siteListener.Addr().String()
	sandboxURL := "http://" + sandboxListener.Addr().String()
	if s.json {
		err = printJSONLine(streams.Out, struct {
			Type    string        `json:"type"`
			URL     string        `json:"url"` // of the page and the API
			Sandbox servedSandbox `json:"sandbox"`
		}{"serving", url, served(sandboxURL, "", s.box)})
	} else {
		fmt.Fprintf(streams.Out, "\nExample's page for Acme is at %s/connect/acme, for another customer at %s/connect.\nIts API is described at %s/openapi.json; try: crossaccount integration list --server %s\n\n", url, url, url, url)
		printAccounts(streams.Out, sandboxURL, "", s.box)
	}
	if err != nil {
		return errors.Join(err, sandboxListener.Close(), siteListener.Close())
	}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- serve(ctx, sandboxListener, s.box) }()
	go func() { ended <- serve(ctx, siteListener, site) }()
	err = <-ended
	stop() // if one fails, the other makes no sense
	return errors.Join(err, <-ended, site.Close(context.WithoutCancel(ctx)))
}

// listenSomewhere prefers the given address. The usual one may be taken; any
// other does as well.
func listenSomewhere(ctx context.Context, streams Streams, address string) (net.Listener, error) {
	listener, err := listenLoopback(ctx, address)
	if err == nil {
		return listener, nil
	}
	fmt.Fprintf(streams.Err, "%v; choosing a free port\n", err)
	return listenLoopback(ctx, "127.0.0.1:0")
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/server"
	"github.com/crossaccount/crossaccount/sandbox"
)

func newDemo(streams Streams) *cobra.Command {
	var (
		once                  bool
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
is 0 only if every step went as expected.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			box := sandbox.New(sandbox.Options{})
			story := &story{box: box, out: streams.Out}
			started := time.Now()
			if err := story.run(c.Context()); err != nil {
				return err
			}
			fmt.Fprintf(streams.Out, "\nEvery step went as expected: %d API calls, %d of them refused, in %s.\n",
				len(box.Calls()), story.refusals(), time.Since(started).Round(time.Millisecond))
			if once {
				return nil
			}
			return explore(c.Context(), streams, listen, serviceListen, box, story.client)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "run the story and exit")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:4566", "loopback address of the sandbox; port 0 picks a free one")
	c.Flags().StringVar(&serviceListen, "service-listen", "127.0.0.1:8080", "loopback address of the vendor's page and API; port 0 picks a free one")
	return c
}

// explore serves the sandbox, and the vendor's page and API, until the context
// ends.
func explore(ctx context.Context, streams Streams, listen, serviceListen string, box *sandbox.Sandbox, client *crossaccount.Client) error {
	site, err := server.NewSite(client, server.SiteOptions{
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
	fmt.Fprintf(streams.Out, "\nExample's page for Acme is at %s/connect/acme, for another customer at %s/connect.\nIts API is described at %s/openapi.json; try: crossaccount integration list --server %s\n\n", url, url, url, url)
	printAccounts(streams.Out, "http://"+sandboxListener.Addr().String(), box)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- serve(ctx, sandboxListener, box) }()
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

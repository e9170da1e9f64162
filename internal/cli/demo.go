package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/sandbox"
)

func newDemo(streams Streams) *cobra.Command {
	var (
		once   bool
		listen string
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "Onboard a customer's AWS account end to end, without any AWS account",
		Long: `Onboard a customer's AWS account end to end in a sandbox with a vendor and two
customers: the launch link, the stack, verification with the calls that must be
refused, use of the customer's data, and the attacks that must fail. Every call
is a real AWS SDK call that the sandbox verifies and authorises.

Afterwards the sandbox stays open for exploring until interrupted. With --once
the story runs unattended; the exit code is 0 only if every step went as
expected.`,
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
			return explore(c.Context(), streams, listen, box)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "run the story and exit")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:4566", "loopback address for exploring; port 0 picks a free one")
	return c
}

// explore serves the sandbox until the context ends.
func explore(ctx context.Context, streams Streams, listen string, box *sandbox.Sandbox) error {
	listener, err := listenLoopback(ctx, listen)
	if err != nil {
		// The usual address may be taken; any other does as well.
		fmt.Fprintf(streams.Err, "%v; choosing a free port\n", err)
		if listener, err = listenLoopback(ctx, "127.0.0.1:0"); err != nil {
			return err
		}
	}
	fmt.Fprintln(streams.Out)
	printAccounts(streams.Out, "http://"+listener.Addr().String(), box)
	return serve(ctx, listener, box)
}

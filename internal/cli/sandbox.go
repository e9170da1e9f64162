package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/sandbox"
)

func newSandbox(streams Streams) *cobra.Command {
	var (
		listen   string
		accounts []string
		delay    time.Duration
		verbose  bool
		asJSON   bool
	)
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve AWS accounts that enforce IAM, on this machine",
		Long: `Serve several AWS accounts from one process until interrupted. STS, IAM,
CloudFormation and S3 verify every signature and authorise every call. One
address serves all services:

  export AWS_ENDPOINT_URL=http://127.0.0.1:4566
  aws sts get-caller-identity

The credentials of each account's root user are printed at the start. The page
at the address shows accounts, roles, stacks and the last decisions with the
deciding statement. Everything is in memory, and nothing reaches AWS.`,
		Example: `  crossaccount sandbox --account 111122223333 --account 444455556666`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if delay < 0 {
				return &exitError{ExitUsage, fmt.Errorf("--iam-delay %s: must not be negative", delay)}
			}
			options := sandbox.Options{IAMDelay: delay}
			if verbose {
				options.Logger = slog.New(slog.NewTextHandler(streams.Err, &slog.HandlerOptions{Level: slog.LevelDebug}))
			}
			box := sandbox.New(options)
			for _, id := range accounts {
				if _, err := box.CreateAccount(id); err != nil {
					return &exitError{ExitUsage, err}
				}
			}
			listener, err := listenLoopback(c.Context(), listen)
			if err != nil {
				return err
			}
			url := "http://" + listener.Addr().String()
			if asJSON {
				err = printAccountsJSON(streams.Out, url, box)
			} else {
				printAccounts(streams.Out, url, box)
			}
			if err != nil {
				return err
			}
			return serve(c.Context(), listener, box)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:4566", "loopback address to listen on; port 0 picks a free one")
	c.Flags().StringArrayVar(&accounts, "account", []string{"111122223333", "444455556666", "777788889999"}, "account `id`, twelve digits; may be repeated")
	c.Flags().DurationVar(&delay, "iam-delay", 0, "how long IAM changes take to have an effect, as on AWS (for example 8s)")
	c.Flags().BoolVar(&verbose, "verbose", false, "log every request to standard error")
	c.Flags().BoolVar(&asJSON, "json", false, "print the address and the credentials as JSON")
	return c
}

// listenLoopback refuses addresses that others could reach: the root
// credentials of the sandbox's accounts are on the screen.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &exitError{ExitUsage, fmt.Errorf("--listen %q: must be host:port, such as 127.0.0.1:4566", address)}
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, &exitError{ExitUsage, fmt.Errorf("--listen %q: must be a loopback address, such as 127.0.0.1:4566", address)}
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &exitError{ExitUsage, fmt.Errorf("cannot listen: %w; choose another address with --listen", err)}
	}
	return listener, nil
}

// serve answers requests until the context ends, and then finishes those that
// are under way.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(limit)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return &exitError{ExitInternal, err}
	}
	return <-stopped
}

func printAccounts(w io.Writer, url string, box *sandbox.Sandbox) {
	fmt.Fprintf(w, "The sandbox is at %s (a page for people, and the endpoint of all services).\n\n", url)
	// boto3 reads AWS_DEFAULT_REGION, the other SDKs AWS_REGION.
	fmt.Fprintf(w, "  export AWS_ENDPOINT_URL=%s AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1\n", url)
	for _, a := range box.Accounts() {
		root := a.Root()
		fmt.Fprintf(w, "\nAccount %s, root user:\n\n  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", a.ID(), root.AccessKeyID, root.SecretAccessKey)
	}
	fmt.Fprint(w, "\nThese credentials work in this sandbox only. Interrupt to stop.\n")
}

func printAccountsJSON(w io.Writer, url string, box *sandbox.Sandbox) error {
	type account struct {
		ID              string `json:"id"`
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
	}
	out := struct {
		Endpoint string    `json:"endpoint"`
		Accounts []account `json:"accounts"`
	}{Endpoint: url}
	for _, a := range box.Accounts() {
		root := a.Root()
		out.Accounts = append(out.Accounts, account{a.ID(), root.AccessKeyID, root.SecretAccessKey})
	}
	return json.NewEncoder(w).Encode(out)
}

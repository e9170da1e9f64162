package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
		useTLS   bool
		caFile   string
	)
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve AWS accounts that enforce IAM, on this machine",
		Long: `Serve several AWS accounts from one process until interrupted. STS, IAM, S3,
CloudFormation, Lambda, Step Functions and others verify every signature and
authorise every call; docs/sandbox.md lists what is real. One address serves all
services:

  export AWS_ENDPOINT_URL=http://127.0.0.1:4566
  aws sts get-caller-identity

The credentials of each account's root user are printed at the start. The page
at the address shows accounts, roles, stacks and the last decisions with the
deciding statement. Everything is in memory, and nothing reaches AWS.

A bucket policy that demands TLS, as the one of templates does, refuses calls over
plain HTTP here too. With --tls the sandbox speaks HTTPS; its certificate is of
an authority made at the start, whose own certificate is written to --ca-file:

  export AWS_CA_BUNDLE=$PWD/crossaccount-sandbox-ca.pem`,
		Example: `  crossaccount sandbox --account 111122223333 --account 444455556666
  crossaccount sandbox --tls --iam-delay 8s`,
		Args: cobra.NoArgs,
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
			scheme := "http"
			if !useTLS {
				caFile = ""
			} else {
				scheme = "https"
				if listener, caFile, err = withTLS(listener, caFile); err != nil {
					return err
				}
			}
			url := scheme + "://" + listener.Addr().String()
			if asJSON {
				err = printJSONLine(streams.Out, served(url, caFile, box))
			} else {
				printAccounts(streams.Out, url, caFile, box)
			}
			if err != nil {
				return errors.Join(err, listener.Close())
			}
			return serve(c.Context(), listener, box)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:4566", "loopback address to listen on; port 0 picks a free one")
	c.Flags().StringArrayVar(&accounts, "account", []string{"111122223333", "444455556666", "777788889999"}, "account `id`, twelve digits; may be repeated")
	c.Flags().DurationVar(&delay, "iam-delay", 0, "how long IAM changes take to have an effect, as on AWS (for example 8s)")
	c.Flags().BoolVar(&useTLS, "tls", false, "speak HTTPS")
	c.Flags().StringVar(&caFile, "ca-file", "crossaccount-sandbox-ca.pem", "with --tls: `file` to write the certificate of the authority to")
	c.Flags().BoolVar(&verbose, "verbose", false, "log every request to standard error")
	c.Flags().BoolVar(&asJSON, "json", false, "print the address and the credentials as JSON")
	if err := c.MarkFlagFilename("ca-file", "pem"); err != nil {
		panic(err) // the flag does not exist
	}
	c.AddCommand(newSandboxToken(streams))
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
		Protocols:         sandbox.Protocols(),
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

// withTLS makes a listener speak TLS, with a new authority whose certificate is
// written to the file. A file that holds something else is not overwritten.
func withTLS(listener net.Listener, caFile string) (net.Listener, string, error) {
	failed := func(err error) (net.Listener, string, error) {
		return nil, "", errors.Join(&exitError{ExitUsage, fmt.Errorf("--ca-file: %w", err)}, listener.Close())
	}
	old, err := os.ReadFile(caFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(err)
	}
	if block, rest := pem.Decode(old); len(old) > 0 && (block == nil || block.Type != "CERTIFICATE" || len(rest) > 0) {
		return failed(fmt.Errorf("%s holds something else than one certificate; name another file", caFile))
	}
	config, authority, err := sandbox.NewTLS(time.Now(), rand.Reader)
	if err != nil {
		return nil, "", errors.Join(&exitError{ExitInternal, err}, listener.Close())
	}
	if err := os.WriteFile(caFile, authority, 0o644); err != nil {
		return failed(err)
	}
	if caFile, err = filepath.Abs(caFile); err != nil {
		return failed(err)
	}
	return tls.NewListener(listener, config), caFile, nil
}

func printAccounts(w io.Writer, url, caFile string, box *sandbox.Sandbox) {
	fmt.Fprintf(w, "The sandbox is at %s (a page for people, and the endpoint of all services).\n\n", url)
	// boto3 reads AWS_DEFAULT_REGION, the other SDKs AWS_REGION.
	fmt.Fprintf(w, "  export AWS_ENDPOINT_URL=%s AWS_ENDPOINT_URL_STS=%[1]s AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1\n", url)
	if caFile != "" {
		fmt.Fprintf(w, "  export AWS_CA_BUNDLE='%s'\n", strings.ReplaceAll(caFile, "'", `'\''`))
	}
	for _, a := range box.Accounts() {
		root := a.Root()
		fmt.Fprintf(w, "\nAccount %s, root user:\n\n  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", a.ID(), root.AccessKeyID, root.SecretAccessKey)
	}
	fmt.Fprint(w, "\nThese credentials work in this sandbox only. Interrupt to stop.\n")
}

// A servedSandbox is what --json prints of a sandbox.
type servedSandbox struct {
	Endpoint string          `json:"endpoint"`
	CAFile   string          `json:"ca_file,omitempty"`
	Accounts []servedAccount `json:"accounts"`
}

// A servedAccount has the credentials of the account's root user.
type servedAccount struct {
	ID              string `json:"id"`
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
}

func served(url, caFile string, box *sandbox.Sandbox) servedSandbox {
	out := servedSandbox{Endpoint: url, CAFile: caFile}
	for _, a := range box.Accounts() {
		root := a.Root()
		out.Accounts = append(out.Accounts, servedAccount{a.ID(), root.AccessKeyID, root.SecretAccessKey})
	}
	return out
}

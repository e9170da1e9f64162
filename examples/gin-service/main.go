// Command gin-service is a small SaaS service that reads reports from its
// customers' AWS accounts. It shows how a service built with gin embeds
// crossaccount.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/gin-gonic/gin"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	gin.SetMode(gin.ReleaseMode)
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, log); err != nil {
		log.Error("gin-service ended", "error", err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer, log *slog.Logger) error {
	flags := flag.NewFlagSet("gin-service", flag.ContinueOnError)
	isDemo := flags.Bool("demo", false, "play AWS in this process instead of using it")
	console := flags.String("console", "127.0.0.1:8081", "with -demo, the `address` of the pretended AWS console")
	prepare := flags.Bool("prepare-bucket", false, "set up the template bucket with the present AWS credentials, then end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *isDemo {
		return runDemo(ctx, getenv, *console, out, log)
	}

	s, err := settingsFrom(getenv)
	if err != nil {
		return err
	}
	// The service's own credentials: those of its task, pod or instance.
	vendor, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(s.region))
	if err != nil {
		return err
	}
	if *prepare {
		return prepareBucket(ctx, s, vendor, out)
	}
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving on http://%s\n", listener.Addr())
	return serveCustomers(ctx, s, vendor, listener, log)
}

// serveCustomers runs the service until the context ends.
func serveCustomers(ctx context.Context, s settings, vendor aws.Config, listener net.Listener, log *slog.Logger) error {
	store, err := sqlite.Open(ctx, s.database, sqlite.Options{})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	handler, err := newService(s, vendor, store, log)
	if err != nil {
		return errors.Join(err, store.Close(), listener.Close())
	}
	err = serve(ctx, listener, handler)
	return errors.Join(err, store.Close())
}

// newService puts the parts together.
func newService(s settings, vendor aws.Config, store crossaccount.CredentialStorage, log *slog.Logger) (http.Handler, error) {
	callers, err := parseTokens(s.tokens)
	if err != nil {
		return nil, err
	}
	client, err := newClient(s, vendor, store, log)
	if err != nil {
		return nil, err
	}
	return newRouter(client, callers, log), nil
}

// serve answers requests until the context ends, and then lets those that are
// under way finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      requestTimeout + 15*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout+5*time.Second)
	defer cancel()
	err := server.Shutdown(limit)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
